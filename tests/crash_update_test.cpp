// A worker is killed at the instructions of a turn that applies updates and sends others, some of
// which wait and merge, and of the turn that sends what waited: each counts once in the end.
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>

#include "cyto/observe.hpp"
#include "cyto/update.hpp"
#include "support/inquiry.hpp"
#include "support/process.hpp"
#include "support/stepped.hpp"
#include "support/system.hpp"
#include "support/watchdog.hpp"

namespace cyto::test {
namespace {

enum update_slot : unsigned { feeder_slot, desk_slot, stock_slot };

constexpr std::uint64_t updates_fed = 3;

segment make_segment() {
  segment_plan plan = small_plan({"feeder", "desk", "stock"}, {{0, 1}, {1, 2}}, {4096, 32 * 1024});
  plan.lanes[1].policy = full_policy::coalesce;
  return segment::create(plan);
}

// The desk adds each order to its own cell and sends it on, and what its total is.
accepted_updates rules_of(slot& desk) {
  accepted_updates out(desk.cells());
  out.of(new_cells::make).on_change([&desk](turn& in, std::string_view) {
    turn_output& to = *in.outputs()[0];
    update(in, to).increment("orders", 1);
    update(in, to).set("total", desk.cells().cell<counter>("taken").value());
  });
  return out;
}

// Applies all that has come, in one turn.
void apply_all(slot& of, accepted_updates& by) {
  turn& in = of.the_turn();
  message_view view;
  bool any = false;
  bool is_sound = false;
  while (turn_input* from = of.incoming().next(view)) {
    in.take(*from, view);
    ASSERT_EQ(by.apply(view, in, true, is_sound), update_refusal::none);
    turn::consume(*from, view);
    of.incoming().taken(*from);
    any = true;
  }
  if (any) in.commit();
}

bool flush(slot& desk) {
  turn_output& to = *desk.the_turn().outputs()[0];
  if (!may_send_waiting(to) || send_waiting_updates(desk.the_turn(), to) == 0) return false;
  desk.the_turn().commit();
  return true;
}

// The lane to the stock is full, some of both cells wait already, and orders wait for the desk.
void set_scene(const segment& where) {
  slot feeder(where, feeder_slot), desk(where, desk_slot);
  accepted_updates by = rules_of(desk);
  turn& in = feeder.the_turn();
  const auto feed = [&] {
    ASSERT_EQ(update(in, *in.outputs()[0]).increment("taken", 1), status::ok);
    in.commit();
  };
  while (lane_of(where, 1).waiting < 2) {
    feed();
    apply_all(desk, by);
  }
  for (std::uint64_t i = 0; i < updates_fed; ++i) feed();
}

std::map<std::string, std::uint64_t> values_of(const segment& where, std::uint32_t slot_index) {
  std::map<std::string, std::uint64_t> out;
  each_cell(where, slot_index, [&](const cell_view& cell) {
    const bool is_set = cell.kind == static_cast<std::uint32_t>(cell_kind::last_writer);
    out[std::string(cell.name)] = cell.value[is_set ? 1 : 0];
  });
  return out;
}

// The successor finishes the work. What is wrong in the end; empty: nothing.
std::string judge(const segment& where) {
  slot desk(where, desk_slot), stock(where, stock_slot);
  accepted_updates by = rules_of(desk);
  accepted_updates keeps(stock.cells());
  keeps.of(new_cells::make);
  do {
    apply_all(desk, by);
    apply_all(stock, keeps);
  } while (flush(desk));
  apply_all(stock, keeps);
  const std::uint64_t orders = lane_of(where, 0).accepted;
  const auto found = values_of(where, stock_slot);
  const lane_status lane = lane_of(where, 1);
  for (const lane_status& each : lanes_of(where)) {
    if (!each.balanced) return each.name + " is not balanced";
  }
  if (lane.waiting != 0) return "something waits for ever";
  if (lane.accepted + lane.coalesced != 2 * orders) {
    return std::to_string(lane.accepted) + " accepted and " + std::to_string(lane.coalesced) +
           " coalesced of " + std::to_string(2 * orders);
  }
  if (found.at("orders") != orders) return "orders: " + std::to_string(found.at("orders"));
  if (found.at("total") != orders) return "total: " + std::to_string(found.at("total"));
  return {};
}

class CrashUpdate : public testing::Test {
 protected:
  // `act` is killed after each so many instructions.
  void kill_in(const std::function<void(const segment&)>& prepare,
               const std::function<void(slot&, accepted_updates&)>& act) {
    const auto set = [&] {
      segment where = make_segment();
      set_scene(where);
      prepare(where);
      return where;
    };
    tally sum;
    const auto act_in = [&](const segment& where, std::uint64_t instructions_max) {
      std::unique_ptr<slot> desk;
      std::unique_ptr<accepted_updates> by;
      stepped_child child(
          [&] {
            desk = std::make_unique<slot>(where, desk_slot);
            by = std::make_unique<accepted_updates>(rules_of(*desk));
          },
          [&] { act(*desk, *by); });
      const std::uint64_t instructions = child.step_at_most(instructions_max);
      sum.instructions += instructions;
      child.kill();
      return instructions;
    };
    constexpr std::uint64_t to_the_end = ~std::uint64_t{0};
    for (const std::uint64_t kill_at : kill_points(act_in(set(), to_the_end), sanitized ? 3 : 25)) {
      const segment where = set();
      act_in(where, kill_at);
      ++sum.kills;
      ++sum.judged;
      ASSERT_EQ(judge(where), "") << "killed after " << kill_at << " instructions";
    }
  }
};

TEST_F(CrashUpdate, WhileItAppliesUpdatesAndSendsOthersThatWait) {
  CYTO_SKIP_UNDER_TSAN();
  const watchdog guard(std::chrono::seconds(is_full() ? 3600 : 150), name_of_test());
  kill_in([](const segment&) {}, [](slot& desk, accepted_updates& by) { apply_all(desk, by); });
}

TEST_F(CrashUpdate, WhileItSendsWhatHasWaited) {
  CYTO_SKIP_UNDER_TSAN();
  const watchdog guard(std::chrono::seconds(is_full() ? 3600 : 150), name_of_test());
  kill_in(
      [](const segment& where) {
        slot stock(where, stock_slot);
        accepted_updates keeps(stock.cells());
        keeps.of(new_cells::make);
        apply_all(stock, keeps);
      },
      [](slot& desk, accepted_updates&) { flush(desk); });
}

}  // namespace
}  // namespace cyto::test
