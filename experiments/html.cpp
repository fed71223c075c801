// The report as one page: tables, verdicts, and plots drawn in place.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "result.hpp"

namespace cyto::experiment {
namespace {

constexpr double width = 640;
constexpr double height = 260;
constexpr double left = 80;
constexpr double bottom = 40;
constexpr double top = 30;
constexpr double right = 130;  // Of the names of the lines.
constexpr std::array<const char*, 6> colors = {"#0072b2", "#d55e00", "#009e73",
                                               "#cc79a7", "#e69f00", "#56b4e9"};

std::string escaped(const std::string& text) {
  std::string out;
  for (const char each : text) {
    switch (each) {
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '&':
        out += "&amp;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += each;
    }
  }
  return out;
}

std::string short_text(double value) {
  if (std::abs(value) >= 1e6) return fmt::format("{:.4g}M", value / 1e6);
  if (std::abs(value) >= 1e4) return fmt::format("{:.4g}k", value / 1e3);
  return fmt::format("{:.4g}", value);
}

// From values to places between two ends.
struct axis {
  double low = std::numeric_limits<double>::max();
  double high = std::numeric_limits<double>::lowest();
  double begin = 0;
  double end = 0;
  bool is_log = false;

  void take(double value) {
    if (is_log && value <= 0) return;
    low = std::min(low, value);
    high = std::max(high, value);
  }
  // Room, and ends that are apart.
  void settle() {
    if (high < low) low = high = 1;
    if (is_log) {
      low = std::pow(10, std::floor(std::log10(low)));
      high = std::pow(10, std::max(std::ceil(std::log10(high)), std::log10(low) + 1));
    } else if (high <= low) {
      high = low + 1;
    }
  }
  [[nodiscard]] double at(double value) const {
    const double share = is_log ? std::log(std::max(value, low) / low) / std::log(high / low)
                                : (value - low) / (high - low);
    return begin + share * (end - begin);
  }
  [[nodiscard]] std::vector<double> ticks() const {
    std::vector<double> out;
    if (is_log) {
      for (double each = low; each <= high * 1.001; each *= 10) out.push_back(each);
    } else {
      for (int i = 0; i <= 4; ++i) out.push_back(low + (high - low) * i / 4);
    }
    return out;
  }
};

std::string svg_text(double x, double y, const char* anchor, const std::string& text) {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\">{}</text>\n", x, y, anchor,
                     escaped(text));
}

std::string svg_line(double x1, double y1, double x2, double y2) {
  return fmt::format(
      "<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" stroke=\"#ddd\"/>\n", x1, y1,
      x2, y2);
}

std::string svg_of(const plot& of) {
  axis x;
  axis y;
  y.is_log = of.is_log;
  if (!of.is_log) y.take(0);
  for (const series& line : of.lines) {
    for (const auto& [at, value] : line.points) {
      x.take(at);
      y.take(value);
    }
  }
  x.settle();
  y.settle();
  x.begin = left;
  x.end = width - right;
  y.begin = height - bottom;
  y.end = top;
  std::string out = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" "
      "height=\"{1}\" font-family=\"sans-serif\" font-size=\"11\">\n",
      width, height);
  out += svg_text(width / 2, 15, "middle", of.title);
  for (const double each : y.ticks()) {
    out += svg_line(x.begin, y.at(each), x.end, y.at(each));
    out += svg_text(x.begin - 6, y.at(each) + 4, "end", short_text(each));
  }
  for (const double each : x.ticks()) {
    out += svg_line(x.at(each), y.begin, x.at(each), y.end);
    out += svg_text(x.at(each), y.begin + 14, "middle", short_text(each));
  }
  out += svg_text((x.begin + x.end) / 2, height - 8, "middle", of.x);
  out += svg_text(4, top - 8, "start", of.y);
  for (std::size_t i = 0; i < of.lines.size(); ++i) {
    const char* color = colors[i % colors.size()];
    std::string points;
    for (const auto& [at, value] : of.lines[i].points) {
      points += fmt::format("{:.1f},{:.1f} ", x.at(at), y.at(value));
    }
    out +=
        fmt::format("<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"1.5\"/>\n",
                    points, color);
    const double y_name = top + 14 * static_cast<double>(i + 1);
    out += fmt::format("<rect x=\"{}\" y=\"{}\" width=\"10\" height=\"3\" fill=\"{}\"/>\n",
                       x.end + 10, y_name - 5, color);
    out += svg_text(x.end + 24, y_name, "start", of.lines[i].name);
  }
  return out + "</svg>\n";
}

std::string cell_of(const nlohmann::ordered_json& value) {
  if (value.is_string()) return "<td>" + escaped(value.get<std::string>()) + "</td>";
  if (value.is_null()) return "<td>-</td>";
  const double number = value.get<double>();
  return fmt::format("<td class=\"n\">{}</td>", number == std::floor(number)
                                                    ? fmt::format("{:.0f}", number)
                                                    : fmt::format("{:.1f}", number));
}

std::string section_of(const result& of) {
  std::string out =
      fmt::format("<h2>{}. {}</h2>\n<p><b>Question.</b> {}</p>\n<p><b>Method.</b> {}</p>\n",
                  of.number, escaped(of.name), escaped(of.question), escaped(of.method));
  out += "<table><tr>";
  for (const column& each : of.columns) out += "<th>" + escaped(each.title) + "</th>";
  out += "</tr>\n";
  for (const auto& row : of.rows) {
    out += "<tr>";
    for (const column& each : of.columns) {
      out += cell_of(row.contains(each.key) ? row[each.key] : nlohmann::ordered_json());
    }
    out += "</tr>\n";
  }
  out += "</table>\n";
  for (const plot& each : of.plots) out += svg_of(each);
  return out + fmt::format("<p class=\"{}\"><b>Verdict.</b> {}</p>\n",
                           of.is_good() ? "good" : "bad", escaped(of.verdict()));
}

}  // namespace

std::string html_of(const std::vector<result>& all, const nlohmann::ordered_json& machine) {
  std::string out =
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
      "<title>cyto experiment</title>\n<style>\n"
      "body{font-family:sans-serif;max-width:60em;margin:2em auto;padding:0 1em}\n"
      "table{border-collapse:collapse;margin:1em 0}\n"
      "td,th{border-bottom:1px solid #ccc;padding:.2em .8em;text-align:left}\n"
      ".n{text-align:right}\n.good{border-left:.4em solid #009e73;padding-left:.6em}\n"
      ".bad{border-left:.4em solid #d55e00;padding-left:.6em}\nsvg{display:block;margin:1em 0}\n"
      "</style></head><body>\n<h1>Updates between workers</h1>\n";
  for (const result& each : all) out += section_of(each);
  out += "<h2>Machine</h2>\n<table>\n";
  for (const auto& [key, value] : machine.items()) {
    out += "<tr><td>" + escaped(key) + "</td><td>" +
           escaped(value.is_string() ? value.get<std::string>() : value.dump()) + "</td></tr>\n";
  }
  return out + "</table>\n</body></html>\n";
}

}  // namespace cyto::experiment
