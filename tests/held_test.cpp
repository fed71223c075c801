// A lane that drops its oldest: what finds no room is held beside it, and moved on in order.
#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <deque>
#include <memory>
#include <numeric>
#include <random>
#include <thread>

#include "cyto/observe.hpp"
#include "cyto/worker.hpp"
#include "support/inquiry.hpp"
#include "support/process.hpp"
#include "support/system.hpp"
#include "support/watchdog.hpp"
#include "update_generated.h"

namespace cyto::test {
namespace {

enum held_slot : unsigned { writer_slot, reader_slot };
constexpr std::uint64_t ring_bytes = lane_bytes_min;

// writer -> reader, and beside it what the writer holds.
segment_plan plan(std::uint64_t held_bytes = ring_bytes) {
  segment_plan out = small_plan({"writer", "reader"}, {{writer_slot, reader_slot}}, {ring_bytes});
  out.lanes[0].policy = full_policy::drop_oldest;
  out.lanes.push_back({writer_slot, writer_slot, held_bytes, lane_purpose::held});
  return out;
}

// The same without shared memory: two deques of messages, of which each takes so many bytes.
class model {
 public:
  struct item {
    std::uint64_t number;
    std::uint64_t length;
  };
  struct outcome {
    std::uint64_t turns = 1;    // Of which all but the last only made room.
    std::uint64_t refused = 0;  // Beside others of the turn, and so dropped.
  };

  outcome send(const std::vector<item>& turn) {
    outcome out;
    for (;;) {
      staged now;
      if (stage(turn, now)) {
        held_.erase(held_.begin(), held_.begin() + static_cast<std::ptrdiff_t>(now.dropped));
        dropped_ += now.dropped;
        lane_.insert(lane_.end(), now.lane.begin(), now.lane.end());
        held_.insert(held_.end(), now.held.begin(), now.held.end());
        out.refused = now.refused;
        return out;
      }
      ++out.turns;
      while (room(held_) < now.wanted && !held_.empty()) {
        held_.pop_front();
        ++dropped_;
      }
    }
  }
  std::uint64_t move() {
    std::uint64_t moved = 0;
    for (; !held_.empty() && held_.front().length + line_bytes <= room(lane_); ++moved) {
      lane_.push_back(held_.front());
      held_.pop_front();
    }
    return moved;
  }
  std::uint64_t take() {
    const std::uint64_t number = lane_.front().number;
    lane_.pop_front();
    return number;
  }
  [[nodiscard]] std::size_t in_lane() const { return lane_.size(); }
  [[nodiscard]] std::size_t held() const { return held_.size(); }
  [[nodiscard]] std::uint64_t dropped() const { return dropped_; }

 private:
  struct staged {
    std::vector<item> lane;
    std::vector<item> held;
    std::size_t dropped = 0;
    std::uint64_t refused = 0;
    std::uint64_t wanted = 0;
  };
  template <class Items>
  static std::uint64_t bytes_of(const Items& items) {
    return std::accumulate(items.begin(), items.end(), std::uint64_t{0},
                           [](std::uint64_t sum, const item& each) { return sum + each.length; });
  }
  static std::uint64_t room(const std::deque<item>& of) { return ring_bytes - bytes_of(of); }

  // False: there has to be room of `wanted` bytes first.
  bool stage(const std::vector<item>& turn, staged& now) const {
    std::uint64_t freed = 0;
    for (const item& each : turn) {
      const bool is_first = now.held.empty() && now.dropped == held_.size();
      const std::uint64_t needed = each.length + line_bytes;
      if (is_first && bytes_of(now.lane) + needed <= room(lane_)) {
        now.lane.push_back(each);
        continue;
      }
      const std::uint64_t used = bytes_of(now.held);
      if (used + needed > room(held_)) {
        now.wanted = used + needed;
        if (now.wanted <= ring_bytes) return false;
        ++now.refused;
        continue;
      }
      now.held.push_back(each);
      while (room(held_) - bytes_of(now.held) + freed < bytes_of(now.held) + line_bytes &&
             now.dropped < held_.size()) {
        freed += held_[now.dropped++].length;
      }
    }
    return true;
  }

  std::deque<item> lane_;
  std::deque<item> held_;
  std::uint64_t dropped_ = 0;
};

// Writer and reader beside the model of both.
class Held : public testing::Test {
 protected:
  static constexpr std::uint32_t largest = ring_bytes - line_bytes - plain_header_bytes;

  Held() : where_(segment::create(plan())), reader_(where_, reader_slot) { restart(); }

  void restart() {
    writer_.reset();
    writer_ = std::make_unique<slot>(where_, writer_slot);
  }
  void send(const std::vector<std::uint32_t>& sizes) {
    std::vector<model::item> turn_items;
    for (const std::uint32_t size : sizes) {
      turn_items.push_back({++number_, record_bytes(size, header_bytes_of(size, 1))});
    }
    const model::outcome expected = model_.send(turn_items);
    turn& in = writer_->the_turn();
    std::uint64_t turns = 1;
    std::uint64_t refused = 0;
    for (;; ++turns) {
      refused = 0;
      for (std::size_t i = 0; i < sizes.size() && in.fault() == turn_fault::none; ++i) {
        std::string payload(sizes[i], 'x');
        std::memcpy(payload.data(), &turn_items[i].number, sizeof number_);
        const status sent = in.send_bytes(*in.outputs()[0], payload.data(), sizes[i], raw_kind);
        if (sent == status::dropped) ++refused;
      }
      if (in.fault() == turn_fault::none) break;
      ASSERT_EQ(in.fault(), turn_fault::lane_full);
      turn_output* lane = in.fault_lane();
      const std::uint64_t bytes = in.fault_ring_bytes();
      ASSERT_EQ(lane->purpose, lane_purpose::held);
      in.abort();
      ASSERT_LT(turns, 9U) << "it never fits";
      in.give_up_oldest(*lane, bytes);
    }
    in.commit();
    EXPECT_EQ(turns, expected.turns);
    EXPECT_EQ(refused, expected.refused);
    refused_ += refused;
  }
  void move() {
    const bool can_move = writer_->the_turn().can_move_held();
    EXPECT_EQ(can_move, writer_->the_turn().move_held());
    EXPECT_EQ(can_move, model_.move() != 0);
  }
  void take() {
    message_view view;
    turn_input* from = reader_.incoming().next(view);
    ASSERT_EQ(from == nullptr, model_.in_lane() == 0);
    if (from == nullptr) return;
    std::uint64_t number = 0;
    std::memcpy(&number, view.data, sizeof number);
    EXPECT_EQ(number, model_.take());
    EXPECT_GT(number, taken_) << "out of order";
    taken_ = number;
    reader_.the_turn().take(*from, view);
    turn::consume(*from, view);
    reader_.incoming().taken(*from);
    reader_.the_turn().commit();
  }
  void check() {
    const lane_status lane = lane_of(where_, 0);
    const lane_status held = lane_of(where_, 1);
    EXPECT_TRUE(lane.balanced && held.balanced);
    EXPECT_EQ(lane.in_flight, model_.in_lane());
    EXPECT_EQ(held.in_flight, model_.held());
    EXPECT_EQ(held.dropped, model_.dropped());
    EXPECT_EQ(lane.no_room, refused_);
    // Whatever was sent is in one place, or counted as dropped, once.
    EXPECT_EQ(lane.accepted + held.in_flight + held.dropped + lane.no_room, number_);
  }
  void do_one(char what) {
    switch (what) {
      case 's':
        return send({100});
      case 'l':
        return send({1'000});
      case 'm':
        return send({1'000, 100, 1'000});
      case 'x':
        return send({1'000, 1'000, 1'000, 1'000, 1'000, 1'000, 1'000, 1'000, 1'000});
      case 'g':
        return send({largest});
      case 't':
        return take();
      case 'v':
        return move();
      default:
        return restart();
    }
  }
  void empty() {
    while (model_.in_lane() + model_.held() != 0) {
      move();
      take();
      if (HasFailure()) return;
    }
  }

  segment where_;
  std::unique_ptr<slot> writer_;
  slot reader_;
  model model_;
  std::uint64_t number_ = 0;
  std::uint64_t taken_ = 0;
  std::uint64_t refused_ = 0;
};

constexpr std::string_view deeds = "slmxgtvr";

TEST_F(Held, AfterAnyFewDeedsAllIsWhereTheModelHasIt) {
  const watchdog guard(std::chrono::seconds(220), "Held.AfterAnyFewDeeds");
  const int length = sanitized ? 3 : is_full() ? 6 : 4;
  std::string deed(static_cast<std::size_t>(length), deeds[0]);
  const auto next = [&deed] {
    for (char& each : deed) {
      const std::size_t at = deeds.find(each) + 1;
      each = deeds[at % deeds.size()];
      if (at != deeds.size()) return true;
    }
    return false;
  };
  do {
    // Full, or nothing more is held than in an empty lane.
    for (const std::string_view before : {"", "lllll"}) {
      for (const char each : before) do_one(each);
      for (const char each : deed) {
        do_one(each);
        ASSERT_FALSE(HasFailure()) << deed;
      }
      check();
      empty();
      ASSERT_FALSE(HasFailure()) << deed;
    }
  } while (next());
  EXPECT_GT(model_.dropped(), 100U);
  EXPECT_GT(refused_, 10U);
}

TEST_F(Held, AfterManyDeedsAtRandomTooAndTheNewestSurvive) {
  const watchdog guard(std::chrono::seconds(220), "Held.AfterManyDeeds");
  std::mt19937 random(7);
  const int count = sanitized ? 2'000 : 20'000;
  for (int i = 0; i < count; ++i) {
    do_one(deeds[random() % deeds.size()]);
    check();
    ASSERT_FALSE(HasFailure()) << "deed " << i;
  }
  empty();
  check();
  send({100});  // The last one always comes.
  empty();
  EXPECT_EQ(taken_, number_);
}

TEST_F(Held, KeepsItsKindItsHopsAndItsFormAndGetsTheStampOfTheTurnThatMovesIt) {
  while (model_.held() == 0) do_one('l');
  turn& in = writer_->the_turn();
  // One of each form: brief, plain, wide.
  const std::vector<std::pair<std::uint32_t, std::size_t>> forms{{52, 8}, {40, 16}, {100, 64}};
  in.continue_hops(5);
  for (const auto& [size, alignment] : forms) {
    const std::string payload(size, static_cast<char>(size));
    ASSERT_EQ(in.send_bytes(*in.outputs()[0], payload.data(), size, 77, alignment), status::ok);
  }
  in.commit();
  const std::uint64_t held_at = where_.control_of(writer_slot).commit.observe();
  const std::uint64_t before = lane_of(where_, 0).backlog_bytes;
  std::uint64_t sizes = 0;
  for (const auto& [size, alignment] : forms) {
    sizes += record_bytes(size, header_bytes_of(size, alignment));
  }
  EXPECT_EQ(lane_of(where_, 1).backlog_bytes, sizes + model_.held() * 1'024);
  drain(reader_);
  EXPECT_NE(before, 0U);
  ASSERT_TRUE(in.move_held());
  EXPECT_EQ(lane_of(where_, 0).backlog_bytes, sizes + model_.held() * 1'024);
  message_view view;
  std::size_t found = 0;
  while (turn_input* from = reader_.incoming().next(view)) {
    EXPECT_GT(view.stamp, held_at);
    if (view.kind == 77) {
      EXPECT_EQ(view.hops, 5);
      EXPECT_EQ(view.size, forms[found].first);
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(view.data + view.size) % 8, 0U);
      ++found;
    }
    turn::consume(*from, view);
    reader_.incoming().taken(*from);
  }
  EXPECT_EQ(found, forms.size());
}

TEST_F(Held, IsShownBesideItsLaneAndHoldsUpTheEndOfTheJob) {
  EXPECT_EQ(lane_of(where_, 1).name, "writer -> reader (held)");
  EXPECT_EQ(lane_of(where_, 1).purpose, lane_purpose::held);
  while (model_.held() == 0) do_one('l');
  drain(reader_);
  EXPECT_FALSE(is_quiet(where_));
  EXPECT_TRUE(has_work(where_, writer_slot));
  EXPECT_FALSE(has_work(where_, reader_slot));
  writer_->the_turn().move_held();
  drain(reader_);
  EXPECT_TRUE(is_quiet(where_));
}

TEST_F(Held, AMessageThatNeverFitsItsLaneIsNotHeldEither) {
  while (model_.held() == 0) do_one('l');
  turn& in = writer_->the_turn();
  const std::string payload(largest + 1, 'x');
  EXPECT_EQ(in.send_bytes(*in.outputs()[0], payload.data(), largest + 1, raw_kind),
            status::too_big);
  EXPECT_EQ(in.fault(), turn_fault::lane_too_big);
  EXPECT_EQ(in.fault_lane(), in.outputs()[0].get());
  in.abort();
}

TEST(HeldForAPort, ThatNobodyHasJoinedHoldsNothingUp) {
  segment_plan with_port = plan();
  with_port.slots[reader_slot].flags = slot_is_port;
  const segment where = segment::create(with_port);
  slot writer(where, writer_slot);
  for (int i = 0; i < 6; ++i) EXPECT_EQ(send(writer, 0, std::string(1'000, 'x')), status::ok);
  EXPECT_GT(lane_of(where, 1).in_flight, 0U);
  EXPECT_TRUE(is_quiet(where));
  EXPECT_FALSE(has_work(where, writer_slot));
  const slot reader(where, reader_slot);
  EXPECT_FALSE(is_quiet(where));
  EXPECT_TRUE(has_work(where, writer_slot));
}

// The worker's loop in a thread: it never waits, it moves on what it holds when it is rung for
// room, and it stops when it is told to.
TEST(HeldByAWorker, WhoTakesNothingHoldsUpNobodyAndIsSentTheNewestInOrder) {
  const watchdog guard(std::chrono::seconds(200), "HeldByAWorker");
  segment_plan of = small_plan({"feeder", "worker", "sink"}, {{0, 1}, {1, 2}});
  of.lanes[1].policy = full_policy::drop_oldest;
  of.lanes.push_back({1, 1, 2 * ring_bytes, lane_purpose::held});
  of.lanes.back().beside = 1;
  const segment where = segment::create(of);
  const mapping board_pages = where.map_board();
  const mapping bells = where.map_doorbells();
  slot feeder(where, 0), sink(where, 2);
  std::string failure;
  std::thread thread([&] {
    slot place(where, 1);
    worker self(place);
    const output to = self.to("sink");
    self.on<Update>([=](const Update& update, turn& in) {
      // Sometimes more in one turn than is made free beforehand.
      const std::uint64_t number = update.cell()->Get(0);
      for (std::uint64_t i = 0; i < 1 + number % 3; ++i) {
        in.send_bytes(to.member(0), update.value()->data(), update.value()->size(), raw_kind);
      }
    });
    try {
      self.run(-1);
    } catch (const error& what) {
      failure = what.what();
    }
  });
  const auto feed = [&](std::uint32_t number, std::size_t bytes) {
    turn& in = feeder.the_turn();
    const auto build = [&](flatbuffers::FlatBufferBuilder& fbb) {
      std::vector<std::uint8_t> value(bytes, 0);
      std::memcpy(value.data(), &number, sizeof number);
      const std::vector<std::uint8_t> cell(1, static_cast<std::uint8_t>(number));
      const auto first = fbb.CreateVector(cell);
      return CreateUpdate(fbb, first, fbb.CreateVector(value));
    };
    while (in.send<Update>(*in.outputs()[0], build) != status::ok) {
      in.abort();
      std::this_thread::yield();
    }
    in.commit();
  };
  std::mt19937 random(11);
  constexpr std::uint32_t count = 3'000;
  std::uint64_t sent = 0;
  for (std::uint32_t i = 1; i <= count; ++i) {
    feed(i, 4 + random() % 1'200);
    sent += 1 + (i & 255U) % 3;
  }
  while (lane_of(where, 0).delivered != count) std::this_thread::yield();
  EXPECT_GT(lane_of(where, 1).in_flight, 0U) << "and nobody has taken anything";
  EXPECT_GT(lane_of(where, 2).dropped, 0U);
  std::vector<std::uint32_t> came;
  while (!is_quiet(where)) {
    for (const std::string& each : drain(sink)) {
      std::memcpy(&came.emplace_back(), each.data(), sizeof(std::uint32_t));
    }
    sink.the_turn().ring_writers();
  }
  reinterpret_cast<board_slot*>(reinterpret_cast<board*>(board_pages.data()) + 1)[1].order.publish(
      static_cast<std::uint32_t>(system_phase::stopping));
  wake(reinterpret_cast<doorbell_line*>(bells.data())[1]);
  thread.join();
  EXPECT_EQ(failure, "");
  ASSERT_FALSE(came.empty());
  EXPECT_TRUE(std::is_sorted(came.begin(), came.end()));
  EXPECT_EQ(came.back(), count) << "the newest survives";
  const lane_status lane = lane_of(where, 1), held = lane_of(where, 2);
  EXPECT_TRUE(lane.balanced && held.balanced);
  EXPECT_EQ(lane.accepted, came.size());
  EXPECT_EQ(lane.accepted + held.dropped + lane.no_room, sent);
  EXPECT_EQ(lane.no_room, 0U);
}

}  // namespace
}  // namespace cyto::test
