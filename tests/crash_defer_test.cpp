// A worker is killed at the instructions of a turn in which it defers messages, buries one and
// drops one: each message is then in one place, once, and what was counted was counted once.
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cyto/observe.hpp"
#include "rehearsal.hpp"
#include "support/inquiry.hpp"
#include "support/process.hpp"
#include "support/stepped.hpp"
#include "support/system.hpp"
#include "support/watchdog.hpp"

namespace cyto::test {
namespace {

enum defer_slot : unsigned { feeder_slot, worker_slot, sink_slot };

// feeder -> worker, worker -> sink which drops what has no room and takes 3 hops, and the worker's
// own lanes.
segment_plan plan() {
  segment_plan out = small_plan({"feeder", "worker", "sink"}, {{0, 1}, {1, 2}});
  out.lanes[1].policy = full_policy::drop_newest;
  out.lanes[1].hops_max = 3;
  out.lanes.push_back({worker_slot, worker_slot, 8192, lane_purpose::deferred});
  out.lanes.push_back({worker_slot, worker_slot, lane_bytes_min, lane_purpose::dead_letters});
  return out;
}

std::vector<std::string> drain_deferred(slot& of) {
  std::vector<std::string> out;
  message_view view;
  turn& in = of.the_turn();
  while (turn_input* from = in.deferred_front(view)) {
    in.take(*from, view);
    out.push_back(payload_of(view));
    turn::consume(*from, view);
  }
  if (!out.empty()) in.commit();
  return out;
}

// Two messages wait for the worker, another is deferred already; the sink has no room.
void set_scene(const segment& where) {
  slot feeder(where, feeder_slot), worker(where, worker_slot);
  for (const char* each : {"zeroth", "first", "second"}) send(feeder, 0, each);
  message_view view;
  turn_input* from = worker.incoming().next(view);
  ASSERT_TRUE(from != nullptr && worker.the_turn().defer(*from, view));
  worker.incoming().taken(*from);
  worker.the_turn().commit();
  const std::string filler(1000, 'x');
  while (send(worker, 0, filler) == status::ok) continue;
}

// The turn that is killed.
void act(slot& worker, message_view& view) {
  turn& in = worker.the_turn();
  for (int i = 0; i < 2; ++i) {
    turn_input* from = worker.incoming().next(view);
    (void)in.defer(*from, view);
    worker.incoming().taken(*from);
  }
  // Handles the one that was deferred before: too large for the sink's lane now, and then, as one
  // that has come a long way, over its limit.
  turn_input* from = in.deferred_front(view);
  in.take(*from, view);
  const std::string reply(1000, 'y');
  in.send_bytes(*in.outputs()[0], reply.data(), 1000, raw_kind);
  view.hops = 7;
  in.take(*from, view);
  in.send_bytes(*in.outputs()[0], reply.data(), 10, raw_kind);
  turn::consume(*from, view);
  in.commit();
}

// What is wrong with what the successor finds; empty: nothing.
std::string judge(const segment& where) {
  slot worker(where, worker_slot);
  const std::vector<lane_status> lanes = lanes_of(where);
  std::vector<std::string> found = drain_deferred(worker);
  for (const std::string& each : drain(worker)) found.push_back("lane " + each);
  const bool happened = found.empty() || found[0] != "zeroth";
  const std::vector<std::string> before{"zeroth", "lane first", "lane second"};
  const std::vector<std::string> after{"first", "second"};
  if (found != (happened ? after : before)) {
    std::string text = "found";
    for (const std::string& each : found) text += " '" + each + "'";
    return text;
  }
  if (lanes[1].no_room != (happened ? 1U : 0U))
    return "no_room " + std::to_string(lanes[1].no_room);
  if (lanes[1].over_hops != (happened ? 1U : 0U)) return "over_hops";
  const auto letters = dead_letters_of(where, worker_slot);
  if (letters.size() != (happened ? 1U : 0U)) return "dead letters";
  if (happened && (letters[0].hops != 8 || letters[0].size != 10 || letters[0].to != "sink" ||
                   letters[0].bytes != std::vector<std::byte>(10, std::byte{'y'}))) {
    return "another dead letter";
  }
  for (const lane_status& each : lanes_of(where)) {
    if (!each.balanced) return each.name + " is not balanced";
  }
  return {};
}

// A program that is to take over is tried with a copy of the slot, whose lanes are empty.
TEST(Rehearsal, LanesToOneselfAreEmptyInTheCopy) {
  const segment where = segment::create(plan());
  set_scene(where);
  {
    slot worker(where, worker_slot);
    message_view view;
    act(worker, view);  // Leaves two deferred, and a dead letter.
  }
  file made = copy_for_rehearsal(where, worker_slot);
  const segment copy = segment::attach(made.release());
  slot worker(copy, worker_slot);
  message_view view;
  EXPECT_EQ(worker.the_turn().deferred_front(view), nullptr);
  EXPECT_TRUE(dead_letters_of(copy, worker_slot).empty());
  EXPECT_EQ(dead_letters_of(where, worker_slot).size(), 1U);
}

TEST(CrashDefer, AtAnyInstructionEachMessageIsInOnePlaceAndEachLossIsCountedOnce) {
  CYTO_SKIP_UNDER_TSAN();
  const watchdog guard(std::chrono::seconds(is_full() ? 1800 : 150), name_of_test());
  const auto set = [] {
    segment where = segment::create(plan());
    set_scene(where);
    return where;
  };
  tally sum;
  const auto act_in = [&](const segment& where, std::uint64_t instructions_max) {
    std::unique_ptr<slot> worker;
    message_view view;
    stepped_child child([&] { worker = std::make_unique<slot>(where, worker_slot); },
                        [&] { act(*worker, view); });
    const std::uint64_t instructions = child.step_at_most(instructions_max);
    sum.instructions += instructions;
    child.kill();
    return instructions;
  };
  // Steps go with the square of the instructions, of which a sanitizer makes many times more.
  constexpr std::uint64_t to_the_end = ~std::uint64_t{0};
  for (const std::uint64_t kill_at : kill_points(act_in(set(), to_the_end), sanitized ? 5 : 30)) {
    const segment where = set();
    act_in(where, kill_at);
    ++sum.kills;
    ++sum.judged;
    const std::string wrong = judge(where);
    ASSERT_EQ(wrong, "") << "killed after " << kill_at << " instructions";
  }
}

}  // namespace
}  // namespace cyto::test
