// Updates for which their lane has no room: they wait in cells of their sender, merged with others
// of the same cell. What is merged has one number of hops: increments are merged with those that
// have made as many; of the other laws one of the two counts, and its hops.
#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

#include "update_parts.hpp"

namespace cyto {
namespace {

// Of a list: {place of the oldest, of the newest, free}. Of an update: {amount, stamp of a set,
// place of the next / 64 << 16 | hops << 8 | law}; a law of 0: it does not wait.
template <cell_kind Kind>
class record : public cell_handle {
 public:
  static constexpr cell_kind kind = Kind;
  record(cell_store& store, std::uint64_t cell) noexcept : cell_handle(store, cell) {}
  [[nodiscard]] std::uint64_t place() const noexcept { return cell_; }
  [[nodiscard]] cell_value value() const noexcept { return load(); }
  void put(const cell_value& value) const noexcept { store(value); }
};
using list_cell = record<cell_kind::waiting_list>;
using update_cell = record<cell_kind::waiting_update>;

constexpr unsigned next_shift = 16;
constexpr unsigned hops_shift = 8;
constexpr std::size_t sent_at_once_max = 256;  // The turn lists each of their cells.
constexpr std::string_view name_mark = ": ";

std::uint64_t packed(std::uint64_t next, std::uint8_t hops, update_law law) noexcept {
  return next / line_bytes << next_shift | std::uint64_t{hops} << hops_shift |
         static_cast<std::uint64_t>(law);
}
update_law law_of(const cell_value& of) noexcept { return static_cast<update_law>(of[2] & 0xff); }
std::uint8_t hops_of(const cell_value& of) noexcept {
  return static_cast<std::uint8_t>(of[2] >> hops_shift);
}
std::uint64_t next_of(const cell_value& of) noexcept { return (of[2] >> next_shift) * line_bytes; }

// "waiting for slot 3", "waiting for slot 3: tea", "waiting for slot 3 (2 hops): tea".
class waiting_name {
 public:
  explicit waiting_name(const turn_output& to) noexcept {
    add("waiting for slot ");
    add(to.reader_slot);
  }
  waiting_name(const turn_output& to, const update_parts& what, std::uint32_t hops) noexcept
      : waiting_name(to) {
    if (what.law == update_law::increment && hops != 0) {
      add(" (");
      add(hops);
      add(" hops)");
    }
    add(name_mark);
    add(what.cell);
  }
  [[nodiscard]] std::string_view text() const noexcept { return {text_.data(), bytes_}; }

 private:
  void add(std::string_view more) noexcept {
    std::copy(more.begin(), more.end(), text_.begin() + static_cast<std::ptrdiff_t>(bytes_));
    bytes_ += more.size();
  }
  void add(std::uint32_t number) noexcept {
    char* at = text_.data() + bytes_;
    bytes_ = static_cast<std::size_t>(std::to_chars(at, text_.data() + text_.size(), number).ptr -
                                      text_.data());
  }
  std::array<char, coalesced_name_bytes_max + 64> text_;
  std::size_t bytes_ = 0;
};

[[noreturn]] void refuse_list(const turn& in) {
  throw error(error_code::failed,
              "updates that wait in the cells of slot " + std::to_string(in.slot_index()),
              "their list leads out of them", "memory of the cells was overwritten",
              "stop the system and start it again");
}

// The cell that waits at `place`. After a death it is input.
std::string_view name_at(const turn& in, std::uint64_t place) {
  const std::uint64_t end = in.root()[root_end];
  if (place == 0 || place % line_bytes != 0 || place > end || sizeof(cell_record) > end - place) {
    refuse_list(in);
  }
  const auto& cell = *reinterpret_cast<const cell_record*>(in.arena() + place);
  if (cell.kind != static_cast<std::uint32_t>(cell_kind::waiting_update) ||
      cell.name_bytes > end - place - sizeof(cell_record)) {
    refuse_list(in);
  }
  const std::string_view name(reinterpret_cast<const char*>(&cell + 1), cell.name_bytes);
  const std::size_t mark = name.find(name_mark);
  if (mark == std::string_view::npos) refuse_list(in);
  return name.substr(mark + name_mark.size());
}

// What becomes of one that waits and one that comes later.
cell_value merged(const cell_value& waits, const update_parts& later, std::uint8_t hops) noexcept {
  const cell_value other{later.amount, later.stamp, packed(next_of(waits), hops, later.law)};
  switch (later.law) {
    case update_law::increment:
      return {waits[0] + later.amount, 0, waits[2]};
    case update_law::set:
      return later.stamp >= waits[1] ? other : waits;
    case update_law::raise:
      return later.amount > waits[0] ? other : waits;
    default:
      return later.amount < waits[0] ? other : waits;
  }
}

bool has_room(turn_output& to) noexcept {
  return to.lane.room_seen() >= update_room_bytes || to.lane.room() >= update_room_bytes;
}

// The turn is doomed if there is no room in the cells.
status keep(turn& in, turn_output& to, const update_parts& what, const update_cell& cell) {
  cell_store store(in);
  const auto list = store.cell<list_cell>(waiting_name(to).text());
  if (!list) return status::full;
  const auto hops = static_cast<std::uint8_t>(in.hops());
  const cell_value waits = cell.value();
  account::values account = to.merged.now();
  if (law_of(waits) == what.law) {
    cell.put(merged(waits, what, hops));
    ++account[1];
  } else {
    cell.put({what.amount, what.stamp, packed(0, hops, what.law)});
    cell_value ends = list.value();
    if (account[0] == 0) {
      ends[0] = cell.place();
    } else {
      (void)name_at(in, ends[1]);
      const update_cell last(store, ends[1]);
      cell_value before = last.value();
      before[2] = packed(cell.place(), hops_of(before), law_of(before));
      last.put(before);
    }
    ends[1] = cell.place();
    list.put(ends);
    ++account[0];
  }
  in.set(to.merged, account);
  return in.fault() == turn_fault::none ? status::ok : status::full;
}

}  // namespace

status send_update(turn& in, turn_output& to, const update_parts& what) {
  if (to.policy != full_policy::coalesce) [[likely]]
    return stage_update(in, to, what);
  if (in.fault() != turn_fault::none) return status::full;
  if (to.merged.now()[0] != 0) send_waiting_updates(in, to);
  const bool merges = what.law <= update_law::lower && what.cell.size() <= coalesced_name_bytes_max;
  const bool is_free = to.merged.now()[0] == 0 && has_room(to);
  if (!merges || is_free || in.is_too_far(to, update_kind())) return stage_update(in, to, what);
  cell_store store(in);
  const auto cell = store.cell<update_cell>(waiting_name(to, what, in.hops()).text());
  if (!cell) return status::full;
  const cell_value waits = cell.value();
  // Another law, of a cell that can have one: the reader shall refuse what is wrong, in its order.
  if (waits[2] != 0 && law_of(waits) != what.law) return stage_update(in, to, what);
  if (const status may = in.admit(to, 0); may != status::ok) return may;
  return keep(in, to, what, cell);
}

std::size_t send_waiting_updates(turn& in, turn_output& to) {
  account::values account = to.merged.now();
  if (account[0] == 0) return 0;
  cell_store store(in);
  const auto list = store.cell<list_cell>(waiting_name(to).text());
  cell_value ends = list.value();
  std::size_t sent = 0;
  while (account[0] != 0 && sent < sent_at_once_max && has_room(to)) {
    const std::string_view name = name_at(in, ends[0]);
    const update_cell oldest(store, ends[0]);
    const cell_value waits = oldest.value();
    const turn::resending as_then(in, hops_of(waits));
    const update_parts what{law_of(waits), name, waits[0], waits[1], in.slot_index()};
    if (stage_update(in, to, what) != status::ok) break;
    ends[0] = next_of(waits);
    oldest.put({});
    --account[0];
    ++sent;
  }
  if (sent == 0) return 0;
  list.put(ends);
  in.set(to.merged, account);
  return sent;
}

}  // namespace cyto
