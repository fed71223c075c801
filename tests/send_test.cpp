// What becomes of a message that is sent: to several at once, along lanes that refuse or drop.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "cyto/observe.hpp"
#include "support/system.hpp"
#include "update_generated.h"

namespace cyto::test {
namespace {

// Of the messages in a slot's lanes the bytes of their cells.
std::vector<std::string> cells_in(slot& of) {
  std::vector<std::string> out;
  message_view view;
  while (turn_input* from = of.incoming().next(view)) {
    const auto* update = open_message<Update>(view);
    out.push_back(update == nullptr ? "broken"
                                    : std::string(update->cell()->begin(), update->cell()->end()));
    turn::consume(*from, view);
    of.incoming().taken(*from);
  }
  of.the_turn().commit();
  return out;
}

status send_to_all(slot& from, const std::vector<turn_output*>& to, std::size_t bytes) {
  return from.the_turn().send<Update>(
      std::span<turn_output* const>(to), [&](flatbuffers::FlatBufferBuilder& fbb) {
        const std::vector<std::uint8_t> cell(bytes, 'c'), value{1, 2, 3};
        const auto first = fbb.CreateVector(cell);
        return CreateUpdate(fbb, first, fbb.CreateVector(value));
      });
}

TEST(Send, OneMessageGoesToSeveralAtOnce) {
  small_system system({"f", "a", "b", "c"}, {{0, 1}, {0, 2}, {0, 3}}, {64 * 1024, 4096});
  slot f(system.where, 0), a(system.where, 1), b(system.where, 2), c(system.where, 3);
  const auto all = f.the_turn().outputs();
  const std::vector<turn_output*> to{all[0].get(), all[1].get(), all[1].get(), all[2].get()};
  // Copied, and built in the ring of the first.
  for (const std::size_t bytes : {10U, 1'000U, 9'000U}) {
    const std::string one(bytes, 'c');
    ASSERT_EQ(send_to_all(f, to, bytes), status::ok);
    EXPECT_TRUE(cells_in(a).empty() && cells_in(b).empty() && cells_in(c).empty());
    f.the_turn().commit();
    EXPECT_EQ(cells_in(a), std::vector<std::string>{one});
    EXPECT_EQ(cells_in(b), (std::vector<std::string>{one, one}));
    EXPECT_EQ(cells_in(c), std::vector<std::string>{one});
  }
  EXPECT_EQ(send_to_all(f, {}, 10), status::ok);
}

TEST(Send, OfALaneThatIsFullTheOthersAreNotSentToEither) {
  small_system system({"f", "a", "b"}, {{0, 1}, {0, 2}});
  slot f(system.where, 0), a(system.where, 1), b(system.where, 2);
  const std::string filler(1'000, 'x');
  while (send(f, 1, filler) == status::ok) continue;
  const auto all = f.the_turn().outputs();
  EXPECT_EQ(send_to_all(f, {all[0].get(), all[1].get()}, 1'000), status::full);
  EXPECT_EQ(f.the_turn().fault(), turn_fault::lane_full);
  f.the_turn().abort();
  EXPECT_TRUE(cells_in(a).empty());
}

TEST(Send, LaneThatRefusesOrDropsLeavesTheRestOfTheTurn) {
  for (const full_policy policy : {full_policy::refuse, full_policy::drop_newest}) {
    segment_plan plan = small_plan({"f", "a", "b"}, {{0, 1}, {0, 2}});
    plan.lanes[1].policy = policy;
    const segment where = segment::create(plan);
    slot f(where, 0), a(where, 1), b(where, 2);
    const std::string filler(1'000, 'x');
    std::uint64_t accepted = 0;
    for (; send(f, 1, filler) == status::ok; ++accepted) continue;
    const auto all = f.the_turn().outputs();
    const bool drops = policy == full_policy::drop_newest;
    EXPECT_EQ(send_to_all(f, {all[1].get(), all[0].get()}, 1'000),
              drops ? status::dropped : status::full);
    EXPECT_EQ(f.the_turn().fault(), turn_fault::none);
    f.the_turn().commit();
    EXPECT_EQ(cells_in(a).size(), 1U);
    lane_status lane = lane_of(where, 1);
    EXPECT_EQ(lane.accepted, accepted);
    EXPECT_EQ(lane.no_room, drops ? 1U : 0U);
    EXPECT_EQ(lane.refused, drops ? 0U : 1U);
    // Of a turn that does not commit nothing is counted.
    EXPECT_NE(stage(f, 1, filler), status::ok);
    EXPECT_FALSE(f.the_turn().is_empty());
    f.the_turn().abort();
    lane = lane_of(where, 1);
    EXPECT_EQ(lane.no_room + lane.refused, 1U);
    EXPECT_TRUE(lane.balanced);
  }
}

}  // namespace
}  // namespace cyto::test
