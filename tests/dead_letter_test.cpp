// What a worker counts of the messages that had made too many hops.
#include <gtest/gtest.h>

#include <map>
#include <string>

#include "cyto/observe.hpp"
#include "support/system.hpp"

namespace cyto::test {
namespace {

TEST(DeadCounts, AreByRouteAndKindAndExactWhoeverDies) {
  segment_plan plan = small_plan({"feeder", "worker", "a", "b"}, {{0, 1}, {1, 2}, {1, 3}});
  plan.lanes[1].hops_max = plan.lanes[2].hops_max = 1;
  const segment where = segment::create(plan);
  std::map<std::string, std::uint64_t> expected;
  std::uint64_t others = 0;
  for (std::uint32_t round = 0; round < 3; ++round) {
    slot worker(where, 1);
    turn& in = worker.the_turn();
    for (std::uint32_t kind = 10; kind < 20; ++kind) {
      message_view far;
      far.hops = 5;
      for (std::size_t to = 0; to < 2; ++to) {
        in.take(*in.inputs()[0], far);
        EXPECT_EQ(in.send_bytes(*in.outputs()[to], "x", 1, kind), status::dropped);
      }
      if (kind == 15) {
        in.abort();  // And is not counted.
        continue;
      }
      in.commit();
      // There is room for 16 of the 18 routes and kinds.
      if (kind < 19) {
        ++expected["a " + std::to_string(kind)];
        ++expected["b " + std::to_string(kind)];
      } else {
        others += 2;
      }
    }
    in.take(*in.inputs()[0], message_view{nullptr, 0, 0, 5, 0});
    (void)in.send_bytes(*in.outputs()[0], "x", 1, 10);  // Dies with its turn.
  }
  std::map<std::string, std::uint64_t> found;
  std::uint64_t found_others = 0;
  for (const dead_count& each : dead_counts_of(where, 1)) {
    EXPECT_EQ(each.from, "worker");
    if (each.kind == dead_kind_other) {
      found_others += each.count;
    } else {
      found[each.to + " " + std::to_string(each.kind)] = each.count;
    }
  }
  EXPECT_EQ(found, expected);
  EXPECT_EQ(found_others, others);
  EXPECT_GT(others, 0U);
}

}  // namespace
}  // namespace cyto::test
