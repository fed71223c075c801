// A second process reads lanes and cells all the time while a worker is stepped through its turn,
// killed, and followed by a successor; and never sees part of a turn.
//
// It has nothing but the read-only views. The commit word tells it which turn it should see: what
// was read between two looks at one commit word belongs to that turn as a whole; and what is read
// later is never older, for objects read one after the other too.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <new>
#include <string>
#include <vector>

#include "support/actor.hpp"
#include "support/behaviours.hpp"
#include "support/inquiry.hpp"
#include "support/scene.hpp"
#include "support/watchdog.hpp"

namespace cyto::test {
namespace {

// What observer and test have in common beside the segment.
struct blackboard {
  word<std::uint64_t> looks;  // Finished.
  word<std::uint64_t> stop;
  word<std::uint64_t> torn;  // Looks during which the commit word moved on.
  char wrong[1000];
};

class shared_blackboard {
 public:
  shared_blackboard()
      : place_(::mmap(nullptr, sizeof(blackboard), PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS, -1, 0)) {
    if (place_ == MAP_FAILED) throw std::bad_alloc();
    new (place_) blackboard{};
  }
  shared_blackboard(const shared_blackboard&) = delete;
  shared_blackboard& operator=(const shared_blackboard&) = delete;
  ~shared_blackboard() { ::munmap(place_, sizeof(blackboard)); }
  blackboard* operator->() const { return static_cast<blackboard*>(place_); }

 private:
  void* place_;
};

// A worker's committed turns one after the other, as its observer knows them.
class witness {
 public:
  witness(const segment& where, effects drained, std::vector<effects> turns)
      : where_(where), drained_(std::move(drained)), turns_(std::move(turns)) {}

  // One look at everything. Empty if it is whole. `torn` if a turn was committed meanwhile.
  std::string look(bool& torn) {
    const word<std::uint64_t>& commit = where_.control_of(worker_slot).commit;
    const std::uint64_t before = commit.observe();
    const effects seen = look_at(where_, drained_);
    torn = commit.observe() != before;
    for (const lane_status& lane : lanes_of(where_)) {
      if (lane.settled && !lane.balanced) return "lane " + lane.name + " does not add up";
    }
    if (before != commit_) {
      if (before < commit_) return "the commit word went back";
      commit_ = before;
      if (++turn_ == turns_.size()) return "more turns than there were";
    }
    if (torn) return out_of_order(seen);
    return difference(seen, turns_[turn_], "to the observer");
  }
  // While turns are committed each object is of one of them, and the lanes, which are read one by
  // one, are each of one no older than the lane before.
  [[nodiscard]] std::string out_of_order(const effects& seen) const {
    std::size_t turn = turn_;
    const auto advance = [&](auto is_of) {
      while (turn < turns_.size() && !is_of(turns_[turn])) ++turn;
    };
    advance([&](const effects& of) { return of.delivered == seen.delivered; });
    for (std::size_t i = 0; i < sink_count; ++i) {
      advance([&](const effects& of) { return of.sent[i] == seen.sent[i]; });
    }
    if (turn == turns_.size()) return "lanes in no order: " + to_string(seen);
    for (const auto& [name, value] : seen.counters) {
      turn = turn_;
      advance([&](const effects& of) {
        const auto found = of.counters.find(name);
        return found != of.counters.end() && found->second == value;
      });
      if (turn == turns_.size()) return "no turn left such a counter: " + to_string(seen);
    }
    for (const auto& [name, members] : seen.sets) {
      turn = turn_;
      advance([&](const effects& of) {
        const auto found = of.sets.find(name);
        return found != of.sets.end() && found->second == members;
      });
      if (turn == turns_.size()) return "no turn left such a set: " + to_string(seen);
    }
    return {};
  }
  void begin() {
    commit_ = where_.control_of(worker_slot).commit.observe();
    turn_ = 0;
  }

 private:
  const segment& where_;
  effects drained_;
  std::vector<effects> turns_;
  std::uint64_t commit_ = 0;
  std::size_t turn_ = 0;
};

void observe(const line& to_test, witness& of, blackboard& board) {
  while (to_test.hear() != 0) {
    of.begin();
    to_test.say(1);
    while (board.stop.observe() == 0) {
      bool torn = false;
      std::string wrong;
      try {
        wrong = of.look(torn);
      } catch (const std::exception& failure) {
        wrong = failure.what();
      }
      if (!wrong.empty() && board.wrong[0] == '\0') {
        wrong.copy(board.wrong, sizeof board.wrong - 1);
      }
      board.torn.publish(board.torn.own() + (torn ? 1 : 0));
      board.looks.publish(board.looks.own() + 1);
    }
    to_test.say(2);
  }
}

void expect_whole_turns(const shape& what, unsigned warm_ups) {
  const watchdog guard(std::chrono::seconds(is_full() ? 3600 : 100), name_of_test());
  tally sum;
  scene at(what, warm_ups);
  const shared_blackboard board;
  std::vector<effects> turns{at.base_effects()};
  turns.push_back(apply(turns.back(), what.act, at.messages()));
  turns.push_back(apply(turns.back(), one_to_one, {"next"}));
  witness of(at.where(), at.drained(), turns);
  const actor observer([&](const line& to_test) { observe(to_test, of, *board.operator->()); });

  // Which instructions change something.
  std::vector<std::uint64_t> points{0};
  at.step(at.base(), deed::turn, what.act,
          [&](const memory&, const changed_lines& by) { points.push_back(by.instruction); });

  const auto look_once_more = [&] {
    // The first of the two may have begun before.
    for (const auto until = board->looks.observe() + 2; board->looks.observe() < until;) relax();
  };
  const std::size_t kills = std::min<std::size_t>(points.size(), is_full()   ? 48
                                                                 : sanitized ? 1
                                                                             : 6);
  for (std::size_t i = 0; i < kills && board->wrong[0] == '\0'; ++i) {
    const std::uint64_t k = points[points.size() * (i + 1) / kills - 1];
    at.restore();
    board->stop.publish(0);
    observer.say(1);
    ASSERT_EQ(observer.hear(), 1U);
    // Every other time the observer is given the time to look after each change.
    at.kill_after(k, at.base(), deed::turn, what.act, [&](bool changed) {
      ++sum.instructions;
      if (i % 2 == 0 && changed) look_once_more();
    });
    ++sum.kills;
    {
      slot worker(at.where(), worker_slot);
      run_turn(worker, what.act, what.messages);
      look_once_more();
      slot feeder(at.where(), feeder_slot);
      send(feeder, 0, "next");
      EXPECT_EQ(run_turn(worker, one_to_one, 1), std::vector<std::string>{"next"});
      look_once_more();
    }
    board->stop.publish(1);
    ASSERT_EQ(observer.hear(), 2U);
    EXPECT_EQ(difference(look_at(at.where(), at.drained()), turns.back(), "at the end"), "");
    ++sum.judged;
  }
  observer.say(0);
  sum.states = points.size();
  sum.looks = board->looks.observe();
  EXPECT_STREQ(board->wrong, "");
  EXPECT_LT(board->torn.observe(), board->looks.observe() / 2) << "it has hardly seen anything";
}

TEST(CrashObserver, SeesNoPartOfATurnOfOneMessage) {
  CYTO_SKIP_UNDER_TSAN();
  expect_whole_turns({one_to_one, 1}, 62);
}

TEST(CrashObserver, SeesNoPartOfATurnOfManyParts) {
  CYTO_SKIP_UNDER_TSAN();
  expect_whole_turns({three_lines, sanitized ? 1U : 3U}, 61);
}

TEST(CrashObserver, SeesNoPartOfATurnThatMakesCellsAndGrowsASet) {
  CYTO_SKIP_UNDER_TSAN();
  expect_whole_turns({set_and_cells, sanitized ? 1U : 2U}, 5);
}

}  // namespace
}  // namespace cyto::test
