// What the logs of a system's workers say, in the form that is judged and kept.
#pragma once

#include <iosfwd>
#include <string>

#include "result.hpp"
#include "stage.hpp"
#include "trace_check.hpp"
#include "trace_events.hpp"

namespace cyto::experiment {

// Nodes are the workers by slot. What follows in a log beyond its committed end is left out.
tools::trace trace_of(const stage& from);
// Appends it, one JSON object a line, as `cyto trace --check` reads it. `prefix` goes before all
// names, so that several systems may stand in one file.
void write_trace(const stage& from, const std::string& prefix, std::ostream& to);

// A run that is over, and what its logs come to.
struct judged {
  tools::trace_verdict verdict;
  std::uint64_t lanes_say = 0;  // Messages delivered, as the lanes have counted them.
  std::uint64_t kills = 0;
  std::uint64_t unaccounted = 0;
  double seconds = 0;
  double judging_s = 0;
};
// `trace_path`: where the trace is kept, after what stands there; empty: nowhere.
judged judge(const stage& of, const std::string& prefix, const std::string& trace_path,
             bool is_window);
// The laws that hold of such a run: `run` is what to call it.
void add_laws(result& to, const judged& of, const std::string& run);

}  // namespace cyto::experiment
