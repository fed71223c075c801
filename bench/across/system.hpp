// A system of two slots, `near` and `far`, as a supervisor would lay it out, for cases that use
// cyto's own parts. More slots may be there that say nothing.
#pragma once

#include <cstddef>
#include <cstdint>

#include "cyto/cell.hpp"
#include "cyto/port.hpp"
#include "cyto/segment.hpp"

namespace cyto::bench {

inline constexpr std::uint32_t near_slot = 0;
inline constexpr std::uint32_t far_slot = 1;

// With `silent` slots that have lanes to both of them; traced from its first turn to its last.
segment make_system(std::uint64_t lane_bytes, std::uint32_t silent = 0, bool is_traced = false);

// A slot as its worker holds it, with the lane to the other one and the one from there.
class player_slot {
 public:
  player_slot(const segment& where, bool is_near);

  [[nodiscard]] slot& held() noexcept { return slot_; }
  [[nodiscard]] turn& the_turn() noexcept { return slot_.the_turn(); }
  [[nodiscard]] turn_output& out() noexcept { return *slot_.the_turn().outputs()[0]; }
  [[nodiscard]] turn_input& in() noexcept { return *in_; }
  [[nodiscard]] counter& cell() noexcept { return cell_; }

 private:
  slot slot_;
  turn_input* in_;
  counter cell_;
};

}  // namespace cyto::bench
