// Experiment 5.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "across/pinning.hpp"
#include "counters.hpp"
#include "experiments.hpp"

namespace cyto::experiment {
namespace {

constexpr int rounds = 20;
constexpr std::uint64_t sender_per_s = 8'000;
constexpr std::uint64_t lane_bytes = 4096;  // Full soon: 64 items.
constexpr double delay_s = 0.002;
constexpr double settle_s = 0.02;  // Longer than the slow one's lane takes to fill.
constexpr double look_every_s = 0.005;

// What a lane does with what finds no room. Each that there is has one line here.
struct policy {
  const char* name;
  full_policy full;
  bool paces = false;       // Its sender's rate is limited, and falls.
  bool of_updates = false;  // What is offered are updates: of other messages there is no merging.
};

constexpr policy policies[] = {{"defer", full_policy::defer},
                               {"refuse", full_policy::refuse},
                               {"drop_newest", full_policy::drop_newest},
                               {"drop_oldest", full_policy::drop_oldest},
                               {"nack", full_policy::nack, true},
                               {"coalesce", full_policy::coalesce, false, true}};

// Who stands by has its cores for itself, if they are to be had, so that the kernel does not move
// it about; the others take from these what they need.
cast with_one_slow(const policy& by) {
  cast out;
  out.add("sender", {{"role", "feed"},
                     {by.paces ? "turns_per_s" : "per_s", std::to_string(sender_per_s)},
                     {"as", by.of_updates ? "updates" : "items"},
                     {"awaits", "asleep"}});
  out.add("slow", {{"role", "taker"}, {"slow", "yes"}});
  out.add("quick", {{"role", "taker"}});
  const bench::cores where = bench::pinned_cores();
  worker_spec& aside = out.add("aside", {{"role", "feed"}});
  if (where.near >= 0) aside.cpus = {static_cast<std::uint32_t>(where.near)};
  worker_spec& bystander = out.add("bystander", {{"role", "taker"}});
  if (where.near >= 0) bystander.cpus = {static_cast<std::uint32_t>(where.far)};
  for (const char* to : {"slow", "quick"}) out.lane("sender", to, lane_bytes).policy = by.full;
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
  std::uint64_t merged = 0;
  std::uint64_t depth_max = 0;

  void add(const stretch& other) {
    seconds += other.seconds;
    to_slow += other.to_slow;
    to_quick += other.to_quick;
    to_bystander += other.to_bystander;
    refused += other.refused;
    dropped += other.dropped;
    merged += other.merged;
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
  out.merged = slow.coalesced;
  out.to_quick = on.lane("sender", "quick").delivered;
  out.to_bystander = on.lane("aside", "bystander").delivered;
  return out;
}

struct played {
  const policy* by;
  std::unique_ptr<stage> on;
  stretch usual{};
  stretch slowed{};
  std::vector<double> kept{};  // Of each round: the bystander's rate, through that as usual.
  series depth{};
  double measured_s = 0;
};

stretch play(played& of, double seconds) {
  stage& on = *of.on;
  const stretch before = totals(on);
  std::uint64_t deepest = 0;
  on.run_for(seconds, look_every_s, [&] {
    const lane_status lane = on.lane("sender", "slow");
    const std::uint64_t waiting = lane.accepted - std::min(lane.accepted, lane.delivered) +
                                  held_for(on, "slow").in_flight + lane.waiting;
    deepest = std::max(deepest, waiting);
    const double passed_s = static_cast<double>(now_ns()) * 1e-9 - before.seconds;
    of.depth.points.emplace_back(of.measured_s + passed_s, static_cast<double>(waiting));
  });
  stretch out = totals(on);
  out.seconds -= before.seconds;
  out.to_slow -= before.to_slow;
  out.to_quick -= before.to_quick;
  out.to_bystander -= before.to_bystander;
  out.refused -= before.refused;
  out.dropped -= before.dropped;
  out.merged -= before.merged;
  out.depth_max = deepest;
  of.measured_s += out.seconds;
  return out;
}

// As usual and slow, or the other way round, so that what changes slowly falls on both alike.
void play_round(played& of, double seconds, bool slow_first) {
  of.on->pause(false);
  stretch now[2];
  for (const bool is_slow : {slow_first, !slow_first}) {
    of.on->slow_down(is_slow ? delay_s : 0);
    of.on->run_for(std::min(settle_s, seconds));
    of.on->measure(is_slow ? 2 : 1);
    now[is_slow ? 1 : 0] = play(of, seconds);
    of.on->measure(0);
  }
  of.on->slow_down(0);
  of.on->pause(true);
  const double before = now[0].per_s(&stretch::to_bystander);
  if (before > 0) of.kept.push_back(now[1].per_s(&stretch::to_bystander) / before);
  of.usual.add(now[0]);
  of.slowed.add(now[1]);
}

// What the updates have come to in the end.
std::uint64_t counted_by(const stage& on, const std::string& worker) {
  std::uint64_t out = 0;
  for (std::uint64_t i = 0; i < counted; ++i) out += on.cell(worker, counter_name(i));
  return out;
}

double p99_us(const stage& on, std::uint64_t phase) {
  return us(on.times("bystander", phase).quantile(0.99));
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
  row["merged"] = of.merged;
  row["bystander_per_s"] = of.per_s(&stretch::to_bystander);
  row["bystander_p99_us"] = p99_us;
  return row;
}

}  // namespace

result one_slow_worker(const request& asked) {
  const double seconds = asked.seconds / rounds;
  result out;
  out.number = 5;
  out.name = "one slow worker";
  out.question =
      "When one worker becomes slow, how much waits for it, what is dropped, what becomes of who "
      "sends to it and of those who do not?";
  out.method = fmt::format(
      "A sender offers {} items a second, to a worker that takes {} ms for each while it is slow, "
      "and to a quick one, by turns, over lanes of {} bytes. Beside them a source sends as many as "
      "go through to a bystander, each pinned to a core that the others use too. Policies by "
      "turns, {} rounds; in each round {:.3g} s as usual and as long slow, each after {} ms "
      "that do not count. With coalesce the items are updates of {} counters, and what these have "
      "come to in the end is what was offered. What the bystander loses is the median over the "
      "rounds.",
      sender_per_s, delay_s * 1e3, lane_bytes, rounds, seconds, settle_s * 1e3, counted);
  out.columns = {{"policy", "full lane"},
                 {"worker", "worker is"},
                 {"to_slow_per_s", "it takes/s"},
                 {"to_quick_per_s", "quick one takes/s"},
                 {"depth_max", "waiting, most"},
                 {"refused", "refused"},
                 {"dropped", "dropped"},
                 {"merged", "merged"},
                 {"bystander_per_s", "bystander takes/s"},
                 {"bystander_p99_us", "p99, us"}};
  std::vector<played> all;
  for (const policy& by : policies) {
    all.push_back({&by, std::make_unique<stage>(with_one_slow(by), stage_options{})});
    all.back().on->pause(true);
    all.back().depth.name = by.name;
  }
  for (int round = 0; round < rounds; ++round) {
    for (played& each : all) play_round(each, seconds, round % 2 != 0);
  }
  plot depth{"waiting for the slow worker", "s", "messages", false, {}};
  std::uint64_t unaccounted = 0;
  for (played& each : all) {
    const stage& on = *each.on;
    each.on->finish();
    unaccounted += on.unaccounted();
    out.rows.push_back(row_of(*each.by, "as usual", each.usual, p99_us(on, 1)));
    out.rows.push_back(row_of(*each.by, "slow", each.slowed, p99_us(on, 2)));
    std::uint64_t accounted = 0;
    for (const char* to : {"slow", "quick"}) {
      const lane_status lane = on.lane("sender", to);
      accounted += each.by->of_updates
                       ? counted_by(on, to)
                       : lane.accepted + lane.refused + lane.no_room + held_for(on, to).dropped;
    }
    out.checks.push_back(
        {check_kind::law,
         fmt::format("items offered, and items that lanes account for, apart ({})", each.by->name),
         static_cast<double>(apart(on.cell("sender", "sent"), accounted)), true, 0, ""});
    std::sort(each.kept.begin(), each.kept.end());
    const double kept = each.kept.empty() ? 0 : each.kept[each.kept.size() / 2];
    out.checks.push_back({check_kind::goal, fmt::format("what bystanders lose ({})", each.by->name),
                          100 * (1 - kept), true, 5, "%"});
    depth.lines.push_back(std::move(each.depth));
  }
  out.plots.push_back(std::move(depth));
  out.checks.push_back(nothing_lost(unaccounted));
  return out;
}

}  // namespace cyto::experiment
