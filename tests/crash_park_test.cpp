// Nobody sleeps for ever: the worker that wakes others, and the worker that falls asleep, is killed
// at every change of memory and every system call; its neighbours really sleep, in processes of
// their own and without the time-out that a worker has as a belt. A wake-up that is lost hangs the
// test, and the watchdog names it.
#include <gtest/gtest.h>
#include <poll.h>
#include <sched.h>
#include <sys/syscall.h>

#include <memory>
#include <optional>
#include <string>

#include "support/actor.hpp"
#include "support/inquiry.hpp"
#include "support/stepped.hpp"
#include "support/system.hpp"
#include "support/watchdog.hpp"
#include "update_generated.h"

namespace cyto::test {
namespace {

enum park_slot : unsigned { feeder_slot, worker_slot, sink_slot };

constexpr std::uint64_t for_ever_ns = 1'000'000'000'000;
constexpr long futex_wait = -1;  // As stepped_child::next_system_call() has it.

void stage_update(slot& from, std::uint64_t number) {
  turn& now = from.the_turn();
  now.send<Update>(*now.outputs()[0], [&](flatbuffers::FlatBufferBuilder& fbb) {
    const auto cell = fbb.CreateVector(reinterpret_cast<const std::uint8_t*>("n"), 1);
    return CreateUpdate(
        fbb, cell, fbb.CreateVector(reinterpret_cast<const std::uint8_t*>(&number), sizeof number));
  });
}

void send_update(slot& from, std::uint64_t number) {
  stage_update(from, number);
  from.the_turn().commit();
}

// Takes the next message if there is one; its number, or 0.
std::uint64_t take_update(slot& to) {
  message_view view;
  turn_input* from = to.incoming().next(view);
  if (from == nullptr) return 0;
  to.the_turn().take(*from, view);
  const auto* update = open_message<Update>(view);
  std::uint64_t number = 0;
  if (update != nullptr) std::memcpy(&number, update->value()->data(), sizeof number);
  turn::consume(*from, view);
  to.incoming().taken(*from);
  return number;
}

// Sleeps until `is_there`, without a belt.
template <class Condition>
void sleep_until(slot& in, Condition is_there) {
  while (!is_there()) {
    in.bell().prepare();
    if (!is_there()) in.bell().wait(for_ever_ns);
    in.bell().cancel();
  }
}

// The same in an event loop of its own.
class looper {
 public:
  explicit looper(slot& in) : door_(in.bell(), -1, for_ever_ns) {}
  template <class Condition>
  void sleep_until(Condition is_there) {
    while (!is_there()) {
      door_.arm();
      if (is_there()) break;
      pollfd at{door_.fd(), POLLIN, 0};
      ::poll(&at, 1, -1);
    }
    door_.signal();
  }

 private:
  bell_descriptor door_;
};

enum class bed : bool { futex, descriptor };

// Sleeps where it is told to.
class sleeping_slot {
 public:
  sleeping_slot(const segment& where, unsigned index, bed in) : place(where, index) {
    if (in == bed::descriptor) loop_.emplace(place);
  }
  template <class Condition>
  void sleep(Condition is_there) {
    if (loop_) return loop_->sleep_until(is_there);
    sleep_until(place, is_there);
  }

  slot place;

 private:
  std::optional<looper> loop_;
};

// Passes on what it is told to send, and says so once the worker has taken it.
void feed(const line& to_test, const segment& where, bed in = bed::futex) {
  sleeping_slot sleeper(where, feeder_slot, in);
  slot& feeder = sleeper.place;
  lane_writer& lane = feeder.the_turn().outputs()[0]->lane;
  while (const std::uint64_t number = to_test.hear()) {
    send_update(feeder, number);
    to_test.say(number);
    sleeper.sleep([&] { return lane.was_empty(); });
    to_test.say(number);
  }
}

// Says each message it gets.
void collect(const line& to_test, const segment& where, bed in = bed::futex) {
  sleeping_slot sleeper(where, sink_slot, in);
  slot& sink = sleeper.place;
  for (;;) {
    sleeper.sleep([&] { return sink.incoming().has_any(); });
    const std::uint64_t number = take_update(sink);
    sink.the_turn().commit();
    to_test.say(number);
  }
}

// What the worker does with a message: counts it, and passes it on.
void handle(worker& self) {
  const auto total = self.cell<counter>("total");
  const output sink = self.to("sink");
  self.on<Update>([=](const Update& update, turn& in) {
    total.add(in, 1);
    in.send<Update>(sink.any(), [&](flatbuffers::FlatBufferBuilder& fbb) {
      const auto cell = fbb.CreateVector(update.cell()->data(), update.cell()->size());
      return CreateUpdate(fbb, cell,
                          fbb.CreateVector(update.value()->data(), update.value()->size()));
    });
  });
}

// A successor, without a loop that could hide a lost wake-up: it takes its place; what it finds is
// for act().
class successor {
 public:
  explicit successor(const segment& where) : place_(where, worker_slot) {}
  // One turn, if there is something to do. Returns whether there was.
  bool act() {
    const std::uint64_t number = take_update(place_);
    if (number == 0) return false;
    place_.cells().cell<counter>("total").add(place_.the_turn(), 1);
    stage_update(place_, number);
    place_.the_turn().commit();
    return true;
  }
  slot& place() { return place_; }

 private:
  slot place_;
};

class parking {
 public:
  parking()
      : system_({"feeder", "worker", "sink"}, {{0, 1}, {1, 2}}, {.arena_bytes = page_bytes}),
        bells_(system_.where.map_doorbells()),
        all_(system_.map_all()) {}

  [[nodiscard]] const segment& where() const { return system_.where; }
  [[nodiscard]] bool is_parked(unsigned slot) const {
    return reinterpret_cast<doorbell_line*>(bells_.data())[slot].parked.observe() != 0;
  }
  // Returns when the kernel has put it to sleep.
  void wait_for_sleep(const actor& who, unsigned slot) const {
    while (!is_parked(slot) || !is_asleep(who.pid())) ::sched_yield();
  }
  [[nodiscard]] std::uint64_t total() const {
    std::uint64_t out = 0;
    each_cell(system_.where, worker_slot, [&](const cell_view& cell) { out = cell.value[0]; });
    return out;
  }

  // The worker's real loop, in a child that stands before its first instruction.
  std::unique_ptr<stepped_child> start_worker() {
    return std::make_unique<stepped_child>(
        [this] {
          place_ = std::make_unique<slot>(where(), worker_slot);
          worker_ = std::make_unique<worker>(*place_);
          handle(*worker_);
          if (!place_->the_turn().is_empty()) place_->the_turn().commit();
        },
        [this] { worker_->run(-1); });
  }

  // Steps until `events` changes and system calls have happened, or until the worker sleeps in the
  // kernel. Returns whether it sleeps.
  bool step(stepped_child& child, std::uint64_t events, tally& sum) const {
    const std::size_t bytes = where().header().segment_bytes;
    std::vector<std::byte> now(all_.data(), all_.data() + bytes);
    while (events > 0) {
      const auto call = child.next_system_call();
      if (call == futex_wait) {
        child.fall_asleep();
        return true;
      }
      if (!child.step()) throw std::runtime_error("the worker stopped by itself");
      ++sum.instructions;
      const bool changed = std::memcmp(now.data(), all_.data(), bytes) != 0;
      if (changed) std::memcpy(now.data(), all_.data(), bytes);
      if (changed) ++sum.states;
      if (changed || call) --events;
    }
    return false;
  }

 private:
  small_system system_;
  mapping bells_;
  mapping all_;
  // Of the child.
  std::unique_ptr<slot> place_;
  std::unique_ptr<worker> worker_;
};

std::chrono::seconds time_limit() { return std::chrono::seconds(is_full() ? 1800 : 100); }
std::uint64_t stride() { return is_full() ? 1 : sanitized ? 24 : 3; }

// From the message in its lane until it sleeps itself, through the turn, the bells it rings and
// the bell it hangs up.
void kill_as_it_wakes(bed neighbours) {
  tally sum;
  parking at;
  const actor feeder([&](const line& to_test) { feed(to_test, at.where(), neighbours); });
  const actor sink([&](const line& to_test) { collect(to_test, at.where(), neighbours); });
  std::uint64_t number = 0;
  bool was_asleep = false;
  for (std::uint64_t events = 1; !was_asleep; events += stride()) {
    feeder.say(++number);
    ASSERT_EQ(feeder.hear(), number);
    const auto child = at.start_worker();
    // Its joining has woken them; they have looked, and sleep again.
    at.wait_for_sleep(feeder, feeder_slot);
    at.wait_for_sleep(sink, sink_slot);
    was_asleep = at.step(*child, events, sum);
    child->kill();
    ++sum.kills;

    successor next(at.where());
    const bool was_left = next.act();
    ASSERT_EQ(sink.hear(), number) << "killed after event " << events;
    ASSERT_EQ(feeder.hear(), number) << "killed after event " << events;
    ASSERT_FALSE(next.act());
    ASSERT_EQ(at.total(), number) << "killed after event " << events;
    ASSERT_TRUE(!was_asleep || !was_left);
    ++sum.judged;
  }
  feeder.say(0);
}

TEST(CrashPark, AWorkerThatDiesAsItWakesOthersLeavesNobodyAsleep) {
  CYTO_SKIP_UNDER_TSAN();
  const watchdog guard(time_limit(), name_of_test());
  kill_as_it_wakes(bed::futex);
}

TEST(CrashPark, NorThoseThatSleepInEventLoopsOfTheirOwn) {
  CYTO_SKIP_UNDER_TSAN();
  const watchdog guard(time_limit(), name_of_test());
  kill_as_it_wakes(bed::descriptor);
}

// From its start with nothing to do until it sleeps, and in its sleep.
TEST(CrashPark, AWorkerThatDiesAsItFallsAsleepIsFollowedByOneThatWakes) {
  CYTO_SKIP_UNDER_TSAN();
  const watchdog guard(time_limit(), name_of_test());
  tally sum;
  parking at;
  const actor feeder([&](const line& to_test) { feed(to_test, at.where()); });
  const actor sink([&](const line& to_test) { collect(to_test, at.where()); });
  std::uint64_t number = 0;
  bool was_asleep = false;
  const std::uint64_t pace = is_full() ? 1 : sanitized ? 4 : 2;
  for (std::uint64_t events = 1; !was_asleep; events += pace) {
    const auto child = at.start_worker();
    was_asleep = at.step(*child, events, sum);
    child->kill();
    ++sum.kills;
    // To a dead one, whose bell may say that it sleeps.
    feeder.say(++number);
    ASSERT_EQ(feeder.hear(), number);
    const actor next([&](const line& to_test) {
      successor worker(at.where());
      for (int i = 0; i < 2; ++i) {
        sleep_until(worker.place(), [&] { return worker.place().incoming().has_any(); });
        worker.act();
      }
      to_test.say(1);
      static_cast<void>(to_test.hear());
    });
    ASSERT_EQ(sink.hear(), number) << "killed after event " << events;
    ASSERT_EQ(feeder.hear(), number);
    // And to one that sleeps.
    at.wait_for_sleep(next, worker_slot);
    feeder.say(++number);
    ASSERT_EQ(feeder.hear(), number);
    ASSERT_EQ(sink.hear(), number) << "killed after event " << events;
    ASSERT_EQ(feeder.hear(), number);
    ASSERT_EQ(next.hear(), 1U);
    ASSERT_EQ(at.total(), number);
    ++sum.judged;
  }
  feeder.say(0);
}

// The message comes after any instruction between the last look at the lanes and the sleep: it is
// seen, or its ring wakes.
TEST(CrashPark, AMessageThatComesAsAWorkerFallsAsleepWakesIt) {
  CYTO_SKIP_UNDER_TSAN();
  const watchdog guard(time_limit(), name_of_test());
  tally sum;
  parking at;
  slot feeder(at.where(), feeder_slot);
  const actor sink([&](const line& to_test) { collect(to_test, at.where()); });
  std::unique_ptr<successor> sleeper;
  std::uint64_t number = 0;
  bool was_asleep = false;
  const std::uint64_t pace = is_full() ? 1 : sanitized ? 120 : 4;
  for (std::uint64_t k = 0; !was_asleep; k += pace) {
    stepped_child child([&] { sleeper = std::make_unique<successor>(at.where()); },
                        [&] {
                          slot& place = sleeper->place();
                          sleep_until(place, [&] { return place.incoming().has_any(); });
                          sleeper->act();
                        });
    while (child.steps() < k && !was_asleep) {
      was_asleep = child.next_system_call() == futex_wait;
      if (was_asleep) {
        child.fall_asleep();
      } else {
        ASSERT_TRUE(child.step());
        ++sum.instructions;
      }
    }
    send_update(feeder, ++number);
    if (was_asleep) child.wait_for_stop();
    child.finish();
    ASSERT_EQ(sink.hear(), number) << "after instruction " << k;
    ASSERT_EQ(at.total(), number);
    ++sum.judged;
  }
}

// The same of one that is about to wait in an event loop; the message comes after any instruction
// of arming the descriptor.
TEST(CrashPark, AMessageThatComesAsAnEventLoopFallsAsleepWakesIt) {
  CYTO_SKIP_UNDER_TSAN();
  const watchdog guard(time_limit(), name_of_test());
  tally sum;
  parking at;
  slot feeder(at.where(), feeder_slot);
  const actor sink([&](const line& to_test) { collect(to_test, at.where()); });
  std::unique_ptr<successor> sleeper;
  std::unique_ptr<looper> loop;
  std::uint64_t number = 0;
  bool is_at_the_wait = false;
  const std::uint64_t pace = is_full() ? 1 : sanitized ? 120 : 4;
  for (std::uint64_t k = 0; !is_at_the_wait; k += pace) {
    stepped_child child(
        [&] {
          sleeper = std::make_unique<successor>(at.where());
          loop = std::make_unique<looper>(sleeper->place());
        },
        [&] {
          loop->sleep_until([&] { return sleeper->place().incoming().has_any(); });
          sleeper->act();
        });
    while (child.steps() < k && !is_at_the_wait) {
      is_at_the_wait = child.next_system_call() == SYS_poll;
      if (is_at_the_wait) {
        child.fall_asleep();
      } else {
        ASSERT_TRUE(child.step());
        ++sum.instructions;
      }
    }
    send_update(feeder, ++number);
    if (is_at_the_wait) child.wait_for_stop();
    child.finish();
    ASSERT_EQ(sink.hear(), number) << "after instruction " << k;
    ASSERT_EQ(at.total(), number);
    ++sum.judged;
  }
}

}  // namespace
}  // namespace cyto::test
