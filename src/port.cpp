// A thread of some program as a member of a running system.
#include <unistd.h>

#include <algorithm>
#include <exception>

#include "cyto/observe.hpp"
#include "finding.hpp"
#include "holding.hpp"
#include "process.hpp"
#include "rendezvous.hpp"

namespace cyto::detail {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds sleep_at_most{park_ns_max / 1'000'000};

bool is_port(const segment& where, std::uint32_t slot_index) {
  return (where.slot(slot_index).flags & slot_is_port) != 0;
}

// The slots that are meant: "desk/1", or all of "desk".
std::vector<std::uint32_t> ports_of(const segment& where, std::string_view port) {
  std::vector<std::uint32_t> out;
  std::string known;
  for (std::uint32_t i = 0; i < where.slot_count(); ++i) {
    if (!is_port(where, i)) continue;
    known += std::string(" ") + where.slot(i).name;
    if (port == where.slot(i).name || port == where.slot(i).group) out.push_back(i);
  }
  if (!out.empty()) return out;
  throw error(error_code::bad_input, "system " + std::string(where.name()),
              "has no port '" + std::string(port) + "'",
              known.empty() ? "it has none at all" : "it has:" + known,
              known.empty() ? "add a [[port]] to its topology" : "correct the name");
}

}  // namespace

struct port_end::state {
  state(segment where, std::string door_path) : held(std::move(where)), door(std::move(door_path)) {
    taken.reserve(port::batch_max);
  }

  holding held;
  std::string door;                // The supervisor's.
  std::vector<turn_input*> taken;  // The lanes of the messages that are in the turn in progress.
  std::size_t handed_out = 0;      // Since the last wait().
  std::uint64_t turns_told = 0;
  bool is_receiver = false;
  bool in_turn = false;
  lane_writer* full = nullptr;  // Which had no room for the last turn, and how much it would take.
  std::uint64_t full_bytes = 0;
  std::unique_ptr<bell_descriptor> wakeups;  // Once fd() was called.
};

port_end::port_end(const std::string& system, std::string_view port) {
  state_ = std::make_unique<state>(find_memory(system, access::writable), socket_path(system));
  const segment& where = state_->held.where();
  const std::string thing = "port " + std::string(port) + " of system " + system;
  if (is_pair(where)) {
    throw error(error_code::bad_input, "system " + system, "is a pair of programs of their own",
                "it has no ports", "open() it, or correct the name");
  }
  std::string holders;
  for (const std::uint32_t index : ports_of(where, port)) {
    const auto order = static_cast<system_phase>(where.board_of(index).order.observe());
    if (order != system_phase::running) {
      throw error(error_code::failed, thing, "the system is about to end", {},
                  "join when it runs again");
    }
    try {
      state_->held.take(index);
    } catch (const error& failure) {
      if (failure.code() != error_code::already_running) throw;
      holders += std::string(holders.empty() ? "" : ", ") + where.slot(index).name +
                 " by process " + std::to_string(where.control_of(index).pid.observe());
      continue;
    }
    state_->is_receiver = where.slot(index).input_count != 0;
    place().the_turn().keep_space();
    state_->turns_told = place().own().turns.own();
    knock(state_->door);
    return;
  }
  throw error(error_code::already_running, thing, "is taken", holders,
              "raise its count in the topology, or end one of them");
}

port_end::port_end(port_end&&) noexcept = default;

port_end::~port_end() {
  if (!state_) return;
  if (!state_->held.is_mine()) {
    static_cast<void>(state_.release());  // The parent's: nothing of it may be touched.
    return;
  }
  if (!state_->taken.empty()) {
    if (std::uncaught_exceptions() == 0) {
      commit();
    } else {
      place().the_turn().abort();
    }
  }
  place().the_turn().give_back();  // Its senders need not wait for whoever joins next.
  state_->wakeups.reset();
  state_->held.leave();
  knock(state_->door);
}

slot& port_end::place() noexcept { return state_->held.place(); }

slot& port_end::checked_place() {
  if (state_->held.is_mine()) return place();
  throw error(error_code::failed, "port", "belongs to the process that this one was forked from",
              {}, "join anew");
}

system_phase port_end::order() const noexcept {
  slot& mine = state_->held.place();
  return static_cast<system_phase>(mine.where().board_of(mine.index()).order.observe());
}

bool port_end::begin_turn() noexcept {
  if (!state_->held.is_mine() || state_->in_turn || order() != system_phase::running) return false;
  if (state_->taken.empty()) place().the_turn().begin_source();
  full_fence();  // J1
  if (order() == system_phase::running) {
    state_->in_turn = true;
    return true;
  }
  if (state_->taken.empty()) place().own().handling.publish(0);
  full_fence();
  knock(state_->door);  // It may have seen the turn, and wait for its end.
  return false;
}

status port_end::end_turn() noexcept {
  turn& in = place().the_turn();
  state_->full = nullptr;
  if (in.fault() == turn_fault::none) {
    state_->in_turn = false;
    commit();
    return status::ok;
  }
  const bool waits = in.fault() == turn_fault::lane_full &&
                     in.fault_ring_bytes() <= in.fault_lane()->lane.capacity_bytes();
  if (waits) state_->full = &in.fault_lane()->lane;
  state_->full_bytes = in.fault_ring_bytes();
  undo_turn();
  return waits ? status::full : status::too_big;
}

status port_end::answered(turn_output& to, status sent) noexcept {
  if (sent == status::full) [[unlikely]] {
    state_->full = &to.lane;
    state_->full_bytes = to.lane.room_wanted();
  }
  return sent;
}

// As if it had not begun: what has been handed out before it stays so.
void port_end::undo_turn() noexcept {
  turn& in = place().the_turn();
  mailbox& incoming = place().incoming();
  state_->in_turn = false;
  in.abort();
  incoming.reset();
  message_view view;
  for (turn_input* each : state_->taken) {
    if (incoming.front_of(*each, view) == nullptr) continue;  // Overwritten by its sender.
    in.take(*each, view);
    in.restart_hops();
    turn::consume(*each, view);
    incoming.taken(*each);
  }
  full_fence();  // J1
  if (order() != system_phase::running) knock(state_->door);
}

void port_end::commit() noexcept {
  place().the_turn().commit();  // With a full fence behind it: J1, V2.
  state_->taken.clear();
  tell_supervisor();
}

// Of what it may wait for: the end of a turn, or of what is on its way to here.
void port_end::tell_supervisor() noexcept {
  const bool is_watched = place().where().the_board().watched.observe() != 0;
  if (!is_watched && order() == system_phase::running) return;
  const std::uint64_t turns = place().own().turns.own();
  if (turns == state_->turns_told || place().incoming().has_any()) return;
  state_->turns_told = turns;
  knock(state_->door);
}

void port_end::keep_cells() {
  turn& in = place().the_turn();
  if (state_->in_turn || (in.is_empty() && in.fault() == turn_fault::none)) return;
  if (in.fault() != turn_fault::none) {
    undo_turn();
    throw error(error_code::bad_input, "port " + std::string(place().entry().name),
                "its cells have used up " + bytes_text(in.arena_bytes()), {},
                "raise cells_bytes in the topology");
  }
  commit();
}

void port_end::wait(time_limit at_most) noexcept {
  if (!state_->held.is_mine() || state_->in_turn) return;
  if (!state_->taken.empty()) commit();
  state_->handed_out = 0;
  place().the_turn().give_back();
  if (state_->wakeups) state_->wakeups->signal();
  const system_phase order_seen = order();
  const bool found = state_->held.await(
      milliseconds(at_most.ms()),
      [this] {
        tell_supervisor();
        return order() == system_phase::stopping;
      },
      [this](milliseconds left) {
        if (order() == system_phase::stopping) return;
        const auto slept = std::chrono::nanoseconds(std::min(left, sleep_at_most));
        place().the_turn().the_recorder().rest();
        place().bell().wait(static_cast<std::uint64_t>(slept.count()));
      });
  if (!found) arm(order_seen);
}

void port_end::wait_for_room(time_limit at_most) noexcept {
  sleep_until(at_most, [this] {
    return order() != system_phase::running || state_->full == nullptr ||
           state_->full->room() >= state_->full_bytes;
  });
}

status port_end::drain(time_limit at_most) noexcept {
  if (!state_->held.is_mine()) return status::closed;
  const auto is_taken = [this] {
    const auto all = place().the_turn().outputs();
    return std::all_of(all.begin(), all.end(),
                       [](const auto& each) { return each->lane.was_empty(); });
  };
  const auto deadline = std::chrono::steady_clock::now() + milliseconds(at_most.ms());
  for (;;) {
    if (is_taken()) return status::ok;
    if (order() == system_phase::stopping) return status::closed;
    const auto left = deadline - std::chrono::steady_clock::now();
    if (left <= milliseconds(0)) return status::full;
    sleep_until(std::chrono::ceil<milliseconds>(left), is_taken);
  }
}

// Sleeps once, unless that is so.
template <class Done>
void port_end::sleep_until(time_limit at_most, const Done& done) noexcept {
  doorbell& bell = place().bell();
  bell.prepare();
  const auto slept = std::chrono::nanoseconds(std::min(milliseconds(at_most.ms()), sleep_at_most));
  place().the_turn().the_recorder().rest();
  if (!done()) bell.wait(static_cast<std::uint64_t>(slept.count()));
  bell.cancel();
}

int port_end::fd() {
  slot& mine = checked_place();
  if (!state_->wakeups) state_->wakeups = std::make_unique<bell_descriptor>(mine.bell());
  return state_->wakeups->fd();
}

void port_end::arm(system_phase order_seen) noexcept {
  if (!state_->wakeups) return;
  state_->wakeups->arm();
  const bool has_room = state_->full != nullptr && state_->full->room() >= state_->full_bytes;
  if (has_room || order() != order_seen || place().incoming().has_any()) state_->wakeups->signal();
}

bool port_end::next(message_view& out) noexcept {
  if (!state_->held.is_mine() || state_->handed_out == port::batch_max) return false;
  turn& in = place().the_turn();
  mailbox& incoming = place().incoming();
  turn_input* from = incoming.next(out);
  if (from == nullptr) return false;
  // Whoever is answered from within the loop may send on and on, into the room that is left.
  const bool is_much = from->lane.kept_bytes() >= from->lane.capacity_bytes() / 4;
  if (is_much && state_->handed_out != 0) return false;
  in.take(*from, out);
  in.restart_hops();
  turn::consume(*from, out);
  incoming.taken(*from);
  state_->taken.push_back(from);
  ++state_->handed_out;
  return true;
}

bool port_end::is_open() const noexcept {
  if (!state_->held.is_mine()) return false;
  switch (order()) {
    case system_phase::running:
      return true;
    case system_phase::draining:
      return state_->is_receiver;
    case system_phase::stopping:
      return state_->held.place().incoming().has_any();
  }
  return false;
}

}  // namespace cyto::detail
