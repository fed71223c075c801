// The rules of supervision, without processes and without time: what is started, told to stop and
// killed, in which order, after which ends.
#include "support/scripted_restarts.hpp"

#include <gmock/gmock.h>

namespace cyto::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

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

}  // namespace
}  // namespace cyto::test
