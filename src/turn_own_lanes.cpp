// The lanes from a slot to itself: what is deferred, and what has made too many hops.
#include <algorithm>

#include "cyto/turn.hpp"

namespace cyto {

void turn::add_own(lane_purpose purpose) {
  turn_input& in = *inputs_.back();
  turn_output& out = *outputs_.back();
  in.purpose = out.purpose = purpose;
  if (purpose == lane_purpose::deferred) {
    deferred_ = &in;
    defers_to_ = &out;
  } else {
    dead_ = &in;
    buries_in_ = &out;
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

// The count is exact; what does not fit among the letters beside others of this turn is not kept.
status turn::bury(turn_output& to, const void* data, std::uint32_t size,
                  std::uint32_t kind) noexcept {
  lose(to, lane_loss::hops);
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
