#include "fork_guard.hpp"

#include <pthread.h>
#include <unistd.h>

#include <atomic>

#include "cyto/error.hpp"

namespace cyto {
namespace {

// Of this process. They outlive every port, and no constructor or destructor of theirs does
// anything.
constinit std::mutex forks;
constinit fork_guard* first = nullptr;
constinit std::atomic<std::uint32_t> generation{0};  // How many forks lie between it and the first.

}  // namespace

fork_guard::pause fork_guard::hold_forks() {
  static const int refused =
      pthread_atfork([] { forks.lock(); }, [] { forks.unlock(); }, [] { in_child(); });
  if (refused != 0) {
    throw_errno(refused, error_code::failed, "process", "cannot be told of its forks");
  }
  return pause(forks);
}

fork_guard::fork_guard() noexcept : next_(first), generation_(generation) {
  if (next_ != nullptr) next_->previous_ = this;
  first = this;
}

fork_guard::~fork_guard() {
  (previous_ != nullptr ? previous_->next_ : first) = next_;
  if (next_ != nullptr) next_->previous_ = previous_;
}

void fork_guard::add(int fd) noexcept {
  if (fd >= 0) descriptors_[count_++] = fd;
}

bool fork_guard::is_mine() const noexcept { return generation_ == generation; }

// Between fork() and whatever the child does next, on its only thread.
void fork_guard::in_child() noexcept {
  for (const fork_guard* each = first; each != nullptr; each = each->next_) {
    for (const int fd : each->descriptors_) {
      if (fd >= 0) close(fd);
    }
  }
  first = nullptr;
  generation = generation + 1;
  forks.unlock();
}

}  // namespace cyto
