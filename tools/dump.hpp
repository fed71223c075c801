// Bytes for people.
#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace cyto::tools {

// Sixteen bytes a line: offset, hexadecimal, and what is ASCII of it.
std::string dump_of(std::span<const std::byte> bytes);

}  // namespace cyto::tools
