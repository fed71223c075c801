// Who owns a key: each member its share, the same everywhere, and no key moves without need.
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "cyto/types.hpp"
#include "support/system.hpp"

namespace cyto::test {
namespace {

constexpr auto everybody = [](std::size_t) { return true; };

std::vector<std::uint64_t> numbers(std::uint64_t count) {
  std::vector<std::uint64_t> keys;
  for (std::uint64_t i = 0; i < count; ++i) keys.push_back(i);
  return keys;
}

std::vector<std::uint64_t> names(std::uint64_t count) {
  std::vector<std::uint64_t> keys;
  for (std::uint64_t i = 0; i < count; ++i) {
    keys.push_back(hash_bytes("package-" + std::to_string(i)));
  }
  return keys;
}

// Keys that a user's own numbering might have: multiples of a power of two.
std::vector<std::uint64_t> addresses(std::uint64_t count) {
  std::vector<std::uint64_t> keys;
  for (std::uint64_t i = 0; i < count; ++i) keys.push_back(i << 32);
  return keys;
}

constexpr std::uint64_t key_count = 100'000;

const std::array<std::vector<std::uint64_t>, 3>& kinds_of_keys() {
  static const std::array<std::vector<std::uint64_t>, 3> all = {
      numbers(key_count), names(key_count), addresses(key_count)};
  return all;
}

// Above it lies chi-square of `degrees` degrees of freedom once in ten thousand times (Wilson and
// Hilferty's approximation).
double chi_square_limit(double degrees) {
  constexpr double normal_quantile = 3.719;
  const double part = 2 / (9 * degrees);
  return degrees * std::pow(1 - part + normal_quantile * std::sqrt(part), 3);
}

TEST(Routing, EachMemberHasItsShareOfTheKeys) {
  for (const auto& keys : kinds_of_keys()) {
    for (std::size_t members = 2; members <= 16; ++members) {
      std::vector<double> counts(members);
      for (const std::uint64_t key : keys) ++counts[owner_of_key(key, members, everybody)];
      const double expected = static_cast<double>(keys.size()) / static_cast<double>(members);
      double chi_square = 0;
      for (const double count : counts) {
        chi_square += (count - expected) * (count - expected) / expected;
      }
      EXPECT_LT(chi_square, chi_square_limit(static_cast<double>(members) - 1)) << members;
    }
  }
}

// Also of those that it takes from one of the others, and that one's share of them.
TEST(Routing, WhoComesTakesItsShareFromEachAndNothingElseMoves) {
  for (const auto& keys : kinds_of_keys()) {
    for (std::size_t members = 1; members <= 15; ++members) {
      std::vector<double> taken_from(members);
      for (const std::uint64_t key : keys) {
        const std::size_t before = owner_of_key(key, members, everybody);
        const std::size_t after = owner_of_key(key, members + 1, everybody);
        if (after == before) continue;
        ASSERT_EQ(after, members) << "a key moves to one who was there";
        ++taken_from[before];
      }
      const auto all = static_cast<double>(members);
      const double expected = static_cast<double>(keys.size()) / (all * (all + 1));
      double chi_square = 0;
      for (const double count : taken_from) {
        chi_square += (count - expected) * (count - expected) / expected;
      }
      EXPECT_LT(chi_square, chi_square_limit(all)) << members;
    }
  }
}

TEST(Routing, WhoGoesLeavesItsKeysToAllOthersAndNothingElseMoves) {
  for (const auto& keys : kinds_of_keys()) {
    for (std::size_t members = 2; members <= 8; ++members) {
      for (std::size_t goes = 0; goes < members; ++goes) {
        const auto but_it = [goes](std::size_t member) { return member != goes; };
        std::vector<double> left_to(members);
        for (const std::uint64_t key : keys) {
          const std::size_t before = owner_of_key(key, members, everybody);
          const std::size_t after = owner_of_key(key, members, but_it);
          ASSERT_NE(after, goes);
          if (before != goes) {
            ASSERT_EQ(after, before) << "a key of one who stays has moved";
          } else {
            ++left_to[after];
          }
        }
        const double share = static_cast<double>(keys.size()) / static_cast<double>(members);
        for (std::size_t each = 0; each < members; ++each) {
          if (each == goes) continue;
          const double expected = share / static_cast<double>(members - 1);
          EXPECT_NEAR(left_to[each], expected, 5 * std::sqrt(expected)) << members << " " << each;
        }
      }
    }
  }
}

TEST(Routing, OneMayBeTheOnlyOwnerAndNobodyIsTheFirst) {
  for (std::uint64_t key = 0; key < 1000; ++key) {
    EXPECT_EQ(owner_of_key(key, 1, everybody), 0U);
    EXPECT_EQ(owner_of_key(key, 9, [](std::size_t member) { return member == 5; }), 5U);
    EXPECT_EQ(owner_of_key(key, 9, [](std::size_t) { return false; }), 0U);
  }
}

static_assert(!has_share(0, 0) && has_share(1, 0) && has_share(1, 7), "from the beginning");
static_assert(!has_share(3 << 1 | 1, 2) && has_share(3 << 1 | 1, 3), "given by the third move");
static_assert(has_share(3 << 1, 2) && !has_share(3 << 1, 3), "taken by it");

TEST(Routing, ASenderGoesByTheSameSharesUntilItTakesNote) {
  segment_plan plan = small_plan({"w", "group/0", "group/1"}, {{0, 1}, {0, 2}});
  for (std::uint32_t i = 1; i < 3; ++i) {
    plan.slots[i].flags = slot_is_partitioned;
    plan.slots[i].member = i - 1;
  }
  const segment where = segment::create(plan);
  const mapping pages = where.map_board();
  auto& on = *reinterpret_cast<board*>(pages.data());
  auto* slots = reinterpret_cast<board_slot*>(&on + 1);
  slots[1].share.publish(1);
  slot w(where, 0);
  const output group = w.to("group");
  const auto owners = [&group] {
    std::set<const turn_output*> out;
    for (std::uint64_t key = 0; key < 100; ++key) out.insert(&group.by_key(key));
    return out;
  };
  using only = std::set<const turn_output*>;
  EXPECT_EQ(owners(), only{&group.member(0)});
  slots[2].share.publish(1 << 1 | 1);
  EXPECT_FALSE(w.has_to_follow()) << "the move is not told yet";
  w.follow_moves();
  EXPECT_EQ(owners(), only{&group.member(0)});
  on.moves.publish(1);
  EXPECT_TRUE(w.has_to_follow());
  EXPECT_EQ(owners(), only{&group.member(0)});
  w.follow_moves();
  EXPECT_EQ(w.own().followed.observe(), 1U);
  EXPECT_EQ(owners(), (only{&group.member(0), &group.member(1)}));
  slots[1].share.publish(2 << 1);
  on.moves.publish(2);
  w.follow_moves();
  EXPECT_EQ(owners(), only{&group.member(1)});
}

// Programs that were built apart share one system.
TEST(Routing, TheOwnerOfAKeyIsTheSameInEveryBuild) {
  static_assert(key_weight(0, 0) == 0xe220a8397b1dcdafULL, "splitmix64's first number");
  static_assert(key_weight(0, 1) == 0x6e789e6aa1b965f4ULL, "and its second");
  std::string owners;
  for (std::uint64_t key = 0; key < 16; ++key) {
    owners += static_cast<char>('a' + owner_of_key(key, 16, everybody));
  }
  EXPECT_EQ(owners, "dcohggjlgminbnif");
}

}  // namespace
}  // namespace cyto::test
