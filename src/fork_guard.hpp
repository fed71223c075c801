// What a host's forked child must not have of a port or a pair: the descriptors, of which one holds
// the slot's lock, and would hold it beyond its parent's death. The child closes them as its first
// act (pthread_atfork), and knows from then on that what it inherited is its parent's. A child that
// was made without the C library's fork() has no pages either way: see mapping::keep_from_children.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <mutex>

namespace cyto {

class fork_guard {
 public:
  // While one of them lives, a fork() of another thread waits: no descriptor may be open that is
  // not known here yet. Throws if there is no memory.
  using pause = std::unique_lock<std::mutex>;
  static pause hold_forks();

  // REQUIRES: forks are held.
  fork_guard() noexcept;
  fork_guard(const fork_guard&) = delete;
  fork_guard& operator=(const fork_guard&) = delete;
  // REQUIRES: is_mine(), and forks are held.
  ~fork_guard();

  // This descriptor will be closed in every child. At most three. REQUIRES: forks are held.
  void add(int fd) noexcept;
  // Whether this process is the one that has made it, and no child of it.
  [[nodiscard]] bool is_mine() const noexcept;

 private:
  static void in_child() noexcept;

  fork_guard* previous_ = nullptr;
  fork_guard* next_ = nullptr;
  std::array<int, 3> descriptors_{-1, -1, -1};
  std::size_t count_ = 0;
  std::uint32_t generation_;
};

}  // namespace cyto
