// The lanes from a slot to itself: what is deferred, what is held, and what has made too many hops.
#include <algorithm>

#include "cyto/turn.hpp"

namespace cyto {

void turn::add_own(lane_purpose purpose, std::uint32_t beside) {
  turn_input& in = *inputs_.back();
  turn_output& out = *outputs_.back();
  in.purpose = out.purpose = purpose;
  if (purpose == lane_purpose::deferred) {
    deferred_ = &in;
    defers_to_ = &out;
  } else if (purpose == lane_purpose::dead_letters) {
    dead_ = &in;
    buries_in_ = &out;
  } else if (beside < outputs_.size() && !is_own(outputs_[beside]->purpose)) {
    turn_output& to = *outputs_[beside];
    to.held = &in;
    to.holds_in = &out;
    holders_.push_back(&to);
  }
}

void turn::limit_hops(std::uint32_t kind, std::uint32_t hops_max) {
  hop_limits_.push_back({kind, hops_max});
  for (const auto& each : outputs_) {
    if (!is_own(each->purpose)) each->hops_max = std::min(each->hops_max, hops_max);
  }
}

// A kind's own limit goes before that of the lane.
bool turn::is_over(const turn_output& to, std::uint32_t kind) const noexcept {
  for (const hop_limit& each : hop_limits_) {
    if (each.kind == kind) return each.hops_max != hops_unlimited && hops_ > each.hops_max;
  }
  return to.lane_hops_max != hops_unlimited && hops_ > to.lane_hops_max;
}

void turn::lose(turn_output& to, lane_loss why) noexcept {
  if (!to.losses.has_changed()) lossy_outputs_.push_back(&to);
  to.losses.add(why);
}

// Of the first routes and kinds there are; the lanes' own counts tell how many there are of others.
void turn::count_dead(const turn_output& to, std::uint32_t kind) noexcept {
  const std::uint64_t reader = std::uint64_t{to.reader_slot} + 1;
  for (account& each : dead_kinds_) {
    const account::values now = each.now();
    if (now[0] != 0 && (now[0] != reader || now[1] != kind)) continue;
    return set(each, {reader, kind, now[2] + 1});
  }
}

// The count is exact; what does not fit among the letters beside others of this turn is not kept.
status turn::bury(turn_output& to, const void* data, std::uint32_t size,
                  std::uint32_t kind) noexcept {
  lose(to, lane_loss::hops);
  count_dead(to, kind);
  if (buries_in_ == nullptr) return status::dropped;
  make_room_for_dead_letters();
  const bool is_whole = size <= dead_letter_bytes_max;
  const dead_letter letter{to.reader_slot, kind, hops_, size, message_stamp_};
  lane_writer& lane = buries_in_->lane;
  const std::uint64_t needed =
      record_bytes(sizeof letter, wide_header_bytes) +
      (is_whole ? record_bytes(size, wide_header_bytes) : std::uint64_t{0}) + line_bytes;
  if (lane.room_seen() < needed && lane.room() < needed) return status::dropped;
  if (lane.append(&letter, sizeof letter, dead_letter_kind, alignof(dead_letter)) != status::ok) {
    return status::dropped;
  }
  const std::uint32_t kind_hops = kind | std::uint32_t{hops_} << 24;
  if (is_whole) (void)lane.append(data, size, kind_hops, line_bytes);
  if (!buries_in_->touched) touch(*buries_in_);
  return status::dropped;
}

// The oldest go, once for each turn; their space is there for the next one (L3).
void turn::make_room_for_dead_letters() noexcept {
  if (dead_->lane.has_changed()) return;
  const std::uint64_t enough = buries_in_->lane.capacity_bytes() / 4;
  if (buries_in_->lane.room() >= enough) return;
  const std::uint64_t until = dead_->lane.position() + enough;
  message_view oldest;
  touch(*dead_);
  // A letter and its message go together.
  while (dead_->lane.peek(oldest) == look::message &&
         (dead_->lane.position() < until || oldest.kind != dead_letter_kind)) {
    dead_->lane.drop(oldest);
  }
}

// The sender does not wait, and what it sends last survives: the oldest go. Their space is there
// for the next turn only (L3), so as much is made free as this one has used; a turn that needs more
// is done over, after one that has made it.
status turn::hold(turn_output& to, const unsent& message) noexcept {
  lane_writer& lane = to.holds_in->lane;
  const std::uint64_t length =
      record_bytes(message.size, header_bytes_of(message.size, message.alignment));
  const bool is_too_big = length + line_bytes > to.lane.capacity_bytes();
  const std::uint32_t kind_hops = message.kind | std::uint32_t{hops_} << 24;
  const status put = is_too_big
                         ? status::too_big
                         : lane.append(message.data, message.size, kind_hops, message.alignment);
  if (put == status::ok) {
    if (!to.holds_in->touched) touch(*to.holds_in);
    drop_held(to, lane.staged_bytes() + line_bytes);
    return put;
  }
  if (put == status::full && lane.room_wanted() > lane.capacity_bytes()) {
    lose(to, lane_loss::no_room);  // Beside others of this very turn.
    return status::dropped;
  }
  fault_ = put == status::full ? turn_fault::lane_full : turn_fault::lane_too_big;
  fault_lane_ = put == status::full ? to.holds_in : &to;
  fault_bytes_ = message.size;
  fault_ring_bytes_ = lane.room_wanted();
  return put;
}

// Until there would be so many bytes of room, or nothing older than this turn is left.
void turn::drop_held(turn_output& to, std::uint64_t ring_bytes) noexcept {
  lane_reader& from = to.held->lane;
  message_view oldest;
  while (to.holds_in->lane.room() + from.kept_bytes() < ring_bytes &&
         from.peek(oldest) == look::message) {
    touch(*to.held);
    from.drop(oldest);
  }
}

void turn::give_up_oldest(turn_output& lane, std::uint64_t ring_bytes) noexcept {
  for (turn_output* each : holders_) {
    if (each->holds_in == &lane) drop_held(*each, ring_bytes);
  }
  commit();
}

bool turn::can_move_held() noexcept {
  return std::any_of(holders_.begin(), holders_.end(), [](turn_output* to) {
    lane_reader& from = to->held->lane;
    return from.find() == look::message && to->lane.room() >= from.front_bytes() + line_bytes;
  });
}

bool turn::move_held() noexcept {
  bool has_moved = false;
  message_view view;
  for (turn_output* to : holders_) {
    lane_reader& from = to->held->lane;
    while (from.peek(view) == look::message) {
      const std::uint32_t kind_hops = view.kind | std::uint32_t{view.hops} << 24;
      const std::uint64_t position = to->lane.position();
      // Aligned as it lies: so the record is as long as it was.
      if (to->lane.append(view.data, view.size, kind_hops, from.front_alignment()) != status::ok) {
        break;
      }
      recorder_.note(flight::sent, to->index, view.kind, view.size, position);
      if (!to->touched) touch(*to);
      consume(*to->held, view);
      has_moved = true;
    }
  }
  if (!has_moved) return false;
  clock_.see(monotonic_ns() / clock_tick_ns);  // T4: what waited does not come before its time.
  commit();
  return true;
}

bool turn::defer(turn_input& from, const message_view& message) noexcept {
  const std::uint32_t kind_hops = message.kind | std::uint32_t{message.hops} << 24;
  const std::uint64_t position = defers_to_->lane.position();
  // As in a lane a message ends at a line: so its parts stand as they must, whatever they need.
  if (defers_to_->lane.append(message.data, message.size, kind_hops, line_bytes) != status::ok) {
    return false;
  }
  clock_.see(message.stamp);
  recorder_.note(flight::deferred, from.index, message.kind, from.lane.position(), position);
  if (!defers_to_->touched) touch(*defers_to_);
  consume(from, message);
  return true;
}

}  // namespace cyto
