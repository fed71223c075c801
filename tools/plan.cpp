// `cyto plan`: what a topology would take, before anything starts.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include <cyto/doorbell.hpp>
#include "command.hpp"
#include "report.hpp"
#include "topology_file.hpp"

namespace cyto::tools {
namespace {

const char* text_of(wait_strategy how) {
  switch (how) {
    case wait_strategy::spin_then_park:
      return "spin_then_park";
    case wait_strategy::park:
      return "park";
    case wait_strategy::spin:
      return "spin";
  }
  return "unknown";
}

const char* text_of(verification which) {
  switch (which) {
    case verification::always:
      return "always";
    case verification::first:
      return "first";
    case verification::never:
      return "never";
  }
  return "unknown";
}

const char* text_of(huge_pages which) {
  switch (which) {
    case huge_pages::never:
      return "never";
    case huge_pages::attempt:
      return "try";
    case huge_pages::always:
      return "always";
  }
  return "unknown";
}

bool holds_a_core(const worker_spec& spec) {
  return !spec.is_plain && !spec.is_port && spec.wait == wait_strategy::spin && usable_cores() > 1;
}

nlohmann::ordered_json worker_json(const worker_spec& spec) {
  nlohmann::ordered_json out;
  out["name"] = spec.name;
  out["count"] = spec.count;
  out["count_max"] = spec.places();
  out["program"] = spec.program;
  out["source"] = spec.is_source;
  out["plain"] = spec.is_plain;
  out["port"] = spec.is_port;
  if (spec.is_plain) return out;
  out["cells_bytes"] = spec.cells_bytes;
  if (spec.is_port) return out;
  out["quarantine_bytes"] = spec.quarantine_bytes;
  out["wait"] = text_of(spec.wait);
  out["spin_us"] = spec.spin_us;
  out["cpus"] = spec.cpus;
  out["verify"] = text_of(spec.verify);
  if (spec.sends_max != 0) out["sends_max"] = spec.sends_max;
  if (spec.in_flight_bytes_max != 0) out["in_flight_bytes_max"] = spec.in_flight_bytes_max;
  return out;
}

std::string limits(const nlohmann::ordered_json& worker) {
  std::string out;
  if (worker.contains("sends_max")) {
    out += fmt::format(", {} sends a message", worker["sends_max"].get<unsigned>());
  }
  if (worker.contains("in_flight_bytes_max")) {
    out += ", " + bytes_text(worker["in_flight_bytes_max"].get<std::uint64_t>()) + " in flight";
  }
  return out;
}

nlohmann::ordered_json plan_json(const topology& of) {
  const segment_plan plan = plan_of(of);
  nlohmann::ordered_json out;
  out["name"] = of.name;
  out["memory_bytes"] = bytes_needed(plan);
  out["memory_available_bytes"] = memory_available();
  out["fits"] = bytes_needed(plan) <= memory_available();
  out["prefault"] = of.prefault;
  out["huge_pages"] = text_of(of.pages);
  std::uint32_t sleepers = 0;
  std::uint32_t spinners = 0;
  out["workers"] = nlohmann::ordered_json::array();
  for (const worker_spec& spec : of.workers) {
    out["workers"].push_back(worker_json(spec));
    if (!spec.is_plain && !spec.is_port) (holds_a_core(spec) ? spinners : sleepers) += spec.count;
  }
  out["lanes"] = nlohmann::ordered_json::array();
  for (const lane_spec& lane : of.lanes) {
    const auto places = [&](const std::string& group) {
      const auto at = std::find_if(of.workers.begin(), of.workers.end(),
                                   [&](const worker_spec& each) { return each.name == group; });
      return at == of.workers.end() ? 0U : at->places();
    };
    nlohmann::ordered_json row;
    row["from"] = lane.from;
    row["to"] = lane.to;
    row["count"] = places(lane.from) * places(lane.to);
    row["lane_bytes"] = lane.lane_bytes;
    row["message_bytes_max"] = lane.lane_bytes - 2 * line_bytes;
    row["full"] = tools::text_of(lane.policy);
    if (lane.policy == full_policy::drop_oldest) {
      row["held_bytes"] = lane.held_bytes != 0 ? lane.held_bytes : lane.lane_bytes;
    }
    const bool is_circular = is_in_cycle(of, lane);
    row["in_cycle"] = is_circular;
    row["hops_max"] = hops_json(lane.hops_max != 0 ? lane.hops_max
                                : is_circular      ? hops_max_default
                                                   : hops_unlimited);
    out["lanes"].push_back(row);
  }
  out["cores"] = usable_cores();
  out["cores_held_when_idle"] = spinners;
  out["wakeups_per_s_when_idle"] = sleepers * 1e9 / static_cast<double>(park_ns_max);
  return out;
}

}  // namespace

int plan(const run_options& options) {
  topology_request request;
  request.path = options.topology;
  request.name = options.name;
  request.set = options.set;
  request.input = options.input.empty() ? "INPUT" : options.input;
  request.input_name = request.input;
  request.programs = options.programs;
  const nlohmann::ordered_json out = plan_json(read_topology(request));
  const bool fits = out["fits"].get<bool>();
  if (options.json) {
    fmt::print("{}\n", out.dump());
    return fits ? 0 : 1;
  }
  fmt::print(
      "{}  memory {} of {} that can be had{}{}{}\n", out["name"].get<std::string>(),
      bytes_text(out["memory_bytes"].get<std::uint64_t>()),
      bytes_text(out["memory_available_bytes"].get<std::uint64_t>()),
      out["huge_pages"] == "never" ? "" : ", huge pages: " + out["huge_pages"].get<std::string>(),
      out["prefault"].get<bool>() ? ", mapped before workers are ready" : "",
      fits ? "" : "   TOO MUCH: lower lane or cell sizes");
  fmt::print("{:<24} {:>7} {:>20} {:>20}  {:<14}  {}\n", "WORKER", "COUNT", "CELLS", "QUARANTINE",
             "WAITS", "VERIFIES");
  for (const auto& each : out["workers"]) {
    const bool is_plain = each["plain"].get<bool>();
    const bool is_port = each["port"].get<bool>();
    const bool is_worker = !is_plain && !is_port;
    fmt::print("{:<24} {:>7} {:>20} {:>20}  {:<14}  {}\n", each["name"].get<std::string>(),
               each["count"].get<unsigned>(),
               is_plain ? "-" : bytes_text(each["cells_bytes"].get<std::uint64_t>()),
               is_worker ? bytes_text(each["quarantine_bytes"].get<std::uint64_t>()) : "-",
               is_plain  ? "a plain program"
               : is_port ? "a port: nothing is started"
                         : each["wait"].get<std::string>(),
               (is_worker ? each["verify"].get<std::string>() : "") + limits(each));
  }
  fmt::print("{:<36} {:>7} {:>20} {:>20}  {}\n", "LANE", "COUNT", "EACH", "LARGEST MESSAGE",
             "WHEN FULL");
  for (const auto& each : out["lanes"]) {
    fmt::print(
        "{:<36} {:>7} {:>20} {:>20}  {}{}\n",
        each["from"].get<std::string>() + " -> " + each["to"].get<std::string>(),
        each["count"].get<unsigned>(), bytes_text(each["lane_bytes"].get<std::uint64_t>()),
        bytes_text(each["message_bytes_max"].get<std::uint64_t>()),
        each["full"].get<std::string>() +
            (each.contains("held_bytes")
                 ? ", holds " + bytes_text(each["held_bytes"].get<std::uint64_t>())
                 : ""),
        each["in_cycle"].get<bool>() ? ", part of a cycle, hops " + each["hops_max"].dump() : "");
  }
  fmt::print("when idle: {} of {} cores held, {:.0f} wake-ups a second\n",
             out["cores_held_when_idle"].get<unsigned>(), out["cores"].get<int>(),
             out["wakeups_per_s_when_idle"].get<double>());
  return fits ? 0 : 1;
}

}  // namespace cyto::tools
