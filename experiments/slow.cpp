// Experiment 5.
#include <fmt/format.h>

#include <algorithm>
#include <functional>

#include "experiments.hpp"

namespace cyto::experiment {
namespace {

constexpr int passes = 5;
constexpr std::uint64_t sender_per_s = 4'000;
constexpr std::uint64_t lane_bytes = 4096;  // Full soon: 64 items.
constexpr double delay_s = 0.002;
constexpr double look_every_s = 0.005;

// What a lane does with what finds no room.
struct policy {
  const char* name;
  std::function<void(lane_spec&)> apply;
};

const std::vector<policy>& policies() {
  static const std::vector<policy> all = {
      {"defer", [](lane_spec& lane) { lane.policy = full_policy::defer; }},
      {"refuse", [](lane_spec& lane) { lane.policy = full_policy::refuse; }},
      {"drop_newest", [](lane_spec& lane) { lane.policy = full_policy::drop_newest; }},
      {"drop_oldest", [](lane_spec& lane) { lane.policy = full_policy::drop_oldest; }}};
  return all;
}

cast with_one_slow(const policy& by) {
  cast out;
  out.add("sender", {{"role", "feed"}, {"per_s", std::to_string(sender_per_s)}});
  out.add("slow", {{"role", "taker"}, {"slow", "yes"}});
  out.add("quick", {{"role", "taker"}});
  out.add("aside", {{"role", "feed"}});
  out.add("bystander", {{"role", "taker"}});
  by.apply(out.lane("sender", "slow", lane_bytes));
  by.apply(out.lane("sender", "quick", lane_bytes));
  out.lane("aside", "bystander");
  return out;
}

// What went through in one stretch of time, or in several.
struct stretch {
  double seconds = 0;
  std::uint64_t to_slow = 0;
  std::uint64_t to_quick = 0;
  std::uint64_t to_bystander = 0;
  std::uint64_t refused = 0;
  std::uint64_t dropped = 0;
  std::uint64_t depth_max = 0;

  void add(const stretch& other) {
    seconds += other.seconds;
    to_slow += other.to_slow;
    to_quick += other.to_quick;
    to_bystander += other.to_bystander;
    refused += other.refused;
    dropped += other.dropped;
    depth_max = std::max(depth_max, other.depth_max);
  }
  [[nodiscard]] double per_s(std::uint64_t stretch::*what) const {
    return seconds > 0 ? static_cast<double>(this->*what) / seconds : 0;
  }
};

// What waits for room beside the lane to that worker, if its policy has it wait there.
lane_status held_for(const stage& on, const std::string& to) {
  for (std::uint32_t i = 0; i < on.where().lane_count(); ++i) {
    const lane_entry& lane = on.where().lane(i);
    if (lane.purpose != static_cast<std::uint32_t>(lane_purpose::held)) continue;
    if (on.where().goal_of(lane).reader_slot == on.slot_of(to)) return lane_of(on.where(), i);
  }
  return {};
}

// Totals so far, as the lanes have counted them.
stretch totals(const stage& on) {
  stretch out;
  const lane_status slow = on.lane("sender", "slow");
  out.seconds = static_cast<double>(now_ns()) * 1e-9;
  out.to_slow = slow.delivered;
  out.refused = slow.refused;
  out.dropped = slow.dropped + slow.no_room + held_for(on, "slow").dropped;
  out.to_quick = on.lane("sender", "quick").delivered;
  out.to_bystander = on.lane("aside", "bystander").delivered;
  return out;
}

struct played {
  stretch usual;
  stretch slowed;
  std::vector<double> kept;  // Of each pass: the bystander's rate, through that of before.
  series depth;
  double usual_p99_us = 0;
  double slowed_p99_us = 0;
  std::uint64_t unaccounted = 0;
  std::uint64_t offered = 0;    // By the sender.
  std::uint64_t accounted = 0;  // Of these, by the lanes: accepted, refused or dropped.
};

stretch play(stage& on, double seconds, series& depth, std::uint64_t began_ns) {
  const stretch before = totals(on);
  std::uint64_t deepest = 0;
  on.run_for(seconds, look_every_s, [&] {
    const lane_status lane = on.lane("sender", "slow");
    const std::uint64_t waiting =
        lane.accepted - std::min(lane.accepted, lane.delivered) + held_for(on, "slow").in_flight;
    deepest = std::max(deepest, waiting);
    depth.points.emplace_back(static_cast<double>(now_ns() - began_ns) * 1e-9,
                              static_cast<double>(waiting));
  });
  stretch out = totals(on);
  out.seconds -= before.seconds;
  out.to_slow -= before.to_slow;
  out.to_quick -= before.to_quick;
  out.to_bystander -= before.to_bystander;
  out.refused -= before.refused;
  out.dropped -= before.dropped;
  out.depth_max = deepest;
  return out;
}

played run_once(const policy& by, double seconds) {
  stage on(with_one_slow(by), {});
  played out;
  out.depth.name = by.name;
  on.run_for(seconds / 4);
  const std::uint64_t began_ns = now_ns();
  for (int pass = 0; pass < passes; ++pass) {
    on.measure(1);
    const stretch usual = play(on, seconds / passes, out.depth, began_ns);
    on.measure(2);
    on.slow_down(delay_s);
    const stretch slowed = play(on, seconds / passes, out.depth, began_ns);
    on.slow_down(0);
    const double before = usual.per_s(&stretch::to_bystander);
    if (before > 0) out.kept.push_back(slowed.per_s(&stretch::to_bystander) / before);
    out.usual.add(usual);
    out.slowed.add(slowed);
  }
  on.measure(0);
  on.finish();
  out.unaccounted = on.unaccounted();
  out.offered = on.cell("sender", "sent");
  for (const char* to : {"slow", "quick"}) {
    const lane_status lane = on.lane("sender", to);
    out.accounted += lane.accepted + lane.refused + lane.no_room + held_for(on, to).dropped;
  }
  out.usual_p99_us = us(on.times("bystander", 1).quantile(0.99));
  out.slowed_p99_us = us(on.times("bystander", 2).quantile(0.99));
  return out;
}

nlohmann::ordered_json row_of(const policy& by, const char* state, const stretch& of,
                              double p99_us) {
  nlohmann::ordered_json row;
  row["policy"] = by.name;
  row["worker"] = state;
  row["to_slow_per_s"] = of.per_s(&stretch::to_slow);
  row["to_quick_per_s"] = of.per_s(&stretch::to_quick);
  row["depth_max"] = of.depth_max;
  row["refused"] = of.refused;
  row["dropped"] = of.dropped;
  row["bystander_per_s"] = of.per_s(&stretch::to_bystander);
  row["bystander_p99_us"] = p99_us;
  return row;
}

}  // namespace

result one_slow_worker(const request& asked) {
  result out;
  out.number = 5;
  out.name = "one slow worker";
  out.question =
      "When one worker becomes slow, how much waits for it, what is dropped, what becomes of who "
      "sends to it and of those who do not?";
  out.method = fmt::format(
      "A sender offers {} items a second, to a worker that takes {} ms for each while it is slow, "
      "and to a quick one, by turns, over lanes of {} bytes. Beside them a source sends as many as "
      "go through to a bystander. Usual and slow by turns, {} times {} s each; what the bystander "
      "loses is the median over these pairs.",
      sender_per_s, delay_s * 1e3, lane_bytes, passes, asked.seconds / passes);
  out.columns = {{"policy", "full lane"},         {"worker", "worker is"},
                 {"to_slow_per_s", "it takes/s"}, {"to_quick_per_s", "quick one takes/s"},
                 {"depth_max", "waiting, most"},  {"refused", "refused"},
                 {"dropped", "dropped"},          {"bystander_per_s", "bystander takes/s"},
                 {"bystander_p99_us", "p99, us"}};
  plot depth{"waiting for the slow worker", "s", "messages", false, {}};
  std::uint64_t unaccounted = 0;
  for (const policy& by : policies()) {
    played found = run_once(by, asked.seconds);
    out.rows.push_back(row_of(by, "as usual", found.usual, found.usual_p99_us));
    out.rows.push_back(row_of(by, "slow", found.slowed, found.slowed_p99_us));
    unaccounted += found.unaccounted;
    out.checks.push_back(
        {check_kind::law,
         fmt::format("items offered, and items that lanes account for, apart ({})", by.name),
         static_cast<double>(std::max(found.offered, found.accounted) -
                             std::min(found.offered, found.accounted)),
         true, 0, ""});
    std::sort(found.kept.begin(), found.kept.end());
    const double kept = found.kept.empty() ? 0 : found.kept[found.kept.size() / 2];
    out.checks.push_back({check_kind::goal, fmt::format("what bystanders lose ({})", by.name),
                          100 * (1 - kept), true, 5, "%"});
    depth.lines.push_back(std::move(found.depth));
  }
  out.plots.push_back(std::move(depth));
  out.checks.push_back(nothing_lost(unaccounted));
  return out;
}

}  // namespace cyto::experiment
