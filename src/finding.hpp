// How a program comes by the memory of a running system.
#pragma once

#include <string>

#include "cyto/segment.hpp"

namespace cyto {

enum class access : std::uint8_t { read_only, writable };

// Asked of its supervisor; if that is dead or stopped, taken from any process that holds it. Throws
// no_such_system; bad_input if it is of another version.
segment find_memory(const std::string& name, access how);

// Whether it is that of a system which has come to its end, although somebody still holds it.
bool is_of_the_past(const std::string& path) noexcept;

}  // namespace cyto
