#include "topology_file.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <charconv>
#include <climits>
#include <cstdlib>
#include <limits>
#include <sstream>
#include <stdexcept>

#include "topology_values.hpp"

namespace cyto::tools {
namespace {

constexpr std::uint64_t in_flight_bytes_max = std::uint64_t{1} << 40;

class reader : private topology_values {
 public:
  explicit reader(const topology_request& request) : topology_values(request), request_(request) {}

  topology read() {
    toml::table root = parse();
    only(root, "the topology",
         {"name", "set", "worker", "port", "supervisor", "lane", "restart", "memory", "table"});
    for (const char* table : {"set", "restart", "memory", "table"}) {
      if (const toml::node* node = root.get(table); node != nullptr && !node->is_table()) {
        refuse(*node, std::string("'") + table + "' is not a table", {},
               std::string("write [") + table + "]");
      }
    }
    read_set(root);
    topology out;
    out.name = request_.name.empty() ? text(root, "name", "the topology") : request_.name;
    each(root, "worker", [&](const toml::table& at) { out.workers.push_back(read_worker(at)); });
    each(root, "port", [&](const toml::table& at) { out.workers.push_back(read_port(at)); });
    if (out.workers.empty()) {
      refuse(root, "has no worker", "a topology has at least one worker or port",
             "add a [[worker]]");
    }
    each(root, "supervisor",
         [&](const toml::table& at) { out.supervisors.push_back(read_supervisor(at)); });
    each(root, "lane", [&](const toml::table& at) { out.lanes.push_back(read_lane(at)); });
    if (const toml::table* restart = root["restart"].as_table()) {
      only(*restart, "[restart]",
           {"strategy", "intensity", "period_ms", "auto_shutdown", "shutdown_ms",
            "quarantine_after"});
      read_policy(*restart, out.root);
      out.shutdown_ms = number(*restart, "shutdown_ms", out.shutdown_ms, 0, 3'600'000);
      out.quarantine_after =
          number(*restart, "quarantine_after", out.quarantine_after, 0, 1'000'000);
    }
    for (std::size_t i = 0; i < out.workers.size(); ++i) {
      if (has_own_shutdown_[i] == 0) out.workers[i].shutdown_ms = out.shutdown_ms;
    }
    if (const toml::table* memory = root["memory"].as_table()) {
      only(*memory, "[memory]", {"prefault", "huge_pages", "trace_bytes"});
      out.trace_bytes = trace_bytes(*memory, out.trace_bytes);
      out.prefault = yes(*memory, "prefault");
      out.pages = word_of<huge_pages>(*memory, "huge_pages",
                                      {{"never", huge_pages::never},
                                       {"try", huge_pages::attempt},
                                       {"always", huge_pages::always}});
    }
    if (const toml::table* table = root["table"].as_table()) {
      only(*table, "[table]", {"of"});
      out.table_of = text(*table, "of", "[table]");
    }
    try {
      check(out);
    } catch (const error& failure) {
      throw error(failure.code(), request_.path, failure.what());
    }
    return out;
  }

 private:
  std::uint64_t trace_bytes(const toml::table& memory, std::uint64_t otherwise) const {
    std::string origin = "trace_bytes";
    const std::uint64_t out = bytes(memory, "trace_bytes", otherwise, origin);
    const bool is_size =
        out >= trace_bytes_min && out <= trace_bytes_max && std::has_single_bit(out);
    if (out != 0 && !is_size) {
      refuse(memory, origin + " is " + bytes_text(out),
             "0, or a power of two from " + bytes_text(trace_bytes_min) + " to " +
                 bytes_text(trace_bytes_max) + ", is possible",
             "change it");
    }
    return out;
  }

  void read_policy(const toml::table& at, supervisor_spec& out) const {
    out.strategy = word_of<restart_strategy>(at, "strategy",
                                             {{"one_for_one", restart_strategy::one_for_one},
                                              {"one_for_all", restart_strategy::one_for_all},
                                              {"rest_for_one", restart_strategy::rest_for_one}});
    out.shutdown =
        word_of<automatic_shutdown>(at, "auto_shutdown",
                                    {{"never", automatic_shutdown::never},
                                     {"any_significant", automatic_shutdown::any_significant},
                                     {"all_significant", automatic_shutdown::all_significant}});
    out.intensity = number(at, "intensity", out.intensity, 0, intensity_max);
    out.period_ms = number(at, "period_ms", out.period_ms, 1, 3'600'000);
  }

  void read_child(const toml::table& at, child_spec& out) const {
    if (at.contains("supervisor")) out.supervisor = text(at, "supervisor", {});
    // Children start in the order in which the file has them.
    out.order = at.source().begin.line;
    out.restart = word_of<restart_type>(at, "restart",
                                        {{"permanent", restart_type::permanent},
                                         {"transient", restart_type::transient},
                                         {"temporary", restart_type::temporary}});
    out.significant = yes(at, "significant");
  }

  supervisor_spec read_supervisor(const toml::table& at) const {
    only(at, "[[supervisor]]",
         {"name", "supervisor", "restart", "significant", "strategy", "intensity", "period_ms",
          "auto_shutdown"});
    supervisor_spec out;
    out.name = text(at, "name", "[[supervisor]]");
    read_child(at, out);
    read_policy(at, out);
    return out;
  }

  // "brutal_kill", "infinity", or milliseconds.
  std::uint32_t shutdown(const toml::table& at) const {
    const toml::node* node = at.get("shutdown_ms");
    if (node != nullptr && node->is_string()) {
      if (node->as_string()->get() == "brutal_kill") return brutal_kill;
      if (node->as_string()->get() == "infinity") return infinity;
    }
    return number(at, "shutdown_ms", 0, 0, 3'600'000);
  }

  std::vector<std::string> texts(const toml::table& at, const char* key) const {
    std::vector<std::string> out;
    const toml::node* list = at.get(key);
    if (list == nullptr) return out;
    const std::string name = std::string("'") + key + "'";
    if (!list->is_array()) refuse(*list, name + " is not a list of texts", {});
    for (const toml::node& each : *list->as_array()) {
      if (!each.is_string())
        refuse(each, "one of " + name + " is not a text", {}, "put it in quotes");
      out.push_back(expand(each, each.as_string()->get()));
    }
    return out;
  }

  worker_spec read_worker(const toml::table& at) {
    only(at, "[[worker]]",
         {"name",
          "program",
          "count",
          "count_max",
          "source",
          "plain",
          "arguments",
          "settings",
          "cells_bytes",
          "quarantine_bytes",
          "supervisor",
          "restart",
          "significant",
          "shutdown_ms",
          "wait_ready",
          "ready_ms",
          "stall_ms",
          "on_stall",
          "success",
          "prevent_restart",
          "force_restart",
          "wait",
          "spin_us",
          "cpus",
          "verify",
          "deferred_bytes",
          "update_weight",
          "external_weight",
          "reads",
          "sends_max",
          "in_flight_bytes_max",
          "partitioned"});
    worker_spec out;
    out.name = text(at, "name", "[[worker]]");
    read_child(at, out);
    out.is_plain = yes(at, "plain");
    out.is_partitioned = yes(at, "partitioned");
    has_own_shutdown_.push_back(at.contains("shutdown_ms") ? 1 : 0);
    out.shutdown_ms = shutdown(at);
    out.wait_ready = yes(at, "wait_ready");
    out.ready_ms = number(at, "ready_ms", 0, 0, 3'600'000);
    out.stall_ms = number(at, "stall_ms", 0, 0, 3'600'000);
    out.on_stall = word_of<stall_policy>(
        at, "on_stall", {{"tell", stall_policy::tell}, {"restart", stall_policy::restart}});
    out.wait = word_of<wait_strategy>(at, "wait",
                                      {{"spin_then_park", wait_strategy::spin_then_park},
                                       {"park", wait_strategy::park},
                                       {"spin", wait_strategy::spin}});
    out.verify = word_of<verification>(at, "verify",
                                       {{"always", verification::always},
                                        {"first", verification::first},
                                        {"never", verification::never}});
    out.spin_us = number(at, "spin_us", spin_us_default, 0, spin_us_max);
    out.cpus = cores(at);
    out.success = exits(at, "success");
    out.prevent_restart = exits(at, "prevent_restart");
    out.force_restart = exits(at, "force_restart");
    out.program = find_program(at, text(at, "program", "worker " + out.name));
    out.count_max = number(at, "count_max", 0, 0, slot_count_max);
    out.count = number(at, "count", 1, out.count_max == 0 ? 1 : 0, slot_count_max);
    out.is_source = yes(at, "source");
    out.arguments = texts(at, "arguments");
    if (const toml::node* settings = at.get("settings")) {
      if (!settings->is_table()) refuse(*settings, "'settings' is not a table", {});
      for (const auto& [key, value] : *settings->as_table()) {
        if (!value.is_string()) refuse(value, "a setting is not a text", {}, "put it in quotes");
        if (key.str().find_first_of("=\n") != std::string_view::npos) {
          refuse(value, "the name of a setting has an equals sign or several lines in it", {},
                 "rename it");
        }
        const std::string expanded = expand(value, value.as_string()->get());
        if (expanded.find('\n') != std::string::npos)
          refuse(value, "a setting has several lines", {});
        out.settings.emplace_back(key.str(), expanded);
      }
    }
    read_cells(at, "worker ", out);
    out.quarantine_bytes =
        bytes(at, "quarantine_bytes", out.quarantine_bytes, out.quarantine_origin);
    if (out.quarantine_bytes > quarantine_bytes_max) {
      refuse(at,
             out.quarantine_origin + " of worker " + out.name + " is " +
                 bytes_text(out.quarantine_bytes),
             "at most " + bytes_text(quarantine_bytes_max) + " are possible", "lower it");
    }
    out.quarantine_origin = remedy(out.quarantine_origin);
    out.update_weight = number(at, "update_weight", 0, 1, 1'000);
    out.external_weight = number(at, "external_weight", 0, 1, 1'000);
    out.reads = texts(at, "reads");
    out.sends_max = number(at, "sends_max", 0, 1, 1'000'000);
    std::string in_flight_origin = "in_flight_bytes_max";
    out.in_flight_bytes_max = bytes(at, "in_flight_bytes_max", 0, in_flight_origin);
    if (at.contains("in_flight_bytes_max") && (out.in_flight_bytes_max < lane_bytes_min ||
                                               out.in_flight_bytes_max > in_flight_bytes_max)) {
      refuse(
          at,
          in_flight_origin + " of worker " + out.name + " is " +
              bytes_text(out.in_flight_bytes_max),
          bytes_text(lane_bytes_min) + " to " + bytes_text(in_flight_bytes_max) + " are possible",
          "change it, or leave it out");
    }
    out.deferred_bytes = bytes(at, "deferred_bytes", 0, out.deferred_origin);
    out.deferred_origin = remedy(out.deferred_origin);
    return out;
  }

  worker_spec read_port(const toml::table& at) {
    only(at, "[[port]]", {"name", "count", "cells_bytes"});
    worker_spec out;
    out.is_port = true;
    out.name = text(at, "name", "[[port]]");
    out.count = number(at, "count", 1, 1, slot_count_max);
    out.quarantine_bytes = 0;        // Nobody sees how its holder ends.
    has_own_shutdown_.push_back(1);  // Nobody ends it.
    read_cells(at, "port ", out);
    return out;
  }

  void read_cells(const toml::table& at, const char* what, worker_spec& out) const {
    out.cells_bytes = bytes(at, "cells_bytes", 1U << 20, out.cells_origin);
    if (out.cells_bytes < page_bytes || out.cells_bytes > arena_bytes_max) {
      refuse(at, out.cells_origin + " of " + what + out.name + " is " + bytes_text(out.cells_bytes),
             bytes_text(page_bytes) + " to " + bytes_text(arena_bytes_max) + " are possible",
             "change it");
    }
    out.cells_origin = remedy(out.cells_origin);
  }

  lane_spec read_lane(const toml::table& at) const {
    only(at, "[[lane]]", {"from", "to", "lane_bytes", "full", "held_bytes", "hops_max", "control"});
    lane_spec out;
    out.from = text(at, "from", "[[lane]]");
    out.to = text(at, "to", "[[lane]]");
    out.lane_bytes = bytes(at, "lane_bytes", 1U << 20, out.origin);
    if (out.lane_bytes < lane_bytes_min || out.lane_bytes > lane_bytes_max ||
        !std::has_single_bit(out.lane_bytes)) {
      refuse(at,
             out.origin + " of lane " + out.from + " -> " + out.to + " is " +
                 bytes_text(out.lane_bytes),
             "a lane has a power of two from " + bytes_text(lane_bytes_min) + " to " +
                 bytes_text(lane_bytes_max),
             "change it");
    }
    out.origin = remedy(out.origin);
    out.policy = word_of<full_policy>(at, "full",
                                      {{"defer", full_policy::defer},
                                       {"refuse", full_policy::refuse},
                                       {"drop_newest", full_policy::drop_newest},
                                       {"nack", full_policy::nack},
                                       {"drop_oldest", full_policy::drop_oldest},
                                       {"coalesce", full_policy::coalesce}});
    out.held_bytes = bytes(at, "held_bytes", 0, out.held_origin);
    out.held_origin = remedy(out.held_origin);
    out.is_control = yes(at, "control");
    const toml::node* hops = at.get("hops_max");
    const bool is_unlimited =
        hops != nullptr && hops->is_string() && hops->as_string()->get() == "unlimited";
    out.hops_max = is_unlimited ? hops_unlimited : number(at, "hops_max", 0, 1, hops_unlimited - 1);
    return out;
  }

  static bool is_program(const std::string& path) {
    struct stat info {};
    return stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode) &&
           access(path.c_str(), X_OK) == 0;
  }

  // The same program under one name, from wherever the command is called: an adopter compares. A
  // link is not followed: some programs ask by what name they were called.
  static std::string real(const std::string& path) {
    const std::size_t slash = path.rfind('/');
    const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
    std::array<char, PATH_MAX> out{};
    if (realpath(folder.c_str(), out.data()) == nullptr) return path;
    return std::string(out.data()) + "/" + path.substr(slash + 1);
  }

  // With a slash: from the topology's folder. Without: beside the command, then PATH.
  std::string find_program(const toml::table& at, const std::string& name) const {
    if (name.find('/') != std::string::npos) {
      const std::size_t slash = request_.path.rfind('/');
      const bool absolute = name.front() == '/' || slash == std::string::npos;
      std::string path = absolute ? name : request_.path.substr(0, slash + 1) + name;
      if (is_program(path)) return real(path);
      refuse(at, "program " + path + " is not there, or may not be run", {}, "correct 'program'");
    }
    std::string folders = request_.programs;
    if (const char* path = std::getenv("PATH")) folders += std::string(":") + path;
    std::istringstream list(folders);
    for (std::string folder; std::getline(list, folder, ':');) {
      if (!folder.empty() && is_program(folder + "/" + name)) return real(folder + "/" + name);
    }
    refuse(at, "program " + name + " is not there", "looked in " + folders,
           "build it, or give its path");
  }

  const topology_request& request_;
  std::vector<char> has_own_shutdown_;  // By worker entry.
};

}  // namespace

topology read_topology(const topology_request& request) { return reader(request).read(); }

std::uint64_t parse_bytes(std::string text) {
  std::uint64_t number = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (problem != std::errc()) throw std::invalid_argument(text);
  std::string unit = text.substr(static_cast<std::size_t>(end - text.data()));
  if (unit.starts_with(' ')) unit.erase(0, 1);
  unsigned shift = 0;
  if (unit == "KiB")
    shift = 10;
  else if (unit == "MiB")
    shift = 20;
  else if (unit == "GiB")
    shift = 30;
  else if (unit == "TiB")
    shift = 40;
  else if (!unit.empty() && unit != "B")
    throw std::invalid_argument(text);
  if (number > std::numeric_limits<std::uint64_t>::max() >> shift)
    throw std::invalid_argument(text);
  return number << shift;
}

}  // namespace cyto::tools
