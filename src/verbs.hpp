// What is said on a system's socket. A request is a packet with one of these verbs; the answer
// bears the same verb, or verb_refused.
#pragma once

#include <cstdint>

namespace cyto {

enum verb : std::uint32_t {
  verb_refused = 0,
  verb_attach = 1,  // Answer: the segment, read-only.
  verb_stop = 2,    // Answer at once; then the system drains and ends.
  verb_join = 3,    // Of a pair: answer: the segment and the listening socket.
  // About one worker; the value is its slot. Answer: the pid, 0 if none, once it has come to that.
  verb_stop_one = 4,
  verb_start_one = 5,
  verb_restart_one = 6,  // With a descriptor: of the program that it runs from now on.
  verb_retry = 7,        // Of a quarantined message: slot << 23 | number; answer: errand_answer.
  verb_drop = 8,
  verb_add_one = 9,  // As those above about one worker; of the slot's group, one that is absent.
  verb_remove_one = 10,
  verb_port = 11,  // Answer: the segment, writable, for who joins it.
  verb_trace =
      12  // Answer: the board's word; everybody notes what he does while this is connected.
};

}  // namespace cyto
