// Experiment 3.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "experiments.hpp"
#include "journal.hpp"

namespace cyto::experiment {
namespace {

constexpr std::array<const char*, 3> ring = {"a", "b", "c"};
constexpr std::uint32_t hops_max = hops_max_default;

struct variant {
  const char* name;
  std::uint64_t updates;
  std::uint64_t lane_bytes;
  std::uint64_t filling_bytes;
  bool has_kills;
};

cast ring_for(const variant& of) {
  cast out;
  worker_spec& source = out.add("source", {{"role", "gossip"},
                                           {"quota", std::to_string(of.updates)},
                                           {"filling_bytes", std::to_string(of.filling_bytes)}});
  source.is_source = true;
  for (const char* each : ring) {
    out.add(each, {{"role", "gossip"},
                   {"forwards", "yes"},
                   {"filling_bytes", std::to_string(of.filling_bytes)}});
  }
  out.lane("source", ring[0], of.lane_bytes);
  for (std::size_t i = 0; i < ring.size(); ++i) {
    out.lane(ring[i], ring[(i + 1) % ring.size()], of.lane_bytes).hops_max = hops_max;
  }
  return out;
}

}  // namespace

result update_cycle(const request& asked) {
  const auto updates = static_cast<std::uint64_t>(std::max(200.0, asked.seconds * 20'000));
  // A note with so much filling fills a lane of 4 KiB.
  const variant variants[] = {{"roomy lanes", updates, std::uint64_t{64} << 10, 0, false},
                              {"one record long", updates / 10, 4096, 2'500, false},
                              {"one record, kills", updates / 10, 4096, 2'500, true}};
  result out;
  out.number = 3;
  out.name = "update cycle";
  out.question =
      "Updates go round from a to b to c and to a again. Does it stand still, and where do they "
      "end?";
  out.method = fmt::format(
      "A source sends updates to a; each of the three sends one on for each that it is handed, "
      "also "
      "over lanes that hold one record only, and under SIGKILL every 10 ms. Lanes of the cycle "
      "allow {} hops: what would make more is counted, and lies among the dead letters. The logs "
      "are judged as in experiment 2.",
      hops_max);
  out.columns = {{"run", "run"},           {"updates", "updates"},
                 {"hops", "hops"},         {"ended", "ended by hops"},
                 {"ended_at", "ended at"}, {"dead_letters", "dead letters kept"},
                 {"kills", "kills"},       {"hops_per_s", "hops/s"}};
  plot speed{"hops, of updates that go round", "run", "hops/s", true, {{"hops/s", {}}}};
  for (const variant& each : variants) {
    stage_options options;
    options.log_entries = 32 * each.updates + 100'000;
    options.kill_every_s = each.has_kills ? 0.01 : 0;
    options.kills_max = each.updates / 20 + 5;
    stage on(ring_for(each), options);
    on.run_to_end();
    const judged found =
        judge(on, fmt::format("3-{}-", out.rows.size() + 1), asked.trace_path, false);
    add_laws(out, found, each.name);
    std::uint64_t ended = 0;
    std::uint64_t kept = 0;
    std::string at;
    for (std::size_t i = 0; i < ring.size(); ++i) {
      const lane_status lane = on.lane(ring[i], ring[(i + 1) % ring.size()]);
      ended += lane.over_hops;
      if (lane.over_hops > 0) at += (at.empty() ? "" : ", ") + lane.name;
      kept += dead_letters_of(on.where(), on.slot_of(ring[i])).size();
    }
    const std::uint64_t hops = on.delivered() - each.updates;
    nlohmann::ordered_json row;
    row["run"] = each.name;
    row["updates"] = each.updates;
    row["hops"] = hops;
    row["ended"] = ended;
    row["ended_at"] = at;
    row["dead_letters"] = kept;
    row["kills"] = found.kills;
    row["hops_per_s"] = found.seconds > 0 ? static_cast<double>(hops) / found.seconds : 0;
    out.rows.push_back(row);
    speed.lines[0].points.emplace_back(static_cast<double>(out.rows.size()),
                                       row["hops_per_s"].get<double>());
    const auto equal = [&](const char* what, std::uint64_t value, std::uint64_t wanted) {
      out.checks.push_back({check_kind::law, fmt::format("{} ({})", what, each.name),
                            static_cast<double>(apart(value, wanted)), true, 0, ""});
    };
    equal("updates that did not end by their hops", ended, each.updates);
    equal("hops too many or too few", hops, each.updates * hops_max);
    if (each.has_kills) {
      out.checks.push_back(
          {check_kind::law, "workers killed", static_cast<double>(found.kills), false, 1, ""});
    }
  }
  out.plots.push_back(std::move(speed));
  return out;
}

}  // namespace cyto::experiment
