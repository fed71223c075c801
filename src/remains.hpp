// What is left of a system when its supervisor has gone.
#pragma once

#include <cstdint>
#include <utility>

#include "cyto/segment.hpp"
#include "process.hpp"

namespace cyto {

// The process of the slot, if it lives: the one that has taken it, or the one that was started for
// it. The descriptor is not open if there is none.
std::pair<pid_t, file> living_process(const segment& of, std::uint32_t slot);

// Whether all of it was stopped, to the last worker. What the workers had started may still be
// there, and hold the memory that it got from them.
bool has_ended(const segment& which);

}  // namespace cyto
