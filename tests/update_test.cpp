// Updates of other workers' cells: their laws, what they set off, what is refused, and how they
// merge while they wait for room.
#include "cyto/update.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "cell_update_generated.h"
#include "cyto/observe.hpp"
#include "support/allocations.hpp"
#include "support/system.hpp"

namespace cyto::test {
namespace {

using testing::ElementsAre;

turn_output& lane(slot& of, std::size_t index = 0) { return *of.the_turn().outputs()[index]; }

// Takes the next message, applies it in a turn of its own, and drops it if it is refused.
std::optional<update_refusal> apply_one(slot& to, accepted_updates& by) {
  message_view view;
  turn& in = to.the_turn();
  turn_input* from = to.incoming().next(view);
  if (from == nullptr) return std::nullopt;
  in.take(*from, view);
  bool is_sound = false;
  const update_refusal why = by.apply(view, in, true, is_sound);
  if (why == update_refusal::none) {
    turn::consume(*from, view);
  } else {
    in.abort();
    to.incoming().reset();
    from = to.incoming().next(view);
    in.touch(*from);
    from->lane.drop(view);
  }
  to.incoming().taken(*from);
  in.commit();
  return why;
}
std::vector<update_refusal> apply_all(slot& to, accepted_updates& by) {
  std::vector<update_refusal> out;
  while (const auto why = apply_one(to, by)) out.push_back(*why);
  return out;
}

std::map<std::string, std::uint64_t> values_of(const segment& where, std::uint32_t slot_index) {
  std::map<std::string, std::uint64_t> out;
  each_cell(where, slot_index, [&](const cell_view& cell) {
    const bool is_set = cell.kind == static_cast<std::uint32_t>(cell_kind::last_writer);
    out[std::string(cell.name)] = cell.value[is_set ? 1 : 0];
  });
  return out;
}

TEST(Updates, EachLawChangesTheCellOfItsKindOnceItsTurnHasCommitted) {
  small_system system({"desk", "stock"}, {{0, 1}});
  slot desk(system.where, 0), stock(system.where, 1);
  accepted_updates by(stock.cells());
  by.of(new_cells::make);
  const updates change = update(desk.the_turn(), lane(desk));
  EXPECT_EQ(change.increment("tea", 3), status::ok);
  EXPECT_EQ(change.increment("tea", 4), status::ok);
  EXPECT_EQ(change.set("price", 9), status::ok);
  EXPECT_EQ(change.set("price", 7), status::ok);  // Of one turn, so of one stamp.
  EXPECT_EQ(change.raise("most", 5), status::ok);
  EXPECT_EQ(change.raise("most", 2), status::ok);
  EXPECT_EQ(change.lower("least", 5), status::ok);
  EXPECT_EQ(change.lower("least", 6), status::ok);
  EXPECT_EQ(change.insert("names", "a"), status::ok);
  EXPECT_EQ(change.insert("names", "b"), status::ok);
  EXPECT_EQ(change.insert("names", "a"), status::ok);
  EXPECT_TRUE(apply_all(stock, by).empty());
  desk.the_turn().commit();
  EXPECT_THAT(apply_all(stock, by), testing::Each(update_refusal::none));
  EXPECT_THAT(values_of(system.where, 1),
              ElementsAre(std::pair("least", 5U), std::pair("most", 5U), std::pair("names", 2U),
                          std::pair("price", 7U), std::pair("tea", 7U)));
}

TEST(Updates, OneGoesToSeveralInOneTurn) {
  small_system system({"desk", "a", "b"}, {{0, 1}, {0, 2}});
  slot desk(system.where, 0), a(system.where, 1), b(system.where, 2);
  const std::vector<turn_output*> both{&lane(desk, 0), &lane(desk, 1)};
  EXPECT_EQ(update(desk.the_turn(), std::span<turn_output* const>(both)).increment("n", 2),
            status::ok);
  desk.the_turn().commit();
  for (slot* each : {&a, &b}) {
    accepted_updates by(each->cells());
    by.of(new_cells::make);
    EXPECT_THAT(apply_all(*each, by), ElementsAre(update_refusal::none));
    EXPECT_EQ(values_of(system.where, each->index()).at("n"), 2U);
  }
}

TEST(Updates, OfTwoSetsTheLaterStampCountsWhicheverComesFirst) {
  small_system system({"early", "late", "stock"}, {{0, 2}, {1, 2}});
  slot early(system.where, 0), late(system.where, 1), stock(system.where, 2);
  accepted_updates by(stock.cells());
  by.of(new_cells::make);
  late.the_turn().see(1000);
  update(late.the_turn(), lane(late)).set("price", 1);
  late.the_turn().commit();
  EXPECT_EQ(apply_all(stock, by).size(), 1U);
  update(early.the_turn(), lane(early)).set("price", 2);
  early.the_turn().commit();
  EXPECT_EQ(apply_all(stock, by).size(), 1U);
  EXPECT_EQ(values_of(system.where, 2).at("price"), 1U);
  // The owner's own word is later than all that was merged.
  stock.cells().cell<last_writer>("price").set(stock.the_turn(), 3);
  stock.the_turn().commit();
  update(early.the_turn(), lane(early)).set("price", 4);
  early.the_turn().commit();
  EXPECT_EQ(apply_all(stock, by).size(), 1U);
  EXPECT_EQ(values_of(system.where, 2).at("price"), 3U);
}

TEST(Updates, WhatChangesACellCallsItsFunctionInTheSameTurn) {
  small_system system({"desk", "stock", "sink"}, {{0, 1}, {1, 2}});
  slot desk(system.where, 0), stock(system.where, 1), sink(system.where, 2);
  accepted_updates by(stock.cells()), next(sink.cells());
  next.of(new_cells::make);
  std::vector<std::string> called;
  by.of(new_cells::make)
      .on_change("most",
                 [&](turn& in, std::string_view cell) {
                   called.emplace_back(cell);
                   update(in, lane(stock)).increment("changes", 1);
                 })
      .on_change(
          [&](turn&, std::string_view cell) { called.push_back("any " + std::string(cell)); })
      .compute("double", [&](turn& in, std::string_view cell, std::string_view argument) {
        EXPECT_EQ(argument, "twice");
        const auto most = stock.cells().cell<maximum>(cell);
        most.merge(in, most.value() * 2);
      });
  const updates change = update(desk.the_turn(), lane(desk));
  change.raise("most", 5);
  change.raise("most", 4);  // Changes nothing.
  change.increment("tea", 1);
  change.compute("double", "most", "twice");
  desk.the_turn().commit();
  EXPECT_THAT(apply_all(stock, by), testing::Each(update_refusal::none));
  EXPECT_THAT(called, ElementsAre("most", "any tea", "most"));
  EXPECT_EQ(values_of(system.where, 1).at("most"), 10U);
  EXPECT_EQ(apply_all(sink, next).size(), 2U);
  EXPECT_EQ(values_of(system.where, 2).at("changes"), 2U);
}

TEST(Updates, WhatDoesNotFitIsRefusedAndChangesNothing) {
  small_system system({"desk", "stock"}, {{0, 1}});
  slot desk(system.where, 0), stock(system.where, 1);
  stock.cells().cell<counter>("tea").add(stock.the_turn(), 1);
  stock.the_turn().commit();
  accepted_updates by(stock.cells());
  turn& in = desk.the_turn();
  const updates change = update(in, lane(desk));
  change.increment("coffee", 1);
  change.set("tea", 9);
  change.compute("nothing", "tea", {});
  const auto raw = [&](std::uint8_t law, std::uint64_t stamp, std::uint32_t writer) {
    in.send<CellUpdate>(lane(desk), [&](flatbuffers::FlatBufferBuilder& fbb) {
      const std::vector<std::uint8_t> cell{'t', 'e', 'a'};
      return CreateCellUpdate(fbb, law, fbb.CreateVector(cell), 5, stamp, writer);
    });
  };
  raw(0, 0, 0);
  raw(7, 0, 0);
  raw(1, in.stamp() + 1, 0);  // Written later than it was sent.
  raw(1, 0, slot_count_max);
  raw(1, 0, 0);
  in.commit();
  EXPECT_THAT(apply_all(stock, by),
              ElementsAre(update_refusal::unknown_cell, update_refusal::other_law,
                          update_refusal::unknown_function, update_refusal::unsound,
                          update_refusal::unsound, update_refusal::unsound, update_refusal::unsound,
                          update_refusal::none));
  EXPECT_THAT(values_of(system.where, 1), ElementsAre(std::pair("tea", 6U)));
  for (std::uint8_t why = 1; why <= 4; ++why) {
    EXPECT_THAT(std::string(to_string(static_cast<update_refusal>(why))),
                testing::HasSubstr("update"));
  }
}

segment coalescing_system(std::uint64_t arena_bytes = 256 * 1024) {
  segment_plan plan = small_plan({"desk", "stock"}, {{0, 1}}, {4096, arena_bytes});
  plan.lanes[0].policy = full_policy::coalesce;
  return segment::create(plan);
}

// A turn that sends what waits; false if nothing could be.
bool flush(slot& from) {
  if (!may_send_waiting(lane(from)) || send_waiting_updates(from.the_turn(), lane(from)) == 0) {
    return false;
  }
  from.the_turn().commit();
  return true;
}

// What a reader that is never behind would have.
class oracle {
 public:
  struct step {
    update_law law;
    std::string cell;
    std::uint64_t amount;
  };
  void apply(const step& by) {
    const bool is_new = !values_.contains(by.cell);
    std::uint64_t& at = values_[by.cell];
    if (by.law == update_law::increment) at += by.amount;
    if (by.law == update_law::set) at = by.amount;
    if (by.law == update_law::raise) at = std::max(at, by.amount);
    if (by.law == update_law::lower) at = is_new ? by.amount : std::min(at, by.amount);
  }
  [[nodiscard]] const std::map<std::string, std::uint64_t>& values() const { return values_; }

 private:
  std::map<std::string, std::uint64_t> values_;
};

status send(slot& from, const oracle::step& what) {
  const updates change = update(from.the_turn(), lane(from));
  switch (what.law) {
    case update_law::increment:
      return change.increment(what.cell, what.amount);
    case update_law::set:
      return change.set(what.cell, what.amount);
    case update_law::raise:
      return change.raise(what.cell, what.amount);
    default:
      return change.lower(what.cell, what.amount);
  }
}

TEST(Coalescing, LeavesWhatAReaderThatIsNeverBehindWouldHave) {
  std::uint64_t coalesced = 0, waited = 0, crashes = 0;
  for (unsigned seed = 1; seed <= 60; ++seed) {
    std::mt19937 random(seed);
    const auto below = [&random](unsigned bound) {
      return static_cast<unsigned>(random() % bound);
    };
    const segment where = coalescing_system();
    auto desk = std::make_unique<slot>(where, 0);
    slot stock(where, 1);
    accepted_updates by(stock.cells());
    by.of(new_cells::make);
    oracle expected;
    std::uint64_t sent = 0;
    for (int i = 0; i < 400; ++i) {
      std::vector<oracle::step> steps;
      for (unsigned n = 1 + below(5); n > 0; --n) {
        const unsigned law = 1 + below(4);
        steps.push_back(
            {static_cast<update_law>(law),
             std::string(below(40), 'x') + std::to_string(law) + "." + std::to_string(below(8)),
             below(1000)});
        ASSERT_EQ(send(*desk, steps.back()), status::ok);
      }
      const unsigned fate = below(20);
      if (fate == 0) {
        desk->the_turn().abort();
      } else if (fate == 1) {
        desk.reset();  // As if killed: a successor recovers what the last turn has left.
        desk = std::make_unique<slot>(where, 0);
        ++crashes;
      } else {
        desk->the_turn().commit();
        sent += steps.size();
        for (const oracle::step& each : steps) expected.apply(each);
      }
      waited = std::max(waited, lane_of(where, 0).waiting);
      if (below(4) == 0) (void)apply_one(stock, by);
      if (below(8) == 0) flush(*desk);
    }
    do {
      ASSERT_THAT(apply_all(stock, by), testing::Each(update_refusal::none));
    } while (flush(*desk));
    EXPECT_EQ(values_of(where, 1), expected.values()) << "seed " << seed;
    const lane_status after = lane_of(where, 0);
    EXPECT_TRUE(after.balanced);
    EXPECT_EQ(after.waiting, 0U);
    EXPECT_EQ(after.accepted + after.coalesced, sent);  // Each is in the lane, or in another.
    EXPECT_EQ(after.no_room + after.refused, 0U);
    coalesced += after.coalesced;
  }
  EXPECT_GT(coalesced, 1000U);
  EXPECT_GT(waited, 20U);
  EXPECT_GT(crashes, 100U);
}

// G1.
TEST(Coalescing, NothingPassesWhatWaits) {
  const segment where = coalescing_system();
  slot desk(where, 0), stock(where, 1);
  accepted_updates by(stock.cells());
  by.of(new_cells::make);
  const updates change = update(desk.the_turn(), lane(desk));
  std::uint64_t sent = 0;
  while (lane_of(where, 0).waiting == 0) {
    change.set("price", ++sent);
    desk.the_turn().commit();
  }
  for (int way = 0; way < 3; ++way) {
    const status answer = way == 0   ? change.insert("names", "a")
                          : way == 1 ? change.compute("f", "price", {})
                                     : desk.the_turn().send_bytes(lane(desk), "x", 1, raw_kind);
    EXPECT_EQ(answer, status::full);
    EXPECT_EQ(desk.the_turn().fault(), turn_fault::lane_full);
    desk.the_turn().abort();
  }
  // There is room, but what waits goes first.
  ASSERT_EQ(apply_one(stock, by), update_refusal::none);
  for (int i = 0; i < 10; ++i) (void)apply_one(stock, by);
  EXPECT_EQ(desk.the_turn().send_bytes(lane(desk), "x", 1, raw_kind), status::full);
  desk.the_turn().abort();
  EXPECT_EQ(change.set("price", 777), status::ok);
  EXPECT_EQ(change.insert("names", "a"), status::ok);
  desk.the_turn().commit();
  EXPECT_EQ(lane_of(where, 0).waiting, 0U);
  std::uint64_t newest = 0;
  while (apply_one(stock, by)) {
    const std::uint64_t now = values_of(where, 1).at("price");
    EXPECT_GE(now, newest);
    newest = now;
  }
  EXPECT_EQ(newest, 777U);
  EXPECT_EQ(values_of(where, 1).at("names"), 1U);
}

TEST(Coalescing, OldestIsSentFirstAndIncrementsKeepTheirHops) {
  const segment where = coalescing_system();
  slot desk(where, 0), stock(where, 1);
  turn& in = desk.the_turn();
  const updates change = update(in, lane(desk));
  while (lane_of(where, 0).waiting == 0) {
    change.increment("first", 1);
    in.commit();
  }
  change.increment("second", 1);
  {
    const turn::resending far(in, 3);
    change.increment("first", 10);
    change.increment("first", 10);
    change.set("third", 1);
  }
  change.set("third", 2);
  in.commit();
  EXPECT_EQ(lane_of(where, 0).waiting, 4U);
  EXPECT_EQ(drain(stock).size(), lane_of(where, 0).accepted);
  ASSERT_TRUE(flush(desk));
  std::vector<std::string> found;
  message_view view;
  while (turn_input* from = stock.incoming().next(view)) {
    const CellUpdate* what = open_message<CellUpdate>(view);
    ASSERT_NE(what, nullptr);
    found.push_back(std::string(what->cell()->begin(), what->cell()->end()) + " " +
                    std::to_string(what->amount()) + " " + std::to_string(view.hops));
    turn::consume(*from, view);
    stock.incoming().taken(*from);
  }
  EXPECT_THAT(found, ElementsAre("first 1 0", "second 1 0", "first 20 3", "third 2 0"));
}

TEST(Coalescing, WhatWaitsTakesAsMuchMemoryAsThereAreCells) {
  const segment where = coalescing_system();
  slot desk(where, 0);
  const updates change = update(desk.the_turn(), lane(desk));
  for (int i = 0; i < 1000; ++i) {
    change.increment("tea", 1);
    change.increment("coffee", 1);
    desk.the_turn().commit();
  }
  const std::uint64_t used = workers_of(where)[0].cells_used_bytes;
  const std::size_t before = allocations();
  for (int i = 0; i < 10'000; ++i) {
    change.increment("tea", 1);
    desk.the_turn().commit();
  }
  EXPECT_EQ(allocations(), before);
  EXPECT_EQ(workers_of(where)[0].cells_used_bytes, used);
  EXPECT_EQ(lane_of(where, 0).waiting, 2U);
  // Its reader has taken all there is, and still it is not the end.
  slot stock(where, 1);
  EXPECT_FALSE(drain(stock).empty());
  EXPECT_EQ(lane_of(where, 0).in_flight, 0U);
  EXPECT_FALSE(is_quiet(where));
  EXPECT_TRUE(has_work(where, 0));
  EXPECT_TRUE(readers_with_work(where)[0]);
  ASSERT_TRUE(flush(desk));
  EXPECT_FALSE(has_work(where, 0));
  EXPECT_EQ(drain(stock).size(), 2U);
  EXPECT_TRUE(is_quiet(where));
  // Without room in the cells either, the turn is refused with words, not dropped.
  const segment small = coalescing_system(4096);
  slot cramped(small, 0);
  status last = status::ok;
  for (int i = 0; i < 1000 && last == status::ok; ++i) {
    last = update(cramped.the_turn(), lane(cramped)).increment(std::to_string(i), 1);
    if (last == status::ok) cramped.the_turn().commit();
  }
  EXPECT_EQ(last, status::full);
  EXPECT_EQ(cramped.the_turn().fault(), turn_fault::cells_full);
  cramped.the_turn().abort();
}

}  // namespace
}  // namespace cyto::test
