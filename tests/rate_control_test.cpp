// How a source's rate falls and rises: in virtual time, from a seed, with no clock.
#include "cyto/rate_control.hpp"

#include <gtest/gtest.h>

#include <deque>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

#include "support/refusal.hpp"

namespace cyto::test {
namespace {

constexpr std::uint64_t second_ns = 1'000'000'000;

// Asks whenever a turn is due, from `from_ns` on; how many turns there were until `to_ns`.
std::uint64_t turns_of(rate_control& rate, std::uint64_t from_ns, std::uint64_t to_ns) {
  std::uint64_t turns = 0;
  for (std::uint64_t now = from_ns; now < to_ns; now = std::max(now + 1, rate.due_ns())) {
    while (rate.may_go(now)) ++turns;
  }
  return turns;
}

TEST(RateControl, MakesItsTurnsAndNoMore) {
  for (const double per_s : {1.0, 999.0, 1e4, 3e6}) {
    rate_control rate({.turns_per_s_max = per_s});
    const auto turns = static_cast<double>(turns_of(rate, 1, 1 + 10 * second_ns));
    EXPECT_NEAR(turns, 10 * per_s, 2 + per_s * 0.002) << per_s;
  }
}

TEST(RateControl, OfAPauseNoMoreIsMadeUpForThanAMillisecond) {
  rate_control rate({.turns_per_s_max = 1e6});
  turns_of(rate, 1, second_ns);
  std::uint64_t turns = 0;
  while (rate.may_go(100 * second_ns)) ++turns;
  EXPECT_EQ(turns, 1000U);
}

TEST(RateControl, FallsByHalfOnceForAllThatWasOnItsWay) {
  rate_control rate({.turns_per_s_max = 1000, .rise_per_s = 1, .rest_ns = 10'000});
  for (std::uint64_t now = 1; now < 10'000; now += 100) rate.fall(now);
  EXPECT_NEAR(rate.turns_per_s(), 500, 1);
  rate.fall(10'001);
  EXPECT_NEAR(rate.turns_per_s(), 250, 1);
}

TEST(RateControl, NeitherFallsBelowTheLowestNorRisesAboveTheHighest) {
  rate_control rate({.turns_per_s_max = 1000, .turns_per_s_min = 100});
  for (std::uint64_t i = 1; i < 100; ++i) rate.fall(i * 11'000'000);
  EXPECT_NEAR(rate.turns_per_s(), 100, 5);
  EXPECT_GT(turns_of(rate, 2 * second_ns, 12 * second_ns), 5000U);
  EXPECT_EQ(rate.turns_per_s(), 1000);
}

TEST(RateControl, LimitsThatCannotBeAreRefused) {
  const double none = std::numeric_limits<double>::quiet_NaN();
  for (const rate_limits& each :
       {rate_limits{}, rate_limits{.turns_per_s_max = -1}, rate_limits{.turns_per_s_max = 2e9},
        rate_limits{.turns_per_s_max = none},
        rate_limits{.turns_per_s_max = 1, .turns_per_s_min = 2},
        rate_limits{.turns_per_s_max = 1, .rise_per_s = -1},
        rate_limits{.turns_per_s_max = 1, .rise_per_s = none}}) {
    EXPECT_NE(refusal([&] { rate_control rate(each); }).find("rate of a source"),
              std::string::npos);
  }
}

// Sources that send to one reader, which takes a message whenever it has been at the last one for
// long enough; who finds its lane full is told a little later. If all are told each time, only the
// halving makes them equal; else the faster one is told more often, too.
struct shared_reader {
  struct source {
    rate_control rate;
    std::uint64_t begins_ns;
    std::uint64_t delivered = 0;
    std::uint64_t dropped = 0;
  };

  void run_until(std::uint64_t end_ns) {
    for (auto& each : sources) each.delivered = each.dropped = 0;
    for (; now_ns < end_ns; now_ns += step_ns) {
      while (!told.empty() && told.front().first <= now_ns) {
        sources[told.front().second].rate.fall(now_ns);
        told.pop_front();
      }
      work += per_s * static_cast<double>(step_ns) * 1e-9;
      for (; work >= 1 && waiting > 0; work -= 1) --waiting;
      if (waiting == 0) work = std::min(work, 1.0);
      // Nobody is always the first to ask.
      const std::size_t first = random() % sources.size();
      for (std::size_t i = 0; i < sources.size(); ++i) {
        const std::size_t at = (first + i) % sources.size();
        source& each = sources[at];
        while (now_ns >= each.begins_ns && each.rate.may_go(now_ns)) {
          if (waiting < room) {
            ++waiting;
            ++each.delivered;
          } else {
            ++each.dropped;
            for (std::size_t other = 0; other < sources.size(); ++other) {
              if (other == at || tells_all) told.emplace_back(now_ns + told_after_ns, other);
            }
          }
        }
      }
    }
  }

  bool tells_all = false;
  double per_s = 10'000;
  std::vector<source> sources;
  std::mt19937 random{7};
  std::uint64_t room = 1000;
  std::uint64_t waiting = 0;
  std::uint64_t now_ns = 1;
  double work = 0;
  std::deque<std::pair<std::uint64_t, std::size_t>> told;
  static constexpr std::uint64_t step_ns = 50'000;
  static constexpr std::uint64_t told_after_ns = 500'000;
};

rate_control fast_source() { return rate_control({.turns_per_s_max = 20'000}); }

// 1: all have the same; 1/n: one has all. (R. Jain, D.-M. Chiu, W. Hawe, 1984.)
double fairness(const std::vector<shared_reader::source>& of) {
  double sum = 0, squares = 0;
  for (const auto& each : of) {
    const auto share = static_cast<double>(each.delivered);
    sum += share;
    squares += share * share;
  }
  return sum * sum / (static_cast<double>(of.size()) * squares);
}

TEST(RateControl, SourcesOfOneReaderComeToEqualRatesWheneverTheyBegin) {
  for (const bool tells_all : {false, true}) {
    SCOPED_TRACE(tells_all);
    shared_reader reader;
    reader.tells_all = tells_all;
    for (const std::uint64_t begins_s : {0U, 10U, 20U, 21U}) {
      reader.sources.push_back({fast_source(), 1 + begins_s * second_ns});
    }
    reader.run_until(10 * second_ns);
    EXPECT_GT(reader.sources[0].delivered, 90'000U);  // Of 100,000 that the reader could take.
    reader.run_until(60 * second_ns);
    reader.run_until(120 * second_ns);
    std::uint64_t delivered = 0, dropped = 0;
    for (const auto& each : reader.sources) {
      delivered += each.delivered;
      dropped += each.dropped;
    }
    EXPECT_GT(fairness(reader.sources), 0.97);
    EXPECT_GT(delivered, 570'000U);  // Of 600,000.
    EXPECT_LT(dropped, delivered / 50);
  }
}

TEST(RateControl, FollowsAReaderThatBecomesSlowerAndFaster) {
  shared_reader reader;
  reader.sources.push_back({fast_source(), 1});
  for (const double per_s : {10'000.0, 1'000.0, 15'000.0, 5'000.0}) {
    reader.per_s = per_s;
    reader.run_until(reader.now_ns + 10 * second_ns);
    reader.run_until(reader.now_ns + 10 * second_ns);
    const auto& source = reader.sources[0];
    EXPECT_GT(static_cast<double>(source.delivered), 9 * per_s) << per_s;
    EXPECT_LT(static_cast<double>(source.dropped), per_s) << per_s;
  }
}

}  // namespace
}  // namespace cyto::test
