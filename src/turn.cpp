#include "cyto/turn.hpp"

#include <algorithm>

namespace cyto {
namespace {

using cell_versions = versioned<3>;

cell_versions& cell_at(std::byte* arena, std::uint64_t offset) noexcept {
  return *reinterpret_cast<cell_versions*>(arena + offset);
}

// Undoes what a turn that did not commit has left in the cells. `end` is where the committed part
// of the arena ends. Offsets are checked: in recovery they are another process' bytes.
void wipe_touched(control& own, std::byte* arena, std::uint64_t arena_bytes, std::uint64_t count,
                  std::uint64_t commit, std::uint64_t end) noexcept {
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::uint64_t entry = own.touched[i].own();
    const std::uint64_t offset = entry & ~turn::index_mark;
    if ((entry & turn::index_mark) != 0) {
      if (offset % 8 != 0 || offset + 8 > arena_bytes) continue;
      auto& index = *reinterpret_cast<word<std::uint64_t>*>(arena + offset);
      if ((index.own() & 0xffffffffU) * 8 >= end) index.publish(0);
    } else {
      if (offset % line_bytes != 0 || offset + sizeof(cell_versions) > arena_bytes) continue;
      cell_at(arena, offset).wipe(commit);
    }
  }
}

[[noreturn]] void refuse_control(const segment& from, std::uint32_t slot_index) {
  throw error(error_code::failed, "worker " + std::string(from.slot(slot_index).name),
              "its control block contradicts itself", "it was overwritten",
              "stop the system and start it again");
}

}  // namespace

turn_output& output::any() const noexcept {
  const auto best_by = [this](auto room) -> turn_output& {
    turn_output* best = members_[0];
    bool best_open = best->is_open();
    for (turn_output* each : members_) {
      const bool open = each->is_open();
      if (open == best_open ? room(each->lane) <= room(best->lane) : best_open) continue;
      best = each;
      best_open = open;
    }
    return *best;
  };
  turn_output& seen = best_by([](const lane_writer& lane) { return lane.room_seen(); });
  if (seen.lane.room_seen() * 2 >= seen.lane.capacity_bytes()) return seen;
  return best_by([](lane_writer& lane) { return lane.room(); });
}

std::uint64_t output::lane_bytes_min() const noexcept {
  std::uint64_t least = lane_bytes_max;
  for (const turn_output* each : members_) least = std::min(least, each->lane.capacity_bytes());
  return least;
}

turn::turn(control& own, std::byte* arena, std::uint64_t arena_bytes, std::uint32_t slot_index)
    : own_(&own),
      arena_(arena),
      arena_bytes_(arena_bytes),
      slot_index_(slot_index),
      clock_(own.commit.observe()),
      builder_(std::make_unique<message_builder>()),
      recorder_(own.events),
      shapes_(own.shapes),
      root_(own.root.own_current(clock_.commit())),
      quarantine_(own.quarantine.own_current(clock_.commit())) {
  for (std::size_t i = 0; i < dead_kinds_max; ++i) {
    dead_kinds_[i] = account(own.dead_kinds[i], clock_.commit());
  }
}

turn::~turn() = default;

turn_output& turn::add_output(lane_writer lane, const lane_losses& losses,
                              doorbell_line& reader_bell,
                              const word<std::uint32_t>& reader_standing,
                              std::uint32_t reader_slot) {
  outputs_.push_back(std::make_unique<turn_output>(
      turn_output{lane, &reader_bell, &reader_standing, reader_slot,
                  static_cast<std::uint32_t>(outputs_.size()), losses}));
  touched_outputs_.reserve(outputs_.size());
  lossy_outputs_.reserve(outputs_.size());
  changed_accounts_.reserve(outputs_.size() + dead_kinds_max);
  return *outputs_.back();
}

turn_input& turn::add_input(lane_reader lane, doorbell_line& writer_bell,
                            std::uint32_t writer_slot) {
  inputs_.push_back(std::make_unique<turn_input>(turn_input{
      lane, this, &writer_bell, writer_slot, static_cast<std::uint32_t>(inputs_.size())}));
  touched_inputs_.reserve(inputs_.size());
  return *inputs_.back();
}

status turn::send_copy(turn_output& to, const void* data, std::uint32_t size, std::uint32_t kind,
                       std::size_t alignment) {
  if (fault_ != turn_fault::none) return status::full;
  if (hops_ > to.hops_max && is_over(to, kind)) [[unlikely]]
    return bury(to, data, size, kind);
  if (is_limited_) [[unlikely]] {
    if (const status may = admit(to, size); may != status::ok) return may;
  }
  const std::uint32_t kind_hops = kind | std::uint32_t{hops_} << 24;
  const std::uint64_t position = to.lane.position();
  const status sent =
      has_held(to) ? status::full : to.lane.append(data, size, kind_hops, alignment);
  if (sent != status::ok) return refuse(to, sent, {data, size, kind, alignment});
  recorder_.note(flight::sent, to.index, kind, size, position);
  if (!to.touched) touch(to);
  return sent;
}

status turn::forward(turn_output& to, const message_view& message) noexcept {
  if (fault_ != turn_fault::none) return status::full;
  const std::uint32_t kind_hops = message.kind | std::uint32_t{message.hops} << 24;
  const std::uint64_t position = to.lane.position();
  // Its end at a line's: so its parts stand as they must, whatever they need.
  const status sent = to.lane.append(message.data, message.size, kind_hops, line_bytes);
  if (sent != status::ok) {
    return refuse(to, sent, {message.data, message.size, message.kind, line_bytes});
  }
  recorder_.note(flight::sent, to.index, message.kind, message.size, position);
  if (!to.touched) touch(to);
  return sent;
}

status turn::refuse(turn_output& to, status why, const unsent& message) noexcept {
  if (to.held != nullptr && why == status::full) return hold(to, message);
  const bool waits = to.policy == full_policy::defer || to.policy == full_policy::coalesce;
  if (why == status::full && !waits) [[unlikely]] {
    if (to.policy == full_policy::nack) return push_back(to);
    const bool drops = to.policy != full_policy::refuse;
    lose(to, drops ? lane_loss::no_room : lane_loss::refused);
    return drops ? status::dropped : status::full;
  }
  fault_ = why == status::full ? turn_fault::lane_full : turn_fault::lane_too_big;
  fault_lane_ = &to;
  fault_bytes_ = message.size;
  fault_ring_bytes_ = to.lane.room_wanted();
  return why;
}

// A source keeps what it could not send, and is itself the one who is too fast; of others the
// message is dropped, and who sent what they handle is told.
status turn::push_back(turn_output& to) noexcept {
  const std::uint64_t handling = own_->handling.own();
  const std::uint64_t input = (handling >> handling_shift) - 1;
  if (handling >> handling_shift == handling_produce) {
    is_too_fast_ = true;
    lose(to, lane_loss::refused);
    return status::full;
  }
  lose(to, lane_loss::no_room);
  if (input >= inputs_.size()) return status::dropped;
  const turn_input& from = *inputs_[input];
  for (const auto& back : outputs_) {
    if (back->reader_slot != from.writer_slot || back->purpose != lane_purpose::control) continue;
    const nack what{to.reader_slot, hops_, message_stamp_};
    const std::uint64_t position = back->lane.position();
    if (back->lane.append(&what, sizeof what, nack_kind, alignof(nack)) != status::ok) break;
    recorder_.note(flight::sent, back->index, nack_kind, sizeof what, position);
    if (!back->touched) touch(*back);
    break;
  }
  return status::dropped;
}

bool turn::is_nearly_full() const noexcept {
  if (listed_ > touched_max / 2) return true;
  for (const turn_output* each : touched_outputs_) {
    if (each->lane.room_seen() < each->lane.capacity_bytes() / 4) return true;
  }
  return false;
}

bool turn::is_empty() const noexcept {
  if (listed_ != 0 || root_changed_ || quarantine_changed_ || !touched_outputs_.empty() ||
      !lossy_outputs_.empty() || !changed_accounts_.empty()) {
    return false;
  }
  return std::none_of(touched_inputs_.begin(), touched_inputs_.end(),
                      [](const turn_input* each) { return each->lane.has_changed(); });
}

void turn::set_pending(const turn_input* input) noexcept {
  const std::uint64_t number = input == nullptr ? 0 : std::uint64_t{input->index} + 1;
  if (root_[root_pending] == number) return;
  root_[root_pending] = number;
  root_changed_ = true;
}

void turn::commit() noexcept {
  hold_back_compiler();
  const std::uint64_t stamp = clock_.next();
  for (std::uint64_t i = 0; i < listed_; ++i) {
    const std::uint64_t entry = own_->touched[i].own();
    if ((entry & index_mark) != 0) continue;
    cell_versions& cell = cell_at(arena_, entry);
    if (const unsigned staged = cell.staged(); staged != cell_versions::none) {
      cell.seal(staged, stamp);
    }
  }
  if (root_changed_) {
    const unsigned spare = 1 - (own_->root.current(clock_.commit()) & 1);
    own_->root.stage(spare, root_);
    own_->root.seal(spare, stamp);
  }
  if (quarantine_changed_) [[unlikely]] {
    const unsigned spare = 1 - (own_->quarantine.current(clock_.commit()) & 1);
    own_->quarantine.stage(spare, quarantine_);
    own_->quarantine.seal(spare, stamp);
  }
  for (turn_input* each : touched_inputs_) {
    if (each->lane.has_changed()) each->given_back_bytes += each->lane.seal(stamp);
  }
  for (turn_output* each : touched_outputs_) each->lane.seal(stamp);
  for (turn_output* each : lossy_outputs_) each->losses.seal(stamp);
  for (account* each : changed_accounts_) each->seal(stamp);

  own_->commit.publish(stamp);  // U1: the turn.
  hold_back_compiler();

  for (turn_output* each : touched_outputs_) each->lane.announce(stamp);
  own_->handling.publish(0);
  const std::uint64_t at_ns = recorder_.follow();  // E2
  recorder_.note(flight::committed, 0, static_cast<std::uint32_t>(root_[root_pending]), stamp,
                 at_ns);
  clock_.committed(stamp);
  if (!keeps_space_) {
    for (turn_input* each : touched_inputs_) each->lane.give_back();
  }
  own_->turns.stage(own_->turns.own() + 1);
  full_fence();  // D1, for all bells below.
  for (turn_output* each : touched_outputs_) {
    ring(*each->reader_bell);
    each->touched = false;
  }
  for (turn_input* each : touched_inputs_) {
    if (!keeps_space_) tell_writer(*each);
    each->touched = false;
  }
  forget_touched();
  root_changed_ = false;
  quarantine_changed_ = false;
  listed_ = 0;  // In shared memory the old list stands: all it names is committed now.
}

void turn::give_back() noexcept {
  bool any = false;
  for (const auto& each : inputs_) {
    if (each->given_back_bytes == 0) continue;
    each->lane.give_back();
    any = true;
  }
  if (!any) return;
  full_fence();  // D1
  for (const auto& each : inputs_) tell_writer(*each);
}

// A writer that waits for room is worth waking when there is a good part of the lane, or all of it:
// it may need all, and this worker may stay busy with others. Whether it is all is asked of a
// sleeper only: the question takes the line away from one who is about to write there.
void turn::tell_writer(turn_input& from) noexcept {
  if (from.given_back_bytes == 0) return;
  const bool is_much = from.given_back_bytes >= from.lane.capacity_bytes() / 4;
  if (!is_much && !(is_asleep(*from.writer_bell) && from.lane.looks_empty())) return;
  from.given_back_bytes = 0;
  ring(*from.writer_bell);
}

void turn::forget_touched() noexcept {
  touched_outputs_.clear();
  touched_inputs_.clear();
  lossy_outputs_.clear();
  changed_accounts_.clear();
}

void turn::abort() noexcept {
  const std::uint64_t commit = clock_.commit();
  root_ = own_->root.own_current(commit);
  root_changed_ = false;
  quarantine_ = own_->quarantine.own_current(commit);
  quarantine_changed_ = false;
  wipe_touched(*own_, arena_, arena_bytes_, listed_, commit, root_[0]);
  for (turn_input* each : touched_inputs_) {
    each->lane.forget();
    each->touched = false;
  }
  for (turn_output* each : touched_outputs_) {
    each->lane.forget();
    each->touched = false;
  }
  for (turn_output* each : lossy_outputs_) each->losses.forget();
  for (account* each : changed_accounts_) each->forget();
  forget_touched();
  listed_ = 0;
  own_->handling.publish(0);
  recorder_.note(flight::aborted, 0, static_cast<std::uint32_t>(fault_), 0);
  clock_.forget();
  fault_ = turn_fault::none;
  fault_lane_ = nullptr;
  again_ = false;
  own_->aborts.stage(own_->aborts.own() + 1);
}

void turn::ring_writers() noexcept {
  full_fence();
  for (const auto& each : inputs_) {
    if (each->given_back_bytes == 0) continue;
    each->given_back_bytes = 0;
    ring(*each->writer_bell);
  }
}

void recover(const segment& from, std::uint32_t slot_index, std::byte* own_pages,
             std::byte* arena) {
  const slot_entry& entry = from.slot(slot_index);
  auto& own = *reinterpret_cast<control*>(own_pages);
  auto* inputs = reinterpret_cast<input_line*>(own_pages + sizeof(control));
  auto* outputs = reinterpret_cast<output_line*>(inputs + entry.input_count);
  const mapping bells = from.map_doorbells();
  auto* bell = reinterpret_cast<doorbell_line*>(bells.data());

  const std::uint64_t commit = own.commit.observe();
  if (commit > stamp_max) refuse_control(from, slot_index);
  own.root.wipe(commit);
  own.quarantine.wipe(commit);
  for (versioned<3>& each : own.dead_kinds) {
    each.wipe(commit);
    if (each.current(commit) == versioned<3>::none) refuse_control(from, slot_index);
  }
  if (own.root.current(commit) == versioned<7>::none ||
      own.quarantine.current(commit) == versioned<7>::none) {
    refuse_control(from, slot_index);
  }
  const std::uint64_t end = own.root.own_current(commit)[0];
  const std::uint64_t listed = std::min<std::uint64_t>(own.touched_count.observe(), touched_max);
  if (arena != nullptr) wipe_touched(own, arena, entry.arena_bytes, listed, commit, end);
  for (std::uint32_t i = 0; i < from.lane_count(); ++i) {
    const lane_entry& lane = from.lane(i);
    if (lane.reader_slot == slot_index) {
      input_line& line = inputs[lane.reader_index];
      line.taken.wipe(commit);
      const std::uint64_t read = line.taken.own_current(commit)[0];
      if (line.taken.current(commit) == versioned<3>::none || read % line_bytes != 0) {
        refuse_control(from, slot_index);
      }
      line.read_published.publish(read);
    }
    if (lane.writer_slot == slot_index) {
      const mapping memory = from.map_ring(lane, true);
      if (!recover_writer({memory.data(), lane.ring_bytes, own.shapes}, outputs[lane.writer_index],
                          from.input_of(lane).read_published, commit)) {
        throw error(error_code::failed,
                    "lane " + std::string(entry.name) + " -> " + from.slot(lane.reader_slot).name,
                    "its records do not add up to its writer's account",
                    "memory of the lane was overwritten", "stop the system and start it again");
      }
    }
  }
  hold_back_compiler();
  // Unconditionally: the dead may have died between clearing a bell and waking its owner.
  for (std::uint32_t i = 0; i < from.lane_count(); ++i) {
    const lane_entry& lane = from.lane(i);
    if (lane.reader_slot == slot_index) wake(bell[lane.writer_slot]);
    if (lane.writer_slot == slot_index) wake(bell[lane.reader_slot]);
  }
}

}  // namespace cyto
