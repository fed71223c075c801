#include "dump.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace cyto::tools {

std::string dump_of(std::span<const std::byte> bytes) {
  constexpr std::size_t row = 16;
  std::string out;
  for (std::size_t at = 0; at < bytes.size(); at += row) {
    const auto line = bytes.subspan(at, std::min(row, bytes.size() - at));
    std::string hex;
    std::string text;
    for (const std::byte each : line) {
      const auto code = std::to_integer<unsigned>(each);
      hex += fmt::format("{:02x} ", code);
      text += code >= 0x20 && code < 0x7f ? static_cast<char>(code) : '.';
    }
    out += fmt::format("{:08x}  {:<48} {}\n", at, hex, text);
  }
  return out;
}

}  // namespace cyto::tools
