// A worker is killed after any instruction of a turn, of its recovery, of its joining, and of the
// turn it does over; and nothing is lost, doubled, or seen in part.
//
// A killed process leaves exactly the memory it had, so most points are tried on copies: the turn
// runs in a stepped child, and whenever an instruction has changed the segment, a copy of it is
// judged with every way in which the successor might do the turn over. Between two changes all
// points leave the same. Some points are real SIGKILLs, for what the kernel adds. CYTO_CRASH_FULL=1
// (tests/crash.sh) tries every state and more positions of the rings; without it a selection.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <unordered_set>
#include <vector>

#include "support/behaviours.hpp"
#include "support/inquiry.hpp"
#include "support/process.hpp"
#include "support/scene.hpp"
#include "support/watchdog.hpp"

namespace cyto::test {
namespace {

std::uint64_t hash_of(const memory& bytes, std::uint64_t seed) {
  std::uint64_t hash = seed;
  for (std::size_t i = 0; i < bytes.size(); i += 8) {
    std::uint64_t each = 0;
    std::memcpy(&each, bytes.data() + i, sizeof each);
    hash = (hash ^ each) * 0x9e3779b97f4a7c15U;
    hash ^= hash >> 29;
  }
  return hash;
}

class inquiry {
 public:
  explicit inquiry(const shape& what) : what_(what) {}

  // The turn, and what a successor does after it.
  void run() {
    each_position({1, 61, 62, 63}, [this] {
      const auto moments = kill_in_turn();
      if (testing::Test::HasFailure()) return;
      const std::uint64_t kills = is_full() ? 200 : sanitized ? 1 : 3;
      for (std::uint64_t i = 1; i <= kills && !testing::Test::HasFailure(); ++i) {
        kill_at(moments.back().instruction * i / kills, deed::turn, at_->base(), i);
      }
    });
  }

  // A successor that joins: after a clean end, and after deaths all over the turn.
  void run_joining() {
    each_position({62}, [this] {
      const auto moments = states_of_turn();
      memory found = at_->base();
      for (std::size_t i = 0; i < moments.size() && !testing::Test::HasFailure(); ++i) {
        moments[i].apply_to(found);
        // Some before the commit, and one after it.
        const std::size_t some = is_full() ? 6 : sanitized ? 1 : 2;
        if (i * some / moments.size() != (i + 1) * some / moments.size()) kill_joining(found, i);
      }
    });
  }

 private:
  template <class Act>
  void each_position(const std::vector<unsigned>& all, Act act) {
    const watchdog guard(std::chrono::seconds(is_full() ? 7200 : 220), name_of_test());
    std::vector<unsigned> positions = what_.positions;
    if (positions.empty()) positions = is_full() ? all : std::vector<unsigned>{62};
    if (!is_full() && sanitized) positions = {positions.back()};
    for (const unsigned each : positions) {
      if (testing::Test::HasFailure()) return;
      scene at(what_, each);
      at_ = &at;
      position_ = each;
      judged_.clear();
      act();
    }
  }

  std::vector<changed_lines> states_of_turn() {
    scene& at = *at_;
    std::vector<changed_lines> moments;
    memory now;
    bool committed = false;
    const step_points points =
        at.step(at.base(), deed::turn, what_.act, [&](const memory& seen, const changed_lines& by) {
          committed = committed || at.is_committed(seen);
          moments.push_back(by);
          now = seen;
        });
    EXPECT_EQ(committed, !what_.drain_first) << "the turn itself did not do what it should";
    if (what_.before == fill_indexes) {
      for (std::size_t i = 0; i < 2; ++i) {
        EXPECT_EQ(at.index_words(now)[i], 2 * at.index_words(at.base())[i]) << "index " << i;
      }
    }
    sum_.instructions += points.instructions;
    sum_.states += moments.size();
    return moments;
  }

  // Every state of the turn, with every way to do it over; and what follows killed in its turn.
  std::vector<changed_lines> kill_in_turn() {
    std::vector<changed_lines> moments = states_of_turn();
    memory crashed = at_->base();
    const std::size_t wanted = sanitized ? 8 : 30;
    std::size_t next_again = 0;
    for (std::size_t i = 0; i < moments.size() && !testing::Test::HasFailure(); ++i) {
      moments[i].apply_to(crashed);
      if (is_chosen(i, moments.size(), wanted)) {
        for (std::size_t r = 0; r < sequels(); ++r) {
          judge(crashed, what_.act, r, "instruction", moments[i].instruction);
        }
      }
      // A long message is copied byte by byte: recovery need not be stepped after each of them,
      // but after all that changes more than the rings.
      const bool again = is_full() ? i >= next_again || changes_account(moments[i])
                                   : is_chosen(i, moments.size(), 1);
      if (!again) continue;
      next_again = i + 1 + moments.size() / 60;
      kill_again(crashed, i);
    }
    return moments;
  }

  [[nodiscard]] bool changes_account(const changed_lines& by) const {
    const std::uint64_t control_bytes = at_->where().slot(worker_slot).control_bytes;
    return std::any_of(by.at.begin(), by.at.end(),
                       [control_bytes](std::uint32_t at) { return at < control_bytes; });
  }

  // Recovery, and now and then the redone turn.
  void kill_again(const memory& crashed, std::size_t moment) {
    scene& at = *at_;
    const std::size_t then = moment % sequels();
    std::size_t change = moment;
    const auto look = [&](behaviour act, const char* where) {
      return [&, act, where](const memory& now, const changed_lines& by) {
        ++sum_.states;
        if (!is_full() && ++change % 9 != 0) return;
        judge(now, act, then, where, by.instruction);
      };
    };
    sum_.instructions +=
        at.step(crashed, deed::recovery, nullptr, look(what_.act, "recovery's instruction"))
            .instructions;
    if (at.is_committed(crashed) || what_.drain_first) return;
    if (is_full() ? moment % 16 != 0 : sanitized) return;
    const behaviour act = sequel_of(then).redone;
    sum_.instructions +=
        at.step(crashed, deed::turn, act, look(act, "the second turn's instruction")).instructions;
  }

  // Memory at every change, and SIGKILL at every change and every system call; between those
  // nothing changes that anybody could see.
  void kill_joining(const memory& found, std::size_t moment) {
    const std::size_t then = moment % sequels();
    const step_points points = at_->step(
        found, deed::join, nullptr,
        [&](const memory& now, const changed_lines& by) {
          ++sum_.states;
          judge(now, what_.act, then, "joining, instruction", by.instruction);
        },
        true);
    sum_.instructions += points.instructions;
    std::vector<std::uint64_t> kills = points.changes;
    kills.insert(kills.end(), points.system_calls.begin(), points.system_calls.end());
    for (std::size_t i = 0; i < kills.size() && !testing::Test::HasFailure(); ++i) {
      if (is_chosen(i, kills.size(), sanitized ? 1 : 3)) kill_at(kills[i], deed::join, found, i);
    }
  }

  void kill_at(std::uint64_t k, deed what, const memory& from, std::size_t number) {
    at_->kill_after(k, from, what, what_.act);
    sum_.instructions += k;
    ++sum_.kills;
    const std::string wrong = at_->judge_live(what_.act, sequel_of(number % sequels()));
    if (!wrong.empty()) blame("SIGKILL after instruction", k, wrong);
  }

  [[nodiscard]] std::size_t sequels() const { return what_.redone.size() + 1; }
  [[nodiscard]] sequel sequel_of(std::size_t number) const {
    const bool another = number == what_.redone.size();
    return {what_.redone[another ? 0 : number], number % 2 == 0, another};
  }

  // What has been judged already comes out the same.
  void judge(const memory& crashed, behaviour act, std::size_t then, const char* where,
             std::uint64_t instruction) {
    // Spread, or it would cancel out against the commit word, which comes first.
    const std::uint64_t variant =
        (reinterpret_cast<std::uintptr_t>(act) + then) * 0xd1342543de82ef95U;
    if (!judged_.insert(hash_of(crashed, variant)).second) return;
    ++sum_.judged;
    const std::string wrong = at_->judge(crashed, act, sequel_of(then));
    if (!wrong.empty()) blame(where, instruction, wrong);
  }

  void blame(const char* where, std::uint64_t instruction, const std::string& wrong) const {
    ADD_FAILURE() << "position " << position_ << ", " << where << ' ' << instruction << ": "
                  << wrong;
  }

  const shape& what_;
  tally sum_;
  scene* at_ = nullptr;
  unsigned position_ = 0;
  std::unordered_set<std::uint64_t> judged_;
};

void inquire(const shape& what) { inquiry(what).run(); }

TEST(Crash, OneMessageOneCellOneOutput) {
  CYTO_SKIP_UNDER_TSAN();
  inquire({one_to_one, 1, {one_to_one, nothing, other_lanes, two_to_one, large}});
}

TEST(Crash, NothingIsSentAndNothingChanged) {
  CYTO_SKIP_UNDER_TSAN();
  inquire({nothing, 1, {nothing, one_to_one, cell_only}});
}

TEST(Crash, FiveOutputsToThreeLanesOneOfThemBuiltInTheRing) {
  CYTO_SKIP_UNDER_TSAN();
  inquire({.act = five_to_three,
           .messages = 1,
           .redone = {five_to_three, nothing, two_to_one, cell_only},
           .positions = is_full() ? std::vector<unsigned>{29, 62} : std::vector<unsigned>{62}});
}

TEST(Crash, RecordsWithBriefHeadersComeInAndNewShapesGoOut) {
  CYTO_SKIP_UNDER_TSAN();
  inquire({.act = new_shapes,
           .messages = 2,
           .redone = {new_shapes, last_shape, nothing, three_lines},
           .before = last_shape,
           .message_bytes = 56,
           .positions = is_full() ? std::vector<unsigned>{1, 62} : std::vector<unsigned>{62}});
}

TEST(Crash, BatchOfEightMessages) {
  CYTO_SKIP_UNDER_TSAN();
  inquire({one_to_one, 8, {one_to_one, nothing, cell_only}});
}

TEST(Crash, CellsAreMadeAndSetsAndIndexesGrow) {
  CYTO_SKIP_UNDER_TSAN();
  inquire({.act = set_and_cells,
           .messages = sanitized ? 1 : 3,
           .redone = {set_and_cells, nothing, other_lanes, one_to_one},
           .before = fill_indexes,
           .positions = {62}});
}

TEST(Crash, TurnIsAbortedBecauseALaneIsFull) {
  CYTO_SKIP_UNDER_TSAN();
  inquire({.act = into_a_full_lane,
           .messages = 1,
           .redone = {into_a_full_lane, nothing, set_and_cells},
           .before = fill_lane,
           .drain_first = true});
}

// A ring has 64 lines: records of three lines lie across its end, on the way in and on both ways
// out, copied; then one that is built in the ring.
TEST(Crash, RecordsLieAcrossTheEndOfTheRing) {
  CYTO_SKIP_UNDER_TSAN();
  inquire({.act = three_lines,
           .messages = 2,
           .redone = {three_lines, nothing, two_to_one},
           .message_bytes = 150,
           .positions = {62, 63}});
}

TEST(Crash, ALargeMessageIsBuiltAcrossTheEndOfTheRing) {
  CYTO_SKIP_UNDER_TSAN();
  inquire({.act = large,
           .messages = 1,
           .redone = {large, nothing, one_to_one, two_to_one},
           .positions = is_full() ? std::vector<unsigned>{30, 50, 62} : std::vector<unsigned>{50}});
}

TEST(Crash, AMessageTakesNearlyAllOfTheLane) {
  CYTO_SKIP_UNDER_TSAN();
  inquire({.act = whole_lane,
           .messages = 1,
           .redone = {whole_lane, nothing, one_to_one, large},
           .drain_always = true,
           .positions = is_full() ? std::vector<unsigned>{1, 40} : std::vector<unsigned>{40}});
}

// There is room for the next one only if what was consumed was given back.
TEST(Crash, AMessageTookNearlyAllOfTheLane) {
  CYTO_SKIP_UNDER_TSAN();
  inquire({.act = cell_only,
           .messages = 1,
           .redone = {cell_only, nothing},
           .message_bytes = 3800,
           .positions = {40}});
}

// The handler asks for the same message again: the half of it that committed is not done twice.
TEST(Crash, AMessageIsHandledInTwoTurns) {
  CYTO_SKIP_UNDER_TSAN();
  inquire({in_two_turns, 2, {in_two_turns, nothing, one_to_one}});
}

// From the lock to the last mapping.
TEST(Crash, JoiningAfterATurnOfOneMessage) {
  CYTO_SKIP_UNDER_TSAN();
  const shape what{one_to_one, 1, {one_to_one, nothing}};
  inquiry(what).run_joining();
}

TEST(Crash, JoiningAfterATurnOfManyParts) {
  if (sanitized) GTEST_SKIP() << "one join is what there is time for with a sanitizer's steps";
  const shape what{five_to_three, 1, {set_and_cells, five_to_three}};
  inquiry(what).run_joining();
}

}  // namespace
}  // namespace cyto::test
