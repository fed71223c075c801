// What a port and an end of a pair have in common: a slot of some memory, held by a thread of a
// program that may fork, wait and leave when it likes.
#pragma once

#include <chrono>
#include <memory>
#include <optional>

#include "cyto/port.hpp"
#include "fork_guard.hpp"

namespace cyto {

class holding {
 public:
  explicit holding(segment where) : where_(std::move(where)) {}
  holding(const holding&) = delete;
  holding& operator=(const holding&) = delete;
  // REQUIRES: is_mine().
  ~holding() { leave(); }

  // Takes that slot, and keeps it from children, with a descriptor `also` if there is one. Throws
  // as slot does.
  void take(std::uint32_t slot_index, int also = -1);
  // Gives it up: others may take it.
  void leave() noexcept;

  // False in a forked child, which has none of this and must not touch it.
  [[nodiscard]] bool is_mine() const noexcept { return guard_->is_mine(); }
  [[nodiscard]] const segment& where() const noexcept { return where_; }
  [[nodiscard]] slot& place() noexcept { return *place_; }

  // Sleeps, by `sleep(at most so long)`, until a message is there; false: it is over, or time is
  // up.
  template <class Over, class Sleep>
  bool await(std::chrono::milliseconds at_most, Over is_over, Sleep sleep) {
    using clock = std::chrono::steady_clock;
    const auto deadline = clock::now() + at_most;
    while (!place_->incoming().has_any()) {
      place_->the_turn().ring_writers();
      const auto left =
          std::chrono::duration_cast<std::chrono::milliseconds>(deadline - clock::now());
      if (left.count() <= 0 || is_over()) return false;
      place_->bell().prepare();
      if (!place_->incoming().has_any()) sleep(left);
      place_->bell().cancel();
    }
    return true;
  }

 private:
  void take_once(std::uint32_t slot_index, int also);

  segment where_;
  std::unique_ptr<slot> place_;
  std::optional<fork_guard> guard_;
};

}  // namespace cyto
