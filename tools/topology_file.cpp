#include "topology_file.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <climits>
#include <csignal>
#include <cstring>
#include <cstdlib>
#include <fstream>
#include <initializer_list>
#include <limits>
#include <sstream>
#include <toml++/toml.h>

namespace cyto::tools {
namespace {

class reader {
 public:
  explicit reader(const topology_request& request) : request_(request) {}

  topology read() {
    toml::table root = parse();
    only(root, "the topology", {"name", "set", "worker", "supervisor", "lane", "restart", "table"});
    for (const char* table : {"set", "restart", "table"}) {
      if (const toml::node* node = root.get(table); node != nullptr && !node->is_table()) {
        refuse(*node, std::string("'") + table + "' is not a table", {},
               std::string("write [") + table + "]");
      }
    }
    read_set(root);
    topology out;
    out.name = request_.name.empty() ? text(root, "name", "the topology") : request_.name;
    each(root, "worker", [&](const toml::table& at) { out.workers.push_back(read_worker(at)); });
    if (out.workers.empty()) {
      refuse(root, "has no worker", "a topology has at least one", "add a [[worker]]");
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
  toml::table parse() const {
    std::ifstream file(request_.path);
    struct stat info {};
    if (!file || stat(request_.path.c_str(), &info) != 0 || !S_ISREG(info.st_mode)) {
      throw error(error_code::bad_input, "topology " + request_.path, "cannot be read",
                  file ? "it is not a regular file" : std::generic_category().message(errno),
                  "name a topology file");
    }
    std::ostringstream content;
    content << file.rdbuf();
    try {
      return toml::parse(content.str(), request_.path);
    } catch (const toml::parse_error& failure) {
      throw error(error_code::bad_input, where(failure.source()),
                  std::string(failure.description()), "it is not TOML", "correct the line");
    }
  }

  std::string where(const toml::source_region& at) const {
    return request_.path + ":" + std::to_string(at.begin.line);
  }
  [[noreturn]] void refuse(const toml::node& at, const std::string& value, const std::string& cause,
                           const std::string& next = {}) const {
    throw error(error_code::bad_input, where(at.source()), value, cause, next);
  }

  void only(const toml::table& at, const std::string& what,
            const std::initializer_list<std::string_view> known) const {
    std::string list;
    for (const std::string_view each : known) list += " " + std::string(each);
    for (const auto& [key, value] : at) {
      if (std::find(known.begin(), known.end(), key.str()) != known.end()) continue;
      throw error(error_code::bad_input, where(key.source()),
                  "unknown key '" + std::string(key.str()) + "' in " + what, "known are:" + list,
                  "correct or remove it");
    }
  }

  void read_set(const toml::table& root) {
    if (const toml::table* set = root["set"].as_table()) {
      for (const auto& [key, value] : *set) {
        if (value.is_string()) {
          values_[std::string(key.str())] = value.as_string()->get();
        } else if (value.is_integer()) {
          values_[std::string(key.str())] = std::to_string(value.as_integer()->get());
        } else {
          refuse(value, "[set] " + std::string(key.str()) + " is neither text nor a whole number",
                 {});
        }
      }
    }
    std::string known;
    for (const auto& [key, value] : values_) known += " " + key;
    for (const auto& [key, value] : request_.set) {
      if (values_.find(key) == values_.end()) {
        throw error(error_code::bad_input, "--set " + key + "=" + value,
                    "unknown key '" + key + "'",
                    request_.path + " knows:" + (known.empty() ? " none" : known), "correct it");
      }
      values_[key] = value;
    }
    if (request_.input.empty()) return;
    values_["input"] = request_.input;
    values_["input_name"] = request_.input_name;
  }

  // Puts values for ${key}. `origin` gets the key if the whole text is one.
  std::string expand(const toml::node& at, const std::string& from,
                     std::string* origin = nullptr) const {
    std::string out;
    for (std::size_t i = 0; i < from.size();) {
      if (from.compare(i, 2, "${") != 0) {
        out += from[i++];
        continue;
      }
      const std::size_t end = from.find('}', i);
      const std::string key = from.substr(i + 2, end == std::string::npos ? end : end - i - 2);
      const auto found = values_.find(key);
      if (end == std::string::npos || found == values_.end()) {
        refuse(at, "'" + from + "' uses ${" + key + "}",
               key.starts_with("input") ? "no input was given" : "[set] has no such key",
               key.starts_with("input") ? "add --input FILE" : "add it to [set]");
      }
      if (origin != nullptr && i == 0 && end + 1 == from.size()) *origin = key;
      out += found->second;
      i = end + 1;
    }
    return out;
  }

  std::string text(const toml::table& at, const char* key, const std::string& what,
                   std::string* origin = nullptr) const {
    const toml::node* node = at.get(key);
    if (node == nullptr) refuse(at, what + " has no '" + key + "'", {}, "add it");
    if (!node->is_string())
      refuse(*node, std::string("'") + key + "' is not a text", {}, "put it in quotes");
    return expand(*node, node->as_string()->get(), origin);
  }

  std::uint32_t number(const toml::table& at, const char* key, std::uint32_t otherwise,
                       std::uint64_t least, std::uint64_t most) const {
    const toml::node* node = at.get(key);
    if (node == nullptr) return otherwise;
    std::string origin = key;
    const std::string value =
        node->is_integer() ? std::to_string(node->as_integer()->get()) : text(at, key, {}, &origin);
    std::uint64_t out = 0;
    const auto [end, problem] = std::from_chars(value.data(), value.data() + value.size(), out);
    if (problem != std::errc() || end != value.data() + value.size() || out < least || out > most) {
      refuse(*node, origin + " is '" + value + "'",
             "a whole number from " + std::to_string(least) + " to " + std::to_string(most) +
                 " is needed",
             "correct it");
    }
    return static_cast<std::uint32_t>(out);
  }

  std::uint64_t bytes(const toml::table& at, const char* key, std::uint64_t otherwise,
                      std::string& origin) const {
    const toml::node* node = at.get(key);
    origin = key;
    if (node == nullptr) return otherwise;
    const std::string value =
        node->is_integer() ? std::to_string(node->as_integer()->get()) : text(at, key, {}, &origin);
    try {
      return parse_bytes(value);
    } catch (const std::invalid_argument&) {
      refuse(*node, origin + " is '" + value + "'", "a size is a number of bytes, KiB, MiB or GiB",
             "write it as 4096 or \"64KiB\"");
    }
  }

  // What a user changes to change a size: the key of the file, or --set if that decides.
  std::string remedy(const std::string& origin) const {
    return values_.count(origin) == 0 ? origin : origin + " (--set " + origin + "=SIZE)";
  }

  template <class F>
  void each(const toml::table& root, const char* key, F visit) const {
    const toml::node* node = root.get(key);
    if (node == nullptr) return;
    const toml::array* list = node->as_array();
    if (list == nullptr)
      refuse(*node, std::string("'") + key + "' is not a list of tables", {},
             std::string("write [[") + key + "]]");
    for (const toml::node& entry : *list) {
      if (!entry.is_table())
        refuse(entry, std::string("'") + key + "' is not a list of tables", {});
      visit(*entry.as_table());
    }
  }

  // One of a few words; the first, if there is no such key.
  template <class Word>
  Word word_of(const toml::table& at, const char* key,
               const std::vector<std::pair<std::string, Word>>& known) const {
    const toml::node* node = at.get(key);
    if (node == nullptr) return known.front().second;
    const std::string value = text(at, key, {});
    std::string list;
    for (const auto& [name, meaning] : known) {
      if (name == value) return meaning;
      list += " " + name;
    }
    refuse(*node, std::string("'") + key + "' is '" + value + "'", "known are:" + list,
           "correct it");
  }

  bool yes(const toml::table& at, const char* key) const {
    const toml::node* node = at.get(key);
    if (node == nullptr) return false;
    if (!node->is_boolean()) refuse(*node, std::string("'") + key + "' is not true or false", {});
    return node->as_boolean()->get();
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

  // Exit codes and names of signals.
  std::vector<std::uint32_t> exits(const toml::table& at, const char* key) const {
    std::vector<std::uint32_t> out;
    const toml::node* node = at.get(key);
    if (node == nullptr) return out;
    if (!node->is_array()) refuse(*node, std::string("'") + key + "' is not a list", {});
    for (const toml::node& each : *node->as_array()) {
      std::uint32_t found = 256;
      if (each.is_integer() && each.as_integer()->get() >= 0 && each.as_integer()->get() <= 255) {
        found = static_cast<std::uint32_t>(each.as_integer()->get());
      } else if (each.is_string()) {
        for (int signal = 1; signal < 32; ++signal) {
          if (each.as_string()->get() == std::string("SIG") + sigabbrev_np(signal)) {
            found = static_cast<std::uint32_t>(128 + signal);
          }
        }
      }
      if (found == 256) {
        refuse(each, std::string("'") + key + "' holds what is no end of a process",
               "an exit code from 0 to 255, or the name of a signal as in \"SIGTERM\"",
               "correct it");
      }
      out.push_back(found);
    }
    return out;
  }

  worker_spec read_worker(const toml::table& at) {
    only(at, "[[worker]]",
         {"name",      "program",     "count",       "source",           "plain",
          "arguments", "settings",    "cells_bytes", "quarantine_bytes", "supervisor",
          "restart",   "significant", "shutdown_ms", "wait_ready",       "ready_ms",
          "stall_ms",  "on_stall",    "success",     "prevent_restart",  "force_restart"});
    worker_spec out;
    out.name = text(at, "name", "[[worker]]");
    read_child(at, out);
    out.is_plain = yes(at, "plain");
    has_own_shutdown_.push_back(at.contains("shutdown_ms") ? 1 : 0);
    out.shutdown_ms = shutdown(at);
    out.wait_ready = yes(at, "wait_ready");
    out.ready_ms = number(at, "ready_ms", 0, 0, 3'600'000);
    out.stall_ms = number(at, "stall_ms", 0, 0, 3'600'000);
    out.on_stall = word_of<stall_policy>(
        at, "on_stall", {{"tell", stall_policy::tell}, {"restart", stall_policy::restart}});
    out.success = exits(at, "success");
    out.prevent_restart = exits(at, "prevent_restart");
    out.force_restart = exits(at, "force_restart");
    out.program = find_program(at, text(at, "program", "worker " + out.name));
    out.count = number(at, "count", 1, 1, slot_count_max);
    out.is_source = yes(at, "source");
    if (const toml::node* arguments = at.get("arguments")) {
      if (!arguments->is_array()) refuse(*arguments, "'arguments' is not a list of texts", {});
      for (const toml::node& each : *arguments->as_array()) {
        if (!each.is_string()) refuse(each, "an argument is not a text", {}, "put it in quotes");
        out.arguments.push_back(expand(each, each.as_string()->get()));
      }
    }
    if (const toml::node* settings = at.get("settings")) {
      if (!settings->is_table()) refuse(*settings, "'settings' is not a table", {});
      for (const auto& [key, value] : *settings->as_table()) {
        if (!value.is_string()) refuse(value, "a setting is not a text", {}, "put it in quotes");
        const std::string expanded = expand(value, value.as_string()->get());
        if (expanded.find('\n') != std::string::npos)
          refuse(value, "a setting has several lines", {});
        out.settings.emplace_back(key.str(), expanded);
      }
    }
    out.cells_bytes = bytes(at, "cells_bytes", 1U << 20, out.cells_origin);
    if (out.cells_bytes < page_bytes || out.cells_bytes > arena_bytes_max) {
      refuse(at, out.cells_origin + " of worker " + out.name + " is " + bytes_text(out.cells_bytes),
             bytes_text(page_bytes) + " to " + bytes_text(arena_bytes_max) + " are possible",
             "change it");
    }
    out.cells_origin = remedy(out.cells_origin);
    out.quarantine_bytes =
        bytes(at, "quarantine_bytes", out.quarantine_bytes, out.quarantine_origin);
    if (out.quarantine_bytes > quarantine_bytes_max) {
      refuse(at,
             out.quarantine_origin + " of worker " + out.name + " is " +
                 bytes_text(out.quarantine_bytes),
             "at most " + bytes_text(quarantine_bytes_max) + " are possible", "lower it");
    }
    out.quarantine_origin = remedy(out.quarantine_origin);
    return out;
  }

  lane_spec read_lane(const toml::table& at) const {
    only(at, "[[lane]]", {"from", "to", "lane_bytes"});
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
  std::map<std::string, std::string> values_;
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
