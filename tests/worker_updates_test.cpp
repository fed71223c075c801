// Updates between workers whose loops run, each by a thread of this process on a slot of its own:
// what is set aside, what waits, what is limited, and where what went too far has come from. The
// test plays the source and the supervisor.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "cyto/observe.hpp"
#include "cyto/quarantine.hpp"
#include "cyto/supervisor.hpp"
#include "cyto/worker.hpp"
#include "support/system.hpp"
#include "support/watchdog.hpp"

namespace cyto::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

worker_spec group(const std::string& name) {
  worker_spec out;
  out.name = name;
  out.program = "/bin/true";
  out.is_source = name == "feeder";
  out.cells_bytes = 256 * 1024;
  return out;
}

lane_spec small_lane(const std::string& from, const std::string& to) {
  lane_spec out;
  out.from = from;
  out.to = to;
  out.lane_bytes = lane_bytes_min;
  return out;
}

class WorkerUpdates : public testing::Test {
 protected:
  WorkerUpdates() : guard_(std::chrono::seconds(200), "WorkerUpdates") {
    of_.name = "updates";
    of_.workers.push_back(group("feeder"));
  }
  ~WorkerUpdates() override {
    stop();
    for (const int each : nudge_) {
      if (each >= 0) close(each);
    }
  }
  void build(const std::vector<lane_spec>& lanes) {
    of_.lanes = lanes;
    check(of_);
    segment_plan plan = plan_of(of_);
    plan.memfd_tag = "cyto-unit-test";
    where_ = std::make_unique<segment>(segment::create(plan));
    board_ = where_->map_board();
    bells_ = where_->map_doorbells();
    feeder_ = std::make_unique<slot>(*where_, 0);
    ASSERT_EQ(pipe2(nudge_, O_CLOEXEC | O_NONBLOCK), 0);
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
    is_held_ = false;
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
  [[nodiscard]] updates from_feeder() {
    turn& in = feeder_->the_turn();
    in.begin_source();
    return update(in, *in.outputs()[0]);
  }
  // Until `what` is so, or a worker has failed.
  template <class F>
  void wait_until(const F& what) const {
    while (!what() && !has_failed_) std::this_thread::yield();
  }
  void wait_until_quiet() {
    feeder_->own().finished.publish(static_cast<std::uint32_t>(source_end::finished));
    wait_until([this] { return is_quiet(*where_); });
  }
  std::uint64_t value_of(std::uint32_t slot_index, const std::string& name) {
    std::uint64_t out = 0;
    each_cell(*where_, slot_index, [&](const cell_view& cell) {
      if (cell.name == name) out = cell.value[0];
    });
    return out;
  }
  std::string failure() {
    const std::lock_guard guard(mutex_);
    return failures_.empty() ? "" : failures_[0];
  }

  watchdog guard_;
  topology of_;
  std::unique_ptr<segment> where_;
  mapping board_;
  mapping bells_;
  std::unique_ptr<slot> feeder_;
  std::vector<std::thread> threads_;
  std::mutex mutex_;
  std::vector<std::string> failures_;
  std::atomic<bool> has_failed_ = false;
  std::atomic<bool> is_held_ = false;  // What a reader that is slow waits for.
  int nudge_[2] = {-1, -1};
};

TEST_F(WorkerUpdates, WhatIsRefusedIsSetAsideWithItsReasonAndTheRestIsApplied) {
  of_.workers.push_back(group("stock"));
  build({small_lane("feeder", "stock")});
  start(1, [](worker& self) {
    (void)self.cell<counter>("tea");
    self.accept_updates();
  });
  const updates change = from_feeder();
  for (int i = 0; i < 3; ++i) {
    change.increment("tea", 1);
    change.increment("coffee", 1);
    change.increment("tea", 1);
    change.set("tea", 1);
  }
  feeder_->the_turn().commit();
  wait_until_quiet();
  stop();
  EXPECT_EQ(failure(), "");
  EXPECT_EQ(value_of(1, "tea"), 6U);
  std::vector<std::uint32_t> reasons;
  for (const quarantined& each : quarantine_of(*where_, 1)) {
    reasons.push_back(each.refused);
    EXPECT_EQ(each.deaths, 0U);
    EXPECT_STREQ(each.type, "cyto.CellUpdate");
  }
  const auto unknown = static_cast<std::uint32_t>(update_refusal::unknown_cell);
  const auto other = static_cast<std::uint32_t>(update_refusal::other_law);
  EXPECT_THAT(reasons, ElementsAre(unknown, other, unknown, other, unknown, other));
  const lane_status lane = lane_of(*where_, 0);
  EXPECT_TRUE(lane.balanced);
  EXPECT_EQ(lane.delivered, 6U);
  EXPECT_EQ(lane.dropped, 6U);
}

// The desk is handed a thousand orders while its reader is held up; it is never held up itself.
TEST_F(WorkerUpdates, WhatWaitsIsSentByTheLoopAndTheJobDoesNotEndBefore) {
  of_.workers.push_back(group("desk"));
  of_.workers.push_back(group("stock"));
  lane_spec merges = small_lane("desk", "stock");
  merges.policy = full_policy::coalesce;
  build({small_lane("feeder", "desk"), merges});
  is_held_ = true;
  start(1, [](worker& self) {
    const output stock = self.to("stock");
    self.accept_updates()
        .of(new_cells::make)
        .on_change([=, &self](turn& in, std::string_view cell) {
          update(in, stock.member(0)).increment(cell, 1);
          update(in, stock.member(0)).set("last", self.cell<counter>(cell).value());
        });
  });
  start(2, [this](worker& self) {
    self.accept_updates().of(new_cells::make).on_change([this](turn&, std::string_view) {
      while (is_held_) std::this_thread::yield();
    });
  });
  constexpr std::uint64_t orders = 1000;
  for (std::uint64_t i = 0; i < orders; ++i) {
    while (!has_failed_ &&
           from_feeder().increment("tea " + std::to_string(i % 5), 1) != status::ok) {
      feeder_->the_turn().abort();
      std::this_thread::yield();
    }
    feeder_->the_turn().commit();
  }
  wait_until([this] { return lane_of(*where_, 0).delivered == orders; });
  EXPECT_EQ(lane_of(*where_, 0).delivered, orders);
  feeder_->own().finished.publish(static_cast<std::uint32_t>(source_end::finished));
  EXPECT_GT(lane_of(*where_, 1).waiting, 0U);
  EXPECT_FALSE(is_quiet(*where_));
  is_held_ = false;
  wait_until_quiet();
  stop();
  EXPECT_EQ(failure(), "");
  std::uint64_t total = 0;
  for (int i = 0; i < 5; ++i) total += value_of(2, "tea " + std::to_string(i));
  EXPECT_EQ(total, orders);
  const lane_status lane = lane_of(*where_, 1);
  EXPECT_EQ(lane.waiting, 0U);
  EXPECT_EQ(lane.accepted + lane.coalesced, 2 * orders);
  EXPECT_GT(lane.coalesced, orders);
}

TEST_F(WorkerUpdates, OneMessageLeadsToAsManyOthersAsItMayAndToNoMore) {
  of_.workers.push_back(group("desk"));
  of_.workers.back().sends_max = 3;
  of_.workers.push_back(group("stock"));
  build({small_lane("feeder", "desk"), small_lane("desk", "stock")});
  start(1, [](worker& self) {
    const output stock = self.to("stock");
    self.accept_updates()
        .of(new_cells::make)
        .on_change([=, &self](turn& in, std::string_view cell) {
          const std::uint64_t wanted = self.cell<maximum>(cell).value();
          for (std::uint64_t i = 0; i < wanted; ++i) update(in, stock.member(0)).increment("n", 1);
        });
  });
  const updates change = from_feeder();
  for (const std::uint64_t most : {1U, 2U, 3U}) change.raise("most", most);
  feeder_->the_turn().commit();
  wait_until([this] { return lane_of(*where_, 0).delivered == 3; });
  EXPECT_EQ(failure(), "");
  EXPECT_EQ(lane_of(*where_, 1).accepted, 6U);
  from_feeder().raise("most", 4);
  feeder_->the_turn().commit();
  wait_until([] { return false; });
  stop();
  EXPECT_THAT(failure(), HasSubstr("one message leads to more than 3 others"));
  EXPECT_THAT(failure(), HasSubstr("raise sends_max of worker desk"));
  EXPECT_EQ(lane_of(*where_, 1).accepted, 6U);
}

// Two readers that do not come: each has room for more than the worker may have in flight.
TEST_F(WorkerUpdates, NoMoreIsInFlightThanAWorkerMay) {
  of_.workers.push_back(group("desk"));
  of_.workers.back().in_flight_bytes_max = 4096;
  for (const char* each : {"a", "b"}) of_.workers.push_back(group(each));
  lane_spec to_a = small_lane("desk", "a"), to_b = small_lane("desk", "b");
  to_a.lane_bytes = to_b.lane_bytes = 16 * 1024;
  build({small_lane("feeder", "desk"), to_a, to_b});
  const auto filler = std::make_shared<std::string>(500, 'x');
  start(1, [filler](worker& self) {
    const output a = self.to("a"), b = self.to("b");
    self.accept_updates().of(new_cells::make).on_change([=](turn& in, std::string_view cell) {
      in.send_bytes(cell == "a" ? a.member(0) : b.member(0), filler->data(), 500, raw_kind);
    });
  });
  const updates change = from_feeder();
  for (int i = 0; i < 6; ++i) {
    change.increment("a", 1);
    change.increment("b", 1);
  }
  feeder_->the_turn().commit();
  const auto in_flight = [this] {
    return lane_of(*where_, 1).backlog_bytes + lane_of(*where_, 2).backlog_bytes;
  };
  // It waits for room where there would be plenty.
  wait_until([this] { return where_->control_of(1).aborts.observe() != 0; });
  wait_until([this] { return where_->control_of(1).parks.observe() != 0; });
  std::vector<std::string> found;
  slot a(*where_, 2), b(*where_, 3);
  for (std::size_t taken = 0; taken < 12 && !has_failed_;) {
    EXPECT_LE(in_flight(), 4096U);
    taken += drain(a).size() + drain(b).size();
    for (slot* each : {&a, &b}) each->the_turn().ring_writers();
    std::this_thread::yield();
  }
  stop();
  EXPECT_EQ(failure(), "");
  EXPECT_EQ(lane_of(*where_, 1).accepted + lane_of(*where_, 2).accepted, 12U);
}

TEST_F(WorkerUpdates, MoreThanMayBeInFlightAtOnceIsToldWithTheKeyToRaise) {
  of_.workers.push_back(group("desk"));
  of_.workers.back().in_flight_bytes_max = 4096;
  of_.workers.push_back(group("a"));
  lane_spec to_a = small_lane("desk", "a");
  to_a.lane_bytes = 16 * 1024;
  build({small_lane("feeder", "desk"), to_a});
  const auto filler = std::make_shared<std::string>(5000, 'x');
  start(1, [filler](worker& self) {
    const output a = self.to("a");
    self.accept_updates().of(new_cells::make).on_change([=](turn& in, std::string_view) {
      in.send_bytes(a.member(0), filler->data(), 5000, raw_kind);
    });
  });
  from_feeder().increment("a", 1);
  feeder_->the_turn().commit();
  wait_until([] { return false; });
  stop();
  EXPECT_THAT(failure(), HasSubstr("raise in_flight_bytes_max of worker desk"));
}

// Each change of the cell sets off the next one: a -> b -> c -> a.
TEST_F(WorkerUpdates, RunawayEndsAsADeadLetterThatTellsItsWay) {
  for (const char* each : {"a", "b", "c"}) of_.workers.push_back(group(each));
  build({small_lane("feeder", "a"), small_lane("a", "b"), small_lane("b", "c"),
         small_lane("c", "a")});
  for (std::uint32_t i = 1; i <= 3; ++i) {
    start(i, [i](worker& self) {
      const output next = self.to(i == 3 ? "a" : std::string(1, static_cast<char>('a' + i)));
      self.accept_updates().of(new_cells::make).on_change([=](turn& in, std::string_view cell) {
        update(in, next.member(0)).increment(cell, 1);
      });
    });
  }
  constexpr std::uint64_t runaways = 5;
  for (std::uint64_t i = 0; i < runaways; ++i) {
    from_feeder().increment("n", 1);
    feeder_->the_turn().commit();
    wait_until([&] {
      std::uint64_t dead = 0;
      for (const lane_status& each : lanes_of(*where_)) dead += each.over_hops;
      return dead == i + 1;
    });
  }
  wait_until_quiet();
  stop();
  EXPECT_EQ(failure(), "");
  std::size_t letters = 0;
  for (std::uint32_t i = 1; i <= 3; ++i) {
    for (const dead_message& each : dead_letters_of(*where_, i)) {
      ++letters;
      std::string way;
      for (const std::string& name : each.route) way += name + " ";
      EXPECT_EQ(way, "feeder/0 a/0 b/0 c/0 a/0 b/0 c/0 a/0 b/0 c/0 a/0 b/0 c/0 ");
    }
    for (const dead_count& each : dead_counts_of(*where_, i)) {
      EXPECT_EQ(each.from + " -> " + each.to, "b/0 -> c/0");
      EXPECT_EQ(each.count, runaways);
    }
  }
  EXPECT_EQ(letters, runaways);
}

TEST(CoalescingTopology, ThatCannotBeIsRefusedInWords) {
  const auto refusal = [](const std::function<void(topology&)>& change) -> std::string {
    topology of;
    of.name = "t";
    for (const char* each : {"a", "b"}) of.workers.push_back(group(each));
    of.lanes.push_back(small_lane("a", "b"));
    of.lanes.back().policy = full_policy::coalesce;
    change(of);
    try {
      check(of);
    } catch (const error& failure) {
      return failure.what();
    }
    return "";
  };
  EXPECT_EQ(refusal([](topology&) {}), "");
  EXPECT_THAT(refusal([](topology& of) { of.workers[0].is_port = true; }), HasSubstr("port"));
  EXPECT_THAT(refusal([](topology& of) { of.lanes[0].is_control = true; }), HasSubstr("control"));
  EXPECT_THAT(refusal([](topology& of) { of.workers[0].in_flight_bytes_max = 4096; }),
              HasSubstr("in_flight_bytes_max"));
}

}  // namespace
}  // namespace cyto::test
