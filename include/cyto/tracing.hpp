// cyto/tracing.hpp
//
// What: what the workers of a running system do, event by event, read from their flight recorders.
//       const tracing on(name);                                // from now on all of them note
//       flight_reader of(where, slot_index, on.period());
//       of.read(events);                                       // now and then
//
// Who: tools. A flight_reader belongs to one thread; nothing here writes to the segment, and a
//   worker notices a reader only by the lines that this takes from its core.
//
// Layout: rings of flight_event, one a slot, beside the small one in its control block. Where
//   `trace_bytes` of the slot is 0 there is none, and nothing is ever read.
//
// Ordering:
//   E1 What is read of a slot is a run of whole events, in the order in which its holder has noted
//      them, or it is told how many are missing. The first of a period is the end of a turn.
//   E2 While nobody traces a turn costs one load and one branch more. Tracing ends with the
//      connection of the last who has asked for it, and with the supervisor: its successor begins
//      with it switched off.
//
// Death: of the reader: the kernel ends its connection. Of a worker: its successor goes on in the
//   same ring, with the same numbers.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "cyto/postmortem.hpp"
#include "cyto/segment.hpp"

namespace cyto {

// Has all workers of a system note what they do, for as long as it lives.
class tracing {
 public:
  // Asks the supervisor. Throws if nobody supervises that system, or it refuses.
  explicit tracing(const std::string& name);
  tracing(const tracing&) = delete;
  tracing& operator=(const tracing&) = delete;
  ~tracing();

  // What the board says while it is on.
  [[nodiscard]] std::uint32_t period() const noexcept { return period_; }
  // Whether the supervisor that was asked is still there.
  [[nodiscard]] bool is_on() const noexcept;

 private:
  int connection_ = -1;
  std::uint32_t period_ = 0;
};

class flight_reader {
 public:
  // Reads what is noted from now on.
  flight_reader(const segment& of, std::uint32_t slot_index, std::uint32_t period) noexcept;

  // Appends what has been noted since the last call. Where events were overwritten before they were
  // read, one of flight::none stands for them: `first` is how many. False: there may be more.
  bool read(std::vector<flight_entry>& out);
  [[nodiscard]] std::uint64_t missed() const noexcept { return missed_; }

 private:
  const control* of_;
  std::span<const flight_event> ring_;
  std::uint32_t period_;
  std::uint64_t passed_ = 0;  // Numbers up to here were there before.
  std::uint64_t next_ = 0;    // 0: its holder has not begun to note.
  std::uint64_t missed_ = 0;
};

}  // namespace cyto
