#include "cyto/mailbox.hpp"

namespace cyto {

mailbox::mailbox(std::span<const std::unique_ptr<turn_input>> inputs) {
  for (const auto& each : inputs) {
    if (!is_own(each->purpose)) fronts_.push_back({each.get(), nothing_in_sight});
  }
  doors_.resize(round_up(fronts_.size(), doors_at_once), &closed_);
  reset();
}

mailbox::~mailbox() = default;

bool mailbox::has_any_of_cycle() noexcept {
  for (std::size_t i = 0; i < fronts_.size(); ++i) {
    if (fronts_[i].input->in_cycle && (is_in_sight(i) || look_at(i))) return true;
  }
  return false;
}

}  // namespace cyto
