// The larger flight recorders, who switches them, and who reads them.
#include "cyto/tracing.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "support/system.hpp"
#include "support/watchdog.hpp"

namespace cyto::test {
namespace {

constexpr std::uint64_t trace_bytes = 64 * 1024;

struct rings {
  flight_event small[flight_events]{};
  std::vector<flight_event> large = std::vector<flight_event>(256);
  word<std::uint32_t> period{};
  trace_note noted{};
};

std::vector<flight_entry> standing_in(std::span<const flight_event> ring) {
  std::vector<flight_entry> out;
  for (const flight_event& each : ring) {
    flight_entry entry{};
    if (each.number.observe() != 0 && read_flight(ring, each.number.observe(), entry)) {
      out.push_back(entry);
    }
  }
  return out;
}

TEST(TracedRecorder, NotesIntoTheLargeRingWhileSomebodyTraces) {
  rings memory;
  recorder mine(memory.small);
  mine.trace_into(memory.large, memory.period, memory.noted);
  mine.note(flight::taken, 0, 0, 1);
  EXPECT_EQ(mine.follow(), 0U);
  memory.period.publish(1);
  mine.note(flight::taken, 0, 0, 2);  // The turn in progress stays where it is.
  EXPECT_NE(mine.follow(), 0U);
  for (std::uint64_t i = 3; i < 13; ++i) mine.note(flight::taken, 0, 0, i);
  EXPECT_EQ(memory.noted.period.observe(), 1U);
  EXPECT_EQ(memory.noted.from.observe(), 3U);
  memory.period.publish(2);
  EXPECT_EQ(mine.follow(), 0U);
  mine.note(flight::taken, 0, 0, 13);
  EXPECT_EQ(standing_in(memory.small).size(), 3U);
  const auto traced = standing_in(memory.large);
  ASSERT_EQ(traced.size(), 10U);
  for (const flight_entry& each : traced) EXPECT_EQ(each.first, each.number);
  // Off and on again between two turns is another period.
  memory.period.publish(3);
  static_cast<void>(mine.follow());
  memory.period.publish(5);
  EXPECT_NE(mine.follow(), 0U);
  EXPECT_EQ(memory.noted.period.observe(), 5U);
  EXPECT_EQ(memory.noted.from.observe(), 14U);
}

TEST(TracedRecorder, ASuccessorGoesOnInThePeriodOfItsPredecessor) {
  rings memory;
  memory.period.publish(1);
  {
    recorder first(memory.small);
    first.trace_into(memory.large, memory.period, memory.noted);
    for (std::uint64_t i = 1; i <= 300; ++i) first.note(flight::taken, 0, 0, i);
  }
  recorder second(memory.small);
  second.trace_into(memory.large, memory.period, memory.noted);
  second.note(flight::taken, 0, 0, 301);
  EXPECT_EQ(memory.noted.from.observe(), 1U);
  flight_entry entry{};
  ASSERT_TRUE(read_flight(memory.large, 301, entry));
  EXPECT_EQ(entry.first, 301U);
  EXPECT_FALSE(read_flight(memory.large, 301 - 256, entry));
}

// How often the clock is asked is a matter of time; what may be relied on is not.
TEST(TracedRecorder, WhileTurnsAreQuickTheClockIsNotAskedForEachAndAfterARestAtOnce) {
  const watchdog guard(std::chrono::seconds(60), "clock");
  rings memory;
  recorder mine(memory.small);
  mine.trace_into(memory.large, memory.period, memory.noted);
  memory.period.publish(1);
  std::uint64_t last = mine.follow();
  EXPECT_NE(last, 0U);
  std::uint32_t untimed = 0;
  std::uint32_t longest = 0;
  for (int i = 0; i < 100'000 || longest < untimed_turns_max; ++i) {
    const std::uint64_t now = mine.follow();
    untimed = now == 0 ? untimed + 1 : 0;
    longest = std::max(longest, untimed);
    ASSERT_LE(untimed, untimed_turns_max);
    if (now == 0) continue;
    EXPECT_GE(now, last);
    last = now;
  }
  mine.rest();
  EXPECT_NE(mine.follow(), 0U);
}

TEST(TracedRecorder, WhatADeathReportKeepsIsTheLastOfBothRings) {
  rings memory;
  recorder mine(memory.small);
  mine.trace_into(memory.large, memory.period, memory.noted);
  for (std::uint64_t i = 1; i <= 130; ++i) mine.note(flight::taken, 0, 0, i);
  memory.period.publish(1);
  static_cast<void>(mine.follow());
  for (std::uint64_t i = 131; i <= 135; ++i) mine.note(flight::taken, 0, 0, i);
  flight_event kept[flight_events];
  keep_last_flights(kept, memory.small, memory.large);
  const auto all = flight_of(kept);
  ASSERT_EQ(all.size(), flight_events);
  EXPECT_EQ(all.front().number, 135 - flight_events + 1);
  EXPECT_EQ(all.back().number, 135U);
  for (const flight_entry& each : all) EXPECT_EQ(each.first, each.number);
}

// A system in this process; the test is its supervisor.
struct traced_small_system {
  traced_small_system()
      : where(segment::create([] {
          segment_plan plan = small_plan({"feeder", "worker", "sink"}, {{0, 1}, {1, 2}});
          for (slot_plan& each : plan.slots) each.trace_bytes = trace_bytes;
          return plan;
        }())),
        board_pages(where.map_board()) {}
  void trace(std::uint32_t period) {
    reinterpret_cast<board*>(board_pages.data())->tracing.publish(period);
  }
  segment where;
  mapping board_pages;
};

std::vector<flight> kinds_of(const std::vector<flight_entry>& events) {
  std::vector<flight> out;
  for (const flight_entry& each : events) out.push_back(each.what);
  return out;
}

TEST(FlightReader, BeginsWithTheEndOfATurn) {
  traced_small_system system;
  slot feeder(system.where, 0);
  send(feeder, 0, "before");
  system.trace(1);
  flight_reader reader(system.where, 0, 1);
  std::vector<flight_entry> events;
  EXPECT_TRUE(reader.read(events));
  EXPECT_TRUE(events.empty()) << "it has not ended a turn since";
  stage(feeder, 0, "in between");
  feeder.the_turn().commit();
  send(feeder, 0, "after");
  EXPECT_TRUE(reader.read(events));
  ASSERT_EQ(kinds_of(events), (std::vector{flight::committed, flight::sent, flight::committed}));
  EXPECT_EQ(events[1].first, 5U);
  EXPECT_EQ(events[2].first, system.where.control_of(0).commit.observe());
  EXPECT_GE(events[2].second, events[0].second);
  system.trace(2);
  send(feeder, 0, "its end is not noted");
  send(feeder, 0, "nor is this");
  events.clear();
  EXPECT_TRUE(reader.read(events));
  EXPECT_EQ(kinds_of(events), std::vector{flight::sent});
}

TEST(FlightReader, ASecondPeriodDoesNotBringTheEventsOfTheFirst) {
  traced_small_system system;
  system.trace(1);
  slot feeder(system.where, 0);
  for (int i = 0; i < 10; ++i) send(feeder, 0, "first");
  system.trace(2);
  send(feeder, 0, "untraced");
  system.trace(3);
  flight_reader reader(system.where, 0, 3);
  std::vector<flight_entry> events;
  EXPECT_TRUE(reader.read(events));
  EXPECT_TRUE(events.empty());
  send(feeder, 0, "second");
  EXPECT_TRUE(reader.read(events));
  EXPECT_EQ(kinds_of(events), std::vector{flight::committed});
}

TEST(FlightReader, TheSenderAndTheReceiverNameOnePosition) {
  traced_small_system system;
  system.trace(1);
  slot feeder(system.where, 0);
  slot worker(system.where, 1);
  std::vector<std::uint64_t> sent;
  std::vector<std::uint64_t> taken;
  flight_reader of_feeder(system.where, 0, 1);
  flight_reader of_worker(system.where, 1, 1);
  for (int round = 0; round < 200; ++round) {
    stage(feeder, 0, std::string(static_cast<std::size_t>(round * 7 % 300), 'x'));
    stage(feeder, 0, "second of its turn");
    feeder.the_turn().commit();
    EXPECT_EQ(drain(worker).size(), 2U);
    std::vector<flight_entry> events;
    of_feeder.read(events);
    for (const flight_entry& each : events) {
      if (each.what == flight::sent) sent.push_back(each.second);
    }
    events.clear();
    of_worker.read(events);
    for (const flight_entry& each : events) {
      if (each.what == flight::taken) taken.push_back(each.first);
    }
  }
  EXPECT_EQ(sent.size(), 400U);
  EXPECT_EQ(sent, taken);
}

TEST(FlightReader, CountsWhatItHasMissed) {
  traced_small_system system;
  system.trace(1);
  slot feeder(system.where, 0);
  slot worker(system.where, 1);
  flight_reader reader(system.where, 0, 1);
  std::vector<flight_entry> events;
  send(feeder, 0, "first");
  drain(worker);
  reader.read(events);
  ASSERT_FALSE(events.empty());
  const std::uint64_t before = events.back().number;
  for (int i = 0; i < 5'000; ++i) {
    send(feeder, 0, "x");
    drain(worker);
  }
  events.clear();
  while (!reader.read(events)) {
  }
  ASSERT_GT(events.size(), 2U);
  ASSERT_EQ(events.front().what, flight::none);
  EXPECT_EQ(events.front().first, reader.missed());
  EXPECT_GT(reader.missed(), 5'000U);
  EXPECT_EQ(events[1].number, before + reader.missed() + 1);
  for (std::size_t i = 2; i < events.size(); ++i) {
    EXPECT_EQ(events[i].number, events[i - 1].number + 1);
  }
  EXPECT_EQ(events.back().first, system.where.control_of(0).commit.observe());
}

TEST(FlightReader, WithoutMemoryThereIsNothing) {
  small_system system({"feeder", "worker"}, {{0, 1}});
  slot feeder(system.where, 0);
  flight_reader reader(system.where, 0, 1);
  send(feeder, 0, "x");
  std::vector<flight_entry> events;
  EXPECT_TRUE(reader.read(events));
  EXPECT_TRUE(events.empty());
}

// E1
TEST(FlightReader, BesideTheWriterItSeesWholeEventsOneAfterTheOther) {
  traced_small_system system;
  system.trace(1);
  std::atomic<bool> over = false;
  std::atomic<bool> begun = false;
  std::thread writer([&] {
    slot mine(system.where, 0);
    recorder& flights = mine.the_turn().the_recorder();
    for (std::uint64_t i = 1; !over; ++i) {
      flights.note(flight::sent, static_cast<std::uint32_t>(i & 0xff),
                   static_cast<std::uint32_t>(i), i, ~i);
      begun = true;
    }
  });
  while (!begun) std::this_thread::yield();
  flight_reader reader(system.where, 0, 1);
  std::uint64_t seen = 0;
  std::uint64_t torn = 0;
  std::uint64_t next = 0;
  while (seen < 100'000) {
    std::vector<flight_entry> events;
    reader.read(events);
    for (const flight_entry& each : events) {
      if (next != 0 && each.number != next) ++torn;
      next = each.number + (each.what == flight::none ? each.first : 1);
      if (each.what != flight::sent) continue;
      ++seen;
      const bool whole = each.second == ~each.first &&
                         each.detail == static_cast<std::uint32_t>(each.first) &&
                         each.lane == (each.first & 0xff);
      torn += whole ? 0 : 1;
    }
  }
  over = true;
  writer.join();
  EXPECT_EQ(torn, 0U);
}

}  // namespace
}  // namespace cyto::test
