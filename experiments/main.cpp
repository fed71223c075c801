// cyto-experiment: what updates between workers are like, shown on this machine.
//
//   cyto experiment [1..5|all] [--json] [--html FILE] [--trace FILE] [--seconds S]
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <climits>
#include <cstdio>
#include <exception>
#include <fstream>
#include <functional>
#include <map>
#include <set>

#include "across/machine.hpp"
#include "experiments.hpp"

namespace {

using namespace cyto::experiment;

const std::map<int, std::function<result(const request&)>> experiments = {{1, propagation_latency},
                                                                          {2, causal_order},
                                                                          {3, update_cycle},
                                                                          {4, external_throughput},
                                                                          {5, one_slow_worker}};

struct options {
  std::vector<std::string> which;
  request asked;
  std::string html;
  bool json = false;
};

std::string own_folder() {
  std::array<char, PATH_MAX> path{};
  const ssize_t length = readlink("/proc/self/exe", path.data(), path.size());
  const std::string text(path.data(), length > 0 ? static_cast<std::size_t>(length) : 0);
  return text.substr(0, text.rfind('/'));
}

std::set<int> wanted(const options& given) {
  std::set<int> out;
  for (const std::string& each : given.which) {
    if (each == "all") break;
    out.insert(std::stoi(each));
  }
  if (out.empty() ||
      std::find(given.which.begin(), given.which.end(), "all") != given.which.end()) {
    for (const auto& each : experiments) out.insert(each.first);
  }
  return out;
}

// Opened before anything is measured, so that a wrong name is told at once.
std::ofstream open_output(const std::string& path) {
  std::ofstream out;
  if (path.empty()) return out;
  out.open(path, std::ios::trunc);
  if (!out) {
    throw cyto::error(cyto::error_code::bad_input, "output " + path, "cannot be written", {},
                      "name a file in a folder of yours");
  }
  return out;
}

int run(const options& given) {
  std::ofstream page = open_output(given.html);
  if (!given.asked.trace_path.empty()) {
    open_output(given.asked.trace_path);
    open_output(given.asked.trace_path + ".control");
  }
  nlohmann::ordered_json machine = cyto::bench::machine_facts();
  machine["seconds_per_case"] = given.asked.seconds;
  machine["unfit_to_quote"] = cyto::bench::unfit_to_quote(cyto::bench::load_average());
  std::vector<result> all;
  for (const int number : wanted(given)) {
    if (isatty(STDERR_FILENO) != 0) fmt::print(stderr, "\r\033[Kexperiment {}", number);
    try {
      all.push_back(experiments.at(number)(given.asked));
    } catch (const std::exception& failure) {
      all.emplace_back();
      all.back().number = number;
      all.back().name = "failed";
      all.back().failure = failure.what();
    }
    if (isatty(STDERR_FILENO) != 0) fmt::print(stderr, "\r\033[K");
    if (given.json) continue;
    fmt::print("{}\n", text_of(all.back()));
    std::fflush(stdout);
  }
  const bool good =
      std::all_of(all.begin(), all.end(), [](const result& each) { return each.is_good(); });
  if (given.json) {
    nlohmann::ordered_json out;
    out["machine"] = machine;
    for (const result& each : all) out["experiments"].push_back(json_of(each));
    out["good"] = good;
    fmt::print("{}\n", out.dump(1));
  } else {
    for (const auto& each : machine["unfit_to_quote"]) {
      fmt::print("not fit to be quoted: {}\n", each.get<std::string>());
    }
  }
  if (page.is_open()) {
    page << html_of(all, machine);
    page.close();
    if (!page) {
      throw cyto::error(cyto::error_code::failed, "output " + given.html, "cannot be written", {},
                        "see that there is room");
    }
  }
  return good ? 0 : 1;
}

int command(int argc, char** argv) {
  CLI::App app(
      "Shows what updates between workers are like, with supervised processes of this "
      "machine.",
      "cyto experiment");
  options given;
  std::set<std::string> names = {"all"};
  for (const auto& each : experiments) names.insert(std::to_string(each.first));
  app.add_option("experiment", given.which,
                 "1 propagation latency, 2 causal order, 3 update cycle, 4 external throughput, "
                 "5 one slow worker; all if none is named")
      ->check(CLI::IsMember(names));
  app.add_option("--seconds", given.asked.seconds,
                 "how long each case is measured (1); counts go with it")
      ->check(CLI::Range(0.01, 60.0));
  app.add_option("--html", given.html, "a report with plots, one file");
  app.add_option(
      "--trace", given.asked.trace_path,
      "keep the traces of 2 and 3, for cyto trace --check; of the control in FILE.control");
  app.add_flag("--json", given.json, "one JSON document: machine, rows, checks, verdicts");
  app.footer("Exit codes: 0 all laws hold and goals are met, 1 not so, 2 usage.");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& failure) {
    if (failure.get_exit_code() == 0) return app.exit(failure);
    fmt::print(stderr, "cyto: experiment: {}; see cyto experiment --help\n", failure.what());
    return 2;
  }
  set_programs(own_folder());
  catch_signals();
  return run(given);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return command(argc, argv);
  } catch (const interrupted& by) {
    return 128 + by.signal;
  } catch (const cyto::error& failure) {
    std::fprintf(stderr, "cyto: %s\n", failure.what());
    return static_cast<int>(failure.code());
  } catch (const std::exception& failure) {
    std::fprintf(stderr, "cyto: experiment: %s\n", failure.what());
    return 1;
  }
}
