#include "cyto/observe.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "support/system.hpp"
#include "support/watchdog.hpp"

namespace cyto::test {
namespace {

TEST(Observe, LanesAddUpWhileMessagesAreOnTheirWay) {
  small_system system({"a", "b"}, {{0, 1}});
  slot a(system.where, 0), b(system.where, 1);
  for (int i = 0; i < 5; ++i) send(a, 0, "12345");
  std::string payload;
  ASSERT_TRUE(take_one(b, payload) && take_one(b, payload));
  b.the_turn().commit();
  // Neither a message staged nor one taken counts before its turn has committed.
  stage(a, 0, "not yet");
  ASSERT_TRUE(take_one(b, payload));
  const lane_status lane = lanes_of(system.where).at(0);
  EXPECT_EQ(lane.name, "a -> b");
  EXPECT_EQ(lane.accepted, 5U);
  EXPECT_EQ(lane.delivered, 2U);
  EXPECT_EQ(lane.dropped, 0U);
  EXPECT_EQ(lane.in_flight, 3U);
  EXPECT_EQ(lane.backlog_bytes, 3 * line_bytes);
  EXPECT_EQ(lane.accepted_payload_bytes, 25U);
  EXPECT_TRUE(lane.settled && lane.balanced && !lane.fenced);
}

TEST(Observe, LaneThatLostARecordIsNotBalanced) {
  small_system system({"a", "b"}, {{0, 1}});
  slot a(system.where, 0);
  for (int i = 0; i < 3; ++i) send(a, 0, "x");
  const mapping ring = system.where.map_ring(system.where.lane(0), true);
  lane_ring{ring.data(), 4096}.header(line_bytes).ready.stage(0);
  const lane_status lane = lanes_of(system.where).at(0);
  EXPECT_TRUE(lane.settled);
  EXPECT_FALSE(lane.balanced);
}

TEST(Observe, QuietMeansThatAllIsConsumedAndSourcesAreDone) {
  segment_plan plan = small_plan({"a", "b"}, {{0, 1}});
  plan.slots[0].flags = slot_is_source;
  const segment where = segment::create(plan);
  slot a(where, 0), b(where, 1);
  EXPECT_FALSE(is_quiet(where));
  send(a, 0, "x");
  a.own().finished.publish(1);
  EXPECT_FALSE(is_quiet(where));
  std::string payload;
  ASSERT_TRUE(take_one(b, payload));
  EXPECT_FALSE(is_quiet(where));
  b.the_turn().commit();
  EXPECT_TRUE(is_quiet(where));
}

TEST(Observe, WorkersAreToldByStateAndLock) {
  small_system system({"a", "b"}, {{0, 1}});
  EXPECT_EQ(workers_of(system.where).at(0).state, "empty");
  {
    slot a(system.where, 0);
    EXPECT_EQ(workers_of(system.where).at(0).state, "starting");
    a.set_state(slot_state::ready);
    send(a, 0, "x");
    const worker_status seen = workers_of(system.where).at(0);
    EXPECT_EQ(seen.state, "ready");
    EXPECT_EQ(seen.turns, 1U);
    EXPECT_EQ(seen.incarnation, 1U);
    EXPECT_EQ(seen.stamp, 1U);
  }
  EXPECT_EQ(workers_of(system.where).at(0).state, "stopped");
  const mapping all = system.map_all();
  auto* own = reinterpret_cast<control*>(all.data() + system.where.slot(0).control_offset);
  own->state.publish(static_cast<std::uint32_t>(slot_state::ready));
  EXPECT_EQ(workers_of(system.where).at(0).state, "dead");
  own->state.publish(77);
  EXPECT_EQ(workers_of(system.where).at(0).state, "unknown");
}

TEST(Observe, CellsAreVisitedNewestFirstAndOnlyCommittedOnes) {
  small_system system({"a"}, {});
  slot a(system.where, 0);
  for (const char* name : {"one", "two", "three"}) {
    a.cells().cell<counter>(name).add(a.the_turn(), 7);
    a.the_turn().commit();
  }
  a.cells().cell<counter>("never").add(a.the_turn(), 1);
  a.cells().cell<counter>("one").add(a.the_turn(), 1);
  std::vector<std::string> names;
  each_cell(system.where, 0, [&](const cell_view& cell) {
    names.emplace_back(cell.name);
    EXPECT_EQ(cell.value[0], 7U);
  });
  EXPECT_EQ(names, (std::vector<std::string>{"three", "two", "one"}));
}

// ---- on memory that was overwritten ----

struct damaged {
  damaged() : system({"a", "b"}, {{0, 1}}), all(system.map_all()) {
    slot a(system.where, 0);
    for (int i = 0; i < 5; ++i) {
      a.cells().cell<counter>("cell " + std::to_string(i)).add(a.the_turn(), 1);
      a.cells().cell<growing_set>("set").add(a.the_turn(), std::to_string(i));
      send(a, 0, "x");
    }
  }
  control& own() {
    return *reinterpret_cast<control*>(all.data() + system.where.slot(0).control_offset);
  }
  std::byte* arena() { return all.data() + system.where.slot(0).arena_offset; }
  // Puts these numbers where the committed root of the cells stands.
  void bend_root(root_word which, std::uint64_t value) {
    auto values = own().root.own_current(own().commit.own());
    const std::uint64_t commit = own().commit.own();
    values[which] = value;
    const unsigned index = own().root.current(commit);
    const std::uint64_t tag = own().root.tag(index);
    own().root.stage(index, values);
    own().root.seal(index, tag);
  }

  small_system system;
  mapping all;
};

std::size_t count_cells(const segment& where) {
  std::size_t count = 0;
  each_cell(where, 0, [&](const cell_view& cell) { count += cell.name.empty() ? 0U : 1U; });
  return count;
}

TEST(Observe, CellsWhoseLinksLeadOutOfTheArenaAreAnError) {
  for (const std::uint64_t offset :
       {std::uint64_t{0}, std::uint64_t{8}, std::uint64_t{65536}, std::uint64_t{65472 + 64},
        std::uint64_t{65536 - 64}, std::uint64_t{1} << 40, ~std::uint64_t{63}}) {
    damaged at;
    ASSERT_EQ(count_cells(at.system.where), 6U);
    at.bend_root(root_last_cell, offset);
    EXPECT_THROW(count_cells(at.system.where), error) << offset;
  }
}

TEST(Observe, CellsInACircleAreAnErrorAndNoEndlessWalk) {
  const watchdog guard(std::chrono::seconds(20), "Observe.CellsInACircleAreAnError...");
  damaged at;
  const auto root = at.own().root.own_current(at.own().commit.own());
  reinterpret_cast<cell_record*>(at.arena() + root[root_last_cell])->previous =
      root[root_last_cell];
  at.bend_root(root_cells, ~std::uint64_t{0});
  EXPECT_THROW(count_cells(at.system.where), error);
}

TEST(Observe, CellsWithNonsenseInThemAreAnErrorOrHarmless) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 300; ++i) {
    damaged at;
    for (int n = 0; n < 3; ++n) {
      const std::uint64_t noise = random() >> (random() % 64);
      std::memcpy(at.arena() + random() % 4096 / 8 * 8, &noise, sizeof noise);
    }
    try {
      count_cells(at.system.where);
    } catch (const error&) {
      continue;
    }
  }
}

TEST(Observe, LanesWithNonsenseInThemAreToldAndHarmless) {
  std::mt19937_64 random(2);
  for (int i = 0; i < 300; ++i) {
    damaged at;
    // Both ends' control blocks behind the fixed part, and the ring.
    for (std::uint32_t who = 0; who < 2; ++who) {
      const slot_entry& entry = at.system.where.slot(who);
      for (std::uint64_t at_byte = sizeof(control); at_byte < sizeof(control) + 128; at_byte += 8) {
        if (random() % 4 != 0) continue;
        const std::uint64_t noise = random() >> (random() % 64);
        std::memcpy(at.all.data() + entry.control_offset + at_byte, &noise, sizeof noise);
      }
    }
    const lane_entry& lane = at.system.where.lane(0);
    for (int n = 0; n < 40; ++n) {
      const std::uint64_t noise = random() >> (random() % 64);
      std::memcpy(at.all.data() + lane.ring_offset + random() % 4096 / 8 * 8, &noise, sizeof noise);
    }
    EXPECT_EQ(lanes_of(at.system.where).size(), 1U);
    static_cast<void>(is_quiet(at.system.where));
    EXPECT_EQ(workers_of(at.system.where).size(), 2U);
  }
}

}  // namespace
}  // namespace cyto::test
