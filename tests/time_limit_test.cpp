#include <gtest/gtest.h>

#include <chrono>
#include <limits>

#include "cyto/types.hpp"

namespace cyto::test {
namespace {

using namespace std::chrono_literals;

TEST(TimeLimit, IsMadeOfAnyDurationAndRoundedUp) {
  static_assert(time_limit().ms() == 0);
  static_assert(time_limit(5ms).ms() == 5 && time_limit(2s).ms() == 2'000);
  static_assert(time_limit(1h).ms() == 3'600'000 && time_limit(-1s).ms() == 0);
  EXPECT_EQ(time_limit(1ns).ms(), 1);
  EXPECT_EQ(time_limit(999us).ms(), 1);
  EXPECT_EQ(time_limit(1'000us).ms(), 1);
  EXPECT_EQ(time_limit(1'001us).ms(), 2);
  EXPECT_EQ(time_limit(std::chrono::duration<double>(0.25)).ms(), 250);
}

TEST(TimeLimit, IsTenYearsAtMost) {
  const std::int64_t most = time_limit(std::chrono::years(10) + 48h).ms();
  EXPECT_EQ(time_limit(std::chrono::hours::max()).ms(), most);
  EXPECT_EQ(time_limit(std::chrono::nanoseconds::max()).ms(), most);
  EXPECT_EQ(
      time_limit(std::chrono::duration<double>(std::numeric_limits<double>::quiet_NaN())).ms(), 0);
}

}  // namespace
}  // namespace cyto::test
