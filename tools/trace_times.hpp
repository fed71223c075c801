// When turns began and ended, as far as their workers have noted it, and what follows from that.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "trace_turns.hpp"

namespace cyto::tools {

// Of one worker, the turns at whose end nobody asked the clock. That is so only while turns are
// quick, so they are put close behind what is known before: where there was a pause, it was after
// them.
class untimed_turns {
 public:
  explicit untimed_turns(std::vector<traced_turn>& of) : of_(&of) {}

  // The turn that is about to be added has no time.
  void miss() { ++count_; }
  // The worker noted something else at that time; 0: nothing is known.
  void know(std::uint64_t at_ns);
  // Some events are missing from here on.
  void lose() { has_gap_ = true; }
  // Nothing more comes.
  void end();

 private:
  std::vector<traced_turn>* of_;
  std::size_t count_ = 0;       // The newest of the turns.
  std::uint64_t known_ns_ = 0;  // What was known last.
  bool has_gap_ = false;        // Since then.
};

// Gives the turns of all workers beginnings, and ends in an order that causes and effects allow.
void settle_times(traced_system& of);

}  // namespace cyto::tools
