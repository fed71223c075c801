// The rule of the job: what a stanza says of the graph of packages.
//
// What: a package has groups of alternatives, of which it needs one each, and names that it
//   provides. Both are texts: names separated by `|` within a group, groups by `,`.
//       Depends: a (>= 1) | b, c:any        ->   a|b,c
//
// A name is what is left of an alternative after stripping blanks and cutting at the first of
// blank, `(`, `[`, `<`, `:`; the same rule as of revdeps. So no name has a comma or a bar in it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <flatbuffers/flatbuffers.h>
#include <string>
#include <string_view>

#include "../revdeps/rule.hpp"

namespace closure {

inline std::string_view name_of(std::string_view text) {
  constexpr std::string_view blanks = " \t\n";
  text.remove_prefix(std::min(text.size(), text.find_first_not_of(blanks)));
  return text.substr(0, text.find_first_of(" \t\n([<:,|"));
}

// Cuts what stands before the next `mark` off `text`.
inline std::string_view cut(std::string_view& text, char mark) {
  const std::string_view part = text.substr(0, text.find(mark));
  text.remove_prefix(std::min(text.size(), part.size() + 1));
  return part;
}

// Appends what a field's value says, in the form above.
inline void append_groups(std::string& to, std::string_view value) {
  while (!value.empty()) {
    std::string_view group = cut(value, ',');
    char mark = ',';
    while (!group.empty()) {
      const std::string_view name = name_of(cut(group, '|'));
      if (name.empty()) continue;
      if (!to.empty()) to += mark;
      to += name;
      mark = '|';
    }
  }
}

// The values of all fields of these names, which are in small letters and end in their colon.
inline std::string groups_of(std::string_view stanza, std::string_view field,
                             std::string_view other) {
  std::string groups;
  for (std::size_t at = 0; at < stanza.size();) {
    const std::size_t end = revdeps::field_end(stanza, at);
    const std::string_view text = stanza.substr(at, end - at);
    for (const std::string_view each : {field, other}) {
      if (!revdeps::begins_field(text, each)) continue;
      append_groups(groups, text.substr(each.size()));
      break;
    }
    at = end + 1;
  }
  return groups;
}

inline std::string needs_of(std::string_view stanza) {
  return groups_of(stanza, revdeps::depends_field, revdeps::pre_depends_field);
}
// Here a bar means no more than a comma.
inline std::string provided_by(std::string_view stanza) {
  constexpr std::string_view provides_field = "provides:";
  std::string names = groups_of(stanza, provides_field, provides_field);
  std::replace(names.begin(), names.end(), '|', ',');
  return names;
}

// Texts in messages.
inline std::string_view text_of(const flatbuffers::Vector<std::uint8_t>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
inline auto bytes_of(flatbuffers::FlatBufferBuilder& fbb, std::string_view text) {
  return fbb.CreateVector(reinterpret_cast<const std::uint8_t*>(text.data()), text.size());
}

}  // namespace closure
