// Which of the messages that causality leaves free goes first.
#include "cyto/mailbox.hpp"

namespace cyto {

void mailbox::rank(std::uint32_t update_weight, std::uint32_t external_weight,
                   std::vector<std::uint8_t> reaches) {
  weights_[static_cast<std::size_t>(lane_purpose::updates)] = update_weight;
  weights_[static_cast<std::size_t>(lane_purpose::external)] = external_weight;
  left_ = update_weight;
  reaches_ = std::move(reaches);
}

// Nothing in sight was sent before it by one of whom its writer may know.
bool mailbox::is_free(std::size_t index) const noexcept {
  for (std::size_t i = 0; i < fronts_.size(); ++i) {
    if (is_in_sight(i) && reaches_[i * fronts_.size() + index] != 0 && before(i, index)) {
      return false;
    }
  }
  return true;
}

// `best` has no cause that is not delivered; so of the others that is asked. What one of them
// depends on was visible before it was, so it is in sight after a look at all lanes.
std::size_t mailbox::first_by_rank(std::size_t best) noexcept {
  const auto first_of = [this](lane_purpose what) {
    std::size_t first = none;
    for (std::size_t i = 0; i < fronts_.size(); ++i) {
      if (fronts_[i].input->purpose == what && is_in_sight(i) && before(i, first)) first = i;
    }
    return first;
  };
  const lane_purpose other =
      turn_of_ == lane_purpose::updates ? lane_purpose::external : lane_purpose::updates;
  for (const lane_purpose each : {lane_purpose::control, turn_of_, other}) {
    const std::size_t first = first_of(each);
    if (first == none) continue;
    if (first == best) return best;
    for (std::size_t i = 0; i < fronts_.size(); ++i) {
      if (doors_[i]->observe() != 0) look_at(i);
    }
    if (is_free(first)) return first;
  }
  return best;
}

void mailbox::count_taken(lane_purpose what) noexcept {
  if (what != turn_of_ || --left_ != 0) return;
  turn_of_ = what == lane_purpose::updates ? lane_purpose::external : lane_purpose::updates;
  left_ = weights_[static_cast<std::size_t>(turn_of_)];
}

}  // namespace cyto
