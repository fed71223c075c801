// `cyto trace --check`: judges what a trace tells.
#include <fmt/format.h>

#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>

#include <cyto/error.hpp>
#include "command.hpp"
#include "trace_check.hpp"

namespace cyto::tools {
namespace {

trace read(const std::string& path) {
  if (path == "-") return read_trace(std::cin, "standard input");
  std::ifstream from(path);
  if (!from) {
    throw error(error_code::bad_input, "trace " + path, "cannot be read", {},
                "see that it is there and yours to read");
  }
  return read_trace(from, path);
}

}  // namespace

int trace_verb(const trace_options& options) {
  const trace_verdict verdict = check_trace(read(options.check), options.is_window);
  if (options.json) {
    nlohmann::ordered_json out;
    out["good"] = verdict.findings == 0;
    out["sent"] = verdict.sent;
    out["delivered"] = verdict.delivered;
    out["dropped"] = verdict.dropped;
    out["turns"] = verdict.turns;
    out["undone_events"] = verdict.undone;
    out["findings"] = verdict.findings;
    out["first"] = nlohmann::ordered_json::array();
    for (const trace_finding& each : verdict.first) {
      out["first"].push_back({{"law", each.law}, {"text", each.text}});
    }
    fmt::print("{}\n", out.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  } else {
    for (const trace_finding& each : verdict.first) fmt::print("{}: {}\n", each.law, each.text);
    if (verdict.findings > verdict.first.size()) {
      fmt::print("... and {} more\n", verdict.findings - verdict.first.size());
    }
    fmt::print("{}: {} messages sent, {} handed over, {} dropped, in {} turns; {} findings\n",
               verdict.findings == 0 ? "good" : "BAD", verdict.sent, verdict.delivered,
               verdict.dropped, verdict.turns, verdict.findings);
  }
  return verdict.findings == 0 ? 0 : 1;
}

}  // namespace cyto::tools
