// A worker is killed after any instruction of a turn, of its recovery, and of the turn it does
// over; and nothing is lost, doubled, or seen in part.
//
// A killed process leaves exactly the memory it had, so most points are tried on copies: the turn
// runs in a stepped child, and whenever an instruction has changed the segment, a copy of it is
// judged with every way in which the successor might do the turn over. Some points are real
// SIGKILLs, for what the kernel adds. CYTO_CRASH_FULL=1 tries every change and more positions of
// the rings; without it a selection is tried.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "support/process.hpp"
#include "support/stepped.hpp"
#include "support/watchdog.hpp"
#include "support/world.hpp"

namespace cyto::test {
namespace {

using memory = std::vector<std::byte>;

bool is_full() { return std::getenv("CYTO_CRASH_FULL") != nullptr; }

// ---- what turns do ----

void one_to_one(world& in, const std::string& message) {
  in.add("total", 3);
  in.send(0, "a " + message);
}
void nothing(world&, const std::string&) {}
void cell_only(world& in, const std::string&) { in.add("other", 1); }
void two_to_one(world& in, const std::string& message) {
  in.send(0, "first " + message);
  in.send(0, std::string(100, '2') + message);
}
void other_lanes(world& in, const std::string& message) {
  in.send(1, "b " + message);
  in.send(2, std::string(700, 'c') + message);
  in.add("total", 5);
}
void large(world& in, const std::string& message) {
  in.send(0, std::string(2500, 'L') + message);
  in.insert("large", message);
}
void five_to_three(world& in, const std::string& message) {
  in.send(0, "1 " + message);
  in.send(1, std::string(2300, '2') + message);
  in.send(0, std::string(90, '3') + message);
  in.send(2, "4 " + message);
  in.send(1, "5 " + message);
  in.add("five", 1);
}
void set_and_cells(world& in, const std::string& message) {
  in.insert("names", message);
  in.add("new " + message, 1);
  in.insert("other names", "of " + message);
  in.send(0, message);
}
// Its second lane was filled beforehand.
void into_a_full_lane(world& in, const std::string& message) {
  in.add("total", 7);
  in.insert("names", message);
  in.send(0, "before " + message);
  in.send(1, std::string(600, 'f') + message);
}
void warm_up(world& in, const std::string& message) {
  for (std::size_t i = 0; i < sink_count; ++i) in.send(i, message);
  in.add("warm", 1);
}
// So many that both indexes grow with the next one.
void fill_indexes(world& in, const std::string& message) {
  for (int i = 0; i < 123; ++i) {
    in.insert("names", message + std::to_string(i));
    in.add("cell " + std::to_string(i), 1);
  }
}
void fill_lane(world& in, const std::string& message) {
  for (int i = 0; i < 60; ++i) in.send(1, message);
}

struct shape {
  behaviour act;
  std::size_t messages = 1;
  behaviour before = nullptr;  // A committed turn that sets the scene.
  bool drain_first = false;    // The successor can go on only after the sinks have.
  std::vector<behaviour> redone = {};
};

// ---- the place of the crime ----

std::string difference(const effects& seen, const effects& expected, const char* when) {
  if (seen == expected) return {};
  return std::string(when) + ": seen " + to_string(seen) + "; expected " + to_string(expected);
}

std::string unbalanced(const segment& where) {
  for (const lane_status& lane : lanes_of(where)) {
    if (!lane.balanced || !lane.settled) return "lane " + lane.name + " does not add up";
  }
  return {};
}

class scene {
 public:
  scene(shape what, unsigned warm_ups)
      : what_(std::move(what)),
        live_({"feeder", "worker", "a", "b", "c"}, {{0, 1}, {1, 2}, {1, 3}, {1, 4}}),
        copy_({"feeder", "worker", "a", "b", "c"}, {{0, 1}, {1, 2}, {1, 3}, {1, 4}}),
        live_all_(live_.map_all()),
        copy_all_(copy_.map_all()) {
    {
      slot feeder(live_.where, feeder_slot);
      slot worker(live_.where, worker_slot);
      living_sinks sinks(live_.where);
      for (unsigned i = 0; i < warm_ups; ++i) {
        send(feeder, 0, "w" + std::to_string(i));
        base_ = apply(base_, warm_up, run_turn(worker, warm_up, 1));
        sinks.drain(drained_);
      }
      if (what_.before != nullptr) {
        send(feeder, 0, "before");
        base_ = apply(base_, what_.before, run_turn(worker, what_.before, 1));
      }
      for (std::size_t i = 0; i < what_.messages; ++i) {
        messages_.push_back("message " + std::to_string(i));
        send(feeder, 0, messages_.back());
      }
    }
    base_memory_ = read(live_all_);
    base_commit_ = live_.where.control_of(worker_slot).commit.observe();
    EXPECT_EQ(difference(look_at(live_.where, drained_), base_, "before the turn"), "");
  }

  [[nodiscard]] const shape& what() const { return what_; }
  [[nodiscard]] const memory& base() const { return base_memory_; }
  [[nodiscard]] bool is_committed(const memory& of) const {
    std::uint64_t commit = 0;
    std::memcpy(&commit, of.data() + live_.where.slot(worker_slot).control_offset, sizeof commit);
    return commit != base_commit_;
  }

  // Steps through a turn that begins with `from` in memory; `seen` gets the memory after each
  // instruction that changed it. With `kill_after` the child is killed after so many instructions.
  std::uint64_t step_turn(const memory& from, behaviour act,
                          const std::function<void(const memory&, std::uint64_t)>& seen,
                          std::optional<std::uint64_t> kill_after = {}) {
    write(live_all_, from);
    std::optional<slot> worker;
    stepped_child child([&] { worker.emplace(live_.where, worker_slot); },
                        [&] { run_turn(*worker, act, what_.messages); });
    return watch(child, seen, kill_after);
  }
  std::uint64_t step_recovery(const memory& from,
                              const std::function<void(const memory&, std::uint64_t)>& seen) {
    write(live_all_, from);
    const slot_entry& entry = live_.where.slot(worker_slot);
    mapping pages;
    mapping arena;
    stepped_child child(
        [&] {
          pages = live_.where.map(entry.control_offset, entry.control_bytes);
          arena = live_.where.map(entry.arena_offset, entry.arena_bytes);
        },
        [&] { recover(live_.where, worker_slot, pages.data(), arena.data()); });
    return watch(child, seen, {});
  }

  // Empty if a successor that finds `crashed`, and does the turn of `act` over as `redone`, leaves
  // everything as if there had been no crash.
  std::string judge(const memory& crashed, behaviour act, behaviour redone, bool drain_between) {
    write(copy_all_, crashed);
    return judge_where(copy_.where, is_committed(crashed), act, redone, drain_between);
  }
  // The same on the memory of a child that was really killed.
  std::string judge_live(behaviour act, behaviour redone) {
    return judge_where(live_.where, is_committed(read(live_all_)), act, redone, true);
  }

 private:
  static void write(const mapping& to, const memory& from) {
    std::memcpy(to.data(), from.data(), from.size());
  }
  [[nodiscard]] memory read(const mapping& from) const {
    return {from.data(), from.data() + live_.where.header().segment_bytes};
  }
  std::uint64_t watch(stepped_child& child,
                      const std::function<void(const memory&, std::uint64_t)>& seen,
                      std::optional<std::uint64_t> kill_after) {
    memory now = read(live_all_);
    if (!kill_after) seen(now, 0);
    while ((!kill_after || child.steps() < *kill_after) && child.step()) {
      if (kill_after || std::memcmp(now.data(), live_all_.data(), now.size()) == 0) continue;
      std::memcpy(now.data(), live_all_.data(), now.size());
      seen(now, child.steps());
    }
    child.kill();
    return child.steps();
  }

  std::string judge_where(const segment& where, bool committed, behaviour act, behaviour redone,
                          bool drain_between) {
    const std::span<const std::string> all(messages_);
    effects drained = drained_;
    effects expected = committed ? apply(base_, act, messages_) : base_;
    std::string wrong = difference(look_at(where, drained), expected, "at the crash");
    if (!wrong.empty()) return wrong;
    try {
      living_sinks sinks(where);
      sinks.poll();
      slot worker(where, worker_slot);
      wrong = difference(look_at(where, drained), expected, "after recovery") + unbalanced(where);
      if (!wrong.empty()) return wrong;
      if (what_.drain_first) sinks.drain(drained);

      const auto again = run_turn(worker, redone, what_.messages);
      if (again != (committed ? std::vector<std::string>{} : messages_)) {
        return "the successor was handed " + std::to_string(again.size()) + " messages";
      }
      expected = apply(expected, redone, again);
      wrong = difference(look_at(where, drained), expected, "after the turn was done over");
      if (!wrong.empty()) return wrong;
      if (drain_between) sinks.drain(drained);

      slot feeder(where, feeder_slot);
      send(feeder, 0, "next");
      expected = apply(expected, one_to_one, run_turn(worker, one_to_one, what_.messages));
      wrong = difference(look_at(where, drained), expected, "after the next message");
      if (!wrong.empty()) return wrong;
      sinks.drain(drained);
    } catch (const error& failure) {
      return failure.what();
    }
    if (drained.sent != expected.sent) return difference(drained, expected, "at the sinks");
    wrong = difference(look_at(where, drained), expected, "at the end");
    return wrong + unbalanced(where);
  }

  shape what_;
  small_system live_;
  small_system copy_;
  mapping live_all_;
  mapping copy_all_;
  effects base_;
  effects drained_;
  memory base_memory_;
  std::uint64_t base_commit_ = 0;
  std::vector<std::string> messages_;
};

// ---- the inquiry ----

struct counts {
  std::uint64_t instructions = 0;
  std::uint64_t changes = 0;
  std::uint64_t judged = 0;
  std::uint64_t kills = 0;
};

// Every `stride`-th of many, but all of few.
bool is_chosen(std::size_t index, std::size_t of, std::size_t wanted) {
  if (is_full() || of <= wanted) return true;
  return index * wanted / of != (index + 1) * wanted / of;
}

void inquire(const shape& what, const char* name) {
#if defined(__SANITIZE_THREAD__)
  // It looks at threads of one process, of which there is one here, and makes each of the steps
  // several hundred.
  GTEST_SKIP() << "ThreadSanitizer has nothing to say of one thread";
#endif
  const watchdog guard(std::chrono::seconds(is_full() ? 7200 : 110), name);
  counts sum;
  const std::vector<unsigned> positions = is_full()
                                              ? std::vector<unsigned>{0, 7, 29, 61, 62, 63, 64}
                                          : sanitized ? std::vector<unsigned>{62}
                                                      : std::vector<unsigned>{2, 62};
  for (const unsigned warm_ups : positions) {
    scene at(what, warm_ups);
    std::vector<std::pair<std::uint64_t, memory>> moments;
    bool full_turn = false;
    const auto blame = [&](const char* where, std::uint64_t step, const std::string& wrong) {
      ADD_FAILURE() << name << ", " << warm_ups << " warm-ups, " << where << ' ' << step << ": "
                    << wrong;
    };

    // Every state of the turn, with every way to do it over.
    sum.instructions += at.step_turn(at.base(), what.act, [&](const memory& now, std::uint64_t k) {
      full_turn = full_turn || at.is_committed(now);
      moments.emplace_back(k, now);
    });
    EXPECT_EQ(full_turn, !what.drain_first) << "the turn itself did not do what it should";
    sum.changes += moments.size();
    const std::size_t wanted = sanitized ? 10 : 40;
    for (std::size_t i = 0; i < moments.size(); ++i) {
      if (!is_chosen(i, moments.size(), wanted)) continue;
      for (std::size_t r = 0; r < what.redone.size(); ++r) {
        ++sum.judged;
        const std::string wrong =
            at.judge(moments[i].second, what.act, what.redone[r], (i + r) % 2 == 0);
        if (!wrong.empty()) blame("instruction", moments[i].first, wrong);
        if (testing::Test::HasFailure()) return;
      }
    }

    // Recovery and the redone turn, killed in their turn.
    for (std::size_t i = 0; i < moments.size(); ++i) {
      if (!is_chosen(i, moments.size(), sanitized ? 2 : 3)) continue;
      const behaviour redone = what.redone[i % what.redone.size()];
      const memory& crashed = moments[i].second;
      std::size_t change = i;
      const auto judge = [&](behaviour act) {
        return [&, act](const memory& now, std::uint64_t k) {
          if (!is_full() && ++change % 9 != 0) return;
          ++sum.judged;
          const std::string wrong = at.judge(now, act, redone, true);
          if (!wrong.empty()) blame("second crash at", k, wrong);
        };
      };
      sum.instructions += at.step_recovery(crashed, judge(what.act));
      if (!at.is_committed(crashed) && !what.drain_first) {
        sum.instructions += at.step_turn(crashed, redone, judge(redone));
      }
      if (testing::Test::HasFailure()) return;
    }

    // Real deaths.
    const std::uint64_t last = moments.back().first;
    const std::uint64_t kills = is_full() ? 400 : sanitized ? 3 : 6;
    for (std::uint64_t i = 1; i <= kills; ++i) {
      const std::uint64_t k = last * i / kills;
      sum.instructions += at.step_turn(at.base(), what.act, {}, k);
      ++sum.kills;
      const std::string wrong = at.judge_live(what.act, what.redone[i % what.redone.size()]);
      if (!wrong.empty()) blame("SIGKILL after instruction", k, wrong);
      if (testing::Test::HasFailure()) return;
    }
  }
  std::printf(
      "%s: %llu instructions stepped, %llu states of a turn, %llu states judged, %llu kills\n",
      name, static_cast<unsigned long long>(sum.instructions),
      static_cast<unsigned long long>(sum.changes), static_cast<unsigned long long>(sum.judged),
      static_cast<unsigned long long>(sum.kills));
}

TEST(Crash, OneMessageOneCellOneOutput) {
  inquire({one_to_one, 1, nullptr, false, {one_to_one, nothing, other_lanes, two_to_one, large}},
          "Crash.OneMessageOneCellOneOutput");
}

TEST(Crash, FiveOutputsToThreeLanesOneOfThemBuiltInTheRing) {
  inquire({five_to_three, 1, nullptr, false, {five_to_three, nothing, two_to_one, cell_only}},
          "Crash.FiveOutputsToThreeLanesOneOfThemBuiltInTheRing");
}

TEST(Crash, BatchOfEightMessages) {
  inquire({one_to_one, 8, nullptr, false, {one_to_one, nothing, cell_only}},
          "Crash.BatchOfEightMessages");
}

TEST(Crash, CellsAreMadeAndSetsAndIndexesGrow) {
  inquire(
      {set_and_cells, 3, fill_indexes, false, {set_and_cells, nothing, other_lanes, one_to_one}},
      "Crash.CellsAreMadeAndSetsAndIndexesGrow");
}

TEST(Crash, TurnIsAbortedBecauseALaneIsFull) {
  inquire({into_a_full_lane, 1, fill_lane, true, {into_a_full_lane, nothing, set_and_cells}},
          "Crash.TurnIsAbortedBecauseALaneIsFull");
}

}  // namespace
}  // namespace cyto::test
