#include "cyto/mailbox.hpp"

namespace cyto {

mailbox::mailbox(std::span<const std::unique_ptr<turn_input>> inputs) {
  for (const auto& each : inputs) fronts_.push_back({each.get(), nothing_in_sight});
  doors_.resize(round_up(fronts_.size(), doors_at_once), &closed_);
  reset();
}

mailbox::~mailbox() = default;

}  // namespace cyto
