// Worker::when_room(): the loop is run by a thread of this process on a slot of its own; the test
// plays the neighbours and the supervisor.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <memory>
#include <thread>

#include "cyto/observe.hpp"
#include "cyto/worker.hpp"
#include "support/system.hpp"
#include "support/watchdog.hpp"
#include "update_generated.h"

namespace cyto::test {
namespace {

constexpr std::uint32_t worker_slot = 1, sink_slot = 2;
constexpr std::uint64_t message_bytes = 1'000;

status send_update(turn& in, turn_output& to, std::size_t bytes = message_bytes - 100) {
  return in.send<Update>(to, [&](flatbuffers::FlatBufferBuilder& fbb) {
    const std::vector<std::uint8_t> filler(bytes, 'x');
    const auto cell = fbb.CreateVector(filler);
    return CreateUpdate(fbb, cell, fbb.CreateVector(filler.data(), 1));
  });
}

// feeder -> worker -> sink
class WhenRoom : public testing::Test {
 protected:
  void build(full_policy policy, std::uint32_t flags = 0) {
    segment_plan plan = small_plan({"feeder", "worker", "sink"}, {{0, 1}, {1, 2}});
    plan.lanes[1].policy = policy;
    plan.slots[worker_slot].flags = flags;
    where_ = std::make_unique<segment>(segment::create(plan));
    board_ = where_->map_board();
    bells_ = where_->map_doorbells();
    feeder_ = std::make_unique<slot>(*where_, 0);
    sink_ = std::make_unique<slot>(*where_, sink_slot);
  }
  ~WhenRoom() override { stop(); }

  void start(const std::function<void(worker&)>& setup) {
    has_ended_ = false;
    thread_ = std::thread([this, setup] {
      try {
        slot place(*where_, worker_slot);
        worker self(place);
        setup(self);
        self.run(-1);
      } catch (const error& failure) {
        failure_ = failure.what();
      }
      has_ended_ = true;
    });
  }
  void set_phase(system_phase phase) {
    board_of(worker_slot).order.publish(static_cast<std::uint32_t>(phase));
    wake(bell_of(worker_slot));
  }
  void stop() {
    if (!thread_.joinable()) return;
    set_phase(system_phase::stopping);
    thread_.join();
    set_phase(system_phase::running);
  }
  board_slot& board_of(std::uint32_t slot_index) const {
    return reinterpret_cast<board_slot*>(reinterpret_cast<board*>(board_.data()) + 1)[slot_index];
  }
  doorbell_line& bell_of(std::uint32_t slot_index) const {
    return reinterpret_cast<doorbell_line*>(bells_.data())[slot_index];
  }
  void feed(std::size_t bytes = 10) {
    turn& in = feeder_->the_turn();
    while (send_update(in, *in.outputs()[0], bytes) != status::ok) {
      in.abort();
      std::this_thread::yield();
    }
    in.commit();
  }
  // Until the worker has taken all that was sent to it, and sleeps.
  void wait_until_asleep() const {
    const auto is_taken = [this] {
      const lane_status lane = lane_of(*where_, 0);
      return lane.delivered == lane.accepted;
    };
    while (!has_ended_ && !(is_taken() && is_asleep(bell_of(worker_slot)))) {
      std::this_thread::yield();
    }
  }
  void fill_sink(slot& from) const {
    while (send(from, 0, std::string(message_bytes, 'x')) == status::ok) continue;
  }
  std::size_t take_one_at_sink() const {
    std::string payload;
    const std::size_t taken = take_one(*sink_, payload) ? 1 : 0;
    if (taken != 0) sink_->the_turn().commit();
    return taken;
  }

  const watchdog guard_{std::chrono::seconds(100), "WhenRoom"};
  std::unique_ptr<segment> where_;
  mapping board_;
  mapping bells_;
  std::unique_ptr<slot> feeder_;
  std::unique_ptr<slot> sink_;
  std::thread thread_;
  std::atomic<bool> has_ended_ = false;
  std::string failure_;
};

TEST_F(WhenRoom, WhoHasAskedSleepsGoesOnWithMessagesAndIsCalledOnceThereIsRoom) {
  build(full_policy::refuse);
  std::atomic<int> called = 0, early = 0, handled = 0, refused = 0;
  start([&](worker& self) {
    const output sink = self.to("sink");
    self.on<Update>([&, sink](const Update&, turn& in) {
      ++handled;
      if (send_update(in, sink.member(0)) != status::full) return;
      if (refused++ != 0) return;
      self.when_room(sink.member(0), message_bytes, [&, sink](turn& later) {
        if (send_update(later, sink.member(0)) != status::ok) ++early;
        ++called;
      });
    });
  });
  while (refused == 0) feed();
  wait_until_asleep();
  EXPECT_EQ(called, 0);
  feed();  // It sleeps for room, and handles messages all the same.
  wait_until_asleep();
  EXPECT_EQ(called, 0);
  EXPECT_GE(refused, 2);
  while (take_one_at_sink() != 0) continue;
  while (called == 0) std::this_thread::yield();
  wait_until_asleep();
  while (take_one_at_sink() != 0) continue;
  feed();
  wait_until_asleep();
  EXPECT_EQ(called, 1) << "once";
  EXPECT_EQ(early, 0);
  stop();
  EXPECT_EQ(failure_, "");
  EXPECT_EQ(lane_of(*where_, 1).accepted + lane_of(*where_, 1).refused,
            static_cast<std::uint64_t>(handled) + 1);
}

// A turn that finds no room is undone and done over, with what it has asked for.
TEST_F(WhenRoom, WhatATurnHasAskedThatDidNotCommitIsForgotten) {
  build(full_policy::defer);
  std::atomic<int> called = 0, handled = 0;
  start([&](worker& self) {
    const output sink = self.to("sink");
    self.on<Update>([&, sink](const Update&, turn& in) {
      ++handled;
      self.when_room(sink.member(0), 1, [&](turn&) { ++called; });
      send_update(in, sink.member(0));
    });
  });
  constexpr int messages = 20;  // They fit into the worker's lane.
  int fed = 0;
  for (; fed < messages; ++fed) feed();
  while (where_->control_of(worker_slot).aborts.observe() == 0) std::this_thread::yield();
  for (int taken = 0; taken < messages;) taken += static_cast<int>(take_one_at_sink());
  wait_until_asleep();
  while (called < messages) std::this_thread::yield();
  wait_until_asleep();
  EXPECT_EQ(called, messages);
  EXPECT_GT(handled, messages) << "no turn was undone, and nothing was tried";
  stop();
  EXPECT_EQ(failure_, "");
}

TEST_F(WhenRoom, WhatIsAskedForHoldsUpTheEndOfTheJobAlsoWhileItsWorkerIsGone) {
  build(full_policy::refuse);
  {
    slot before(*where_, worker_slot);
    fill_sink(before);
  }
  std::atomic<bool> is_in = false, may_go = false;
  const auto setup = [&](worker& self) {
    self.on<Update>([](const Update&, turn&) {});
    turn_output& sink = self.to("sink").member(0);
    self.when_room(sink, message_bytes, [&](turn&) {
      is_in = true;
      while (!may_go) std::this_thread::yield();
    });
  };
  start(setup);
  wait_until_asleep();
  stop();  // Its successor asks anew.
  while (take_one_at_sink() != 0) continue;
  EXPECT_FALSE(is_quiet(*where_));
  EXPECT_TRUE(has_work(*where_, worker_slot));
  EXPECT_TRUE(readers_with_work(*where_)[worker_slot]);
  start(setup);
  while (!is_in) std::this_thread::yield();
  EXPECT_FALSE(is_quiet(*where_)) << "all is taken, and the call goes on";
  may_go = true;
  wait_until_asleep();
  EXPECT_TRUE(is_quiet(*where_));
  EXPECT_FALSE(has_work(*where_, worker_slot));
  stop();
  // One whose setup does not ask has nothing to be called for.
  { slot(*where_, worker_slot).own().asks_for.publish(2); }
  EXPECT_FALSE(is_quiet(*where_));
  start([](worker& self) { self.on<Update>([](const Update&, turn&) {}); });
  wait_until_asleep();
  EXPECT_TRUE(is_quiet(*where_));
  stop();
  EXPECT_EQ(failure_, "");
}

// A port's lane, of which nobody takes anything: the job does not wait for a program that it does
// not control.
TEST_F(WhenRoom, WhatIsAskedOfALaneToAPortThatNobodyHoldsHoldsNothingUp) {
  segment_plan plan = small_plan({"feeder", "worker", "sink"}, {{0, 1}, {1, 2}});
  plan.slots[sink_slot].flags = slot_is_port;
  const segment where = segment::create(plan);
  slot worker(where, worker_slot);
  worker.own().asks_for.publish(2);
  EXPECT_TRUE(is_quiet(where));
  const slot sink(where, sink_slot);
  EXPECT_FALSE(is_quiet(where));
}

TEST_F(WhenRoom, WhoseReaderIsStoppedIsToldToo) {
  build(full_policy::refuse);
  {
    slot before(*where_, worker_slot);
    fill_sink(before);
  }
  std::atomic<int> called = 0, open = 0;
  start([&](worker& self) {
    turn_output& sink = self.to("sink").member(0);
    self.when_room(sink, message_bytes, [&](turn&) {
      open += sink.is_open() ? 1 : 0;
      ++called;
    });
  });
  wait_until_asleep();
  const auto stand = [this](membership how) {
    board_of(sink_slot).standing.publish(static_cast<std::uint32_t>(how));
    auto& standings = reinterpret_cast<board*>(board_.data())->standings;
    standings.publish(standings.own() + 1);
    full_fence();
    wake(bell_of(worker_slot));
  };
  stand(membership::leaving);  // It takes what was sent to it, so there will be room.
  wait_until_asleep();
  EXPECT_EQ(called, 0);
  stand(membership::stopped);
  while (called == 0) std::this_thread::yield();
  EXPECT_EQ(open, 0);
  stop();
  EXPECT_EQ(failure_, "");
}

TEST_F(WhenRoom, ASourceThatSaysLaterIsCalledOnceItWasToldOfRoom) {
  build(full_policy::refuse, slot_is_source);
  std::atomic<int> produced_times = 0, told = 0;
  start([&](worker& self) {
    turn_output& sink = self.to("sink").member(0);
    self.source([&](turn& in) {
      ++produced_times;
      if (told == 3) return produced::finished;
      if (send_update(in, sink) == status::ok) return produced::more;
      self.when_room(sink, message_bytes, [&](turn&) { ++told; });
      return produced::later;
    });
  });
  for (int round = 0; round < 3; ++round) {
    wait_until_asleep();
    EXPECT_EQ(told, round);
    const int times = produced_times;
    wake(bell_of(worker_slot));
    wait_until_asleep();
    EXPECT_EQ(produced_times, times) << "it is asked again though there is no room";
    EXPECT_FALSE(is_quiet(*where_));
    drain(*sink_);  // By one turn: no room before all is taken.
    while (told == round) std::this_thread::yield();
  }
  while (where_->control_of(worker_slot).finished.observe() == 0) std::this_thread::yield();
  stop();
  EXPECT_EQ(failure_, "");
}

TEST_F(WhenRoom, WhatIsSentThenHasMadeAsManyHopsAsWhatWouldHaveBeenSentAtOnce) {
  build(full_policy::refuse);
  std::atomic<std::uint32_t> asked_at = 0, called_at = 99;
  start([&](worker& self) {
    turn_output& sink = self.to("sink").member(0);
    self.on<Update>([&](const Update&, turn& in) {
      asked_at = in.hops();
      self.when_room(sink, message_bytes, [&](turn& later) { called_at = later.hops(); });
    });
  });
  feed();
  while (called_at == 99) std::this_thread::yield();
  EXPECT_EQ(asked_at, 1U);
  EXPECT_EQ(called_at, 1U);
  stop();
}

TEST_F(WhenRoom, WhatNeverFitsIsRefused) {
  build(full_policy::defer);
  start([&](worker& self) {
    turn_output& sink = self.to("sink").member(0);
    self.when_room(sink, sink.lane.payload_bytes_max(), [](turn&) {});
    self.when_room(sink, sink.lane.payload_bytes_max() + 1, [](turn&) {});
  });
  while (!has_ended_) std::this_thread::yield();
  EXPECT_THAT(failure_, testing::HasSubstr("lane worker -> sink"));
  EXPECT_THAT(failure_, testing::HasSubstr("messages of up to 4,016 bytes"));
}

}  // namespace
}  // namespace cyto::test
