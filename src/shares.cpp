#include "shares.hpp"

#include <algorithm>
#include <cstring>

namespace cyto {
namespace {

// Behind these follow the cell's name and, of a member, its bytes.
struct cell_letter {
  std::uint32_t kind;  // As in cell_record.
  std::uint32_t name_bytes;
  std::uint64_t value[3];
};
struct member_letter {
  std::uint32_t kind;
  std::uint32_t name_bytes;
};
static_assert(sizeof(cell_letter) == 32 && sizeof(member_letter) == 8);

std::string_view name_of(const cell_record& cell) noexcept {
  return {reinterpret_cast<const char*>(&cell + 1), cell.name_bytes};
}

template <class Letter>
void write_letter(std::string& text, const Letter& letter, std::string_view name,
                  std::string_view rest) {
  text.assign(reinterpret_cast<const char*>(&letter), sizeof letter);
  text.append(name).append(rest);
}

// The letter and what follows it; false if the message is no such one.
template <class Letter>
bool read_letter(const message_view& message, Letter& letter, std::string_view& name,
                 std::string_view& rest) {
  if (message.size < sizeof letter) return false;
  std::memcpy(&letter, message.data, sizeof letter);
  const std::string_view text(reinterpret_cast<const char*>(message.data) + sizeof letter,
                              message.size - sizeof letter);
  const auto kind = kind_in(letter.kind);
  if (letter.name_bytes > text.size() || letter.name_bytes > cell_name_bytes_max ||
      !is_keyed(letter.kind) || (letter.kind >> 8) - 1 > letter.name_bytes ||
      kind < cell_kind::counter || kind > cell_kind::growing_set) {
    return false;
  }
  name = text.substr(0, letter.name_bytes);
  rest = text.substr(letter.name_bytes);
  return true;
}

status send_text(turn& in, turn_output& to, const std::string& text, share_kind kind) {
  return in.send_bytes(to, text.data(), static_cast<std::uint32_t>(text.size()), kind, 8);
}

}  // namespace

shares::shares(slot& of) : slot_(&of) {
  const segment& where = of.where();
  const std::string_view group = of.entry().group;
  for (std::uint32_t i = 0; i < where.slot_count(); ++i) {
    if (group != where.slot(i).group) continue;
    const std::uint32_t number = where.slot(i).member;
    if (members_.size() <= number) members_.resize(number + 1);
    members_[number].slot_index = i;
  }
  mine_ = of.entry().member;
  const auto is_other_member = [&](std::uint32_t slot_index) {
    return slot_index != of.index() && group == where.slot(slot_index).group;
  };
  for (const auto& each : of.the_turn().outputs()) {
    if (!is_other_member(each->reader_slot)) continue;
    members_[where.slot(each->reader_slot).member].to = each.get();
  }
  for (const auto& each : of.the_turn().inputs()) {
    if (!is_other_member(each->writer_slot)) continue;
    members_[where.slot(each->writer_slot).member].from = each.get();
  }
  senders_.resize(of.the_turn().inputs().size());
  for (std::uint32_t i = 0; i < where.lane_count(); ++i) {
    const lane_entry& lane = where.lane(i);
    if (lane.reader_slot != of.index() || is_other_member(lane.writer_slot) ||
        is_own(static_cast<lane_purpose>(lane.purpose))) {
      continue;
    }
    senders_[lane.reader_index].lane = &lane;
  }
  answers_now_.reserve(members_.size());
  follow();
}

void shares::follow() {
  const segment& where = slot_->where();
  moves_ = slot_->own().followed.own();
  std::uint32_t last = 0;
  std::uint32_t changed = mine_;
  for (std::uint32_t i = 0; i < members_.size(); ++i) {
    const std::uint32_t share = where.board_of(members_[i].slot_index).share.observe();
    members_[i].has_share = cyto::has_share(share, moves_);
    const std::uint32_t move = share >> 1;
    if (move > moves_ || move <= last) continue;
    last = move;
    changed = i;
  }
  if (last == group_moves_) return;
  group_moves_ = last;
  question_ = 0;
  for (sender& each : senders_) each.covered = 0;
  const bool comes = members_[changed].has_share;
  const bool is_it = changed == mine_;
  const bool gains = members_[mine_].has_share && is_it == comes &&
                     where.the_board().settled.observe() < group_moves_;
  has_gained_ = false;
  for (std::uint32_t i = 0; i < members_.size(); ++i) {
    member& each = members_[i];
    each.was_owner = gains && i != mine_ && (is_it ? each.has_share : i == changed);
    has_gained_ = has_gained_ || each.was_owner;
  }
  has_lost_ = is_it != comes && slot_->own().handed.own() < group_moves_;
  done_ = {};
  if (!has_lost_) slot_->own().handed.publish(group_moves_);
}

turn_output* shares::owner_of(std::uint64_t hash) const noexcept {
  const std::size_t owner =
      owner_of_key(hash, members_.size(), [this](std::size_t i) { return members_[i].has_share; });
  return members_[owner].has_share ? members_[owner].to : nullptr;
}

// ---- keys that are lost --------------------------------------------------------------------

void shares::hand_over(turn& in) {
  cell_store& cells = slot_->cells();
  done_now_ = done_;
  for (std::uint64_t at = cells.before(done_.cell); at != 0; at = cells.before(at)) {
    const cell_record& cell = cells.record(at);
    if (is_keyed(cell.kind) && !has_moved(cells.load(at))) {
      turn_output* to = owner_of(hash_bytes(key_in(cell.kind, name_of(cell))));
      if (to != nullptr && !send_cell(at, *to, in)) return;
    }
    done_now_ = {at, 0, false};
    if (in.is_nearly_full()) return;
  }
  done_now_.is_end = true;
}

// False: the turn has no room for the rest of it, or is doomed.
bool shares::send_cell(std::uint64_t cell, turn_output& to, turn& in) {
  cell_store& cells = slot_->cells();
  const cell_record& record = cells.record(cell);
  const cell_value value = cells.load(cell);
  const bool is_set = kind_in(record.kind) == cell_kind::growing_set;
  if (done_now_.set_members == 0) {
    const cell_letter letter{record.kind, record.name_bytes, {value[0], value[1], value[2]}};
    write_letter(text_, letter, name_of(record), {});
    if (send_text(in, to, text_, share_cell) != status::ok) return false;
  }
  if (is_set && !send_members(cell, to, in)) return false;
  return cells.store(cell, {0, 0, moved_away});
}

// The oldest first, so that they stay in order. A turn that is killed on the way leaves some of
// them there; they are sent again, and are members already.
bool shares::send_members(std::uint64_t cell, turn_output& to, turn& in) {
  const cell_record& record = slot_->cells().record(cell);
  std::vector<std::string_view> all;
  slot_->cells().each_member(cell, [&](std::string_view each) {
    all.push_back(each);
    return true;
  });
  const member_letter letter{record.kind, record.name_bytes};
  for (std::uint64_t i = done_now_.set_members; i < all.size(); ++i) {
    if (i != done_now_.set_members && in.is_nearly_full()) {
      done_now_.set_members = i;
      return false;
    }
    write_letter(text_, letter, name_of(record), all[all.size() - 1 - i]);
    if (send_text(in, to, text_, share_member) != status::ok) return false;
  }
  return true;
}

void shares::handed_over() noexcept {
  done_ = done_now_;
  if (!done_.is_end) return;
  has_lost_ = false;
  slot_->own().handed.publish(group_moves_);
}

// ---- keys that are gained ------------------------------------------------------------------

bool shares::has_to_ask(const turn_input& from) const noexcept {
  if (!has_gained_ || question_ != 0) return false;
  const sender& by = senders_[from.index];
  if (by.lane == nullptr || from.lane.position() < by.covered) return false;
  // What was sent by the shares before was for this member then.
  return slot_->where().control_of(by.lane->writer_slot).followed.observe() >= moves_;
}

bool shares::all_have_followed() const noexcept {
  const segment& where = slot_->where();
  return std::all_of(senders_.begin(), senders_.end(), [&](const sender& each) {
    if (each.lane == nullptr) return true;
    const control& writer = where.control_of(each.lane->writer_slot);
    const std::uint32_t state = writer.state.observe();
    // Who does not run follows before it sends anything.
    return writer.followed.observe() >= moves_ ||
           state == static_cast<std::uint32_t>(slot_state::empty) ||
           state == static_cast<std::uint32_t>(slot_state::stopped);
  });
}

void shares::ask(turn& in) {
  const segment& where = slot_->where();
  asks_last_ = all_have_followed();  // Before the lanes are looked at.
  for (sender& each : senders_) {
    if (each.lane == nullptr) continue;
    versioned<3>::values sent{};
    std::uint64_t seen = 0;
    const control& writer = where.control_of(each.lane->writer_slot);
    if (!where.output_of(*each.lane).sent.read(writer.commit, sent, seen)) {
      asks_last_ = false;
      continue;
    }
    each.covered = sent[0];
    in.see(seen);
  }
  for (member& each : members_) {
    each.has_answered = false;
    if (each.was_owner) (void)in.send_bytes(*each.to, &moves_, sizeof moves_, share_question, 4);
  }
}

void shares::asked(std::uint64_t stamp) noexcept { question_ = stamp; }

turn_input* shares::next(mailbox& incoming, message_view& out) noexcept {
  turn_input* best = nullptr;
  message_view view;
  for (const member& each : members_) {
    if (each.from == nullptr || incoming.front_of(*each.from, view) == nullptr) continue;
    if (best != nullptr && view.stamp >= out.stamp) continue;
    best = each.from;
    out = view;
  }
  return best;
}

bool shares::has_any(mailbox& incoming) noexcept {
  message_view view;
  return next(incoming, view) != nullptr;
}

void shares::committed() noexcept {
  for (const std::uint32_t each : answers_now_) members_[each].has_answered = true;
  answers_now_.clear();
  if (question_ == 0) return;
  for (const member& each : members_) {
    if (each.was_owner && !each.has_answered) return;
  }
  question_ = 0;
  if (asks_last_) has_gained_ = false;
}

// ---- what members send to each other -------------------------------------------------------

bool shares::take(const message_view& message, const turn_input* from, turn& in) {
  if (from == nullptr || senders_[from->index].lane != nullptr) return false;
  const auto by = std::find_if(members_.begin(), members_.end(),
                               [from](const member& each) { return each.from == from; });
  if (by == members_.end()) return false;
  switch (message.kind) {
    case share_cell:
      return take_cell(message);
    case share_member:
      return take_member(message, in);
    case share_question: {
      const std::uint64_t asked = message.stamp;
      (void)in.send_bytes(*by->to, &asked, sizeof asked, share_answer, 8);
      return true;
    }
    default: {
      std::uint64_t asked = 0;
      if (message.size != sizeof asked) return false;
      std::memcpy(&asked, message.data, sizeof asked);
      if (asked == question_ && question_ != 0) {
        answers_now_.push_back(static_cast<std::uint32_t>(by - members_.begin()));
      }
      return true;
    }
  }
}

bool shares::take_cell(const message_view& message) {
  cell_letter letter{};
  std::string_view name;
  std::string_view rest;
  if (!read_letter(message, letter, name, rest) || !rest.empty()) return false;
  cell_store& cells = slot_->cells();
  const std::uint64_t cell = cells.find_or_make(name, letter.kind);
  // A set has its members yet to come.
  if (cell == 0 || kind_in(letter.kind) == cell_kind::growing_set) return true;
  cells.store(cell, {letter.value[0], letter.value[1], letter.value[2]});
  return true;
}

bool shares::take_member(const message_view& message, turn& in) {
  member_letter letter{};
  std::string_view name;
  std::string_view bytes;
  if (!read_letter(message, letter, name, bytes) ||
      kind_in(letter.kind) != cell_kind::growing_set) {
    return false;
  }
  cell_store& cells = slot_->cells();
  const std::uint64_t cell = cells.find_or_make(name, letter.kind);
  if (cell != 0) (void)growing_set(cells, cell).add(in, bytes);
  return true;
}

}  // namespace cyto
