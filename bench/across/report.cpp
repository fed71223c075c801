#include "across/report.hpp"

#include <fmt/format.h>

#include <array>
#include <utility>

#include "across/machine.hpp"
#include "across/peers/peers.hpp"

namespace cyto::bench {
namespace {

double ns(const row& each, std::uint64_t ticks) {
  return each.of.what == figure::per_second ? 0 : static_cast<double>(ticks) * ns_per_tick();
}

double per_s(const row& each) {
  return each.all.seconds > 0 ? static_cast<double>(each.all.count) / each.all.seconds : 0;
}

std::string time_text(double value) {
  if (value <= 0) return "-";
  if (value < 10e3) return fmt::format("{:.0f} ns", value);
  if (value < 10e6) return fmt::format("{:.1f} us", value * 1e-3);
  return fmt::format("{:.1f} ms", value * 1e-6);
}

std::string bytes_label(std::size_t bytes) {
  if (bytes >= 1U << 20) return fmt::format("{} MiB", bytes >> 20);
  if (bytes >= 1U << 10) return fmt::format("{} KiB", bytes >> 10);
  return fmt::format("{} B", bytes);
}

std::string heading() {
  return fmt::format("{:<26} {:>7} {:>8} {:>8} {:>8} {:>8} {:>8} {:>10} {:>7} {:>8} {:>5} {:>6}\n",
                     "case", "bytes", "p50", "p90", "p99", "p99.9", "max", "a second", "cpu s",
                     "switches", "lost", "ratio");
}

std::string line_of(const row& each) {
  const std::string name = each.of.bench + " " + each.of.name;
  const std::string bytes = bytes_label(each.of.bytes);
  if (!each.failure.empty()) return fmt::format("{:<26} {:>7} {}\n", name, bytes, each.failure);
  const histogram& times = each.all.times;
  const auto at = [&](double share) { return time_text(ns(each, times.quantile(share))); };
  return fmt::format(
      "{:<26} {:>7} {:>8} {:>8} {:>8} {:>8} {:>8} {:>10.0f} {:>7.2f} {:>8} {:>5} {:>6}\n", name,
      bytes, at(0.5), at(0.9), at(0.99), at(0.999), time_text(ns(each, times.max())), per_s(each),
      each.all.cpu_s, each.all.switches, each.all.lost,
      each.ratios.empty() ? "-" : fmt::format("{:.2f}", median(each.ratios)));
}

}  // namespace

nlohmann::ordered_json machine_json(const pace& how, int passes) {
  nlohmann::ordered_json out = machine_facts();
  out["pinned_to"] = {how.where.near, how.where.far};
  out["passes"] = passes;
  out["seconds_per_pass"] = how.seconds;
  out["ns_per_tick"] = ns_per_tick();
  out["peers_missing"] = peers_missing();
  nlohmann::ordered_json unfit = unfit_to_quote(load_average());
  if (how.where.near < 0) unfit.push_back("fewer than two cores: nothing is pinned");
  out["unfit_to_quote"] = unfit;
  return out;
}

nlohmann::ordered_json json_of(const row& each) {
  nlohmann::ordered_json out;
  const auto round = [](double value) {
    return static_cast<double>(static_cast<long>(value * 10)) / 10;
  };
  out["bench"] = each.of.bench;
  out["case"] = each.of.name;
  out["mode"] = each.of.mode;
  out["bytes"] = each.of.bytes;
  if (!each.failure.empty()) {
    out["failure"] = each.failure;
    return out;
  }
  const histogram& times = each.all.times;
  out["p50_ns"] = round(ns(each, times.quantile(0.5)));
  out["p90_ns"] = round(ns(each, times.quantile(0.9)));
  out["p99_ns"] = round(ns(each, times.quantile(0.99)));
  out["p999_ns"] = round(ns(each, times.quantile(0.999)));
  out["max_ns"] = round(ns(each, times.max()));
  out["mean_ns"] = round(times.mean() * ns_per_tick());
  out["count"] = each.all.count;
  out["per_s"] = round(per_s(each));
  out["bytes_per_s"] = round(per_s(each) * static_cast<double>(each.of.bytes));
  out["cpu_s"] = each.all.cpu_s;
  out["context_switches"] = each.all.switches;
  out["lost"] = each.all.lost;
  out["passes"] = each.figures;
  out["floor"] = each.of.floor;
  out["ratios"] = each.ratios;
  out["ratio_to_floor"] = median(each.ratios);
  return out;
}

std::string table_of(const std::vector<row>& rows) {
  constexpr std::array kinds = {
      std::pair(figure::round_p50, "closed loop: the time of a round"),
      std::pair(figure::delay_p50, "open loop at a fixed rate: the time since a message was due"),
      std::pair(figure::per_second, "one way: as many as go through")};
  std::string out;
  for (const auto& [kind, title] : kinds) {
    for (const char* mode : {"spin", "park"}) {
      std::string lines;
      for (const row& each : rows) {
        if (each.of.what == kind && each.of.mode == mode) lines += line_of(each);
      }
      if (lines.empty()) continue;
      out += fmt::format("{}{}, {}\n{}{}", out.empty() ? "" : "\n", title, mode, heading(), lines);
    }
  }
  return out;
}

}  // namespace cyto::bench
