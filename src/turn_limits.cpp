// What a turn may send, where that is limited.
#include <algorithm>

#include "cyto/update.hpp"

namespace cyto {

// `bytes` is 0 for what does not go into the lane now.
status turn::admit(turn_output& to, std::uint64_t bytes) noexcept {
  if (is_resending_) return status::ok;
  if (++sends_ > sends_max_) {
    fault_ = turn_fault::too_many_sends;
    fault_lane_ = &to;
    fault_bytes_ = sends_max_;
    return status::too_big;
  }
  if (bytes == 0) return status::ok;
  if (to.merged.now()[0] != 0) {  // G1: nothing passes what waits.
    fault_ = turn_fault::lane_full;
    fault_lane_ = &to;
    fault_bytes_ = bytes;
    fault_ring_bytes_ = update_room_bytes;
    return status::full;
  }
  if (in_flight_max_ == ~std::uint64_t{0} || to.purpose == lane_purpose::control) return status::ok;
  return admit_in_flight(to, record_bytes(bytes, wide_header_bytes));
}

status turn::admit_in_flight(turn_output& to, std::uint64_t length) noexcept {
  std::uint64_t in_flight = length;
  std::uint64_t staged = length;
  turn_output* fullest = nullptr;
  std::uint64_t most = 0;
  for (const auto& each : outputs_) {
    if (is_own(each->purpose) || each->purpose == lane_purpose::control) continue;
    const std::uint64_t used = each->lane.capacity_bytes() - each->lane.room();
    in_flight += used;
    staged += each->lane.staged_ring_bytes();
    if (used - each->lane.staged_ring_bytes() >= most) {
      most = used - each->lane.staged_ring_bytes();
      fullest = each.get();
    }
  }
  if (in_flight <= in_flight_max_) return status::ok;
  if (to.policy != full_policy::defer && to.policy != full_policy::coalesce) {
    if (to.policy == full_policy::nack) return push_back(to);
    const bool drops = to.policy != full_policy::refuse;
    lose(to, drops ? lane_loss::no_room : lane_loss::refused);
    return drops ? status::dropped : status::full;
  }
  fault_lane_ = &to;
  fault_bytes_ = staged;
  if (staged > in_flight_max_) {
    fault_ = turn_fault::in_flight_too_big;
    return status::too_big;
  }
  // Its readers make room in some lane; it is in the fullest that they have most to take.
  fault_ = turn_fault::lane_full;
  fault_lane_ = fullest;
  const std::uint64_t excess = in_flight - in_flight_max_;
  const lane_writer& lane = fullest->lane;
  fault_ring_bytes_ =
      std::min(lane.capacity_bytes(), lane.room_seen() + lane.staged_ring_bytes() + excess);
  return status::full;
}

}  // namespace cyto
