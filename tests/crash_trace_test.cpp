// A worker is killed at the instructions of a turn that is traced, with updates under way to it and
// from it: the trace can be read at once, goes on with the successor, and tells of each message
// once, whether the end of the turn was noted or not.
#include <gtest/gtest.h>

#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "cyto/tracing.hpp"
#include "support/inquiry.hpp"
#include "support/process.hpp"
#include "support/stepped.hpp"
#include "support/system.hpp"
#include "support/watchdog.hpp"
#include "trace_check.hpp"
#include "trace_formats.hpp"
#include "trace_turns.hpp"

namespace cyto::test {
namespace {

enum traced_slot : unsigned { feeder_slot, worker_slot, left_slot, right_slot };
constexpr std::uint64_t ring_events = 128;

segment traced_segment() {
  segment_plan plan =
      small_plan({"feeder", "worker", "left", "right"}, {{0, 1}, {1, 2}, {1, 3}, {3, 1}});
  for (slot_plan& each : plan.slots) each.trace_bytes = ring_events * sizeof(flight_event);
  segment made = segment::create(plan);
  const mapping pages = made.map_board();
  reinterpret_cast<board*>(pages.data())->tracing.publish(1);
  return made;
}

// Takes two messages at most and tells both others of each.
bool act(slot& worker) {
  std::string payload;
  bool any = false;
  for (int i = 0; i < 2 && take_one(worker, payload); ++i) {
    any = true;
    for (const std::size_t lane : {0U, 1U}) stage(worker, lane, payload + "!");
  }
  if (any) worker.the_turn().commit();
  return any;
}

class trace_of_all {
 public:
  explicit trace_of_all(const segment& where) : where_(&where), seen_(where.slot_count()) {
    for (std::uint32_t i = 0; i < where.slot_count(); ++i) readers_.emplace_back(where, i, 1);
  }

  // What is wrong with what can be read now; empty: nothing.
  std::string judge(bool is_window) {
    for (std::size_t i = 0; i < readers_.size(); ++i) {
      if (!readers_[i].read(seen_[i])) return "a reader is not at its end";
      if (readers_[i].missed() != 0) return "events are missing";
      for (std::size_t k = 1; k < seen_[i].size(); ++k) {
        if (seen_[i][k].number != seen_[i][k - 1].number + 1) return "a number is left out";
      }
    }
    std::istringstream text(tools::jsonl_of(tools::turns_of(*where_, seen_)));
    verdict_ = tools::check_trace(tools::read_trace(text, "test"), is_window);
    return verdict_.first.empty() ? "" : verdict_.first[0].law + ": " + verdict_.first[0].text;
  }
  [[nodiscard]] const tools::trace_verdict& verdict() const { return verdict_; }

 private:
  const segment* where_;
  std::vector<flight_reader> readers_;
  std::vector<std::vector<flight_entry>> seen_;
  tools::trace_verdict verdict_;
};

// Two messages wait for the worker from one side, one from the other.
struct neighbours {
  explicit neighbours(const segment& where) : feeder(where, feeder_slot), right(where, right_slot) {
    send(feeder, 0, "zeroth");
    send(feeder, 0, "first");
    send(right, 0, "second");
  }
  slot feeder;
  slot right;
};

// After how many instructions the turn has happened.
std::uint64_t instructions_to_commit() {
  const segment where = traced_segment();
  const neighbours all(where);
  std::unique_ptr<slot> worker;
  stepped_child child([&] { worker = std::make_unique<slot>(where, worker_slot); },
                      [&] { act(*worker); });
  const auto word = [&] { return where.control_of(worker_slot).commit.observe(); };
  const std::uint64_t before = word();
  while (word() == before && child.step()) continue;
  return child.steps();
}

TEST(CrashTrace, AtAnyInstructionOfATracedTurnTheTraceTellsOfEachMessageOnce) {
  CYTO_SKIP_UNDER_TSAN();
  const watchdog guard(std::chrono::seconds(is_full() ? 1800 : 150), name_of_test());
  // Each instruction about the commit and the note of it; elsewhere as many as there is time for.
  const std::uint64_t commit_at = instructions_to_commit();
  const std::uint64_t stride = sanitized ? 2'003 : is_full() ? 1 : 61;
  const auto after = [&](std::uint64_t point) {
    const bool is_near = !sanitized && point + 16 >= commit_at && point < commit_at + 80;
    return point + (is_near ? 1 : stride);
  };
  tally sum;
  bool is_over = false;
  std::uint64_t undone = 0;
  for (std::uint64_t kill_at = (commit_at - 16) % stride; !is_over; kill_at = after(kill_at)) {
    const segment where = traced_segment();
    trace_of_all trace(where);
    {
      neighbours both(where);
      std::unique_ptr<slot> worker;
      {
        stepped_child child([&] { worker = std::make_unique<slot>(where, worker_slot); },
                            [&] { act(*worker); });
        for (std::uint64_t i = 0; i < kill_at && !is_over; ++i) is_over = !child.step();
        sum.instructions += child.steps();
        child.kill();
      }
      ASSERT_EQ(trace.judge(true), "") << "after " << kill_at << " instructions, at once";
      slot successor(where, worker_slot);
      while (act(successor)) continue;
      slot left(where, left_slot);
      EXPECT_EQ(drain(left).size(), 3U);
      EXPECT_EQ(drain(both.right).size(), 3U);
    }
    ++sum.kills;
    ++sum.judged;
    ASSERT_EQ(trace.judge(false), "") << "after " << kill_at << " instructions";
    const tools::trace_verdict& told = trace.verdict();
    ASSERT_EQ(told.sent, 3U + 6U) << "after " << kill_at << " instructions";
    ASSERT_EQ(told.delivered, 3U + 6U) << "after " << kill_at << " instructions";
    undone += told.undone;
  }
  EXPECT_GT(sum.kills, sanitized ? 3U : 20U);
  EXPECT_GT(undone, 0U) << "no turn was cut off";
}

}  // namespace
}  // namespace cyto::test
