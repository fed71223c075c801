#include "trace_events.hpp"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <string_view>
#include <unordered_map>

#include <cyto/error.hpp>

namespace cyto::tools {
namespace {

using json = nlohmann::json;

// Numbers for names, in the order in which they come.
class name_book {
 public:
  explicit name_book(std::vector<std::string>& names) : names_(&names) {}
  std::uint32_t number_of(const std::string& name) {
    const auto [at, is_new] = numbers_.emplace(name, static_cast<std::uint32_t>(names_->size()));
    if (is_new) names_->push_back(name);
    return at->second;
  }

 private:
  std::vector<std::string>* names_;
  std::unordered_map<std::string, std::uint32_t> numbers_;
};

// What a line lacks, in words.
struct refusal {
  std::string why;
};

const std::string& text_at(const json& line, const char* key) {
  const auto at = line.find(key);
  if (at == line.end() || !at->is_string()) throw refusal{std::string("has no text '") + key + "'"};
  return at->get_ref<const std::string&>();
}

trace_what what_of(const std::string& text) {
  static const std::map<std::string_view, trace_what> all = {{"send", trace_what::send},
                                                             {"deliver", trace_what::deliver},
                                                             {"commit", trace_what::commit},
                                                             {"drop", trace_what::drop},
                                                             {"crash", trace_what::crash}};
  const auto at = all.find(text);
  if (at == all.end()) {
    throw refusal{"event '" + text + "' is none of send, deliver, commit, drop, crash"};
  }
  return at->second;
}

class reader {
 public:
  explicit reader(trace& out) : out_(&out), nodes_(out.nodes), messages_(out.messages) {}

  void add(const std::string& text) {
    const json line = json::parse(text, nullptr, false);
    if (!line.is_object()) throw refusal{"is no JSON object"};
    const std::uint32_t node = node_of(text_at(line, "node"));
    trace_event event;
    const auto number = line.find("i");
    if (number == line.end() || !number->is_number_unsigned()) {
      throw refusal{"has no number 'i' of 0 or more"};
    }
    event.i = number->get<std::uint64_t>();
    event.what = what_of(text_at(line, "event"));
    if (event.what != trace_what::commit && event.what != trace_what::crash) {
      event.message = messages_.number_of(text_at(line, "msg"));
    }
    const bool has_targets = event.what == trace_what::drop && line.contains("to");
    if (event.what == trace_what::send || has_targets) event.to = targets_of(line);
    out_->events[node].push_back(std::move(event));
  }

 private:
  std::uint32_t node_of(const std::string& name) {
    const std::uint32_t node = nodes_.number_of(name);
    out_->events.resize(out_->nodes.size());
    return node;
  }
  std::vector<std::uint32_t> targets_of(const json& line) {
    const auto at = line.find("to");
    if (at == line.end() || !at->is_array() || at->empty()) {
      throw refusal{"has no list 'to' of at least one node"};
    }
    std::vector<std::uint32_t> out;
    for (const json& each : *at) {
      if (!each.is_string()) throw refusal{"has a list 'to' with something that is no text"};
      out.push_back(node_of(each.get_ref<const std::string&>()));
    }
    return out;
  }

  trace* out_;
  name_book nodes_;
  name_book messages_;
};

}  // namespace

trace read_trace(std::istream& from, const std::string& file) {
  trace out;
  reader into(out);
  std::uint64_t number = 0;
  for (std::string line; std::getline(from, line);) {
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    try {
      into.add(line);
    } catch (const refusal& what) {
      throw error(error_code::bad_input, file + ":" + std::to_string(number), what.why,
                  "it is no event of a trace", "give a file that `cyto trace` has written");
    }
  }
  for (std::size_t node = 0; node < out.events.size(); ++node) {
    auto& events = out.events[node];
    std::stable_sort(events.begin(), events.end(),
                     [](const trace_event& a, const trace_event& b) { return a.i < b.i; });
    const auto twice =
        std::adjacent_find(events.begin(), events.end(),
                           [](const trace_event& a, const trace_event& b) { return a.i == b.i; });
    if (twice == events.end()) continue;
    throw error(error_code::bad_input, file,
                "node " + out.nodes[node] + " has two events of number " + std::to_string(twice->i),
                "each event of a node has a number of its own",
                "give a file that `cyto trace` has written");
  }
  return out;
}

}  // namespace cyto::tools
