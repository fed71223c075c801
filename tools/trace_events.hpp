// A trace: what each node of a system did, in its own order. One JSON object a line:
//
//   {"node":"A","i":1,"event":"send","msg":"A#1","to":["B","C"]}   counts when its turn commits
//   {"node":"A","i":2,"event":"commit"}                 ends a turn
//   {"node":"B","i":1,"event":"deliver","msg":"A#1"}   its handler is about to see it
//   {"node":"B","i":2,"event":"drop","msg":"A#2"}      given up by its receiver; with "to",
//                                                      for others, by its sender
//   {"node":"B","i":3,"event":"crash"}                  undoes what no commit has ended
//
// `i` grows within a node; lines of several nodes may be mixed. Other members are passed over.
#pragma once

#include <cstdint>
#include <istream>
#include <string>
#include <vector>

namespace cyto::tools {

enum class trace_what : std::uint8_t { send, deliver, commit, drop, crash };

struct trace_event {
  std::uint64_t i = 0;
  std::uint32_t message = 0;      // Index into `messages`.
  std::vector<std::uint32_t> to;  // Indexes into `nodes`.
  trace_what what = trace_what::commit;
};

struct trace {
  std::vector<std::string> nodes;
  std::vector<std::string> messages;
  std::vector<std::vector<trace_event>> events;  // Of each node, by `i`.
};

// Throws cyto::error, with the line, when something is no event. `file` is what to call the input.
trace read_trace(std::istream& from, const std::string& file);

}  // namespace cyto::tools
