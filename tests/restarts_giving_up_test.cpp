// The rules of supervision: when a supervisor gives up, and what becomes of it then.
#include "support/scripted_restarts.hpp"

#include <gmock/gmock.h>

namespace cyto::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

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

}  // namespace
}  // namespace cyto::test
