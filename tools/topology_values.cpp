#include "topology_values.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <charconv>
#include <csignal>
#include <cstring>
#include <fstream>
#include <sstream>
#include <stdexcept>

namespace cyto::tools {

constexpr std::int64_t core_max = 1023;  // As a kernel's set of cores has by default.

toml::table topology_values::parse() const {
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
    throw error(error_code::bad_input, where(failure.source()), std::string(failure.description()),
                "it is not TOML", "correct the line");
  } catch (const std::domain_error& failure) {
    throw error(error_code::bad_input, request_.path, failure.what(), "it is not TOML",
                "see that each [table] and each line begins with a key");
  }
}

std::string topology_values::where(const toml::source_region& at) const {
  return request_.path + ":" + std::to_string(at.begin.line);
}

void topology_values::refuse(const toml::node& at, const std::string& value,
                             const std::string& cause, const std::string& next) const {
  throw error(error_code::bad_input, where(at.source()), value, cause, next);
}

void topology_values::only(const toml::table& at, const std::string& what,
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

void topology_values::read_set(const toml::table& root) {
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
      throw error(error_code::bad_input, "--set " + key + "=" + value, "unknown key '" + key + "'",
                  request_.path + " knows:" + (known.empty() ? " none" : known), "correct it");
    }
    values_[key] = value;
  }
  if (request_.input.empty()) return;
  values_["input"] = request_.input;
  values_["input_name"] = request_.input_name;
}

std::string topology_values::expand(const toml::node& at, const std::string& from,
                                    std::string* origin) const {
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
  if (out.find('\0') != std::string::npos) {
    refuse(at, "a text has a zero byte in it", "programs would see the part before it only",
           "remove it");
  }
  return out;
}

std::string topology_values::text(const toml::table& at, const char* key, const std::string& what,
                                  std::string* origin) const {
  const toml::node* node = at.get(key);
  if (node == nullptr) refuse(at, what + " has no '" + key + "'", {}, "add it");
  if (!node->is_string())
    refuse(*node, std::string("'") + key + "' is not a text", {}, "put it in quotes");
  return expand(*node, node->as_string()->get(), origin);
}

std::uint32_t topology_values::number(const toml::table& at, const char* key,
                                      std::uint32_t otherwise, std::uint64_t least,
                                      std::uint64_t most) const {
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

std::uint64_t topology_values::bytes(const toml::table& at, const char* key,
                                     std::uint64_t otherwise, std::string& origin) const {
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

std::string topology_values::remedy(const std::string& origin) const {
  return values_.count(origin) == 0 ? origin : origin + " (--set " + origin + "=SIZE)";
}

bool topology_values::yes(const toml::table& at, const char* key) const {
  const toml::node* node = at.get(key);
  if (node == nullptr) return false;
  if (!node->is_boolean()) refuse(*node, std::string("'") + key + "' is not true or false", {});
  return node->as_boolean()->get();
}

std::vector<std::uint32_t> topology_values::exits(const toml::table& at, const char* key) const {
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
             "an exit code from 0 to 255, or the name of a signal as in \"SIGTERM\"", "correct it");
    }
    out.push_back(found);
  }
  return out;
}

std::vector<std::uint32_t> topology_values::cores(const toml::table& at) const {
  std::vector<std::uint32_t> out;
  const toml::node* list = at.get("cpus");
  if (list == nullptr) return out;
  if (!list->is_array()) refuse(*list, "'cpus' is not a list of numbers of cores", {});
  for (const toml::node& each : *list->as_array()) {
    const std::int64_t core = each.value<std::int64_t>().value_or(-1);
    if (core < 0 || core > core_max) {
      refuse(each, "'cpus' holds what is no core", "0 to " + std::to_string(core_max),
             "correct it");
    }
    out.push_back(static_cast<std::uint32_t>(core));
  }
  return out;
}

}  // namespace cyto::tools
