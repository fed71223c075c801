// The rules of supervision, without processes and without time: what is started, told to stop and
// killed, in which order, after which ends.
#include "restarts.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <functional>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

namespace cyto::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr instant ms = 1'000'000;

// Processes that do what the test says, on a clock that the test moves.
class Restarts : public testing::Test, public restart_tree::hands {
 protected:
  worker_spec& worker(const char* name, const char* supervisor = "") {
    worker_spec& made = of_.workers.emplace_back();
    made.name = name;
    made.supervisor = supervisor;
    made.order = next_order_++;
    return made;
  }
  supervisor_spec& supervisor(const char* name, const char* above = "") {
    supervisor_spec& made = of_.supervisors.emplace_back();
    made.name = name;
    made.supervisor = above;
    made.order = next_order_++;
    return made;
  }
  // After all workers and supervisors are named.
  restart_tree& tree() {
    if (!tree_) tree_ = std::make_unique<restart_tree>(of_, *this, past_, 1);
    return *tree_;
  }
  void begin() {
    tree().begin(now_);
    log_.clear();
  }
  std::uint32_t slot(const std::string& name) const {
    std::uint32_t at = 0;
    for (const worker_spec& each : of_.workers) {
      if (each.name == name) return at;
      at += each.count;
    }
    throw std::out_of_range(name);
  }
  void ends(const std::string& name, ending how = crash()) { tree().ended(slot(name), how, now_); }
  // Whoever was told to stop does.
  void obey() {
    while (!told_.empty()) {
      const std::uint32_t first = told_.front();
      told_.pop_front();
      tree().ended(first, clean(), now_);
    }
  }
  static ending crash() {
    ending out;
    out.how = "killed by signal 11 (SIGSEGV)";
    return out;
  }
  static ending clean() {
    ending out;
    out.clean = true;
    out.how = "exit code 0";
    return out;
  }
  void pass(instant time) {
    now_ += time;
    tree().time_passed(now_);
  }
  // To the next deadline, if there is one.
  bool pass() {
    const instant next = tree().next_deadline(now_);
    if (next == never) return false;
    pass(next - now_);
    return true;
  }
  std::vector<std::string> log() { return std::exchange(log_, {}); }

  topology of_;
  instant now_ = 1'000'000 * ms;
  std::vector<death> past_;
  std::vector<death> remembered_;
  std::map<std::string, std::string> start_problems_;
  std::set<std::uint32_t> down_;
  std::deque<std::uint32_t> told_;

 public:
  std::string start(std::uint32_t slot) override {
    const auto problem = start_problems_.find(name_of(slot));
    if (problem != start_problems_.end()) {
      log_.push_back("fail " + name_of(slot));
      return std::exchange(start_problems_, {})[name_of(slot)];  // Only once.
    }
    log_.push_back("start " + name_of(slot));
    return {};
  }
  void tell_to_stop(std::uint32_t slot) override {
    log_.push_back("stop " + name_of(slot));
    told_.push_back(slot);
  }
  void kill(std::uint32_t slot) override { log_.push_back("kill " + name_of(slot)); }
  void keep_down(std::uint32_t slot, bool down) override {
    if (down)
      down_.insert(slot);
    else
      down_.erase(slot);
  }
  void remember(const death& one) override { remembered_.push_back(one); }
  void forget(const death& one) override {
    std::erase_if(remembered_, [&](const death& each) { return each.at == one.at; });
  }
  std::string name_of(std::uint32_t slot) override {
    std::uint32_t at = 0;
    for (const worker_spec& each : of_.workers) {
      if (slot < at + each.count) {
        return each.count == 1 ? each.name : each.name + "/" + std::to_string(slot - at);
      }
      at += each.count;
    }
    return "nobody";
  }

 private:
  std::unique_ptr<restart_tree> tree_;
  std::vector<std::string> log_;
  std::uint32_t next_order_ = 1;
};

// ---- starting and stopping ----

TEST_F(Restarts, ChildrenStartInTheirOrderAndStopInTheReverse) {
  worker("a");
  worker("b").count = 2;
  worker("c");
  tree().begin(now_);
  EXPECT_THAT(log(), ElementsAre("start a", "start b/0", "start b/1", "start c"));
  tree().stop(now_);
  EXPECT_THAT(log(), ElementsAre("stop c"));
  obey();
  EXPECT_THAT(log(), ElementsAre("stop b/1", "stop b/0", "stop a"));
  EXPECT_TRUE(tree().has_ended());
  EXPECT_EQ(tree().failure(), "");
}

TEST_F(Restarts, MembersOfOneWorkerAreStoppedTogether) {
  worker("a");
  worker("b").count = 3;
  begin();
  tree().stop(now_);
  EXPECT_THAT(log(), ElementsAre("stop b/2", "stop b/1", "stop b/0"));
  ends("b", clean());
  EXPECT_THAT(log(), IsEmpty());
}

TEST_F(Restarts, TheNextOneWaitsForAReadyOneWhereThatIsAsked) {
  worker("a").wait_ready = true;
  worker("b");
  tree().begin(now_);
  EXPECT_THAT(log(), ElementsAre("start a"));
  tree().became_ready(slot("a"), now_);
  EXPECT_THAT(log(), ElementsAre("start b"));
}

TEST_F(Restarts, WhatStartsAfterASupervisorWaitsForAllOfItsChildren) {
  supervisor("inner");
  worker("a", "inner").wait_ready = true;
  worker("b", "inner");
  worker("c");
  tree().begin(now_);
  EXPECT_THAT(log(), ElementsAre("start a"));
  tree().became_ready(slot("a"), now_);
  EXPECT_THAT(log(), ElementsAre("start b", "start c"));
}

TEST_F(Restarts, WhoDoesNotStopInItsTimeIsKilled) {
  worker("a").shutdown_ms = 100;
  begin();
  tree().stop(now_);
  EXPECT_THAT(log(), ElementsAre("stop a"));
  pass(99 * ms);
  EXPECT_THAT(log(), IsEmpty());
  pass(1 * ms);
  EXPECT_THAT(log(), ElementsAre("kill a"));
  EXPECT_FALSE(tree().has_ended());
  ends("a");
  EXPECT_TRUE(tree().has_ended());
}

TEST_F(Restarts, BrutalKillSaysNothingAndInfinityNeverKills) {
  worker("a").shutdown_ms = infinity;
  worker("b").shutdown_ms = brutal_kill;
  begin();
  tree().stop(now_);
  EXPECT_THAT(log(), ElementsAre("kill b"));
  ends("b");
  EXPECT_THAT(log(), ElementsAre("stop a"));
  EXPECT_EQ(tree().next_deadline(now_), never);
}

TEST_F(Restarts, WhoIsNotReadyInItsTimeIsKilledAndThatIsADeath) {
  worker("a").ready_ms = 50;
  begin();
  pass(50 * ms);
  EXPECT_THAT(log(), ElementsAre("kill a"));
  ending kill = crash();
  kill.counts = false;
  ends("a", kill);
  EXPECT_THAT(log(), ElementsAre("start a"));
  EXPECT_EQ(remembered_.size(), 1U);
  tree().became_ready(slot("a"), now_);
  EXPECT_FALSE(pass());
}

// ---- types ----

TEST_F(Restarts, TypesDecideWhoComesBack) {
  for (const restart_type type :
       {restart_type::permanent, restart_type::transient, restart_type::temporary}) {
    for (const bool is_clean : {false, true}) {
      of_.workers.clear();
      worker("a").restart = type;
      restart_tree one(of_, *this, {}, 1);
      one.begin(now_);
      log();
      one.ended(0, is_clean ? clean() : crash(), now_);
      const bool back =
          type == restart_type::permanent || (type == restart_type::transient && !is_clean);
      EXPECT_EQ(log().size(), back ? 1U : 0U) << static_cast<int>(type) << is_clean;
      EXPECT_EQ(one.is_wanted(0), back);
    }
  }
}

TEST_F(Restarts, ListsOfExitsGoBeforeTypes) {
  worker("a").restart = restart_type::temporary;
  worker("b");
  begin();
  ending how = crash();
  how.force = true;
  ends("a", how);
  EXPECT_THAT(log(), ElementsAre("start a"));
  how.prevent = true;  // As in systemd, prevention goes first.
  ends("b", how);
  EXPECT_THAT(log(), IsEmpty());
}

// ---- strategies ----

TEST_F(Restarts, OneForOneLeavesTheOthersAlone) {
  for (const char* each : {"a", "b", "c"}) worker(each);
  begin();
  ends("b");
  EXPECT_THAT(log(), ElementsAre("start b"));
}

TEST_F(Restarts, OneForAllStopsAllAndStartsAllInOrder) {
  of_.root.strategy = restart_strategy::one_for_all;
  for (const char* each : {"a", "b", "c"}) worker(each);
  begin();
  ends("b");
  EXPECT_THAT(log(), ElementsAre("stop c"));
  obey();
  EXPECT_THAT(log(), ElementsAre("stop a", "start a", "start b", "start c"));
  EXPECT_EQ(remembered_.size(), 1U) << "siblings that are restarted do not count";
}

TEST_F(Restarts, RestForOneStopsThoseThatStartedAfter) {
  of_.root.strategy = restart_strategy::rest_for_one;
  for (const char* each : {"a", "b", "c", "d"}) worker(each);
  begin();
  ends("b");
  EXPECT_THAT(log(), ElementsAre("stop d"));
  obey();
  EXPECT_THAT(log(), ElementsAre("stop c", "start b", "start c", "start d"));
}

TEST_F(Restarts, TemporarySiblingsGoAndDoNotComeBack) {
  of_.root.strategy = restart_strategy::one_for_all;
  worker("a");
  worker("b").restart = restart_type::temporary;
  worker("c").restart = restart_type::transient;
  begin();
  ends("a");
  obey();
  EXPECT_THAT(log(), ElementsAre("stop c", "stop b", "start a", "start c"));
  EXPECT_EQ(down_.count(slot("b")), 1U);
}

TEST_F(Restarts, RestartThatFailsHalfWayStartsAllOverForAllAndOnlyTheRestForRest) {
  for (const restart_strategy strategy :
       {restart_strategy::one_for_all, restart_strategy::rest_for_one}) {
    of_ = {};
    of_.root.strategy = strategy;
    for (const char* each : {"a", "b", "c"}) worker(each);
    restart_tree two(of_, *this, {}, 1);
    two.begin(now_);
    log();
    told_.clear();
    start_problems_["b"] = "no memory";
    two.ended(0, crash(), now_);
    while (!told_.empty()) {
      const std::uint32_t first = told_.front();
      told_.pop_front();
      two.ended(first, clean(), now_);
    }
    if (strategy == restart_strategy::one_for_all) {
      EXPECT_THAT(log(), ElementsAre("stop c", "stop b", "start a", "fail b", "stop a", "start a",
                                     "start b", "start c"));
    } else {
      EXPECT_THAT(log(),
                  ElementsAre("stop c", "stop b", "start a", "fail b", "start b", "start c"));
    }
    EXPECT_EQ(remembered_.size(), 2U) << "the failed start counts as a death";
    remembered_.clear();
  }
}

TEST_F(Restarts, ProgramThatCannotBeStartedAtFirstEndsTheSystem) {
  worker("a");
  worker("b");
  start_problems_["b"] = "no such file";
  tree().begin(now_);
  EXPECT_THAT(log(), ElementsAre("start a", "fail b", "stop a"));
  EXPECT_THAT(tree().failure(), HasSubstr("no such file"));
}

// ---- intensity ----

TEST_F(Restarts, MoreDeathsThanTheIntensityWithinThePeriodEndTheRoot) {
  of_.root.intensity = 2;
  of_.root.period_ms = 1000;
  worker("a");
  worker("b");
  begin();
  ends("a");
  ends("b");
  EXPECT_THAT(log(), ElementsAre("start a", "start b"));
  ends("a");
  EXPECT_THAT(log(), ElementsAre("stop b")) << "deaths of all its children count together";
  EXPECT_THAT(tree().failure(), HasSubstr("worker a: killed by signal 11"));
  EXPECT_THAT(tree().failure(), HasSubstr("death 3 within 1000 ms, at most 2 are mended"));
  obey();
  EXPECT_TRUE(tree().has_ended());
}

TEST_F(Restarts, ThePeriodIsASlidingWindow) {
  of_.root.intensity = 2;
  of_.root.period_ms = 1000;
  worker("a");
  begin();
  for (int i = 0; i < 20; ++i) {
    ends("a");
    while (!tree().is_up(0) && pass()) {
    }
    ASSERT_EQ(tree().failure(), "") << i;
    pass(501 * ms);
  }
  EXPECT_EQ(remembered_.size(), 20U);
}

TEST_F(Restarts, DeathsThatTheOneBeforeRememberedCount) {
  of_.root.intensity = 2;
  of_.root.period_ms = 1000;
  worker("a");
  past_ = {{now_ - 900 * ms, 0}, {now_ - 100 * ms, 0}};
  begin();
  ends("a");
  EXPECT_THAT(tree().failure(), HasSubstr("death 3"));
}

TEST_F(Restarts, WhatTheSupervisorItselfKillsDoesNotCount) {
  of_.root.intensity = 0;
  worker("a");
  begin();
  ending how = crash();
  how.counts = false;
  for (int i = 0; i < 50; ++i) ends("a", how);
  EXPECT_EQ(tree().failure(), "");
  EXPECT_EQ(log().size(), 50U);
  EXPECT_THAT(remembered_, IsEmpty());
}

TEST_F(Restarts, ForgivenDeathsDoNotCount) {
  of_.root.intensity = 2;
  worker("a");
  begin();
  for (int i = 0; i < 2; ++i) {
    ends("a");
    pass(20 * ms);
  }
  tree().forgive(slot("a"), 2);
  EXPECT_THAT(remembered_, IsEmpty());
  for (int i = 0; i < 2; ++i) {
    ends("a");
    pass(20 * ms);
  }
  EXPECT_EQ(tree().failure(), "");
}

TEST_F(Restarts, TheFirstRestartIsAtOnceAndTheNextOnesWaitTwiceAsLongEachTime) {
  of_.root.intensity = 100;
  worker("a");
  begin();
  ends("a");
  EXPECT_THAT(log(), ElementsAre("start a"));
  instant before = 0;
  for (instant least = 10 * ms; least <= 640 * ms; least *= 2) {
    ends("a");
    EXPECT_THAT(log(), IsEmpty());
    const instant wait = tree().next_deadline(now_) - now_;
    EXPECT_GE(wait, least);
    EXPECT_LE(wait, least + least / 4) << "a quarter of jitter on top";
    EXPECT_GT(wait, before);
    before = wait;
    ASSERT_TRUE(pass());
    EXPECT_THAT(log(), ElementsAre("start a"));
  }
}

// ---- supervisors of supervisors ----

TEST_F(Restarts, SupervisorThatGivesUpIsRestartedByItsOwn) {
  of_.root.intensity = 1;
  worker("first");
  supervisor("inner").intensity = 0;
  worker("a", "inner");
  worker("b", "inner");
  worker("last");
  tree().begin(now_);
  EXPECT_THAT(log(), ElementsAre("start first", "start a", "start b", "start last"));
  ends("a");
  EXPECT_THAT(log(), ElementsAre("stop b"));
  obey();
  EXPECT_THAT(log(), ElementsAre("start a", "start b")) << "the others never noticed";
  // Its window is new; its own death counted above.
  ends("b");
  obey();
  EXPECT_THAT(tree().failure(), HasSubstr("supervisor inner: worker b: killed"));
  EXPECT_THAT(tree().failure(), HasSubstr("death 2 within 10000 ms, at most 1 are mended"));
}

TEST_F(Restarts, StrategyOfTheOuterMovesTheInnerAsAWhole) {
  of_.root.strategy = restart_strategy::rest_for_one;
  worker("first");
  supervisor("inner");
  worker("a", "inner");
  supervisor("deep", "inner");
  worker("b", "deep");
  worker("last");
  begin();
  ends("first");
  obey();
  EXPECT_THAT(log(), ElementsAre("stop last", "stop b", "stop a", "start first", "start a",
                                 "start b", "start last"));
}

TEST_F(Restarts, SystemStopsInnerSupervisorsInTheirTurn) {
  worker("first");
  supervisor("inner");
  worker("a", "inner");
  worker("b", "inner");
  worker("last");
  begin();
  tree().stop(now_);
  obey();
  EXPECT_THAT(log(), ElementsAre("stop last", "stop b", "stop a", "stop first"));
  EXPECT_TRUE(tree().has_ended());
}

TEST_F(Restarts, SignificantChildrenEndTheirSupervisor) {
  of_.root.shutdown = automatic_shutdown::all_significant;
  for (const char* each : {"a", "b"}) {
    worker_spec& made = worker(each);
    made.restart = restart_type::transient;
    made.significant = true;
  }
  worker("c");
  begin();
  ends("a", clean());
  EXPECT_THAT(log(), IsEmpty());
  ends("b", clean());
  obey();
  EXPECT_THAT(log(), ElementsAre("stop c"));
  EXPECT_TRUE(tree().has_ended());
  EXPECT_EQ(tree().failure(), "");
}

TEST_F(Restarts, AnySignificantChildOfAnInnerSupervisorEndsThatOneForGood) {
  supervisor_spec& inner = supervisor("inner");
  inner.shutdown = automatic_shutdown::any_significant;
  inner.restart = restart_type::transient;
  worker_spec& made = worker("a", "inner");
  made.restart = restart_type::temporary;
  made.significant = true;
  worker("b", "inner");
  worker("c");
  begin();
  ends("a");
  obey();
  EXPECT_THAT(log(), ElementsAre("stop b"));
  EXPECT_FALSE(tree().has_ended());
  EXPECT_FALSE(tree().is_wanted(slot("b")));
}

// ---- adoption, and what an operator asks for ----

TEST_F(Restarts, WhoLivesAlreadyIsNotStartedAndWhoIsKeptDownStaysDown) {
  worker("a");
  worker("b");
  worker("c");
  tree().found(slot("a"), true);
  tree().found_down(slot("b"));
  tree().begin(now_);
  EXPECT_THAT(log(), ElementsAre("start c"));
}

TEST_F(Restarts, OperatorStopsStartsAndRestartsOne) {
  worker("a");
  worker("b");
  begin();
  tree().stop_one(slot("a"), now_);
  obey();
  EXPECT_THAT(log(), ElementsAre("stop a"));
  EXPECT_EQ(down_.count(slot("a")), 1U);
  tree().start_one(slot("a"), now_);
  EXPECT_THAT(log(), ElementsAre("start a"));
  EXPECT_EQ(down_.count(slot("a")), 0U);
  tree().restart_one(slot("b"), now_);
  obey();
  EXPECT_THAT(log(), ElementsAre("stop b", "start b"));
  EXPECT_THAT(remembered_, IsEmpty());
}

TEST_F(Restarts, StartingOneOfASupervisorThatHadEndedStartsItAgain) {
  supervisor_spec& inner = supervisor("inner");
  inner.restart = restart_type::temporary;
  inner.intensity = 0;
  worker("a", "inner");
  worker("b", "inner");
  begin();
  ends("a");
  obey();
  EXPECT_FALSE(tree().is_up(slot("b")));
  log();
  tree().start_one(slot("b"), now_);
  EXPECT_THAT(log(), ElementsAre("start b"));
}

// ---- any order of events ----

// Random trees, random ends, obedience and time: nothing is started twice, nothing that is down is
// told or killed, time never stands at a deadline, and a stop always comes to its end.
class AnyOrder : public Restarts {
 public:
  std::string start(std::uint32_t slot) override {
    EXPECT_TRUE(up_.insert(slot).second) << "started twice";
    if (random_() % 50 == 0) {
      up_.erase(slot);
      return "no luck";
    }
    return {};
  }
  void tell_to_stop(std::uint32_t slot) override { EXPECT_EQ(up_.count(slot), 1U); }
  void kill(std::uint32_t slot) override {
    EXPECT_EQ(up_.count(slot), 1U);
    killed_.insert(slot);
  }

 protected:
  void end_one(restart_tree& of, std::uint32_t slot) {
    up_.erase(slot);
    killed_.erase(slot);
    ending how = random_() % 3 == 0 ? clean() : crash();
    how.counts = random_() % 4 != 0;
    of.ended(slot, how, now_);
  }
  std::mt19937_64 random_{20261121};
  std::set<std::uint32_t> up_;
  std::set<std::uint32_t> killed_;
};

TEST_F(AnyOrder, KeepsTheRules) {
  int failures = 0;
  for (int round = 0; round < 3000; ++round) {
    of_ = {};
    up_.clear();
    killed_.clear();
    const auto policy = [&](supervisor_spec& each) {
      each.strategy = static_cast<restart_strategy>(random_() % 3);
      each.intensity = static_cast<std::uint32_t>(random_() % 6);
      each.period_ms = static_cast<std::uint32_t>(1 + random_() % 2000);
      each.shutdown = static_cast<automatic_shutdown>(random_() % 3);
    };
    policy(of_.root);
    std::vector<std::string> names{""};
    for (std::size_t i = random_() % 4; i > 0; --i) {
      const std::string above = names[random_() % names.size()];
      names.push_back("s" + std::to_string(i));
      supervisor_spec& made = supervisor(names.back().c_str(), above.c_str());
      policy(made);
      made.restart = static_cast<restart_type>(random_() % 3);
      worker(("w" + names.back()).c_str(), names.back().c_str());
    }
    for (std::size_t i = 1 + random_() % 4; i > 0; --i) {
      worker_spec& made =
          worker(("x" + std::to_string(i)).c_str(), names[random_() % names.size()].c_str());
      made.count = static_cast<std::uint32_t>(1 + random_() % 3);
      made.restart = static_cast<restart_type>(random_() % 3);
      made.significant = made.restart != restart_type::permanent && random_() % 2 == 0;
      made.wait_ready = random_() % 3 == 0;
      made.ready_ms = random_() % 2 == 0 ? 0 : 20;
      made.shutdown_ms = random_() % 3 == 0 ? brutal_kill : 50;
    }
    std::uint32_t slots = 0;
    for (const worker_spec& each : of_.workers) slots += each.count;
    restart_tree all(of_, *this, {}, random_());
    all.begin(now_);
    const auto any_slot = [&] { return static_cast<std::uint32_t>(random_() % slots); };
    for (int step = 0; step < 60; ++step) {
      const std::uint32_t one = any_slot();
      switch (random_() % 8) {
        case 0:
        case 1:
        case 2:
          if (up_.count(one) != 0) end_one(all, one);
          break;
        case 3:
          if (up_.count(one) != 0) all.became_ready(one, now_);
          break;
        case 4:
          all.stop_one(one, now_);
          break;
        case 5:
          all.start_one(one, now_);
          break;
        case 6:
          all.restart_one(one, now_);
          break;
        default:
          now_ += static_cast<instant>(random_() % 40) * ms;
          all.time_passed(now_);
      }
      ASSERT_GT(all.next_deadline(now_), now_);
      for (std::uint32_t slot = 0; slot < slots; ++slot) {
        ASSERT_EQ(all.is_up(slot), up_.count(slot) == 1) << "round " << round;
      }
    }
    if (!all.failure().empty()) ++failures;
    all.stop(now_);
    for (int left = 1000; !all.has_ended(); --left) {
      ASSERT_GT(left, 0) << "does not come to its end, round " << round;
      if (!up_.empty()) end_one(all, *up_.begin());
      now_ += 10 * ms;
      all.time_passed(now_);
    }
    ASSERT_TRUE(up_.empty());
  }
  EXPECT_GT(failures, 100) << "too tame";
}

}  // namespace
}  // namespace cyto::test
