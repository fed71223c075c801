#include "cyto/cursor.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <new>
#include <thread>

#include "support/process.hpp"
#include "support/watchdog.hpp"

namespace cyto::test {
namespace {

using three = versioned<3>;

struct with_tags : three {
  with_tags(std::uint64_t first, std::uint64_t second) {
    stage(0, {10, 11, 12});
    seal(0, first);
    stage(1, {20, 21, 22});
    seal(1, second);
  }
};

TEST(Cursor, CurrentVersionHasTheLargestTagThatIsCommitted) {
  EXPECT_EQ(with_tags(0, 0).current(0), 0U);
  EXPECT_EQ(with_tags(3, 5).current(5), 1U);
  EXPECT_EQ(with_tags(3, 5).current(4), 0U);
  EXPECT_EQ(with_tags(5, 3).current(9), 0U);
  EXPECT_EQ(with_tags(7, 3).current(6), 1U);
  EXPECT_EQ(with_tags(7, 8).current(6), three::none);
}

TEST(Cursor, VoidAndStagedVersionsAreNeverCurrent) {
  for (const std::uint64_t invalid : {tag_void, tag_staged}) {
    EXPECT_EQ(with_tags(invalid, 3).current(100), 1U);
    EXPECT_EQ(with_tags(3, invalid).current(100), 0U);
    EXPECT_EQ(with_tags(invalid, invalid).current(100), three::none);
    EXPECT_EQ(with_tags(invalid, 3).current(tag_staged - 1), 1U);
  }
}

TEST(Cursor, AsOfATurnThereIsTheVersionThatWasCurrentThenOrNone) {
  with_tags record(4, 7);
  three::values seen{};
  std::uint64_t tag = 0;
  for (const std::uint64_t bound : {4U, 5U, 6U}) {
    ASSERT_TRUE(record.read_at(bound, seen, tag));
    EXPECT_EQ(seen, (three::values{10, 11, 12}));
    EXPECT_EQ(tag, 4U);
  }
  ASSERT_TRUE(record.read_at(7, seen, tag));
  EXPECT_EQ(seen, (three::values{20, 21, 22}));
  EXPECT_FALSE(record.read_at(3, seen, tag));
  record.stage(0, {1, 2, 3});  // Replaces what turns 4 to 6 have left.
  EXPECT_FALSE(record.read_at(6, seen, tag));
  record.seal(0, 9);
  EXPECT_FALSE(record.read_at(6, seen, tag));
  ASSERT_TRUE(record.read_at(8, seen, tag));
  EXPECT_EQ(tag, 7U);
}

TEST(Cursor, StagedVersionShowsOnlyAfterItsStampHasCommitted) {
  with_tags record(0, tag_void);
  record.stage(1, {1, 2, 3});
  EXPECT_TRUE(record.is_staged(1));
  EXPECT_EQ(record.own_current(99), (three::values{10, 11, 12}));
  record.seal(1, 6);
  EXPECT_FALSE(record.is_staged(1));
  EXPECT_EQ(record.own_current(5), (three::values{10, 11, 12}));
  EXPECT_EQ(record.own_current(6), (three::values{1, 2, 3}));
}

TEST(Cursor, WipeTakesAwayWhatIsAboveTheCommitWordForGood) {
  with_tags sealed(4, 7);
  sealed.wipe(6);
  EXPECT_EQ(sealed.tag(1), tag_void);
  EXPECT_EQ(sealed.current(7), 0U);  // The turn done over bears stamp 7 and did not touch it.
  with_tags staged(4, 5);
  staged.stage(0, {1, 1, 1});
  staged.wipe(5);
  staged.wipe(5);
  EXPECT_EQ(staged.tag(0), tag_void);
  EXPECT_EQ(staged.own_current(5), (three::values{20, 21, 22}));
}

TEST(Cursor, WipeKeepsWhatIsCommitted) {
  with_tags record(4, 7);
  record.wipe(7);
  EXPECT_EQ(record.tag(0), 4U);
  EXPECT_EQ(record.tag(1), 7U);
}

TEST(Cursor, ReadGivesUpWhenNoVersionIsValid) {
  const with_tags record(tag_void, tag_staged);
  word<std::uint64_t> commit{};
  commit.publish(5);
  three::values out{};
  std::uint64_t seen = 0;
  EXPECT_FALSE(record.read(commit, out, seen, 10));
}

// One writer's turns against one reader, in one mapping, so that ThreadSanitizer can follow. Every
// value says which turn wrote it; some turns die before their commit and are done over with other
// values under the same stamp.
TEST(Cursor, ReaderNeverSeesAMixtureNorGoesBackwards) {
  const watchdog guard(std::chrono::seconds(100), "Cursor.ReaderNeverSeesAMixture...");
  constexpr std::uint64_t rounds = sanitized ? 300'000 : 3'000'000;
  constexpr std::uint64_t ghost = 1'000'000'000;
  word<std::uint64_t> commit{};
  three record{};
  std::atomic<bool> done = false;
  constexpr std::uint64_t reads_least = 1000;
  std::atomic<std::uint64_t> reads = 0;
  std::uint64_t wrong = 0;
  std::thread reader([&] {
    std::uint64_t newest = 0;
    std::uint64_t newest_commit = 0;
    while (!done) {
      three::values values{};
      std::uint64_t seen = 0;
      if (!record.read(commit, values, seen)) continue;
      ++reads;
      const bool whole = values[1] == values[0] * 3 && values[2] == values[0] * 7;
      if (!whole || values[0] < newest || values[0] > seen || seen < newest_commit) ++wrong;
      newest = values[0];
      newest_commit = seen;
    }
  });
  // The reader may come late: a short writer would be done before it has looked at all.
  for (std::uint64_t stamp = 1; stamp <= rounds || reads < reads_least; ++stamp) {
    // Not every turn touches the record.
    if (stamp % 3 == 0) {
      commit.publish(stamp);
      continue;
    }
    const unsigned spare = 1 - (record.current(stamp - 1) & 1);
    if (stamp % 5 == 0) {
      record.stage(spare, {ghost, ghost, ghost});
      if (stamp % 2 == 0) record.seal(spare, stamp);
      record.wipe(stamp - 1);
    }
    if (stamp % 10 != 0) {
      const unsigned again = 1 - (record.current(stamp - 1) & 1);
      record.stage(again, {stamp, stamp * 3, stamp * 7});
      record.seal(again, stamp);
    }
    commit.publish(stamp);
  }
  done = true;
  reader.join();
  EXPECT_EQ(wrong, 0U);
  three::values last{};
  std::uint64_t seen = 0;
  ASSERT_TRUE(record.read(commit, last, seen));
  EXPECT_EQ(last[1], last[0] * 3);
}

}  // namespace
}  // namespace cyto::test
