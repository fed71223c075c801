// A worker is killed at the instructions of turns that hold messages, drop the oldest and move the
// others on: each message is then in one place, in order, and each loss was counted once.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "cyto/observe.hpp"
#include "support/inquiry.hpp"
#include "support/process.hpp"
#include "support/stepped.hpp"
#include "support/system.hpp"
#include "support/watchdog.hpp"

namespace cyto::test {
namespace {

enum crash_slot : unsigned { feeder_slot, worker_slot, sink_slot };

// feeder -> worker -> sink, and what the worker holds for the sink.
segment_plan plan() {
  segment_plan out = small_plan({"feeder", "worker", "sink"}, {{0, 1}, {1, 2}});
  out.lanes[1].policy = full_policy::drop_oldest;
  out.lanes.push_back({worker_slot, worker_slot, lane_bytes_min, lane_purpose::held});
  out.lanes.back().beside = 1;
  return out;
}

std::string message(const std::string& name, std::size_t bytes = 1'000) {
  return name + std::string(bytes - name.size(), '.');
}
std::string name_of(const std::string& payload) { return payload.substr(0, payload.find('.')); }

// Three messages fill the sink's lane; so many are sent after them, and one waits for the worker.
void set_scene(const segment& where, int held, std::size_t bytes) {
  slot feeder(where, feeder_slot), worker(where, worker_slot);
  for (const char* each : {"l1", "l2", "l3"}) send(worker, 0, message(each));
  for (int i = 1; i <= held; ++i) send(worker, 0, message("h" + std::to_string(i), bytes));
  send(feeder, 0, "in");
}

// The message that waits is handled, and answered.
void answer(slot& worker) {
  turn& in = worker.the_turn();
  message_view view;
  turn_input* from = worker.incoming().next(view);
  in.take(*from, view);
  const std::string reply = message("new");
  in.send_bytes(*in.outputs()[0], reply.data(), static_cast<std::uint32_t>(reply.size()), raw_kind);
  if (in.fault() != turn_fault::none) {
    turn_output* lane = in.fault_lane();
    const std::uint64_t bytes = in.fault_ring_bytes();
    in.abort();
    worker.incoming().reset();
    in.give_up_oldest(*lane, bytes);
    return answer(worker);
  }
  turn::consume(*from, view);
  worker.incoming().taken(*from);
  in.commit();
}

void move_on(slot& worker) { worker.the_turn().move_held(); }

// What stands where, as a successor finds it.
std::string found_in(const segment& where) {
  std::string out;
  slot worker(where, worker_slot), sink(where, sink_slot);
  for (const lane_status& each : lanes_of(where)) {
    if (!each.balanced) out += each.name + " is not balanced; ";
  }
  const lane_status held = lane_of(where, 2);
  out += "dropped " + std::to_string(held.dropped) + "; lane";
  for (const std::string& each : drain(sink)) out += " " + name_of(each);
  out += "; held";
  turn& in = worker.the_turn();
  // What the lane has no room for comes after what it has.
  for (bool more = true; more;) {
    more = in.move_held();
    for (const std::string& each : drain(sink)) out += " " + name_of(each);
  }
  out += "; waits";
  for (const std::string& each : drain(worker)) out += " " + each;
  return out;
}

struct deed {
  const char* name;
  int held;           // Before it.
  std::size_t bytes;  // Of each of these.
  bool is_drained;    // Whether the sink has taken all before it.
  void (*act)(slot& worker);
  std::vector<std::string> states;  // In which it can be found: before, on the way, after it.
};

void PrintTo(const deed& what, std::ostream* to) { *to << what.name; }

constexpr std::uint64_t to_the_end = ~std::uint64_t{0};

class CrashHeld : public testing::TestWithParam<deed> {};

TEST_P(CrashHeld, AtAnyInstructionEachMessageIsInOnePlaceAndEachLossIsCountedOnce) {
  CYTO_SKIP_UNDER_TSAN();
  const watchdog guard(std::chrono::seconds(is_full() ? 1800 : 150), name_of_test());
  const deed& tried = GetParam();
  const auto set = [&] {
    segment where = segment::create(plan());
    set_scene(where, tried.held, tried.bytes);
    if (tried.is_drained) {
      slot sink(where, sink_slot);
      EXPECT_EQ(drain(sink).size(), 3U);
    }
    return where;
  };
  tally sum;
  const auto act = [&](const segment& where, std::uint64_t instructions_max) {
    std::unique_ptr<slot> worker;
    stepped_child child([&] { worker = std::make_unique<slot>(where, worker_slot); },
                        [&] { tried.act(*worker); });
    const std::uint64_t instructions = child.step_at_most(instructions_max);
    sum.instructions += instructions;
    child.kill();
    return instructions;
  };
  // Steps go with the square of the instructions, of which a sanitizer makes many times more. How
  // many there are before a commit differs by some from one time to the next, as the heap looks.
  for (const std::uint64_t kill_at : kill_points(act(set(), to_the_end), sanitized ? 5 : 30)) {
    const segment where = set();
    act(where, kill_at);
    ++sum.kills;
    ++sum.judged;
    const std::string found = found_in(where);
    if (kill_at == 0) {
      ASSERT_EQ(found, tried.states.front());
    } else if (kill_at == to_the_end) {
      ASSERT_EQ(found, tried.states.back());
    }
    ASSERT_THAT(tried.states, testing::Contains(found))
        << "killed after " << kill_at << " instructions";
  }
}

std::string from_to(int first, int last) {
  std::string out;
  for (int i = first; i <= last; ++i) out += " h" + std::to_string(i);
  return out;
}

// What small messages find room behind the large ones.
const std::string lane = "lane l1 l2 l3" + from_to(1, 7);

INSTANTIATE_TEST_SUITE_P(
    Deeds, CrashHeld,
    testing::Values(deed{"holds",
                         1,
                         1'000,
                         false,
                         answer,
                         {"dropped 0; lane l1 l2 l3; held h1; waits in",
                          "dropped 0; lane l1 l2 l3; held h1 new; waits"}},
                    deed{"drops",
                         2,
                         1'000,
                         false,
                         answer,
                         {"dropped 0; lane l1 l2 l3; held h1 h2; waits in",
                          "dropped 1; lane l1 l2 l3; held h2 new; waits"}},
                    deed{"makes_room_first",
                         40,
                         100,
                         false,
                         answer,
                         {"dropped 3; " + lane + "; held" + from_to(11, 40) + "; waits in",
                          "dropped 10; " + lane + "; held" + from_to(18, 40) + "; waits in",
                          "dropped 18; " + lane + "; held" + from_to(26, 40) + " new; waits"}},
                    deed{"moves",
                         2,
                         1'000,
                         true,
                         move_on,
                         {"dropped 0; lane; held h1 h2; waits in",
                          "dropped 0; lane h1 h2; held; waits in"}}),
    [](const testing::TestParamInfo<deed>& each) { return std::string(each.param.name); });

}  // namespace
}  // namespace cyto::test
