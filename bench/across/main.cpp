// cyto-bench: what crosses processes, measured against what nothing can be faster than.
//
//   cyto bench [BENCH...] [--json] [--seconds S] [--passes N] [--size BYTES]
//              [--input FILE] [--list]
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <exception>
#include <set>

#include "across/peers/peers.hpp"
#include "across/report.hpp"

namespace {

using namespace cyto::bench;

struct options {
  std::vector<std::string> benches;
  std::vector<std::size_t> sizes;
  std::string input;
  double seconds = 0.2;
  int passes = 5;
  bool json = false;
  bool list = false;
};

std::set<std::string> bench_names() {
  std::set<std::string> out;
  for (const test_case& each : all_cases()) out.insert(each.bench);
  return out;
}

bool is_wanted(const test_case& each, const options& given) {
  const auto& benches = given.benches;
  const bool all =
      benches.empty() || std::find(benches.begin(), benches.end(), "all") != benches.end();
  if (!all && std::find(benches.begin(), benches.end(), each.bench) == benches.end()) return false;
  return given.sizes.empty() ||
         std::find(given.sizes.begin(), given.sizes.end(), each.bytes) != given.sizes.end();
}

// One line, if peers were asked for and some were not built.
void tell_missing(const std::vector<row>& rows) {
  const std::vector<std::string> missing = peers_missing();
  const bool asked = std::any_of(rows.begin(), rows.end(),
                                 [](const row& each) { return each.of.bench == "peers"; });
  if (!asked || missing.empty()) return;
  fmt::print("not built, for want of their packages: {}\n", fmt::join(missing, ", "));
}

int measure(const options& given) {
  std::vector<test_case> selection;
  for (const test_case& each : all_cases(given.input)) {
    if (is_wanted(each, given)) selection.push_back(each);
  }
  if (given.list) {
    for (const test_case& each : selection) fmt::print("{}\n", each.key());
    return 0;
  }
  pace how;
  how.seconds = given.seconds;
  how.limit_s = 20 + 10 * given.seconds;
  how.where = pinned_cores();
  const bool shows = isatty(STDERR_FILENO) != 0;
  const std::vector<row> rows = run_cases(selection, how, given.passes, [&](const std::string& at) {
    if (shows) fmt::print(stderr, "\r\033[K{}", at);
  });
  if (shows) fmt::print(stderr, "\r\033[K");
  if (given.json) {
    nlohmann::ordered_json out;
    out["machine"] = machine_json(how, given.passes);
    for (const row& each : rows) out["rows"].push_back(json_of(each));
    fmt::print("{}\n", out.dump(1));
  } else {
    fmt::print("{}", table_of(rows));
    tell_missing(rows);
    for (const auto& each : machine_json(how, given.passes)["unfit_to_quote"]) {
      fmt::print("not fit to be quoted: {}\n", each.get<std::string>());
    }
  }
  const bool sound = std::all_of(rows.begin(), rows.end(), [](const row& each) {
    return each.failure.empty() && each.all.lost == 0;
  });
  return sound ? 0 : 1;
}

int command(int argc, char** argv) {
  CLI::App app("Measures cyto against what nothing can be faster than, in one run.", "cyto bench");
  options given;
  std::set<std::string> names = bench_names();
  names.insert("all");
  app.add_option("bench", given.benches, "which; all if none is named")
      ->check(CLI::IsMember(names));
  app.add_option("--size", given.sizes, "only cases of messages of that many bytes");
  app.add_option("--input", given.input, "package index for the job (an excerpt of one)")
      ->check(CLI::ExistingFile);
  app.add_option("--seconds", given.seconds, "how long each case is measured in each pass (0.2)")
      ->check(CLI::Range(0.001, 60.0));
  app.add_option("--passes", given.passes, "how often; ratios are medians over them (5)")
      ->check(CLI::Range(1, 1000));
  app.add_flag("--json", given.json, "one JSON document: machine and rows");
  app.add_flag("--list", given.list, "only say what there is");
  app.footer("Exit codes: 0 done, 1 a case failed or lost messages, 2 usage.");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& failure) {
    if (failure.get_exit_code() == 0) return app.exit(failure);
    fmt::print(stderr, "cyto bench: {}; see cyto bench --help\n", failure.what());
    return 2;
  }
  return measure(given);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return command(argc, argv);
  } catch (const std::exception& failure) {
    std::fprintf(stderr, "cyto bench: %s\n", failure.what());
    return 1;
  }
}
