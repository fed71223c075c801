// An update in private memory, and the ways it goes: into its lane, or among what waits.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "cyto/update.hpp"

namespace cyto {

struct update_parts {
  update_law law;
  std::string_view cell;
  std::uint64_t amount = 0;
  std::uint64_t stamp = 0;
  std::uint32_t writer = 0;
  std::string_view function{};
  std::string_view argument{};
};

// Stages it on its lane as any other message.
status stage_update(turn& in, turn_output& to, const update_parts& what);
// Stages it, or, on a lane that coalesces, has it wait.
status send_update(turn& in, turn_output& to, const update_parts& what);

// What a worker's list of handlers has to know of the message type.
std::uint32_t update_kind() noexcept;
const char* update_type_name() noexcept;
std::string update_schema();
bool is_sound_update(const message_view& view) noexcept;

}  // namespace cyto
