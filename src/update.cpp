// Updates as messages: built by their senders, applied by their receivers.
#include "cyto/update.hpp"

#include <map>
#include <utility>

#include "cell_update_generated.h"
#include "cyto/schema.hpp"
#include "update_parts.hpp"

namespace cyto {
namespace {

std::string_view text_of(const flatbuffers::Vector<std::uint8_t>* bytes) {
  if (bytes == nullptr) return "";  // Not without an address: it is copied from.
  return {reinterpret_cast<const char*>(bytes->data()), bytes->size()};
}

cell_kind kind_of(update_law law) noexcept {
  switch (law) {
    case update_law::increment:
      return cell_kind::counter;
    case update_law::set:
      return cell_kind::last_writer;
    case update_law::raise:
      return cell_kind::maximum;
    case update_law::lower:
      return cell_kind::minimum;
    default:
      return cell_kind::growing_set;
  }
}

// Of equal stamps of one slot the one that comes later was sent later.
bool is_later(const cell_value& now, const cell_value& written) noexcept {
  return std::pair(written[0], written[2]) >= std::pair(now[0], now[2]);
}

}  // namespace

status stage_update(turn& in, turn_output& to, const update_parts& what) {
  return in.send<CellUpdate>(to, [&what](flatbuffers::FlatBufferBuilder& fbb) {
    const auto bytes = [&fbb](std::string_view text) {
      return text.data() == nullptr
                 ? flatbuffers::Offset<flatbuffers::Vector<std::uint8_t>>()
                 : fbb.CreateVector(reinterpret_cast<const std::uint8_t*>(text.data()),
                                    text.size());
    };
    const auto cell =
        fbb.CreateVector(reinterpret_cast<const std::uint8_t*>(what.cell.data()), what.cell.size());
    const auto function = bytes(what.function);
    const auto argument = bytes(what.argument);
    return CreateCellUpdate(fbb, static_cast<std::uint8_t>(what.law), cell, what.amount, what.stamp,
                            what.writer, function, argument);
  });
}

std::uint32_t update_kind() noexcept { return message_kind<CellUpdate>(); }
bool is_sound_update(const message_view& view) noexcept {
  return open_message<CellUpdate>(view) != nullptr;
}
std::string update_schema() { return message_schema<CellUpdate>(); }
const char* update_type_name() noexcept { return CellUpdate::GetFullyQualifiedName(); }

status updates::increment(std::string_view cell, std::uint64_t amount) const {
  return send({update_law::increment, cell, amount});
}
status updates::set(std::string_view cell, std::uint64_t value) const {
  return send({update_law::set, cell, value, in_->stamp(), in_->slot_index()});
}
status updates::raise(std::string_view cell, std::uint64_t to) const {
  return send({update_law::raise, cell, to});
}
status updates::lower(std::string_view cell, std::uint64_t to) const {
  return send({update_law::lower, cell, to});
}
status updates::insert(std::string_view cell, std::string_view member) const {
  return send({update_law::insert, cell, 0, 0, 0, {}, member});
}
status updates::compute(std::string_view function, std::string_view cell,
                        std::string_view argument) const {
  return send({update_law::compute, cell, 0, 0, 0, function, argument});
}

status updates::send(const update_parts& what) const {
  if (one_ != nullptr) return send_update(*in_, *one_, what);
  status out = status::ok;
  for (turn_output* each : all_) {
    const status sent = send_update(*in_, *each, what);
    if (sent != status::ok) out = sent;
  }
  return out;
}

std::string_view to_string(update_refusal why) noexcept {
  switch (why) {
    case update_refusal::none:
      return "none";
    case update_refusal::unsound:
      return "an update that makes no sense";
    case update_refusal::unknown_cell:
      return "an update of a cell that is not there";
    case update_refusal::other_law:
      return "an update by another law than the cell's";
    case update_refusal::unknown_function:
      return "an update by a function that is not there";
  }
  return "unknown";
}

struct accepted_updates::functions {
  std::map<std::string, change_function, std::less<>> on_change;
  change_function on_any_change;
  std::map<std::string, compute_function, std::less<>> compute;
};

accepted_updates::accepted_updates(cell_store& cells)
    : cells_(&cells), functions_(std::make_unique<functions>()) {}
accepted_updates::accepted_updates(accepted_updates&&) noexcept = default;
accepted_updates& accepted_updates::operator=(accepted_updates&&) noexcept = default;
accepted_updates::~accepted_updates() = default;

accepted_updates& accepted_updates::on_change(std::string_view cell, change_function then) {
  functions_->on_change.insert_or_assign(std::string(cell), std::move(then));
  return *this;
}
accepted_updates& accepted_updates::on_change(change_function then) {
  functions_->on_any_change = std::move(then);
  return *this;
}
accepted_updates& accepted_updates::compute(std::string_view name, compute_function then) {
  functions_->compute.insert_or_assign(std::string(name), std::move(then));
  return *this;
}

update_refusal accepted_updates::apply(const message_view& message, turn& in, bool is_verified,
                                       bool& is_sound) {
  const CellUpdate* what = open_message<CellUpdate>(message, is_verified);
  is_sound = what != nullptr;
  if (!is_sound) return update_refusal::unsound;
  const std::string_view cell = text_of(what->cell());
  const std::uint8_t law = what->law();
  const std::uint64_t stamp = what->stamp();
  const std::uint32_t writer = what->writer();
  // What was written later than it was sent would leave this worker's own words behind for good.
  if (law < static_cast<std::uint8_t>(update_law::increment) ||
      law > static_cast<std::uint8_t>(update_law::compute) || cell.size() > cell_name_bytes_max ||
      stamp > message.stamp || writer >= slot_count_max) {
    return update_refusal::unsound;
  }
  const auto by = static_cast<update_law>(law);
  cell_kind kind{};
  std::uint64_t place = cells_->find(cell, kind);
  const bool was_there = place != 0;
  const cell_value before = was_there ? cells_->load(place) : cell_value{};
  if (by == update_law::compute) {
    const auto function = functions_->compute.find(text_of(what->function()));
    if (function == functions_->compute.end()) return update_refusal::unknown_function;
    function->second(in, cell, text_of(what->argument()));
  } else {
    if (!was_there && new_cells_ == new_cells::refuse) return update_refusal::unknown_cell;
    if (was_there && kind != kind_of(by)) return update_refusal::other_law;
    change(cell, by, what->amount(), {stamp, what->amount(), std::uint64_t{writer} + 1},
           text_of(what->argument()), in);
  }
  if (in.fault() != turn_fault::none) return update_refusal::none;
  place = cells_->find(cell, kind);
  if (place == 0 || (was_there && cells_->load(place) == before)) return update_refusal::none;
  const auto then = functions_->on_change.find(cell);
  if (then != functions_->on_change.end()) {
    then->second(in, cell);
  } else if (functions_->on_any_change) {
    functions_->on_any_change(in, cell);
  }
  return update_refusal::none;
}

void accepted_updates::change(std::string_view cell, update_law law, std::uint64_t amount,
                              const cell_value& written, std::string_view member, turn& in) {
  switch (law) {
    case update_law::increment:
      return cells_->cell<counter>(cell).add(in, amount);
    case update_law::set: {
      if (!cells_->cell<last_writer>(cell)) return;
      cell_kind kind{};
      const std::uint64_t place = cells_->find(cell, kind);
      if (is_later(cells_->load(place), written)) cells_->store(place, written);
      return;
    }
    case update_law::raise:
      cells_->cell<maximum>(cell).merge(in, amount);
      return;
    case update_law::lower:
      cells_->cell<minimum>(cell).merge(in, amount);
      return;
    case update_law::insert:
      cells_->cell<growing_set>(cell).add(in, member);
      return;
    case update_law::compute:
      return;
  }
}

}  // namespace cyto
