// What flight recorders tell, put together: for each worker its turns, with the messages that each
// was handed and has sent. The same message has the same lane and position on both sides.
//
// A recording begins and ends while messages are under way, and may have gaps. For each lane it is
// known which positions its reader has passed unrecorded; what was sent there is left out, as if
// the recording began after it. So whatever part is there can be judged: nothing else is missing.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <cyto/cyto.hpp>
#include "trace_events.hpp"

namespace cyto::tools {

struct traced_step {
  trace_what what;         // deliver, drop or send
  std::uint32_t lane;      // Of the system.
  std::uint64_t position;  // In that lane.
  std::uint64_t number;    // Of the event.
  std::uint32_t kind;
  std::uint64_t bytes;  // Payload, of what is sent.
};

struct traced_turn {
  std::uint64_t number = 0;  // Of the event that ended it.
  std::uint64_t stamp = 0;
  std::uint64_t began_ns = 0;  // Monotonic; not before what it was handed was there.
  std::uint64_t ended_ns = 0;
  bool is_timed = false;  // Else that was not noted, and follows from what is around it.
  std::size_t first_step = 0;
  std::size_t step_count = 0;
  bool is_committed = false;  // Else its worker has died in it, or has died without one.
};

struct traced_worker {
  std::string name;
  std::vector<traced_step> steps;
  std::vector<traced_turn> turns;
  std::uint64_t missed = 0;  // Events that were overwritten before they were read.

  [[nodiscard]] std::span<const traced_step> steps_of(const traced_turn& turn) const noexcept {
    return {steps.data() + turn.first_step, turn.step_count};
  }
};

struct traced_lane {
  std::uint32_t writer;
  std::uint32_t reader;
};

struct traced_system {
  std::string name;
  std::vector<traced_worker> workers;  // By slot.
  std::vector<traced_lane> lanes;

  // Unique, and the same for sender and receiver: "source/0#3.128", 3 the lane.
  [[nodiscard]] std::string message_name(const traced_step& step) const;
};

// `flights`: of each slot, as flight_reader has them. Reads from `where` how far readers have come:
// call it after the last of them was read.
traced_system turns_of(const segment& where, const std::vector<std::vector<flight_entry>>& flights);

}  // namespace cyto::tools
