// How often this thread has asked for memory.
#pragma once

#include <cstdint>

#include "support/process.hpp"

namespace cyto::test {

// Calls of operator new by this thread so far. Under a sanitizer, whose own operators stay in
// place, always 0.
std::uint64_t allocations() noexcept;
inline constexpr bool allocations_are_counted = !sanitized;

}  // namespace cyto::test
