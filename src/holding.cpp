#include "holding.hpp"

namespace cyto {

void holding::take(std::uint32_t slot_index, int also) {
  const fork_guard::pause held = fork_guard::hold_forks();
  place_ = std::make_unique<slot>(where_, slot_index);
  guard_.emplace();
  for (const int fd : {where_.fd(), place_->lock_fd(), also}) guard_->add(fd);
  where_.keep_from_children();
  place_->keep_from_children();
  place_->set_state(slot_state::ready);
}

void holding::leave() noexcept {
  if (!guard_) return;
  const fork_guard::pause held = fork_guard::hold_forks();
  guard_.reset();
  place_.reset();
}

}  // namespace cyto
