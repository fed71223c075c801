// Compares what two programs handle. The texts may come from any program, so nothing is taken for
// granted: lines that make no sense are passed over.
#include <algorithm>
#include <charconv>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "cyto/schema.hpp"

namespace cyto {
namespace {

struct field_shape {
  std::int64_t number = 0;
  std::string name;
  std::string type;
  bool is_required = false;
  std::size_t of = none;  // Number of the type it refers to.
  static constexpr std::size_t none = ~std::size_t{0};
};

struct type_shape {
  std::string kind;  // table, union, enum, struct of 24 bytes
  std::vector<field_shape> fields;
};

struct message_shape {
  std::string number;
  std::string name;
  std::vector<type_shape> types;
};

struct program_shape {
  std::string layout;
  std::vector<message_shape> messages;
};

std::string_view take_until(std::string_view& text, char end) {
  const std::string_view out = text.substr(0, text.find(end));
  text.remove_prefix(std::min(text.size(), out.size() + 1));
  return out;
}

template <class Number>
Number number_in(std::string_view text, Number otherwise) {
  Number out{};
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), out);
  return failed == std::errc() && end == text.data() + text.size() ? out : otherwise;
}

field_shape read_field(std::string_view line) {
  field_shape out;
  out.number = number_in<std::int64_t>(take_until(line, ' '), -1);
  out.name = take_until(line, ' ');
  out.type = take_until(line, ' ');
  out.is_required = out.type.ends_with('!');
  if (out.is_required) out.type.pop_back();
  out.of = number_in<std::size_t>(line, field_shape::none);
  return out;
}

program_shape read_program(std::string_view text) {
  program_shape out;
  out.layout = take_until(text, '\n');
  while (!text.empty()) {
    std::string_view line = take_until(text, '\n');
    const std::string_view what = take_until(line, ' ');
    if (what == "message") {
      const std::string_view number = take_until(line, ' ');
      out.messages.push_back({std::string(number), std::string(line), {}});
    } else if (what == "type" && !out.messages.empty()) {
      take_until(line, ' ');  // They are counted from 0, as they come.
      out.messages.back().types.push_back({std::string(line), {}});
    } else if (what == "field" && !out.messages.empty() && !out.messages.back().types.empty()) {
      out.messages.back().types.back().fields.push_back(read_field(line));
    }
  }
  return out;
}

const field_shape* field_of(const type_shape& in, std::int64_t number) {
  const auto found = std::find_if(in.fields.begin(), in.fields.end(),
                                  [&](const field_shape& each) { return each.number == number; });
  return found == in.fields.end() ? nullptr : &*found;
}

const field_shape* field_of(const type_shape& in, const std::string& name) {
  if (name == "-") return nullptr;  // Its header was generated without names.
  const auto found = std::find_if(in.fields.begin(), in.fields.end(),
                                  [&](const field_shape& each) { return each.name == name; });
  return found == in.fields.end() ? nullptr : &*found;
}

const message_shape* message_of(const program_shape& in, const std::string& number) {
  const auto found = std::find_if(in.messages.begin(), in.messages.end(),
                                  [&](const message_shape& each) { return each.number == number; });
  return found == in.messages.end() ? nullptr : &*found;
}

// One message type in two programs: their types are walked side by side, each pair once.
class comparison {
 public:
  comparison(const message_shape& now, const message_shape& next) : now_(&now), next_(&next) {}

  std::string objection(std::size_t now_type, std::size_t next_type, const std::string& path) {
    if (now_type >= now_->types.size() || next_type >= next_->types.size()) return {};
    if (!seen_.insert({now_type, next_type}).second) return {};
    const type_shape& now = now_->types[now_type];
    const type_shape& next = next_->types[next_type];
    if (now.kind != next.kind) return differ(path, "a " + next.kind, "a " + now.kind);
    const bool is_struct = now.kind.starts_with("struct");
    for (const field_shape& field : now.fields) {
      const field_shape* moved = field_of(next, field.name);
      if (moved != nullptr && moved->number != field.number) {
        return differ(path + "." + field.name, "number " + std::to_string(moved->number),
                      std::to_string(field.number));
      }
      const field_shape* same = field_of(next, field.number);
      if (same == nullptr && is_struct) return path + " is a struct without " + field.name;
      if (same == nullptr) continue;
      const std::string at = path + "." + same->name;
      if (same->type != field.type) return differ(at, same->type, field.type);
      if (std::string found = objection(field.of, same->of, at); !found.empty()) return found;
    }
    for (const field_shape& field : next.fields) {
      const field_shape* same = field_of(now, field.number);
      if (same == nullptr && is_struct) return path + " is a struct with another " + field.name;
      if (!field.is_required || (same != nullptr && same->is_required)) continue;
      return path + "." + field.name + " is required, and messages of before may lack it";
    }
    return {};
  }

 private:
  static std::string differ(const std::string& path, const std::string& next,
                            const std::string& now) {
    return path + " is " + next + ", for the one that runs " + now;
  }

  const message_shape* now_;
  const message_shape* next_;
  std::set<std::pair<std::size_t, std::size_t>> seen_;
};

}  // namespace

std::string takeover_objection(const std::string& now, const std::string& next) {
  const program_shape before = read_program(now);
  const program_shape after = read_program(next);
  if (before.layout != after.layout) return "is a " + after.layout + ", not a " + before.layout;
  for (const message_shape& each : before.messages) {
    const message_shape* same = message_of(after, each.number);
    if (same == nullptr) {
      return "does not handle " + each.name +
             ", which the one that runs does; messages of it may be waiting";
    }
    const std::string found = comparison(each, *same).objection(0, 0, each.name);
    if (!found.empty()) return "reads messages otherwise; " + found;
  }
  return {};
}

}  // namespace cyto
