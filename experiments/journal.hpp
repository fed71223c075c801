// What the logs of a system's workers say, in the form that is judged and kept.
#pragma once

#include <iosfwd>
#include <string>

#include "stage.hpp"
#include "trace_events.hpp"

namespace cyto::experiment {

// Nodes are the workers by slot. What follows in a log beyond its committed end is left out.
tools::trace trace_of(const stage& from);
// Appends it, one JSON object a line, as `cyto trace --check` reads it. `prefix` goes before all
// names, so that several systems may stand in one file.
void write_trace(const stage& from, const std::string& prefix, std::ostream& to);

}  // namespace cyto::experiment
