// Lanes that nack: what is dropped, who is told, and that a source becomes slower, losing nothing.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <thread>

#include "cyto/observe.hpp"
#include "cyto/worker.hpp"
#include "support/system.hpp"
#include "support/watchdog.hpp"
#include "update_generated.h"

namespace cyto::test {
namespace {

// s -> a -> b, of which the lanes nack; and a -> s, along which s is told.
segment_plan chain() {
  segment_plan plan = small_plan({"s", "a", "b"}, {{0, 1}, {1, 2}, {1, 0}});
  plan.slots[0].flags = slot_is_source;
  plan.lanes[0].policy = plan.lanes[1].policy = full_policy::nack;
  plan.lanes[2].purpose = lane_purpose::control;
  return plan;
}

const std::string filler(1'000, 'x');

// a takes a message and passes it on.
status pass_on(slot& a) {
  message_view view;
  turn_input* from = a.incoming().next(view);
  if (from == nullptr) return status::closed;
  a.the_turn().take(*from, view);
  const status out = stage(a, 0, filler);
  turn::consume(*from, view);
  a.incoming().taken(*from);
  return out;
}

std::vector<nack> nacks_in(slot& place) {
  std::vector<nack> out;
  std::string payload;
  while (take_one(place, payload)) {
    nack found{};
    EXPECT_EQ(payload.size(), sizeof found);
    std::memcpy(&found, payload.data(), sizeof found);
    out.push_back(found);
  }
  place.the_turn().commit();
  return out;
}

TEST(Nack, TellsWhoseMessageFoundNoRoomByTheTurnThatDropsIt) {
  const segment where = segment::create(chain());
  slot s(where, 0), a(where, 1), b(where, 2);
  std::uint64_t passed = 0;
  for (;; ++passed) {
    ASSERT_EQ(send(s, 0, "go"), status::ok);
    if (pass_on(a) != status::ok) break;
    a.the_turn().commit();
  }
  EXPECT_GT(passed, 0U);
  EXPECT_EQ(a.the_turn().fault(), turn_fault::none);
  a.the_turn().abort();
  a.incoming().reset();
  EXPECT_EQ(lane_of(where, 1).no_room, 0U);

  const std::uint64_t stamp = s.the_turn().commit_word();
  EXPECT_EQ(pass_on(a), status::dropped);
  EXPECT_TRUE(nacks_in(s).empty());
  a.the_turn().commit();
  const std::vector<nack> told = nacks_in(s);
  ASSERT_EQ(told.size(), 1U);
  EXPECT_EQ(told[0].reader_slot, 2U);
  EXPECT_EQ(told[0].stamp, stamp);
  EXPECT_EQ(told[0].hops, 1U);
  EXPECT_EQ(lane_of(where, 1).no_room, 1U);
  EXPECT_EQ(lane_of(where, 1).accepted, passed);
}

TEST(Nack, IsNotSentWhereThereIsNoRoomForItButTheLossIsCounted) {
  const segment where = segment::create(chain());
  slot s(where, 0), a(where, 1), b(where, 2);
  std::uint64_t dropped = 0;
  for (int i = 0; i < 500; ++i) {
    ASSERT_EQ(send(s, 0, "go"), status::ok);
    if (pass_on(a) == status::dropped) ++dropped;
    a.the_turn().commit();
  }
  EXPECT_EQ(lane_of(where, 1).no_room, dropped);
  EXPECT_LT(nacks_in(s).size(), dropped);
  for (std::uint32_t lane = 0; lane < 3; ++lane) EXPECT_TRUE(lane_of(where, lane).balanced);
}

TEST(Nack, SourceIsRefusedAndKeepsItsMessage) {
  const segment where = segment::create(chain());
  slot s(where, 0);
  turn& in = s.the_turn();
  in.begin_source();
  while (stage(s, 0, filler) == status::ok) continue;
  EXPECT_TRUE(in.is_too_fast());
  EXPECT_EQ(in.fault(), turn_fault::none);
  in.commit();
  EXPECT_EQ(lane_of(where, 0).refused, 1U);
  in.begin_source();
  EXPECT_FALSE(in.is_too_fast());
}

// The loop of a worker, run by a thread.
class running_worker {
 public:
  running_worker(const segment& where, std::uint32_t slot_index,
                 const std::function<void(worker&)>& setup)
      : where_(&where), slot_index_(slot_index), nudge_(::open("/dev/null", O_WRONLY | O_CLOEXEC)) {
    thread_ = std::thread([this, setup] {
      slot place(*where_, slot_index_);
      worker self(place);
      setup(self);
      self.run(nudge_);
    });
  }
  running_worker(const running_worker&) = delete;
  running_worker& operator=(const running_worker&) = delete;
  ~running_worker() {
    const mapping memory = where_->map_board();
    const mapping bells = where_->map_doorbells();
    auto* slots = reinterpret_cast<board_slot*>(reinterpret_cast<board*>(memory.data()) + 1);
    slots[slot_index_].order.publish(static_cast<std::uint32_t>(system_phase::stopping));
    wake(reinterpret_cast<doorbell_line*>(bells.data())[slot_index_]);
    thread_.join();
    ::close(nudge_);
  }

 private:
  const segment* where_;
  std::uint32_t slot_index_;
  int nudge_;
  std::thread thread_;
};

status send_number(turn& in, turn_output& to, std::uint64_t number) {
  return in.send<Update>(to, [&](flatbuffers::FlatBufferBuilder& fbb) {
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(&number);
    const auto cell = fbb.CreateVector(bytes, sizeof number);
    return CreateUpdate(fbb, cell, fbb.CreateVector(bytes, sizeof number));
  });
}

// Nobody reads what a passes on, until a's nacks have made the source slow.
TEST(Nack, MakesTheSourceOfWhatWasDroppedSlower) {
  const watchdog guard(std::chrono::seconds(100), "Nack.Slower");
  const segment where = segment::create(chain());
  std::atomic<std::uint64_t> nacks = 0;
  std::atomic<double> rate = 0;
  {
    const running_worker source(where, 0, [&](worker& self) {
      const output to = self.to("a");
      const auto sent = self.cell<counter>("sent");
      self.limit_rate({.turns_per_s_max = 20'000, .rise_per_s = 1, .rest_ns = 1'000});
      self.on_nack([&](const nack& what, turn&) {
        EXPECT_EQ(what.reader_slot, 2U);
        ++nacks;
      });
      self.source([&, sent, to](turn& in) {
        rate = self.rate();
        if (send_number(in, to.member(0), sent.value()) == status::ok) sent.add(in, 1);
        return produced::more;
      });
    });
    const running_worker middle(where, 1, [](worker& self) {
      const output to = self.to("b");
      self.on<Update>([to](const Update&, turn& in) { send_number(in, to.member(0), 0); });
    });
    while (nacks < 20 || rate > 100) std::this_thread::yield();
  }
  const lane_status dropping = lane_of(where, 1);
  const lane_status telling = lane_of(where, 2);
  EXPECT_LE(nacks, telling.accepted);
  EXPECT_LE(telling.accepted, dropping.no_room);
  EXPECT_EQ(dropping.delivered, 0U);
}

// A source whose own lane is full waits for its rate, keeps what it could not send, and goes on.
TEST(Nack, SourceThatIsTooFastLosesNothing) {
  const watchdog guard(std::chrono::seconds(100), "Nack.Source");
  const segment where = segment::create(chain());
  constexpr std::uint64_t messages = 3'000;
  slot a(where, 1);
  const running_worker source(where, 0, [&](worker& self) {
    const output to = self.to("a");
    const auto sent = self.cell<counter>("sent");
    self.limit_rate({.turns_per_s_max = 1e6});
    self.source([=](turn& in) {
      if (send_number(in, to.member(0), sent.value()) == status::ok) sent.add(in, 1);
      return sent.value() == messages ? produced::finished : produced::more;
    });
  });
  while (lane_of(where, 0).refused == 0) std::this_thread::yield();
  for (std::uint64_t next = 0; next < messages;) {
    message_view view;
    turn_input* from = a.incoming().next(view);
    if (from == nullptr) continue;
    a.the_turn().take(*from, view);
    const auto* update = open_message<Update>(view);
    ASSERT_NE(update, nullptr);
    std::uint64_t number = 0;
    std::memcpy(&number, update->cell()->data(), sizeof number);
    ASSERT_EQ(number, next);
    ++next;
    turn::consume(*from, view);
    a.incoming().taken(*from);
    a.the_turn().commit();
  }
}

}  // namespace
}  // namespace cyto::test
