// What a system has lost to a worker that wrote over its own memory, and whether the rest can still
// come to its end. It looks from outside, at what everybody may read; nobody is asked, and nothing
// is changed.
//
// A lane is lost when its reader has shut it, or when its records do not add up to what its ends
// account for; a slot when its control block contradicts itself, or when its successor refused it.
// Who wrote a lost lane is not believed any more either.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cyto/observe.hpp"

namespace cyto {

class inspection {
 public:
  // For every second or so: what makes no sense, and made none at the look before.
  void look(const segment& of);
  // The successor of that slot's holder did not want what it found.
  void lose(const segment& of, std::uint32_t slot, const std::string& why);

  // The first loss, in words; empty: nothing is lost.
  [[nodiscard]] const std::string& loss() const noexcept { return loss_; }
  [[nodiscard]] error_code loss_code() const noexcept { return code_; }
  // Something is lost, and the rest is at its end or waits for what will not come.
  [[nodiscard]] bool is_over() const noexcept { return is_over_; }

  // Whether a lane was not at the last look as it was at the one before.
  [[nodiscard]] bool has_moved() const noexcept { return has_moved_; }

  // Whether a reader has shut a lane.
  static bool any_fenced(const segment& of) noexcept;

 private:
  struct lane_seen {
    std::uint64_t read = 0;
    std::uint64_t written = 0;
    unsigned looks = 0;  // Since it has changed.
    bool lost = false;
  };
  struct slot_seen {
    unsigned looks = 0;  // In a row, at which its control block made no sense.
    bool lost = false;
  };
  void look_at_slot(const segment& of, std::uint32_t index);
  void look_at_lane(const segment& of, std::uint32_t index);
  void judge_the_rest(const segment& of);
  void tell(error_code code, std::string text);

  std::vector<lane_seen> lanes_;
  std::vector<slot_seen> slots_;
  std::uint64_t stamps_ = 0;  // Of all that are believed: does anything move?
  unsigned still_ = 0;        // Looks in a row at which nothing did.
  bool is_over_ = false;
  bool has_moved_ = false;
  std::string loss_;
  error_code code_ = error_code::failed;
};

}  // namespace cyto
