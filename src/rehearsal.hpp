// A program's setup, run against a copy of the memory that it is to take over. It says on a pipe,
// in the place of the supervisor's, what it handles; or why it will not.
#pragma once

#include <string>
#include <string_view>

#include "cyto/segment.hpp"
#include "process.hpp"
#include "spawn.hpp"

namespace cyto {

// What a rehearsed program reports after the line that says what it is: one of these, or neither,
// if it did not get so far.
inline constexpr std::string_view report_refused = "refused ";  // And the text of a cyto::error.
inline constexpr std::string_view report_threw = "threw ";      // And that of another exception.
inline constexpr std::string_view report_end = "end\n";         // After what it handles.

// A memory of its own with the slot as its holder has it, its lanes empty, and the rest zeros.
file copy_for_rehearsal(const segment& where, std::uint32_t slot_index);

// Runs the program, whose segment, pipe and words are filled in here, and returns what it handles
// (schema.hpp). It and what it has started are gone afterwards. Throws bad_input, in the name of
// `thing`, unless it has come to the end of its setup in `timeout_ms`.
std::string rehearse(const segment& where, spawn_request program, const std::string& thing,
                     int timeout_ms);

}  // namespace cyto
