// Experiment 1.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "across/pinning.hpp"
#include "experiments.hpp"

namespace cyto::experiment {
namespace {

constexpr std::uint64_t lane_bytes = std::uint64_t{16} << 10;
constexpr int hops_max = 8;

std::string link_name(int hop) { return "link" + std::to_string(hop); }

// A feed and `hops` links after it; with a relay before each if it is to be so.
cast chain_of(int hops, bool has_relays, std::uint64_t per_s) {
  cast out;
  out.add("feed", {{"role", "feed"}, {"per_s", std::to_string(per_s)}});
  std::string before = "feed";
  for (int hop = 1; hop <= hops; ++hop) {
    if (has_relays) {
      const std::string relay = "relay" + std::to_string(hop);
      out.add(relay, {{"role", "link"}, {"noted", "no"}});
      out.lane(before, relay, lane_bytes);
      before = relay;
    }
    out.add(link_name(hop), {{"role", "link"}});
    out.lane(before, link_name(hop), lane_bytes);
    before = link_name(hop);
  }
  return out;
}

struct measured {
  result* into;
  double seconds;
  double worst_hop_us = 0;  // p99 of one hop without a relay, of all cases.
  std::uint64_t unaccounted = 0;
  std::uint64_t doubled = 0;  // Delays beyond those of turns that have committed.
};

void add_rows(measured& to, const stage& on, const std::string& path, const std::string& load,
              int hops) {
  for (int hop = 1; hop <= hops; ++hop) {
    const bench::histogram& times = on.times(link_name(hop), 1);
    nlohmann::ordered_json row;
    row["path"] = path;
    row["load"] = load;
    row["hops"] = hop;
    row["updates"] = times.count();
    const std::uint64_t handled = on.cell(link_name(hop), "noted");
    to.doubled += times.count() - std::min(times.count(), handled);
    row["p50_us"] = us(times.quantile(0.5));
    row["p99_us"] = us(times.quantile(0.99));
    row["p999_us"] = us(times.quantile(0.999));
    to.into->rows.push_back(row);
  }
  to.unaccounted += on.unaccounted();
  if (path == "relay") return;
  to.worst_hop_us = std::max(to.worst_hop_us, us(on.times(link_name(1), 1).quantile(0.99)));
}

// Of one hop, or of the whole chain.
double p99_us(const result& of, const std::string& path, const std::string& load, int hops) {
  for (const auto& row : of.rows) {
    if (row["path"] == path && row["load"] == load && row["hops"] == hops) return row["p99_us"];
  }
  return 0;
}

void run_chain(measured& to, cast chain, const std::string& path, const std::string& load,
               int hops) {
  stage on(std::move(chain), {});
  on.run_for(to.seconds / 4);
  on.measure(1);
  on.run_for(to.seconds);
  // At a scale at which nothing else matters, one at least.
  while (on.times(link_name(hops), 1).count() == 0) on.run_for(0.01);
  on.measure(0);
  on.finish();
  add_rows(to, on, path, load, hops);
}

std::string rate_text(std::uint64_t per_s) {
  return per_s == 0 ? "as many as go" : fmt::format("{}/s", per_s);
}

}  // namespace

result propagation_latency(const request& asked) {
  result out;
  out.number = 1;
  out.name = "propagation latency";
  out.question =
      "How long is an update under way from one worker to the next, and over chains of up to 8 "
      "hops? What does a relay in between add?";
  out.method = fmt::format(
      "A source sends at a fixed rate (from when each was due: an open loop), or as many as go "
      "through lanes of {} KiB; each link of the chain notes how long the update has been under "
      "way "
      "and sends it on. All are supervised processes that sleep when there is nothing; in the path "
      "'a core each' both sides poll, each on its own core, and the source does not sleep either. "
      "'relay': a process of its own before "
      "each link that only hands on. {} s each after a quarter of that unmeasured.",
      lane_bytes >> 10, asked.seconds);
  out.columns = {{"path", "path"},       {"load", "load"},     {"hops", "hops"},
                 {"updates", "updates"}, {"p50_us", "p50 us"}, {"p99_us", "p99 us"},
                 {"p999_us", "p99.9 us"}};
  measured to{&out, asked.seconds};
  const bench::cores where = bench::pinned_cores();
  const bool has_core_each = where.near >= 0;
  if (has_core_each) {
    cast pair;
    worker_spec& feed =
        pair.add("feed", {{"role", "feed"}, {"per_s", "10000"}, {"awaits", "on its core"}});
    feed.cpus = {static_cast<std::uint32_t>(where.near)};
    worker_spec& link = pair.add(link_name(1), {{"role", "link"}});
    link.cpus = {static_cast<std::uint32_t>(where.far)};
    link.wait = wait_strategy::spin;
    pair.lane("feed", link_name(1), lane_bytes);
    run_chain(to, std::move(pair), "a core each", rate_text(10'000), 1);
  }
  run_chain(to, chain_of(3, false, 1000), "4 workers", rate_text(1000), 3);
  for (const bool has_relays : {false, true}) {
    for (const std::uint64_t per_s : {1'000U, 10'000U, 0U}) {
      const std::string path = has_relays ? "relay" : "direct";
      run_chain(to, chain_of(hops_max, has_relays, per_s), path, rate_text(per_s), hops_max);
    }
  }
  out.checks.push_back(nothing_lost(to.unaccounted));
  out.checks.push_back({check_kind::law, "delays counted for turns that were undone",
                        static_cast<double>(to.doubled), true, 0, ""});
  out.checks.push_back(
      {check_kind::goal, "p99 of one hop, whatever the load", to.worst_hop_us, true, 10'000, "us"});
  if (has_core_each) {
    out.checks.push_back({check_kind::aim, "p99 of one hop, a core each",
                          p99_us(out, "a core each", rate_text(10'000), 1), true, 20, "us"});
  }
  out.checks.push_back({check_kind::aim, "p99 of one hop of 4 workers",
                        p99_us(out, "4 workers", rate_text(1000), 1), true, 100, "us"});
  for (const std::uint64_t per_s : {1'000U, 0U}) {
    plot each;
    each.title = "p99 by hops, " + rate_text(per_s);
    each.x = "hops";
    each.y = "us";
    each.is_log = true;
    for (const char* path : {"direct", "relay"}) {
      series line{path, {}};
      for (int hop = 1; hop <= hops_max; ++hop) {
        line.points.emplace_back(hop, p99_us(out, path, rate_text(per_s), hop));
      }
      each.lines.push_back(line);
    }
    out.plots.push_back(each);
  }
  return out;
}

}  // namespace cyto::experiment
