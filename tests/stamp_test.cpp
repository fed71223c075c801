#include "cyto/stamp.hpp"

#include <gtest/gtest.h>

namespace cyto::test {
namespace {

TEST(Stamp, NextIsAboveTheLastCommitAndAboveAllThatWasSeen) {
  stamp_clock clock(10);
  EXPECT_EQ(clock.next(), 11U);
  clock.see(5);
  EXPECT_EQ(clock.next(), 11U);
  clock.see(40);
  clock.see(30);
  EXPECT_EQ(clock.next(), 41U);
  EXPECT_EQ(clock.commit(), 10U);
}

TEST(Stamp, StaysTheSameUntilTheTurnCommits) {
  stamp_clock clock;
  EXPECT_EQ(clock.next(), clock.next());
  clock.committed(clock.next());
  EXPECT_EQ(clock.commit(), 1U);
  EXPECT_EQ(clock.next(), 2U);
}

TEST(Stamp, ForgetsWhatAnAbortedTurnSaw) {
  stamp_clock clock(3);
  clock.see(90);
  clock.forget();
  EXPECT_EQ(clock.next(), 4U);
}

}  // namespace
}  // namespace cyto::test
