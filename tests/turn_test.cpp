// All or nothing, and the ghosts: what a turn that died leaves must never be seen when the turn is
// done over with the same stamp.
#include "cyto/turn.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "support/process.hpp"
#include "support/stepped.hpp"
#include "support/system.hpp"
#include "support/watchdog.hpp"

namespace cyto::test {
namespace {

using payloads = std::vector<std::string>;

std::uint64_t counter_in(const segment& where, std::uint32_t index, std::string_view name) {
  std::uint64_t value = 0;
  each_cell(where, index, [&](const cell_view& cell) {
    if (cell.name == name) value = cell.value[0];
  });
  return value;
}

std::uint64_t stamp_of(const segment& where, std::uint32_t index) {
  return where.control_of(index).commit.observe();
}

TEST(Turn, CommitsToThreeLanesAndACellAtOnce) {
  small_system system({"w", "a", "b", "c"}, {{0, 1}, {0, 2}, {0, 3}});
  slot w(system.where, 0), a(system.where, 1), b(system.where, 2), c(system.where, 3);
  stage(w, 0, "1");
  stage(w, 1, "2");
  stage(w, 2, "3");
  stage(w, 0, "4");
  w.cells().cell<counter>("n").add(w.the_turn(), 5);
  EXPECT_EQ(drain(a), payloads{});
  EXPECT_EQ(drain(b), payloads{});
  EXPECT_EQ(counter_in(system.where, 0, "n"), 0U);
  w.the_turn().commit();
  EXPECT_EQ(drain(a), (payloads{"1", "4"}));
  EXPECT_EQ(drain(b), payloads{"2"});
  EXPECT_EQ(drain(c), payloads{"3"});
  EXPECT_EQ(counter_in(system.where, 0, "n"), 5U);
}

TEST(Turn, AbortLeavesNothing) {
  small_system system({"f", "w", "a"}, {{0, 1}, {1, 2}});
  slot f(system.where, 0), w(system.where, 1), a(system.where, 2);
  send(f, 0, "in");
  const std::uint64_t before = stamp_of(system.where, 1);
  std::string payload;
  ASSERT_TRUE(take_one(w, payload));
  stage(w, 0, "out");
  w.cells().cell<counter>("n").add(w.the_turn(), 5);
  w.the_turn().abort();
  w.incoming().reset();
  EXPECT_TRUE(w.the_turn().is_empty());
  EXPECT_EQ(stamp_of(system.where, 1), before);
  EXPECT_EQ(drain(a), payloads{});
  EXPECT_EQ(counter_in(system.where, 1, "n"), 0U);
  // The message is handed out again, and only what this turn does is seen.
  EXPECT_EQ(drain(w), payloads{"in"});
  EXPECT_EQ(drain(a), payloads{});
  EXPECT_EQ(counter_in(system.where, 1, "n"), 0U);
}

TEST(Turn, StampIsAboveThoseOfAllThatWasTakenOrSeen) {
  small_system system({"f", "w", "a"}, {{0, 1}, {1, 2}});
  slot f(system.where, 0), w(system.where, 1), a(system.where, 2);
  f.the_turn().see(500);
  send(f, 0, "in");
  message_view view;
  stage(w, 0, "sent before the last take");
  turn_input* from = w.incoming().next(view);
  ASSERT_NE(from, nullptr);
  EXPECT_EQ(view.stamp, 501U);
  w.the_turn().take(*from, view);
  EXPECT_EQ(w.the_turn().message_stamp(), 501U);
  turn::consume(*from, view);
  w.the_turn().see(700);
  EXPECT_EQ(w.the_turn().stamp(), 701U);
  w.the_turn().commit();
  ASSERT_NE(a.incoming().next(view), nullptr);
  EXPECT_EQ(view.stamp, 701U);
}

TEST(Turn, WhatComesFromOutsideIsStampedAfterWhatIsUnderWay) {
  small_system system({"f", "w", "late"}, {{0, 1}});
  slot f(system.where, 0), w(system.where, 1), late(system.where, 2);
  f.the_turn().begin_source();
  send(f, 0, "in");
  std::string payload;
  ASSERT_TRUE(take_one(w, payload));
  w.the_turn().commit();
  // Its holder has seen nothing of the others, and is not behind them.
  late.the_turn().begin_source();
  EXPECT_GT(late.the_turn().stamp(), w.the_turn().commit_word());
}

TEST(Turn, HopsCountTheWayFromTheSource) {
  small_system system({"f", "w", "a"}, {{0, 1}, {1, 2}});
  slot f(system.where, 0), w(system.where, 1), a(system.where, 2);
  f.the_turn().begin_source();
  send(f, 0, "in");
  message_view view;
  turn_input* from = w.incoming().next(view);
  ASSERT_NE(from, nullptr);
  EXPECT_EQ(view.hops, 0U);
  w.the_turn().take(*from, view);
  stage(w, 0, "out");
  turn::consume(*from, view);
  w.the_turn().commit();
  ASSERT_NE(a.incoming().next(view), nullptr);
  EXPECT_EQ(view.hops, 1U);
}

TEST(Turn, RefusedSendDoomsTheTurnAndSaysWhatItNeeds) {
  small_system system({"w", "a", "b"}, {{0, 1}, {0, 2}});
  slot w(system.where, 0), a(system.where, 1), b(system.where, 2);
  while (send(w, 0, std::string(500, 'x')) == status::ok) {
  }
  EXPECT_EQ(stage(w, 1, "first"), status::ok);
  EXPECT_EQ(stage(w, 0, std::string(500, 'y')), status::full);
  turn& now = w.the_turn();
  EXPECT_EQ(now.fault(), turn_fault::lane_full);
  EXPECT_EQ(now.fault_lane(), now.outputs()[0].get());
  EXPECT_EQ(now.fault_bytes(), 500U);
  EXPECT_EQ(stage(w, 1, "later ones are refused as well"), status::full);
  EXPECT_FALSE(w.cells().cell<counter>("n"));
  now.abort();
  EXPECT_EQ(now.fault(), turn_fault::none);
  EXPECT_EQ(drain(b), payloads{});
  EXPECT_EQ(stage(w, 0, std::string(5000, 'y')), status::too_big);
  EXPECT_EQ(now.fault(), turn_fault::lane_too_big);
  now.abort();
}

TEST(Turn, NeedOfAMessageThatFitsAnEmptyLaneIsNotMoreThanTheLane) {
  // Whoever waits for so much room would otherwise wait for ever, or give up for good.
  small_system system({"w", "a"}, {{0, 1}});
  slot w(system.where, 0), a(system.where, 1);
  for (std::size_t size = 3953; size < 4096; ++size) {
    ASSERT_EQ(send(w, 0, "in the way"), status::ok);
    const status sent = stage(w, 0, std::string(size, 'x'));
    const std::uint64_t needed = w.the_turn().fault_ring_bytes();
    w.the_turn().abort();
    drain(a);
    if (sent == status::too_big) break;
    ASSERT_EQ(sent, status::full);
    EXPECT_LE(needed, 4096U) << "a message of " << size << " bytes";
    EXPECT_EQ(send(w, 0, std::string(size, 'x')), status::ok);
    drain(a);
  }
}

TEST(Turn, AgainCommitsAndHandsTheMessageInOnceMore) {
  small_system system({"f", "w", "a"}, {{0, 1}, {1, 2}});
  slot f(system.where, 0), w(system.where, 1), a(system.where, 2);
  send(f, 0, "in");
  message_view view;
  for (int i = 0; i < 2; ++i) {
    turn_input* from = w.incoming().next(view);
    ASSERT_NE(from, nullptr);
    w.the_turn().take(*from, view);
    stage(w, 0, "part");
    if (i == 0) w.the_turn().again();
    EXPECT_EQ(w.the_turn().wants_again(), i == 0);
    if (i == 1) turn::consume(*from, view);
    w.the_turn().commit();
  }
  EXPECT_EQ(drain(a), (payloads{"part", "part"}));
}

TEST(Turn, RoutesByKeyAndByRoom) {
  small_system system({"w", "group/0", "group/1"}, {{0, 1}, {0, 2}});
  slot w(system.where, 0);
  const output group = w.to("group");
  ASSERT_EQ(group.size(), 2U);
  const std::size_t owner = owner_of_key(7, 2, [](std::size_t) { return true; });
  EXPECT_EQ(&group.by_key(7), &group.member(owner));
  EXPECT_EQ(&group.by_key("libc6"), &group.by_key(hash_bytes("libc6")));
  EXPECT_EQ(group.lane_bytes_min(), 4096U);
  for (int i = 0; i < 10; ++i) send(w, 0, std::string(300, 'x'));
  EXPECT_EQ(&group.any(), &group.member(1));
  EXPECT_THROW(w.to("nobody"), error);
}

TEST(Turn, PassesOverMembersThatAreStoppedLeavingOrAbsent) {
  small_system system({"w", "group/0", "group/1", "group/2"}, {{0, 1}, {0, 2}, {0, 3}});
  slot w(system.where, 0);
  const output group = w.to("group");
  const std::uint64_t board_bytes = sizeof(board) + 4 * sizeof(board_slot);
  const mapping pages = system.where.map(system.where.header().board_offset, board_bytes);
  auto* standings = reinterpret_cast<board_slot*>(pages.data() + sizeof(board));
  const auto stand = [&](std::size_t member, membership how) {
    standings[1 + member].standing.publish(static_cast<std::uint32_t>(how));
  };
  for (int i = 0; i < 10; ++i) send(w, 2, std::string(300, 'x'));
  const turn_output& owner_of_three = group.by_key(3);
  for (const membership how : {membership::stopped, membership::leaving, membership::absent}) {
    stand(0, how);
    stand(1, how);
    EXPECT_FALSE(group.member(0).is_open());
    EXPECT_EQ(&group.any(), &group.member(2)) << "although it has least room";
    stand(1, membership::member);
    EXPECT_EQ(&group.any(), &group.member(1));
    EXPECT_EQ(&group.by_key(3), &owner_of_three) << "its key is its";
  }
  for (std::size_t each = 0; each < 3; ++each) stand(each, membership::absent);
  EXPECT_NE(&group.any(), &group.member(2)) << "where nobody is, room counts";
}

// ---- ghosts ----

// The memory of a system at the moment when slot 0 had sealed its turn but not committed it.
std::vector<std::byte> memory_before_the_commit_word(const segment& where, const mapping& all,
                                                     const std::function<void(slot&)>& stage_turn) {
  const std::uint64_t commit = stamp_of(where, 0);
  const std::uint64_t bytes = where.header().segment_bytes;
  std::vector<std::byte> last(bytes);
  std::unique_ptr<slot> w;
  stepped_child child([&] { w = std::make_unique<slot>(where, 0); },
                      [&] {
                        stage_turn(*w);
                        w->the_turn().commit();
                      });
  do {
    std::memcpy(last.data(), all.data(), bytes);
    if (!child.step()) break;
  } while (stamp_of(where, 0) == commit);
  child.kill();
  return last;
}

class TurnGhost : public testing::Test {
 protected:
  void die_before_commit(const std::function<void(slot&)>& stage_turn) {
    {
      slot w(system_.where, 0);
      slot a(system_.where, 1);
      send(w, 0, "kept");
      w.cells().cell<counter>("n").add(w.the_turn(), 1);
      w.the_turn().commit();
      EXPECT_EQ(drain(a), payloads{"kept"});
    }
    const auto memory = memory_before_the_commit_word(system_.where, all_, stage_turn);
    std::memcpy(all_.data(), memory.data(), memory.size());
  }
  const segment& where() const { return system_.where; }

  small_system system_{{"w", "a"}, {{0, 1}}};
  mapping all_ = system_.map_all();
};

TEST_F(TurnGhost, OfARecordIsNotSeenWhenTheTurnDoneOverSendsNothing) {
  die_before_commit([](slot& w) { stage(w, 0, "ghost"); });
  const std::uint64_t commit = stamp_of(where(), 0);
  slot a(where(), 1);
  slot w(where(), 0);
  w.cells().cell<counter>("other").add(w.the_turn(), 1);
  w.the_turn().commit();
  EXPECT_EQ(stamp_of(where(), 0), commit + 1);
  EXPECT_EQ(drain(a), payloads{});
  send(w, 0, "next");
  EXPECT_EQ(drain(a), payloads{"next"});
}

TEST_F(TurnGhost, BehindARecordIsNotSeenWhenTheTurnDoneOverSendsFewer) {
  die_before_commit([](slot& w) {
    for (int i = 0; i < 5; ++i) stage(w, 0, "ghost");
  });
  slot a(where(), 1);
  slot w(where(), 0);
  send(w, 0, "one");
  EXPECT_EQ(drain(a), payloads{"one"});
  EXPECT_EQ(drain(a), payloads{});
}

TEST_F(TurnGhost, OfACellIsNotSeenWhenTheTurnDoneOverDoesNotTouchIt) {
  die_before_commit([](slot& w) {
    w.cells().cell<counter>("n").add(w.the_turn(), 100);
    w.cells().cell<counter>("made").add(w.the_turn(), 100);
  });
  slot w(where(), 0);
  send(w, 0, "something else");
  EXPECT_EQ(counter_in(where(), 0, "n"), 1U);
  EXPECT_EQ(counter_in(where(), 0, "made"), 0U);
  EXPECT_EQ(w.cells().cell<counter>("n").value(), 1U);
}

TEST_F(TurnGhost, OfAnAbortedTurnIsNotSeenEither) {
  slot a(where(), 1);
  slot w(where(), 0);
  for (int i = 0; i < 3; ++i) stage(w, 0, "ghost");
  w.cells().cell<counter>("n").add(w.the_turn(), 100);
  w.the_turn().abort();
  send(w, 0, "real");
  EXPECT_EQ(drain(a), payloads{"real"});
  EXPECT_EQ(counter_in(where(), 0, "n"), 0U);
}

// A reader is stopped after each instruction of its look; meanwhile the writer, dead before its
// commit, is recovered and does the turn over. The reader sees the new record or none.
TEST_F(TurnGhost, HalfReadByALivingReaderIsNotBelieved) {
  const watchdog guard(std::chrono::seconds(100), "TurnGhost.HalfReadByALivingReader...");
  die_before_commit([](slot& w) { stage(w, 0, std::string(40, 'g')); });
  std::vector<std::byte> dead(where().header().segment_bytes);
  std::memcpy(dead.data(), all_.data(), dead.size());
  const small_system scratch({"x"}, {});
  const mapping result = scratch.where.map(scratch.where.slot(0).arena_offset, 4096);
  char* seen = reinterpret_cast<char*>(result.data());
  std::size_t new_ones = 0;
  // Sanitized code has far more instructions a look, and a reader looks 64 times for the bit.
  constexpr std::uint64_t stride = sanitized ? 397 : 1;
  std::uint64_t k = 0;
  for (bool stepping = true; stepping; k += stride) {
    const bool sends_again = k / stride % 2 == 0;
    std::memcpy(all_.data(), dead.data(), dead.size());
    std::memset(seen, 0, 4096);
    std::unique_ptr<slot> a;
    stepped_child child([&] { a = std::make_unique<slot>(where(), 1); },
                        [&] {
                          message_view view;
                          if (a->incoming().next(view) == nullptr) return;
                          std::memcpy(seen, view.data, std::min<std::size_t>(view.size, 100));
                        });
    for (std::uint64_t i = 0; i < k && stepping; ++i) stepping = child.step();
    slot w(where(), 0);
    if (sends_again) {
      send(w, 0, std::string(20, 'n'));
    } else {
      w.cells().cell<counter>("other").add(w.the_turn(), 1);
      w.the_turn().commit();
    }
    child.finish();
    const std::string text(seen);
    if (sends_again && text == std::string(20, 'n')) ++new_ones;
    ASSERT_TRUE(text.empty() || (sends_again && text == std::string(20, 'n')))
        << "'" << text << "' after instruction " << k;
  }
  EXPECT_GT(k, 20U);
  EXPECT_GT(new_ones, 0U);
}

TEST(Turn, RecoveryWakesTheNeighboursUnconditionally) {
  small_system system({"f", "w", "a"}, {{0, 1}, {1, 2}});
  const mapping bells = system.where.map_doorbells();
  auto* bell = reinterpret_cast<doorbell_line*>(bells.data());
  bell[0].parked.publish(1);
  bell[2].parked.publish(1);
  const slot w(system.where, 1);
  EXPECT_EQ(bell[0].parked.observe(), 0U);
  EXPECT_EQ(bell[2].parked.observe(), 0U);
}

TEST(Turn, RecoveryGivesBackTheSpaceOfACommittedTurn) {
  small_system system({"f", "w"}, {{0, 1}});
  {
    slot f(system.where, 0), w(system.where, 1);
    send(f, 0, "x");
    drain(w);
  }
  const mapping all = system.map_all();
  auto* line = reinterpret_cast<input_line*>(all.data() + system.where.slot(1).control_offset +
                                             sizeof(control));
  line->read_published.publish(0);  // As if it had died before this store.
  const slot w(system.where, 1);
  EXPECT_EQ(system.where.input_of(system.where.lane(0)).read_published.observe(), 64U);
}

TEST(Turn, MadReaderDoesNotKeepItsWriterFromRecovering) {
  // A lane is lost when either end is mad, but not the other lanes of the one that is not.
  small_system system({"w", "mad", "good"}, {{0, 1}, {0, 2}});
  {
    slot w(system.where, 0);
    send(w, 0, "x");
    send(w, 1, "y");
  }
  const mapping all = system.map_all();
  auto* line = reinterpret_cast<input_line*>(all.data() + system.where.slot(1).control_offset +
                                             sizeof(control));
  line->read_published.publish(12345);
  slot good(system.where, 2);
  EXPECT_NO_THROW({
    slot w(system.where, 0);
    send(w, 1, "z");
  });
  EXPECT_EQ(drain(good), (payloads{"y", "z"}));
}

TEST(Turn, WhoFallsAsleepRingsOnlyThoseWhoseRoomItHasGivenBackAndNotToldOf) {
  small_system system({"a", "b", "reader"}, {{0, 2}, {1, 2}});
  slot a(system.where, 0), b(system.where, 1), reader(system.where, 2);
  const mapping bells = system.where.map_doorbells();
  auto* bell = reinterpret_cast<doorbell_line*>(bells.data());
  send(a, 0, "one");
  send(a, 0, "two");
  std::string payload;
  ASSERT_TRUE(take_one(reader, payload));
  reader.the_turn().commit();  // Little was given back, and more is there.
  bell[0].parked.publish(parked_asleep);
  bell[1].parked.publish(parked_asleep);
  reader.the_turn().ring_writers();
  EXPECT_EQ(bell[0].parked.observe(), 0U);
  EXPECT_EQ(bell[1].parked.observe(), parked_asleep);
  bell[0].parked.publish(parked_asleep);
  reader.the_turn().ring_writers();
  EXPECT_EQ(bell[0].parked.observe(), parked_asleep) << "it was told before";
}

}  // namespace
}  // namespace cyto::test
