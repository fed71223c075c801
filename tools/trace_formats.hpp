// A recording as text: `jsonl`, which `cyto trace --check` judges; `chrome`, which Perfetto and
// chrome://tracing open; `dot`, for graphviz.
#pragma once

#include <string>

#include "trace_turns.hpp"

namespace cyto::tools {

// One event a line, each worker's in its own order: see trace_events.hpp. The turns that were
// aborted are not among them.
std::string jsonl_of(const traced_system& from);

// The trace event format: one thread for each worker, a slice for each turn, a flow from the turn
// that sends a message to the one that was handed it. Times count from the first turn.
std::string chrome_of(const traced_system& from);

// Who has sent how many messages to whom; what is part of a cycle is red.
std::string dot_of(const traced_system& from);

}  // namespace cyto::tools
