// Workers in a circle: full lanes, what is deferred, standing still, hops. Each worker's loop is
// run by a thread of this process on a slot of its own; the test plays the source and the
// supervisor.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "cyto/observe.hpp"
#include "cyto/supervisor.hpp"
#include "cyto/worker.hpp"
#include "support/watchdog.hpp"
#include "update_generated.h"

namespace cyto::test {
namespace {

using testing::HasSubstr;

worker_spec group(const std::string& name, bool is_source = false) {
  worker_spec out;
  out.name = name;
  out.program = "/bin/true";
  out.is_source = is_source;
  out.cells_bytes = 64 * 1024;
  return out;
}

lane_spec small_lane(const std::string& from, const std::string& to, std::uint32_t hops_max) {
  lane_spec out;
  out.from = from;
  out.to = to;
  out.lane_bytes = lane_bytes_min;
  out.hops_max = hops_max;
  return out;
}

// Two such messages do not fit into the smallest lane.
constexpr std::size_t long_message = 2'500;

status send(turn& in, turn_output& to, std::uint64_t number, std::size_t bytes = long_message) {
  return in.send<Update>(to, [&](flatbuffers::FlatBufferBuilder& fbb) {
    const std::vector<std::uint8_t> filler(bytes, static_cast<std::uint8_t>(number));
    const auto value = fbb.CreateVector(filler);
    return CreateUpdate(
        fbb, fbb.CreateVector(reinterpret_cast<const std::uint8_t*>(&number), sizeof number),
        value);
  });
}

std::uint64_t number_of(const Update& update) {
  std::uint64_t number = 0;
  if (update.cell()->size() == sizeof number) {
    std::memcpy(&number, update.cell()->data(), sizeof number);
  }
  return number;
}

// A feeder sends to the first of some workers, and these to each other, as `lanes` say.
class Cycle : public testing::Test {
 protected:
  void build(const std::vector<std::string>& names, const std::vector<lane_spec>& lanes,
             std::uint64_t deferred_bytes = 0) {
    topology of;
    of.name = "circle";
    of.workers.push_back(group("feeder", true));
    for (const std::string& each : names) {
      of.workers.push_back(group(each));
      of.workers.back().deferred_bytes = deferred_bytes;
    }
    of.lanes = lanes;
    of.lanes.push_back(small_lane("feeder", names[0], 0));
    check(of);
    segment_plan plan = plan_of(of);
    plan.memfd_tag = "cyto-unit-test";
    where_ = std::make_unique<segment>(segment::create(plan));
    board_ = where_->map_board();
    bells_ = where_->map_doorbells();
    feeder_ = std::make_unique<slot>(*where_, 0);
    ASSERT_EQ(pipe2(nudge_, O_CLOEXEC | O_NONBLOCK), 0);
  }
  ~Cycle() override {
    stop();
    for (const int each : nudge_) {
      if (each >= 0) close(each);
    }
  }

  void start(std::uint32_t slot_index, const std::function<void(worker&)>& setup) {
    threads_.emplace_back([this, slot_index, setup] {
      try {
        slot place(*where_, slot_index);
        worker self(place);
        setup(self);
        self.run(nudge_[1]);
      } catch (const error& failure) {
        const std::lock_guard guard(mutex_);
        failures_.emplace_back(failure.what());
        has_failed_ = true;
      }
    });
  }
  void stop() {
    if (threads_.empty()) return;
    auto* all = reinterpret_cast<board*>(board_.data());
    for (std::uint32_t i = 0; i < where_->slot_count(); ++i) {
      reinterpret_cast<board_slot*>(all + 1)[i].order.publish(
          static_cast<std::uint32_t>(system_phase::stopping));
      wake(reinterpret_cast<doorbell_line*>(bells_.data())[i]);
    }
    for (std::thread& each : threads_) each.join();
    threads_.clear();
  }
  // Waits for room as a program at a port would: it does other things and tries again.
  void feed(std::uint64_t number) {
    turn& in = feeder_->the_turn();
    while (!has_failed_) {
      in.begin_source();
      if (send(in, *in.outputs()[0], number) == status::ok) return in.commit();
      in.abort();
      std::this_thread::yield();
    }
  }
  // What was taken from all lanes is read before what was put into any: a message may go from a
  // lane that is yet to be looked at into one that was.
  [[nodiscard]] bool is_all_taken() const {
    const std::vector<lane_status> before = lanes_of(*where_);
    const std::vector<lane_status> after = lanes_of(*where_);
    for (std::size_t i = 0; i < before.size(); ++i) {
      if (before[i].purpose == lane_purpose::dead_letters) continue;
      if (after[i].accepted != before[i].delivered + before[i].dropped) return false;
    }
    return true;
  }

  std::unique_ptr<segment> where_;
  mapping board_;
  mapping bells_;
  std::unique_ptr<slot> feeder_;
  std::vector<std::thread> threads_;
  std::mutex mutex_;
  std::vector<std::string> failures_;
  std::atomic<bool> has_failed_ = false;
  int nudge_[2] = {-1, -1};
};

// Each message goes round, to the next worker each time, and carries how often it still has to.
TEST_F(Cycle, OfThreeWithLanesOfOneMessageAlwaysMovesOn) {
  const watchdog guard(std::chrono::seconds(200), "Cycle.OfThree");
  build({"a", "b", "c"},
        {small_lane("a", "b", hops_unlimited), small_lane("b", "c", hops_unlimited),
         small_lane("c", "a", hops_unlimited)});
  constexpr std::uint64_t messages = 400, rounds = 9;
  std::atomic<std::uint64_t> handled = 0;
  for (std::uint32_t i = 1; i <= 3; ++i) {
    start(i, [&handled, i](worker& self) {
      const output next = self.to(i == 3 ? "a" : std::string(1, static_cast<char>('a' + i)));
      const auto total = self.cell<counter>("total");
      self.on<Update>([=](const Update& update, turn& in) {
        total.add(in, 1);
        const std::uint64_t left = number_of(update);
        if (left > 0) send(in, next.member(0), left - 1);
      });
      (void)handled;
    });
  }
  for (std::uint64_t i = 0; i < messages; ++i) feed(rounds - 1);
  while (!is_all_taken() && !has_failed_) std::this_thread::yield();
  stop();
  EXPECT_THAT(failures_, testing::IsEmpty());
  std::uint64_t total = 0, deferred = 0;
  for (std::uint32_t i = 1; i <= 3; ++i) {
    each_cell(*where_, i, [&](const cell_view& cell) { total += cell.value[0]; });
  }
  for (const lane_status& each : lanes_of(*where_)) {
    EXPECT_TRUE(each.balanced) << each.name;
    if (each.purpose == lane_purpose::deferred) deferred += each.accepted;
  }
  EXPECT_EQ(total, messages * rounds);
  EXPECT_GT(deferred, 0U);  // Or the test has not tried what it is for.
}

TEST_F(Cycle, WhatWasDeferredIsHandledInTheOrderInWhichItWasSent) {
  const watchdog guard(std::chrono::seconds(200), "Cycle.Order");
  build({"a", "b"}, {small_lane("a", "b", hops_unlimited), small_lane("b", "a", hops_unlimited)});
  constexpr std::uint64_t messages = 2000;
  std::atomic<std::uint64_t> wrong = 0;
  // a sends each message of the feeder to b and, for the first one of ten, two more; b sends all
  // of them back, and a looks at their order.
  start(1, [&](worker& self) {
    const output next = self.to("b");
    const auto sent = self.cell<counter>("sent");
    const auto back = self.cell<counter>("back");
    self.on<Update>([=, &wrong](const Update& update, turn& in) {
      const std::uint64_t number = number_of(update);
      if (number == 0) {
        send(in, next.member(0), sent.value() + 1);
        sent.add(in, 1);
      } else {
        if (number != back.value() + 1) ++wrong;
        back.add(in, 1);
      }
    });
  });
  start(2, [](worker& self) {
    const output next = self.to("a");
    self.on<Update>([=](const Update& update, turn& in) {
      send(in, next.member(0), number_of(update), number_of(update) % 3 == 0 ? long_message : 10);
    });
  });
  for (std::uint64_t i = 0; i < messages; ++i) feed(0);
  while (!is_all_taken() && !has_failed_) std::this_thread::yield();
  stop();
  EXPECT_THAT(failures_, testing::IsEmpty());
  EXPECT_EQ(wrong, 0U);
  std::uint64_t total = 0;
  each_cell(*where_, 1, [&](const cell_view& cell) { total += cell.value[0]; });
  EXPECT_EQ(total, 2 * messages);
}

// Each message of the cycle takes two turns in a, with room needed in the second; whatever is
// deferred in between, the same message comes again.
TEST_F(Cycle, WhatAsksToComeAgainDoesSoEvenIfItIsDeferred) {
  const watchdog guard(std::chrono::seconds(200), "Cycle.Again");
  build({"a", "b"}, {small_lane("a", "b", hops_unlimited), small_lane("b", "a", hops_unlimited)});
  std::atomic<std::uint64_t> wrong = 0, ended = 0;
  constexpr std::uint64_t messages = 500, rounds = 6;
  start(1, [&](worker& self) {
    const output next = self.to("b");
    const auto half = self.cell<last_writer>("half");  // Number of the one that is half done.
    self.on<Update>([=, &wrong, &ended](const Update& update, turn& in) {
      const std::uint64_t number = number_of(update);
      if (half.value() == 0) {
        half.set(in, number);
        return in.again();
      }
      if (half.value() != number) ++wrong;
      half.set(in, 0);
      if (number % 100 != 0) send(in, next.member(0), number - 1);
      if (number % 100 == 0) ++ended;
    });
  });
  start(2, [](worker& self) {
    const output next = self.to("a");
    self.on<Update>(
        [=](const Update& update, turn& in) { send(in, next.member(0), number_of(update)); });
  });
  for (std::uint64_t i = 1; i <= messages; ++i) feed(100 * i + rounds);
  while (!is_all_taken() && !has_failed_) std::this_thread::yield();
  stop();
  EXPECT_THAT(failures_, testing::IsEmpty());
  EXPECT_EQ(wrong, 0U);
  EXPECT_GE(ended, messages);  // A handler may run again.
  std::uint64_t deferred = 0;
  for (const lane_status& each : lanes_of(*where_)) {
    if (each.purpose == lane_purpose::deferred) deferred += each.accepted;
  }
  EXPECT_GT(deferred, 0U);
}

TEST_F(Cycle, MessagesToOneselfGoRoundToo) {
  const watchdog guard(std::chrono::seconds(200), "Cycle.Oneself");
  build({"a"}, {small_lane("a", "a", hops_unlimited)});
  start(1, [](worker& self) {
    const output me = self.to("a");
    const auto total = self.cell<counter>("total");
    self.on<Update>([=](const Update& update, turn& in) {
      total.add(in, 1);
      if (number_of(update) > 0) send(in, me.member(0), number_of(update) - 1);
    });
  });
  for (int i = 0; i < 300; ++i) feed(4);
  while (!is_all_taken() && !has_failed_) std::this_thread::yield();
  stop();
  EXPECT_THAT(failures_, testing::IsEmpty());
  each_cell(*where_, 1, [](const cell_view& cell) { EXPECT_EQ(cell.value[0], 1500U); });
}

TEST_F(Cycle, WhoseMessagesBecomeMoreAndMoreIsToldThatItStandsStill) {
  const watchdog guard(std::chrono::seconds(200), "Cycle.Standstill");
  build({"a", "b"}, {small_lane("a", "b", hops_unlimited), small_lane("b", "a", hops_unlimited)},
        2 * lane_bytes_min);
  for (std::uint32_t i = 1; i <= 2; ++i) {
    start(i, [i](worker& self) {
      const output next = self.to(i == 1 ? "b" : "a");
      self.on<Update>([=](const Update& update, turn& in) {
        // Each of a half of the lane, so both fit together.
        for (int twice = 0; twice < 2; ++twice) send(in, next.member(0), number_of(update), 1'000);
      });
    });
  }
  for (int i = 0; i < 20; ++i) feed(1);
  while (!has_failed_) std::this_thread::yield();
  stop();
  ASSERT_FALSE(failures_.empty());
  EXPECT_THAT(failures_[0], HasSubstr("stands still"));
  EXPECT_THAT(failures_[0], HasSubstr("-> "));
  EXPECT_THAT(failures_[0], HasSubstr("raise deferred_bytes"));
}

TEST_F(Cycle, MessageEndsAfterTenHopsAndLiesAmongTheDeadLetters) {
  const watchdog guard(std::chrono::seconds(200), "Cycle.Hops");
  build({"a", "b"}, {small_lane("a", "b", 0), small_lane("b", "a", 0)});
  for (std::uint32_t i = 1; i <= 2; ++i) {
    start(i, [i](worker& self) {
      const output next = self.to(i == 1 ? "b" : "a");
      const auto total = self.cell<counter>("total");
      self.on<Update>([=](const Update& update, turn& in) {
        total.add(in, 1);
        send(in, next.member(0), number_of(update), 100);
      });
    });
  }
  constexpr std::uint64_t messages = 600;  // More than the dead letters have room for.
  for (std::uint64_t i = 0; i < messages; ++i) feed(i);
  while (!is_all_taken() && !has_failed_) std::this_thread::yield();
  stop();
  EXPECT_THAT(failures_, testing::IsEmpty());
  // The feeder's message is handled with 1 hop behind it when it is sent on, and so on to 10.
  std::uint64_t total = 0, over = 0, kept = 0;
  for (std::uint32_t i = 1; i <= 2; ++i) {
    each_cell(*where_, i, [&](const cell_view& cell) { total += cell.value[0]; });
  }
  EXPECT_EQ(total, messages * (hops_max_default + 1));
  for (const lane_status& each : lanes_of(*where_)) {
    EXPECT_TRUE(each.balanced) << each.name;
    over += each.over_hops;
  }
  EXPECT_EQ(over, messages);
  for (std::uint32_t i = 1; i <= 2; ++i) {
    for (const dead_message& each : dead_letters_of(*where_, i)) {
      ++kept;
      EXPECT_EQ(each.from + " -> " + each.to, "a/0 -> b/0");
      EXPECT_EQ(each.hops, hops_max_default + 1);
      EXPECT_EQ(each.kind, message_kind<Update>());
      const message_view view{each.bytes.data(), static_cast<std::uint32_t>(each.bytes.size()),
                              each.kind, 0, 0};
      const Update* update = open_message<Update>(view);
      ASSERT_NE(update, nullptr);
      EXPECT_GE(number_of(*update), messages - 400);  // The newest are kept.
    }
  }
  EXPECT_GT(kept, 50U);
  EXPECT_LT(kept, messages);
}

TEST_F(Cycle, KindMayHaveALimitOfItsOwn) {
  const watchdog guard(std::chrono::seconds(200), "Cycle.Kind");
  build({"a"}, {small_lane("a", "a", 0)});
  start(1, [](worker& self) {
    const output me = self.to("a");
    const auto total = self.cell<counter>("total");
    self.limit_hops<Update>(3);
    self.on<Update>([=](const Update& update, turn& in) {
      total.add(in, 1);
      send(in, me.member(0), number_of(update));
    });
  });
  for (int i = 0; i < 10; ++i) feed(1);
  while (!is_all_taken() && !has_failed_) std::this_thread::yield();
  stop();
  EXPECT_THAT(failures_, testing::IsEmpty());
  each_cell(*where_, 1, [](const cell_view& cell) { EXPECT_EQ(cell.value[0], 40U); });
}

}  // namespace
}  // namespace cyto::test
