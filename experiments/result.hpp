// What an experiment has found, in a form from which text, JSON and HTML are made.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

namespace cyto::experiment {

// What the verdict rests on. A law holds on any machine; a goal was set for this one; an aim is
// beyond the goal and told only.
enum class check_kind { law, goal, aim };

struct check {
  check_kind kind;
  std::string what;
  double value;
  bool is_upper;  // `value` shall be at most `bound`; else at least.
  double bound;
  std::string unit;
  [[nodiscard]] bool ok() const { return is_upper ? value <= bound : value >= bound; }
};

struct column {
  std::string key;  // Of JSON, the unit in it.
  std::string title;
};

struct series {
  std::string name;
  std::vector<std::pair<double, double>> points;
};

struct plot {
  std::string title;
  std::string x;
  std::string y;
  bool is_log = false;  // The y axis.
  std::vector<series> lines;
};

struct result {
  int number = 0;
  std::string name;
  std::string question;
  std::string method;
  std::vector<column> columns;
  std::vector<nlohmann::ordered_json> rows;  // By key.
  std::vector<check> checks;
  std::vector<plot> plots;
  std::string failure;  // Why there is no result.

  // No law is broken and no goal missed.
  [[nodiscard]] bool is_good() const;
  // In a sentence or more, from the checks.
  [[nodiscard]] std::string verdict() const;
};

std::string text_of(const result& of);
nlohmann::ordered_json json_of(const result& of);
// One page that needs nothing beside it.
std::string html_of(const std::vector<result>& all, const nlohmann::ordered_json& machine);

}  // namespace cyto::experiment
