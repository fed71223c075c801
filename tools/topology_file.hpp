// Reads a topology from TOML.
//
//   name = "revdeps"
//   [set] parsers = 2        what --set may replace; used as "${parsers}"
//   [[worker]] name, program, count, source, arguments, settings, cells_bytes,
//              quarantine_bytes
//   [[lane]] from, to, lane_bytes
//   [restart] intensity, period_ms, shutdown_ms, quarantine_after
//   [table] of
//
// Sizes are numbers of bytes, or texts such as "64KiB". ${input} is the path that --input gives,
// ${input_name} what to call it in messages.
#pragma once

#include <map>
#include <string>

#include <cyto/cyto.hpp>

namespace cyto::tools {

struct topology_request {
  std::string path;
  std::string name;                        // --name; empty: the file's.
  std::map<std::string, std::string> set;  // --set
  std::string input;                       // What ${input} stands for; empty: not given.
  std::string input_name;                  // What ${input_name} stands for, for messages.
  std::string programs;  // Folder where programs without a slash are looked for first.
};

// Throws cyto::error naming file, line, key, value and bound.
topology read_topology(const topology_request& request);

// "64KiB", "1 MiB", "4096". Throws std::invalid_argument.
std::uint64_t parse_bytes(std::string text);

}  // namespace cyto::tools
