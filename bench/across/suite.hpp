// The list of what can be measured, and what is made of it: rows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "across/measure.hpp"

namespace cyto::bench {

// Which of a sample's figures is the one that its floor is compared with, and so which table a case
// stands in: of closed loops the time of a round, of open loops that from when a message was due,
// of one-way traffic how many come in a second.
enum class figure { round_p50, delay_p50, per_second };

struct test_case {
  std::string bench;  // lane, turn, wake, updates...
  std::string name;
  std::string mode;  // spin or park
  std::size_t bytes = 0;
  figure what = figure::round_p50;
  std::string floor;  // Key of the case it is compared with; empty: none.
  std::function<sample(const pace&)> run;

  [[nodiscard]] std::string key() const {
    return bench + "/" + name + "/" + mode + "/" + std::to_string(bytes);
  }
};

struct row {
  test_case of;
  sample all;                   // Over all passes.
  std::vector<double> figures;  // One for each time it was run: ns, or messages a second.
  std::vector<double> ratios;   // One for each pass, of case / floor; none: no floor.
  std::string failure;
};

// Cases of all files, in the order in which tables show them. `job_input`: what whole jobs read;
// empty: an excerpt of a package index.
std::vector<test_case> all_cases(const std::filesystem::path& job_input = {});

// Runs the cases `passes` times, each pass all of them in turn, and each next to its floor, once
// more for each case that has it: two virtual cores may be one core's threads now and two cores a
// second later, and then the floor itself is three times another. Floors that the selection lacks
// are run with it.
std::vector<row> run_cases(const std::vector<test_case>& selection, const pace& how, int passes,
                           const std::function<void(const std::string&)>& tell);

// The lower one of two in the middle.
double median(std::vector<double> of);

}  // namespace cyto::bench
