// The counters of a taker that updates are of: for who sends these, and who sees what came of it.
#pragma once

#include <cstdint>
#include <string>

namespace cyto::experiment {

inline constexpr std::uint64_t counted = 16;

inline std::string counter_name(std::uint64_t number) {
  return "counter " + std::to_string(number % counted);
}

}  // namespace cyto::experiment
