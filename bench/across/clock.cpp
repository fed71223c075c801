#include "across/clock.hpp"

#include <chrono>

namespace cyto::bench {

double ns_per_tick() {
  static const double found = [] {
    using clock = std::chrono::steady_clock;
    const auto began = clock::now();
    const std::uint64_t first = ticks();
    while (clock::now() - began < std::chrono::milliseconds(20)) continue;
    const std::chrono::duration<double, std::nano> passed = clock::now() - began;
    return passed.count() / static_cast<double>(ticks() - first);
  }();
  return found;
}

}  // namespace cyto::bench
