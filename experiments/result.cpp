// Results as people and as programs read them.
#include "result.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace cyto::experiment {
namespace {

const char* word_of(check_kind kind) {
  switch (kind) {
    case check_kind::law:
      return "law";
    case check_kind::goal:
      return "goal";
    case check_kind::aim:
      return "aim";
  }
  return "?";
}

std::string number_text(double value) {
  if (value == static_cast<double>(static_cast<long long>(value))) {
    return fmt::format("{}", static_cast<long long>(value));
  }
  return fmt::format("{:.1f}", value);
}

std::string cell_text(const nlohmann::ordered_json& value) {
  if (value.is_null()) return "-";
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number()) return number_text(value.get<double>());
  return value.dump();
}

std::string check_text(const check& each) {
  const std::string unit = each.unit.empty() ? "" : " " + each.unit;
  return fmt::format("{} {}: {} is {}{}, {} {}{} wanted", word_of(each.kind),
                     each.kind == check_kind::law ? "BROKEN"
                     : each.ok()                  ? "met"
                                                  : "MISSED",
                     each.what, number_text(each.value), unit,
                     each.is_upper ? "at most" : "at least", number_text(each.bound), unit);
}

nlohmann::ordered_json json_of(const plot& of) {
  // More than can be seen in a picture would only take room.
  const auto seen = [](double value) { return std::stod(fmt::format("{:.4g}", value)); };
  nlohmann::ordered_json out;
  out["title"] = of.title;
  out["x"] = of.x;
  out["y"] = of.y;
  out["log"] = of.is_log;
  for (const series& line : of.lines) {
    auto& points = out["lines"][line.name];
    points = nlohmann::ordered_json::array();
    for (const auto& [x, y] : line.points) points.push_back({seen(x), seen(y)});
  }
  return out;
}

// How many characters, not bytes.
std::size_t width_of(const std::string& text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char byte) {
    return (static_cast<unsigned char>(byte) & 0xC0U) != 0x80U;
  }));
}

// Words on lines of 100 columns at most.
std::string wrapped(const std::string& head, const std::string& text) {
  std::string out = head;
  std::size_t at = head.size();
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find(' ', begin), text.size());
    if (at + 1 + end - begin > 100) {
      out += '\n' + std::string(head.size(), ' ');
      at = head.size();
    }
    out += ' ' + text.substr(begin, end - begin);
    at += 1 + end - begin;
    begin = end + 1;
  }
  return out + '\n';
}

}  // namespace

bool result::is_good() const {
  return failure.empty() && std::all_of(checks.begin(), checks.end(), [](const check& each) {
           return each.kind == check_kind::aim || each.ok();
         });
}

std::string result::verdict() const {
  if (!failure.empty()) return "no result: " + failure;
  std::string out = is_good() ? "good." : "NOT GOOD.";
  // What holds, as it must, need not be read one by one.
  const auto holds = [](const check& each) { return each.kind == check_kind::law && each.ok(); };
  const auto laws = std::count_if(checks.begin(), checks.end(), holds);
  if (laws > 0) out += fmt::format(" {} {}.", laws, laws == 1 ? "law holds" : "laws hold");
  for (const check& each : checks) {
    if (!holds(each)) out += ' ' + check_text(each) + '.';
  }
  return out;
}

std::string text_of(const result& of) {
  std::string out = fmt::format("Experiment {}: {}\n", of.number, of.name);
  out += wrapped("  Question:", of.question);
  out += wrapped("  Method:  ", of.method);
  std::vector<std::vector<std::string>> lines(1);
  for (const column& each : of.columns) lines[0].push_back(each.title);
  for (const auto& row : of.rows) {
    lines.emplace_back();
    for (const column& each : of.columns) {
      lines.back().push_back(row.contains(each.key) ? cell_text(row[each.key]) : "-");
    }
  }
  std::vector<std::size_t> widths(of.columns.size());
  for (const auto& line : lines) {
    for (std::size_t i = 0; i < widths.size(); ++i) {
      widths[i] = std::max(widths[i], width_of(line[i]));
    }
  }
  for (const auto& line : lines) {
    out += "   ";
    for (std::size_t i = 0; i < widths.size(); ++i) {
      const std::string filling(widths[i] - width_of(line[i]), ' ');
      // Words begin where the column does, numbers end where it does.
      const bool is_text = of.rows.empty() || (of.rows[0].contains(of.columns[i].key) &&
                                               of.rows[0][of.columns[i].key].is_string());
      out += ' ' + (is_text ? line[i] + filling : filling + line[i]) + ' ';
    }
    out.erase(out.find_last_not_of(' ') + 1);
    out += '\n';
  }
  return out + wrapped("  Verdict: ", of.verdict());
}

nlohmann::ordered_json json_of(const result& of) {
  nlohmann::ordered_json out;
  out["number"] = of.number;
  out["name"] = of.name;
  out["question"] = of.question;
  out["method"] = of.method;
  for (const column& each : of.columns) out["columns"][each.key] = each.title;
  out["rows"] = of.rows;
  if (of.rows.empty()) out["rows"] = nlohmann::ordered_json::array();
  out["checks"] = nlohmann::ordered_json::array();
  for (const check& each : of.checks) {
    out["checks"].push_back({{"kind", word_of(each.kind)},
                             {"what", each.what},
                             {"value", each.value},
                             {each.is_upper ? "at_most" : "at_least", each.bound},
                             {"unit", each.unit},
                             {"ok", each.ok()}});
  }
  out["plots"] = nlohmann::ordered_json::array();
  for (const plot& each : of.plots) out["plots"].push_back(json_of(each));
  out["good"] = of.is_good();
  out["verdict"] = of.verdict();
  if (!of.failure.empty()) out["failure"] = of.failure;
  return out;
}

}  // namespace cyto::experiment
