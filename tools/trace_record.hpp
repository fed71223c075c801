// Recording what the workers of a running system do.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "trace_turns.hpp"

namespace cyto::tools {

struct recording {
  traced_system what;
  std::string cut;  // Why it is shorter than was asked for; empty: it is not.
  int signal = 0;   // Which has ended it.
};

// Records for so long, or until SIGHUP, SIGINT or SIGTERM, or the end of the system. Throws if it
// cannot be traced.
recording record(const std::string& name, std::chrono::seconds at_most);

}  // namespace cyto::tools
