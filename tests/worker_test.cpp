// The worker's loop, run by a thread of this process on a slot of its own; the test plays the
// neighbours and the supervisor.
#include "cyto/worker.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <functional>
#include <memory>
#include <thread>

#include "cyto/observe.hpp"
#include "support/system.hpp"
#include "update_generated.h"

namespace cyto::test {
namespace {

std::string_view text_of(const flatbuffers::Vector<std::uint8_t>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

status send_update(slot& from, std::size_t lane, std::string_view cell, std::string_view value) {
  turn& in = from.the_turn();
  const status sent =
      in.send<Update>(*in.outputs()[lane], [&](flatbuffers::FlatBufferBuilder& fbb) {
        const auto bytes = [&fbb](std::string_view text) {
          return fbb.CreateVector(reinterpret_cast<const std::uint8_t*>(text.data()), text.size());
        };
        const auto first = bytes(cell);
        return CreateUpdate(fbb, first, bytes(value));
      });
  if (sent == status::ok) {
    in.commit();
  } else {
    in.abort();
  }
  return sent;
}

// Slots 0 and 1 feed slot 2, the worker, which feeds slot 3.
class WorkerLoop : public testing::Test {
 protected:
  WorkerLoop() : system_({"left", "right", "worker", "sink"}, {{0, 2}, {1, 2}, {2, 3}}) {
    board_ = system_.where.map_board();
    left_ = std::make_unique<slot>(system_.where, 0);
    right_ = std::make_unique<slot>(system_.where, 1);
    sink_ = std::make_unique<slot>(system_.where, 3);
    EXPECT_EQ(pipe2(nudge_, O_CLOEXEC | O_NONBLOCK), 0);
  }
  ~WorkerLoop() override {
    stop();
    close(nudge_[0]);
    close(nudge_[1]);
  }

  void start(const std::function<void(worker&)>& setup) {
    thread_ = std::thread([this, setup] {
      slot place(system_.where, 2);
      worker self(place);
      try {
        setup(self);
        self.run(nudge_[1]);
      } catch (const error& failure) {
        failure_ = failure.what();
      }
    });
  }
  void set_phase(system_phase phase) {
    auto* all = reinterpret_cast<board*>(board_.data());
    all->phase.publish(static_cast<std::uint32_t>(phase));
    reinterpret_cast<board_slot*>(all + 1)[2].order.publish(static_cast<std::uint32_t>(phase));
    const mapping bells = system_.where.map_doorbells();
    wake(reinterpret_cast<doorbell_line*>(bells.data())[2]);
  }
  // The lane of `left` is fenced with these words, and what `right` sends is still taken.
  void expect_left_is_shut(const std::string& words, error_code code) {
    while (!lanes_of(system_.where)[0].fenced) std::this_thread::yield();
    ASSERT_EQ(send_update(*right_, 0, "c", "v"), status::ok);
    while (lanes_of(system_.where)[1].delivered == 0) std::this_thread::yield();
    pollfd told{nudge_[0], POLLIN, 0};
    EXPECT_EQ(poll(&told, 1, 10'000), 1);
    stop();
    EXPECT_EQ(failure_, "");
    if (words.empty()) return;
    const control& own = system_.where.control_of(2);
    EXPECT_NE(std::string(own.failure_text, own.failure_bytes.observe()).find(words),
              std::string::npos);
    EXPECT_EQ(own.failure_code.observe(), static_cast<std::uint32_t>(code));
  }
  void stop() {
    if (!thread_.joinable()) return;
    set_phase(system_phase::stopping);
    thread_.join();
  }
  // Until the worker has taken all that was sent to it.
  void wait_until_taken() {
    for (std::size_t i = 0; i < 2;) {
      const auto lanes = lanes_of(system_.where);
      i = lanes[i].accepted == lanes[i].delivered ? i + 1 : i;
      std::this_thread::yield();
    }
  }

  small_system system_;
  mapping board_;
  std::unique_ptr<slot> left_;
  std::unique_ptr<slot> right_;
  std::unique_ptr<slot> sink_;
  int nudge_[2] = {-1, -1};
  std::thread thread_;
  std::string failure_;
};

TEST_F(WorkerLoop, AMessageThatAsksToComeAgainComesBeforeAnyOther) {
  std::atomic<int> wrong = 0;
  start([&wrong](worker& self) {
    const auto step = self.cell<last_writer>("step");
    const auto owner = self.cell<last_writer>("owner");
    const auto total = self.cell<counter>("total");
    self.on<Update>([=, &wrong](const Update& update, turn& in) {
      // Each message comes three times; in between, its own number must not have changed.
      const std::uint64_t number = hash_bytes(text_of(*update.value()));
      if (step.value() != 0 && owner.value() != number) ++wrong;
      owner.set(in, number);
      total.add(in, 1);
      step.set(in, (step.value() + 1) % 3);
      if (step.value() != 0) in.again();
    });
  });
  constexpr int rounds = 2000;
  for (int i = 0; i < rounds; ++i) {
    for (slot* each : {left_.get(), right_.get()}) {
      const std::string value = std::string(each == left_.get() ? "l" : "r") + std::to_string(i);
      while (send_update(*each, 0, "c", value) == status::full) std::this_thread::yield();
    }
  }
  wait_until_taken();
  stop();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(failure_, "");
  std::uint64_t total = 0;
  each_cell(system_.where, 2, [&](const cell_view& cell) {
    if (cell.name == "total") total = cell.value[0];
  });
  EXPECT_EQ(total, 3U * 2U * rounds);
}

TEST_F(WorkerLoop, AFullLaneDelaysTheTurnAndLosesNothing) {
  start([](worker& self) {
    const output sink = self.to("sink");
    self.on<Update>([=](const Update& update, turn& in) {
      // More than a small lane holds, for each message.
      for (int i = 0; i < 20; ++i) {
        in.send<Update>(sink.member(0), [&](flatbuffers::FlatBufferBuilder& fbb) {
          const auto cell = fbb.CreateVector(update.cell()->data(), update.cell()->size());
          const auto value = fbb.CreateVector(update.value()->data(), update.value()->size());
          return CreateUpdate(fbb, cell, value);
        });
      }
    });
  });
  constexpr int rounds = 200;
  int got = 0;
  const auto take_all = [&] {
    message_view view;
    while (turn_input* from = sink_->incoming().next(view)) {
      const Update* update = open_message<Update>(view);
      ASSERT_NE(update, nullptr);
      ASSERT_EQ(text_of(*update->value()), std::to_string(got / 20));
      sink_->the_turn().take(*from, view);
      turn::consume(*from, view);
      sink_->incoming().taken(*from);
      ++got;
    }
    if (!sink_->the_turn().is_empty()) sink_->the_turn().commit();
  };
  for (int i = 0; i < rounds; ++i) {
    while (send_update(*left_, 0, "c", std::to_string(i)) == status::full) take_all();
  }
  while (got < 20 * rounds) take_all();
  stop();
  EXPECT_EQ(failure_, "");
  for (const lane_status& lane : lanes_of(system_.where)) EXPECT_TRUE(lane.balanced) << lane.name;
}

TEST_F(WorkerLoop, ATurnThatNeverFitsEndsTheWorkerInWords) {
  start([](worker& self) {
    const output sink = self.to("sink");
    self.on<Update>([=](const Update&, turn& in) {
      for (int i = 0; i < 100; ++i) in.send_bytes(sink.member(0), "x", 1, raw_kind);
    });
  });
  ASSERT_EQ(send_update(*left_, 0, "c", "v"), status::ok);
  thread_.join();
  EXPECT_NE(failure_.find("lane worker -> sink"), std::string::npos) << failure_;
  EXPECT_NE(failure_.find("4,096 bytes"), std::string::npos) << failure_;
}

TEST_F(WorkerLoop, AMessageWithoutAHandlerShutsItsLaneAndTheOtherGoesOn) {
  start([](worker& self) { self.on<Update>([](const Update&, turn&) {}); });
  ASSERT_EQ(send(*left_, 0, "whatever"), status::ok);
  expect_left_is_shut("which its reader does not handle", error_code::bad_input);
}

TEST_F(WorkerLoop, AMessageThatIsBrokenShutsItsLaneAndTheOtherGoesOn) {
  start([](worker& self) { self.on<Update>([](const Update&, turn&) {}); });
  turn& in = left_->the_turn();
  ASSERT_EQ(in.send_bytes(*in.outputs()[0], "no flatbuffer", 13, message_kind<Update>()),
            status::ok);
  in.commit();
  expect_left_is_shut("do not verify", error_code::failed);
}

TEST_F(WorkerLoop, ALaneThatIsShutWhileItsMessageShouldComeAgainDoesNotHoldUpTheOthers) {
  start([this](worker& self) {
    self.on<Update>([this](const Update& update, turn& in) {
      if (text_of(*update.value()) != "again") return;
      const mapping ring = system_.where.map_ring(system_.where.lane(0), true);
      std::memset(ring.data(), 0xff, 4096 - sizeof(record_header));
      in.again();
    });
  });
  ASSERT_EQ(send_update(*left_, 0, "c", "again"), status::ok);
  expect_left_is_shut("", error_code::failed);
}

TEST_F(WorkerLoop, TellsTheSupervisorWhenItFallsIdleWhileWatched) {
  start([](worker& self) { self.on<Update>([](const Update&, turn&) {}); });
  pollfd told{nudge_[0], POLLIN, 0};
  ASSERT_EQ(poll(&told, 1, 10'000), 1);  // It is ready.
  char bytes[64];
  while (read(nudge_[0], bytes, sizeof bytes) > 0) continue;
  reinterpret_cast<board*>(board_.data())->watched.publish(1);
  ASSERT_EQ(send_update(*right_, 0, "c", "v"), status::ok);
  EXPECT_EQ(poll(&told, 1, 10'000), 1);
}

TEST_F(WorkerLoop, ASourceThatTheTopologyDoesNotKnowIsRefused) {
  start([](worker& self) { self.source([](turn&) { return produced::finished; }); });
  thread_.join();
  EXPECT_NE(failure_.find("source = true"), std::string::npos) << failure_;
}

TEST_F(WorkerLoop, AHandlerOfTwoTypesWithOneNumberIsRefused) {
  start([](worker& self) {
    self.on<Update>([](const Update&, turn&) {});
    self.on<Update>([](const Update&, turn&) {});
  });
  thread_.join();
  EXPECT_NE(failure_.find("message number"), std::string::npos) << failure_;
}

}  // namespace
}  // namespace cyto::test
