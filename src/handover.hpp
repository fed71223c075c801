// What a supervisor gives a worker it starts: descriptors at fixed numbers and one variable of the
// environment that says which slot. The numbers are fixed so that a later supervisor finds them
// under /proc/PID/fd. A program that is only rehearsed gets a copy of the memory, in the place of
// the nudge a pipe for its report, and one variable more.
#pragma once

#include <cstdint>

namespace cyto {

inline constexpr int segment_fd = 3;  // The memfd.
inline constexpr int nudge_fd = 4;    // A pipe, open for reading and writing; any byte wakes.
inline constexpr int input_fd = 5;    // Only with `--input -`: what came from standard input.
inline constexpr const char* handover_variable = "CYTO_SLOT";
inline constexpr const char* rehearsal_variable = "CYTO_REHEARSAL";

struct handover {
  std::uint32_t slot = 0;
  int segment = -1;
  int nudge = -1;
  bool is_rehearsal = false;
};

// Reads and removes the variables, so that grandchildren do not inherit them.
handover take_handover() noexcept;

}  // namespace cyto
