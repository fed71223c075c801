// Judges a trace offline. It knows nothing of stamps or lanes: from the order of events in each
// node alone it works out what depends on what, with a count for each pair of nodes (a matrix
// clock: Raynal, Schiper, Toueg, "The causal ordering abstraction", 1991).
//
//   fifo     a node was handed a message before an earlier one of the same sender
//   causal   ... before one of another sender on which it depends
//   missing  a message was sent to a node and neither handed to it nor dropped
//   doubled  handed to a node twice, or sent twice
//   phantom  handed to a node although nobody sent it there
//
// A turn is one event: what it was handed comes before all that it sends, and these come together.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "trace_events.hpp"

namespace cyto::tools {

struct trace_finding {
  std::string law;   // One of those above.
  std::string text;  // Who and which messages.
};

struct trace_verdict {
  std::uint64_t sent = 0;       // Messages; one to several nodes counts once.
  std::uint64_t delivered = 0;  // Each message to each node.
  std::uint64_t dropped = 0;
  std::uint64_t turns = 0;   // Committed.
  std::uint64_t undone = 0;  // Events of turns that did not commit.
  std::uint64_t findings = 0;
  std::vector<trace_finding> first;  // The first findings_shown.
};

inline constexpr std::size_t findings_shown = 20;

// `is_window`: the trace begins or ends while messages are under way, so what was not handed to
// anybody, and what nobody has sent, is no finding.
trace_verdict check_trace(const trace& of, bool is_window);

}  // namespace cyto::tools
