// `cyto trace`: records what the workers of a system do, or judges what such a recording tells.
#include <fmt/format.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>

#include <cyto/error.hpp>
#include "command.hpp"
#include "graphviz.hpp"
#include "trace_check.hpp"
#include "trace_formats.hpp"
#include "trace_record.hpp"

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

std::string text_of(const traced_system& what, const std::string& format) {
  if (format == "chrome") return chrome_of(what);
  if (format == "dot") return dot_of(what);
  return jsonl_of(what);
}

void write_out(const std::string& text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0) {
    return;
  }
  throw_errno(errno, error_code::failed, "standard output", "cannot be written");
}

int record_verb(const trace_options& options) {
  const std::string system = the_system(options.name);
  std::optional<graphviz> drawing;  // Before anything is recorded that it could not draw.
  if (options.format == "svg") drawing.emplace();
  const recording made = record(system, std::chrono::seconds(options.seconds));
  if (drawing) {
    drawing->draw(dot_of(made.what));
  } else {
    write_out(text_of(made.what, options.format));
  }
  bool is_whole = made.cut.empty();
  if (!is_whole) {
    fmt::print(stderr, "cyto: trace of {}: is shorter than {} s: {}\n", made.what.name,
               options.seconds, made.cut);
  }
  for (const traced_worker& each : made.what.workers) {
    if (each.missed == 0) continue;
    is_whole = false;
    fmt::print(stderr,
               "cyto: trace of {}: {} events of {} are missing; it was quicker than this reader; "
               "raise trace_bytes in [memory]\n",
               made.what.name, each.missed, each.name);
  }
  if (made.signal != 0) return 128 + made.signal;
  return is_whole ? 0 : 4;
}

int check_verb(const trace_options& options) {
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

}  // namespace

int trace_verb(const trace_options& options) {
  return options.check.empty() ? record_verb(options) : check_verb(options);
}

}  // namespace cyto::tools
