// Experiment 4.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "experiments.hpp"

namespace cyto::experiment {
namespace {

constexpr int takers = 4;
constexpr int passes = 3;
constexpr std::uint64_t item_lane_bytes = std::uint64_t{64} << 10;
constexpr std::uint64_t update_lane_bytes = std::uint64_t{256} << 10;

std::string taker_name(int index) { return "taker" + std::to_string(index); }

// Those that `from` sends updates to.
std::vector<int> peers_of(int from) {
  std::vector<int> out;
  for (int to = 0; to < takers; ++to) {
    if (to != from) out.push_back(to);
  }
  return out;
}

cast takers_with(std::uint64_t updates_per_100) {
  cast out;
  out.add("feed", {{"role", "feed"}});
  for (int i = 0; i < takers; ++i) {
    out.add(taker_name(i),
            {{"role", "taker"}, {"updates_per_100", std::to_string(updates_per_100)}});
    out.lane("feed", taker_name(i), item_lane_bytes);
  }
  for (int from = 0; from < takers; ++from) {
    for (const int to : peers_of(from)) {
      out.lane(taker_name(from), taker_name(to), update_lane_bytes);
    }
  }
  return out;
}

struct rates {
  double items_per_s = 0;
  double updates_per_s = 0;
  double p99_us = 0;
  std::uint64_t unaccounted = 0;
  double updates_missing = 0;  // Due by what each worker was sent, and not made; or too many.
};

rates run_once(std::uint64_t updates_per_100, double seconds) {
  stage on(takers_with(updates_per_100), {});
  const auto count = [&](const char* cell) {
    std::uint64_t sum = 0;
    for (int i = 0; i < takers; ++i) sum += on.cell(taker_name(i), cell);
    return static_cast<double>(sum);
  };
  on.run_for(seconds / 4);
  on.measure(1);
  const std::uint64_t began = now_ns();
  const double items = count("items");
  const double updates = count("updates");
  do {
    on.run_for(seconds);
  } while (count("items") <= items);
  const double took = static_cast<double>(now_ns() - began) * 1e-9;
  rates out;
  out.items_per_s = (count("items") - items) / took;
  out.updates_per_s = (count("updates") - updates) / took;
  on.measure(0);
  on.finish();
  out.unaccounted = on.unaccounted();
  for (int i = 0; i < takers; ++i) {
    out.updates_missing +=
        static_cast<double>(on.cell(taker_name(i), "items") * updates_per_100 / 100);
  }
  out.updates_missing = std::abs(out.updates_missing - count("updates"));
  bench::histogram all;
  for (int i = 0; i < takers; ++i) all.add(on.times(taker_name(i), 1));
  out.p99_us = us(all.quantile(0.99));
  return out;
}

double median_of(const std::vector<rates>& of, double rates::*which) {
  std::vector<double> values;
  for (const rates& each : of) values.push_back(each.*which);
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

}  // namespace

result external_throughput(const request& asked) {
  struct part {
    const char* text;
    std::uint64_t updates_per_100;
    std::vector<rates> found{};
  };
  std::vector<part> parts = {
      {"no updates", 0}, {"50 % of messages", 50}, {"5 with each message", 500}};
  for (int pass = 0; pass < passes; ++pass) {
    for (part& each : parts) each.found.push_back(run_once(each.updates_per_100, asked.seconds));
  }
  result out;
  out.number = 4;
  out.name = "external throughput";
  out.question =
      "How many messages a second go from a source into workers that update each other, if none "
      "causes an update, every other one, or each of them five?";
  out.method = fmt::format(
      "A source sends as many messages as go through to {} workers, which change a cell for each "
      "and "
      "send updates to each other, which change another. Counted in the workers' cells. Median of "
      "{} passes of {} s, the three cases in turn.",
      takers, passes, asked.seconds);
  out.columns = {{"updates", "updates"},
                 {"messages_per_s", "messages/s"},
                 {"updates_per_s", "updates/s"},
                 {"share_percent", "of the first, %"},
                 {"p99_us", "p99 of a message, us"}};
  const double first = median_of(parts[0].found, &rates::items_per_s);
  series line{"messages/s", {}};
  for (const part& each : parts) {
    const double items = median_of(each.found, &rates::items_per_s);
    nlohmann::ordered_json row;
    row["updates"] = each.text;
    row["messages_per_s"] = items;
    row["updates_per_s"] = median_of(each.found, &rates::updates_per_s);
    row["share_percent"] = first > 0 ? 100 * items / first : 0;
    row["p99_us"] = median_of(each.found, &rates::p99_us);
    out.rows.push_back(row);
    line.points.emplace_back(static_cast<double>(each.updates_per_100) / 100, items);
  }
  std::uint64_t unaccounted = 0;
  double missing = 0;
  for (const part& each : parts) {
    for (const rates& pass : each.found) {
      unaccounted += pass.unaccounted;
      missing += pass.updates_missing;
    }
  }
  out.checks.push_back(nothing_lost(unaccounted));
  out.checks.push_back(
      {check_kind::law, "updates due and not made, or not due and made", missing, true, 0, ""});
  out.checks.push_back({check_kind::goal, "throughput with 50 % of that without updates",
                        out.rows[1]["share_percent"].get<double>(), false, 60, "%"});
  out.plots.push_back({"messages from outside", "updates for each", "messages/s", false, {line}});
  return out;
}

}  // namespace cyto::experiment
