#include "holding.hpp"

#include <poll.h>

#include "process.hpp"

namespace cyto {
namespace {

constexpr int vanish_tries = 2000;
constexpr int vanish_pause_ms = 1;

bool holder_lives(const segment& where, std::uint32_t slot_index) {
  const control& own = where.control_of(slot_index);
  const auto pid = static_cast<pid_t>(own.pid.observe());
  return process_lives(pid) && process_start_time(pid) == own.start_time.observe();
}

}  // namespace

void holding::take(std::uint32_t slot_index, int also) {
  for (int left = vanish_tries;; --left) {
    try {
      take_once(slot_index, also);
      return;
    } catch (const error& failure) {
      // One that was killed may have left the lock to a child that it was just forking, which lets
      // go with its first instructions. Nothing tells of that.
      const bool is_held = failure.code() == error_code::already_running;
      if (!is_held || left == 0 || holder_lives(where_, slot_index)) throw;
    }
    poll(nullptr, 0, vanish_pause_ms);
  }
}

void holding::take_once(std::uint32_t slot_index, int also) {
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
