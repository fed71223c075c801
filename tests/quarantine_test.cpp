// The quarantine: what goes in, what comes out, beside readers, and killed at every change of
// memory.
#include "cyto/quarantine.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <functional>
#include <map>
#include <optional>
#include <random>
#include <thread>

#include "cyto/observe.hpp"
#include "support/process.hpp"
#include "support/stepped.hpp"
#include "support/system.hpp"
#include "support/watchdog.hpp"

namespace cyto::test {
namespace {

constexpr std::uint32_t feeder_slot = 0;
constexpr std::uint32_t worker_slot = 1;
constexpr std::uint64_t room_bytes = 4096;

segment make_segment() {
  segment_plan plan = small_plan({"feeder", "worker", "sink"}, {{0, 1}, {1, 2}});
  plan.slots[worker_slot].quarantine_bytes = room_bytes;
  return segment::create(plan);
}

// What the supervisor writes.
class clerk {
 public:
  explicit clerk(const segment& where) : where_(&where), pages_(where.map_deaths()) {}
  void suspect_at(std::uint64_t position, std::uint32_t deaths, bool set_aside) {
    auto& at =
        reinterpret_cast<suspect*>(pages_.data() + where_->slot_count() * sizeof(errand_line))[0];
    at.position.publish(position);
    at.status.publish(SIGABRT);
    at.set_aside.publish(set_aside ? 1 : 0);
    at.deaths.publish(deaths);
  }
  void ask(errand what, std::uint32_t message) {
    auto& at = reinterpret_cast<errand_line*>(pages_.data())[worker_slot];
    at.what.publish(static_cast<std::uint32_t>(what));
    at.message.publish(message);
    at.number.publish(at.number.own() + 1);
  }
  void died_of_it() {
    auto& at = reinterpret_cast<errand_line*>(pages_.data())[worker_slot];
    at.status.publish(SIGSEGV);
    at.fatal.publish(at.number.own());
  }

 private:
  const segment* where_;
  mapping pages_;
};

std::string text_of(const quarantined& message) {
  return {reinterpret_cast<const char*>(message.bytes.data()), message.bytes.size()};
}
std::vector<std::string> texts_of(const segment& where) {
  std::vector<std::string> out;
  for (const quarantined& each : quarantine_of(where, worker_slot)) out.push_back(text_of(each));
  return out;
}

// Sets the front of the worker's lane aside, staged.
void stage_aside(slot& worker) {
  message_view view;
  turn_input* from = worker.incoming().next(view);
  ASSERT_NE(from, nullptr);
  ASSERT_TRUE(worker.held().is_due(*from));
  worker.held().set_aside(*from, view, "test.Raw", "quarantine_bytes");
  worker.incoming().taken(*from);
}

class QuarantineTest : public testing::Test {
 protected:
  QuarantineTest() : where_(make_segment()), supervisor_(where_) {}

  std::uint64_t front() const {
    std::uint64_t seen = 0;
    versioned<3>::values taken{};
    EXPECT_TRUE(where_.input_of(where_.lane(0))
                    .taken.read(where_.control_of(worker_slot).commit, taken, seen));
    return taken[0];
  }
  // A message that ends up in the quarantine.
  void put_aside(slot& feeder, std::optional<slot>& worker, const std::string& payload) {
    ASSERT_EQ(send(feeder, 0, payload), status::ok);
    worker.reset();
    supervisor_.suspect_at(front(), 3, true);
    worker.emplace(where_, worker_slot);
    stage_aside(*worker);
    worker->the_turn().commit();
  }

  segment where_;
  clerk supervisor_;
};

TEST_F(QuarantineTest, TakesAMessageWithItsBytesAndTheLaneGoesOn) {
  slot feeder(where_, feeder_slot);
  std::optional<slot> worker(std::in_place, where_, worker_slot);
  put_aside(feeder, worker, "poison");
  ASSERT_EQ(send(feeder, 0, "fine"), status::ok);
  EXPECT_EQ(drain(*worker), std::vector<std::string>{"fine"});
  const auto all = quarantine_of(where_, worker_slot);
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(text_of(all[0]), "poison");
  EXPECT_EQ(all[0].number, 1U);
  EXPECT_EQ(all[0].kind, raw_kind);
  EXPECT_STREQ(all[0].type, "test.Raw");
  EXPECT_EQ(all[0].deaths, 3U);
  EXPECT_EQ(all[0].status, static_cast<std::uint32_t>(SIGABRT));
  EXPECT_EQ(all[0].writer_slot, feeder_slot);
  EXPECT_EQ(all[0].position, 0U);
  EXPECT_GT(all[0].stamp, 0U);
  const lane_status lane = lanes_of(where_)[0];
  EXPECT_TRUE(lane.balanced);
  EXPECT_EQ(lane.dropped, 1U);
  EXPECT_EQ(lane.delivered, 1U);
  EXPECT_TRUE(is_quiet(where_));
}

TEST_F(QuarantineTest, WithoutRoomNothingChanges) {
  slot feeder(where_, feeder_slot);
  std::optional<slot> worker(std::in_place, where_, worker_slot);
  put_aside(feeder, worker, std::string(2000, 'a'));
  ASSERT_EQ(send(feeder, 0, std::string(2000, 'b')), status::ok);
  worker.reset();
  supervisor_.suspect_at(front(), 3, true);
  worker.emplace(where_, worker_slot);
  message_view view;
  turn_input* from = worker->incoming().next(view);
  ASSERT_NE(from, nullptr);
  try {
    worker->held().set_aside(*from, view, {}, "some_key");
    FAIL() << "there was room";
  } catch (const error& failure) {
    EXPECT_EQ(failure.code(), error_code::bad_input);
    const std::string text = failure.what();
    EXPECT_NE(text.find("raise some_key"), text.npos) << text;
    EXPECT_NE(text.find("2,000 bytes"), text.npos) << text;
  }
  EXPECT_TRUE(worker->the_turn().is_empty());
  EXPECT_EQ(texts_of(where_).size(), 1U);
  EXPECT_EQ(lanes_of(where_)[0].in_flight, 1U);
}

TEST_F(QuarantineTest, AnAbortedTurnLeavesItAsItWas) {
  slot feeder(where_, feeder_slot);
  std::optional<slot> worker(std::in_place, where_, worker_slot);
  put_aside(feeder, worker, "one");
  worker->held().remove(1, true);
  worker->the_turn().abort();
  EXPECT_EQ(texts_of(where_), std::vector<std::string>{"one"});
  EXPECT_EQ(lanes_of(where_)[0].dropped, 1U);
  message_view view;
  EXPECT_TRUE(worker->held().find(1, view));
  EXPECT_EQ(payload_of(view), "one");
}

TEST_F(QuarantineTest, IsCarefulUntilTheSuspectIsPassed) {
  slot feeder(where_, feeder_slot);
  for (const char* each : {"a", "b", "c"}) ASSERT_EQ(send(feeder, 0, each), status::ok);
  supervisor_.suspect_at(64, 1, false);
  slot worker(where_, worker_slot);
  std::string payload;
  for (const bool careful : {true, true, false}) {
    EXPECT_EQ(worker.held().is_careful(), careful);
    message_view view;
    turn_input* from = worker.incoming().next(view);
    ASSERT_NE(from, nullptr);
    EXPECT_FALSE(worker.held().is_due(*from));
    ASSERT_TRUE(take_one(worker, payload));
    worker.the_turn().commit();
  }
}

TEST_F(QuarantineTest, BehavesLikeAListThroughAThousandChanges) {
  std::mt19937 random(11);
  slot feeder(where_, feeder_slot);
  std::optional<slot> worker(std::in_place, where_, worker_slot);
  std::map<std::uint64_t, std::string> model;
  std::uint64_t last = 0;
  std::uint64_t gone = 0;
  for (int i = 0; i < 1000; ++i) {
    const bool abort = random() % 4 == 0;
    if (model.size() < 4 && random() % 2 == 0) {
      const std::string payload(random() % 400, static_cast<char>('a' + random() % 26));
      put_aside(feeder, worker, payload);
      model[++last] = payload;
    } else if (!model.empty()) {
      auto chosen = model.begin();
      std::advance(chosen, random() % model.size());
      const bool handled = random() % 2 == 0;
      worker->held().remove(chosen->first, handled);
      if (abort) {
        worker->the_turn().abort();
      } else {
        worker->the_turn().commit();
        gone += handled ? 1 : 0;
        model.erase(chosen);
      }
    }
    std::vector<std::string> expected;
    for (const auto& [number, payload] : model) expected.push_back(payload);
    ASSERT_EQ(texts_of(where_), expected);
    const lane_status lane = lanes_of(where_)[0];
    ASSERT_EQ(lane.dropped, last - gone);
    ASSERT_EQ(lane.delivered, gone);
    ASSERT_TRUE(lane.balanced);
  }
  EXPECT_GT(last, 200U);
}

// Q2
TEST_F(QuarantineTest, AReaderBesideItSeesCommittedListsOnly) {
  slot feeder(where_, feeder_slot);
  std::optional<slot> worker(std::in_place, where_, worker_slot);
  for (const char each : {'a', 'b', 'c'}) put_aside(feeder, worker, std::string(300, each));
  std::atomic<bool> over = false;
  std::thread reader([&] {
    while (!over) {
      const auto all = quarantine_of(where_, worker_slot);
      ASSERT_EQ(all.size(), 3U);
      for (const quarantined& each : all) {
        ASSERT_EQ(text_of(each), std::string(300, static_cast<char>('a' + each.number - 1)));
      }
      ASSERT_EQ(all[0].deaths, all[1].deaths);
    }
  });
  for (int i = 0; i < 20'000; ++i) {
    // Both in one turn, in two rewrites.
    worker->held().blame(1);
    worker->held().blame(2);
    worker->the_turn().commit();
  }
  over = true;
  reader.join();
}

// ---- killed at every change ----

using memory = std::vector<std::byte>;

struct deed {
  const char* name;
  std::function<void(clerk&)> prepare;
  std::function<void(slot&)> act;
  // What is to be seen, before and after.
  std::vector<std::string> held_before;
  std::vector<std::string> held_after;
  std::uint64_t total_after;
  std::uint64_t dropped_before;
  std::uint64_t dropped_after;
};

std::uint64_t total_of(const segment& where) {
  std::uint64_t total = 0;
  each_cell(where, worker_slot, [&](const cell_view& cell) {
    if (cell.name == "total") total = cell.value[0];
  });
  return total;
}

std::string wrong_in(const segment& where, const deed& what, bool after) {
  const auto& held = after ? what.held_after : what.held_before;
  if (texts_of(where) != held) return "the quarantine holds something else";
  if (total_of(where) != (after ? what.total_after : 0)) return "the cell has another value";
  const lane_status lane = lanes_of(where)[0];
  if (!lane.balanced || !lane.settled) return "the lane does not add up";
  if (lane.dropped != (after ? what.dropped_after : what.dropped_before)) {
    return "dropped is " + std::to_string(lane.dropped);
  }
  return {};
}

void inquire(const deed& what) {
#if defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "ThreadSanitizer has nothing to say of one thread";
#endif
  const watchdog guard(std::chrono::seconds(220), what.name);
  const segment live = make_segment();
  const segment copy = make_segment();
  const mapping live_all = live.map(0, live.header().segment_bytes);
  const mapping copy_all = copy.map(0, copy.header().segment_bytes);
  const std::size_t bytes = live.header().segment_bytes;
  clerk supervisor(live);
  {
    slot feeder(live, feeder_slot);
    send(feeder, 0, "held before");
    send(feeder, 0, "poison");
    send(feeder, 0, "innocent");
    supervisor.suspect_at(0, 3, true);
    slot worker(live, worker_slot);
    worker.cells().cell<counter>("total").add(worker.the_turn(), 0);
    stage_aside(worker);
    worker.the_turn().commit();
  }
  what.prepare(supervisor);
  const std::uint64_t commit_before = live.control_of(worker_slot).commit.observe();

  std::vector<memory> moments;
  {
    std::optional<slot> worker;
    stepped_child child([&] { worker.emplace(live, worker_slot); }, [&] { what.act(*worker); });
    memory now(live_all.data(), live_all.data() + bytes);
    moments.push_back(now);
    while (child.step()) {
      if (std::memcmp(now.data(), live_all.data(), bytes) == 0) continue;
      std::memcpy(now.data(), live_all.data(), bytes);
      moments.push_back(now);
    }
    child.kill();
  }
  std::size_t committed = 0;
  for (std::size_t i = 0; i < moments.size(); ++i) {
    std::memcpy(copy_all.data(), moments[i].data(), bytes);
    const bool after = copy.control_of(worker_slot).commit.observe() != commit_before;
    committed += after ? 1 : 0;
    ASSERT_EQ(wrong_in(copy, what, after), "") << what.name << ", change " << i;
    slot worker(copy, worker_slot);
    ASSERT_EQ(wrong_in(copy, what, after), "") << what.name << ", recovered at change " << i;
    if (!after) what.act(worker);
    ASSERT_EQ(wrong_in(copy, what, true), "") << what.name << ", done over at change " << i;
    EXPECT_FALSE(worker.held().has_errand() && after) << "an answered errand would be done again";
    const auto rest = drain(worker);
    ASSERT_EQ(rest.back(), "innocent") << what.name << ", change " << i;
  }
  EXPECT_GT(committed, 0U);
  EXPECT_LT(committed, moments.size());
  std::printf("%s: %zu states judged\n", what.name, moments.size());
}

TEST(QuarantineCrash, SettingAside) {
  inquire({"set aside",
           [](clerk& supervisor) { supervisor.suspect_at(64, 3, true); },
           [](slot& worker) {
             stage_aside(worker);
             worker.the_turn().commit();
           },
           {"held before"},
           {"held before", "poison"},
           0,
           1,
           2});
}

TEST(QuarantineCrash, Retrying) {
  inquire({"retry",
           [](clerk& supervisor) { supervisor.ask(errand::retry, 1); },
           [](slot& worker) {
             message_view view;
             ASSERT_TRUE(worker.held().find(1, view));
             worker.the_turn().take_again(view, 1);
             worker.cells().cell<counter>("total").add(worker.the_turn(), 1);
             worker.held().remove(1, true);
             worker.held().answer(errand_answer::done);
             worker.the_turn().commit();
           },
           {"held before"},
           {},
           1,
           1,
           0});
}

TEST(QuarantineCrash, Dropping) {
  inquire({"drop",
           [](clerk& supervisor) { supervisor.ask(errand::drop, 1); },
           [](slot& worker) {
             worker.held().remove(1, false);
             worker.held().answer(errand_answer::done);
             worker.the_turn().commit();
           },
           {"held before"},
           {},
           0,
           1,
           1});
}

TEST(QuarantineCrash, BlamingARetry) {
  inquire({"blame",
           [](clerk& supervisor) {
             supervisor.ask(errand::retry, 1);
             supervisor.died_of_it();
           },
           [](slot& worker) {
             ASSERT_TRUE(worker.held().next_errand().killed);
             worker.held().blame(1);
             worker.held().answer(errand_answer::killed);
             worker.the_turn().commit();
           },
           {"held before"},
           {"held before"},
           0,
           1,
           1});
}

}  // namespace
}  // namespace cyto::test
