// cyto/update.hpp
//
// What: changes of other workers' cells, as messages: increment, set, the other laws of cell.hpp,
//   and functions that the receiver has registered by name.
//       update(turn, stock.by_key(hash)).increment("tea", 3);             // the sender's handler
//       self.accept_updates().on_change("tea", [=](cyto::turn& in, std::string_view cell) { ... });
//
// Who: update() in a handler, a source or a port's turn; accepted_updates in a worker's setup. One
//   thread.
//
// Layout: a CellUpdate (schemas/cell_update.fbs), in a lane as any message. What waits on a lane
//   that coalesces is in cells of the sender (cell.hpp): one `waiting_list` for each lane, and one
//   `waiting_update` for each cell of the reader's that was ever waited for there.
//
// Ordering: an update is sent, and applied, by a turn, as any message: once, whoever is killed.
//   G1 Updates of one cell along one lane are applied in the order in which they were sent, merged
//      or not. Of different cells, those that have waited may change places: what waits counts as
//      sent when it is. Nothing else that is sent along that lane passes what waits there.
//   Of two sets the one with the later stamp counts, then that of the higher slot, then the one
//   that was sent later.
//
// Death: what waits is part of the sender's turns, as its cells are; its successor sends it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "cyto/cell.hpp"
#include "cyto/turn.hpp"

namespace cyto {

struct update_parts;

enum class update_law : std::uint8_t {
  increment = 1,  // Of a counter.
  set,            // Of a last_writer.
  raise,          // Of a maximum.
  lower,          // Of a minimum.
  insert,         // Into a growing_set.
  compute         // By a function of the receiver's.
};

// Cells with longer names do not coalesce: an update of them that finds no room defers its turn.
inline constexpr std::size_t coalesced_name_bytes_max = 255;
// Room with which any update of a cell with such a name fits, but for insert and compute.
inline constexpr std::uint64_t update_room_bytes = 576;

// What turn::send() answers, of one lane or several. On a lane that coalesces an update for which
// there is no room is merged with what waits for its cell: that is ok. insert and compute merge
// with nothing: they defer their turn, as all other messages do there.
class updates {
 public:
  updates(turn& in, turn_output& to) noexcept : in_(&in), one_(&to) {}
  // To each of these, in this turn.
  updates(turn& in, std::span<turn_output* const> to) noexcept : in_(&in), all_(to) {}

  status increment(std::string_view cell, std::uint64_t amount) const;
  // Written by this slot, now.
  status set(std::string_view cell, std::uint64_t value) const;
  // The cell becomes at least, at most, that.
  status raise(std::string_view cell, std::uint64_t to) const;
  status lower(std::string_view cell, std::uint64_t to) const;
  status insert(std::string_view cell, std::string_view member) const;
  // The receiver calls its function of that name, with cell and argument.
  status compute(std::string_view function, std::string_view cell, std::string_view argument) const;

 private:
  status send(const update_parts& what) const;

  turn* in_;
  turn_output* one_ = nullptr;
  std::span<turn_output* const> all_;
};

inline updates update(turn& in, turn_output& to) noexcept { return {in, to}; }
inline updates update(turn& in, std::span<turn_output* const> to) noexcept { return {in, to}; }

// Why an update was not applied: nothing has changed then, and it is set aside (quarantine.hpp).
enum class update_refusal : std::uint8_t {
  none,
  unsound,          // A law that there is not, a name too long, a stamp of the future.
  unknown_cell,     // See new_cells.
  other_law,        // The cell is of a kind with another law.
  unknown_function  // Of a compute.
};
std::string_view to_string(update_refusal why) noexcept;

// What becomes of an update of a cell that the receiver has not got.
enum class new_cells : std::uint8_t { refuse, make };

// What a worker does with the updates that it is sent; see worker::accept_updates().
class accepted_updates {
 public:
  // Called in the turn that has applied an update which changed the cell; may change cells and
  // send. Changes that the worker makes itself do not lead to a call.
  using change_function = std::function<void(turn& in, std::string_view cell)>;
  using compute_function =
      std::function<void(turn& in, std::string_view cell, std::string_view argument)>;

  explicit accepted_updates(cell_store& cells);
  accepted_updates(accepted_updates&&) noexcept;
  accepted_updates& operator=(accepted_updates&&) noexcept;
  ~accepted_updates();

  // For an update of a cell that is not there: refuse, unless said otherwise.
  accepted_updates& of(new_cells how) noexcept {
    new_cells_ = how;
    return *this;
  }
  // For one cell; or for all that have no function of their own.
  accepted_updates& on_change(std::string_view cell, change_function then);
  accepted_updates& on_change(change_function then);
  // What updates::compute() calls. It does what a handler may; its cell need not be there.
  accepted_updates& compute(std::string_view name, compute_function then);

  // --- for the loop -------------------------------------------------------------------------
  // Applies the message in hand, as part of the turn. `is_sound` says whether it was one. A
  // refusal dooms nothing; the caller undoes the turn.
  update_refusal apply(const message_view& message, turn& in, bool is_verified, bool& is_sound);

 private:
  void change(std::string_view cell, update_law law, std::uint64_t amount,
              const cell_value& written, std::string_view member, turn& in);

  cell_store* cells_;
  new_cells new_cells_ = new_cells::refuse;
  struct functions;
  std::unique_ptr<functions> functions_;
};

// Sends what waits for that lane, oldest first, as far as there is room; part of the turn. How many
// it has sent.
std::size_t send_waiting_updates(turn& in, turn_output& to);
// Whether something waits for that lane and would find room.
inline bool may_send_waiting(turn_output& to) noexcept {
  return to.merged.now()[0] != 0 && to.lane.room() >= update_room_bytes;
}

}  // namespace cyto
