// The rule of the job: which stanza belongs to whom, and whom it names.
//
// What: a package index is a row of stanzas, a stanza a row of fields. `stanza_cutter` finds
// stanzas in bytes that arrive in pieces, `package_of` says whom a stanza belongs to, `each_name`
// hands out every name of its Depends and Pre-Depends.
//
//   for (stanza_cutter cutter; cutter.cut(text, at_end); cutter.reset()) {
//     each_name(cutter.stanza(text), [&](std::string_view name) { return send(name); });
//     text.remove_prefix(cutter.next());
//   }
//
// Words. A *separator* is a line that is empty or holds only blanks; a *stanza* is a run of other
// lines. A *blank* is a space or a tab, and nothing else: `\r`, NUL and bytes above 127 are bytes
// of the name they stand in. A line that begins with a blank *continues* the field above it; where
// there is none, it is passed over, and so is a line without a colon.
//
// Nothing here allocates, but for the package name that somebody has spread over several lines.
#pragma once

#include <array>
#include <cstddef>
#include <cstring>
#include <string>
#include <string_view>

namespace revdeps {

constexpr bool is_blank(char byte) { return byte == ' ' || byte == '\t'; }

constexpr std::string_view strip(std::string_view text) {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

// The index of the first newline at or after `from`, or the size of `text`.
inline std::size_t line_end(std::string_view text, std::size_t from) {
  if (from >= text.size()) return text.size();
  const void* found = std::memchr(text.data() + from, '\n', text.size() - from);
  return found == nullptr ? text.size()
                          : static_cast<std::size_t>(static_cast<const char*>(found) - text.data());
}

// Where the field ends whose first line has `from` in it: the newline (or the end of the text) that
// no continuation follows.
inline std::size_t field_end(std::string_view stanza, std::size_t from) {
  std::size_t end = line_end(stanza, from);
  while (end + 1 < stanza.size() && is_blank(stanza[end + 1])) end = line_end(stanza, end + 1);
  return end;
}

// Whether `text` begins with the field name `name`, which is in small letters and ends in its
// colon. Only letters have a case: folding with `| 0x20` would take `\r` for `-`.
constexpr bool begins_field(std::string_view text, std::string_view name) {
  if (text.size() < name.size()) return false;
  for (std::size_t i = 0; i < name.size(); ++i) {
    const char byte = text[i];
    if ((byte >= 'A' && byte <= 'Z' ? static_cast<char>(byte + ('a' - 'A')) : byte) != name[i])
      return false;
  }
  return true;
}

inline constexpr std::string_view package_field = "package:";
inline constexpr std::string_view depends_field = "depends:";
inline constexpr std::string_view pre_depends_field = "pre-depends:";

// Whom the stanza belongs to: its first Package field, stripped. Empty: to nobody, and the stanza
// does not count. The answer lies in the stanza, or in `joined` if the value has continuation
// lines.
inline std::string_view package_of(std::string_view stanza, std::string& joined) {
  for (std::size_t at = 0; at < stanza.size(); at = line_end(stanza, at) + 1) {
    if (!begins_field(stanza.substr(at), package_field)) continue;
    std::size_t begin = at + package_field.size();
    std::size_t end = line_end(stanza, begin);
    const std::size_t last = field_end(stanza, begin);
    if (end == last) return strip(stanza.substr(begin, end - begin));
    joined = strip(stanza.substr(begin, end - begin));
    while (end != last) {
      begin = end + 1;
      end = line_end(stanza, begin);
      joined.append(1, ' ').append(strip(stanza.substr(begin, end - begin)));
    }
    return strip(joined);
  }
  return {};
}

namespace detail {

enum : unsigned char { in_name = 0, ends_name = 1, ends_alternative = 2 };

// What a byte means inside a dependency field. A newline there is followed by a continuation, so it
// counts as a blank.
inline constexpr auto meaning = [] {
  std::array<unsigned char, 256> table{};
  for (const char byte : {' ', '\t', '\n', '(', '[', '<', ':'})
    table[static_cast<unsigned char>(byte)] = ends_name;
  for (const char byte : {',', '|'}) table[static_cast<unsigned char>(byte)] = ends_alternative;
  return table;
}();

inline unsigned meaning_of(char byte) { return meaning[static_cast<unsigned char>(byte)]; }

// The length of the field name with its colon if `line` begins a field that names packages; 0 if it
// does not. Hardly a line does, so the first letter decides for nearly all.
inline std::size_t names_packages(std::string_view line) {
  switch (line.empty() ? '\0' : line.front()) {
    case 'D':
    case 'd':
      return begins_field(line, depends_field) ? depends_field.size() : 0;
    case 'P':
    case 'p':
      return begins_field(line, pre_depends_field) ? pre_depends_field.size() : 0;
    default:
      return 0;
  }
}

}  // namespace detail

// Calls `f(name)` for each name of the Depends and Pre-Depends fields, in order, a name that stands
// twice twice. `f` returns whether it has taken the name; `each_name` stops at the first that it
// has not, and returns a position. Called again with that position, it goes on with that very name,
// at no cost for those before it. The size of the stanza: all are taken.
//
// REQUIRES: `position` is 0 or an earlier answer for the same stanza.
template <class F>
std::size_t each_name(std::string_view stanza, F f, std::size_t position = 0) {
  const char* const text = stanza.data();
  const std::size_t size = stanza.size();
  std::size_t at = position;
  // A position inside a field is never at the start of a line: an alternative begins after a colon,
  // a comma or a bar.
  bool inside = at != 0 && at < size && text[at - 1] != '\n';
  while (at < size) {
    if (!inside) {
      const std::size_t field_name = detail::names_packages(stanza.substr(at));
      if (field_name == 0) {
        at = line_end(stanza, at) + 1;
        continue;
      }
      at += field_name;
    }
    inside = false;
    const std::size_t end = field_end(stanza, at);
    while (at < end) {
      std::size_t begin = at;
      while (begin < end && (is_blank(text[begin]) || text[begin] == '\n')) ++begin;
      std::size_t stop = begin;
      while (stop < end && detail::meaning_of(text[stop]) == detail::in_name) ++stop;
      if (stop > begin && !f(stanza.substr(begin, stop - begin))) return at;
      while (stop < end && detail::meaning_of(text[stop]) != detail::ends_alternative) ++stop;
      at = stop + 1;
    }
    at = end + 1;
  }
  return size;
}

// Finds the first stanza of a text of which only a beginning is known. The caller keeps the text,
// may append to it and ask again: what was searched for the end of a line is not searched again.
class stanza_cutter {
 public:
  // Whether a whole stanza is known. `at_end` says that no more text will come: then the answer
  // false means that no stanza is left, and otherwise that more text is needed.
  //
  // REQUIRES: since the last reset, text was only appended.
  bool cut(std::string_view text, bool at_end) {
    for (;;) {
      const std::size_t end = line_end(text, scanned_);
      if (end == text.size() && !at_end) {
        scanned_ = end;
        return false;
      }
      // At the end of the text, a line without newline is a line if it has bytes.
      const bool none_left = end == text.size() && line_ == end;
      if (none_left || is_separator(text, end)) {
        if (inside_) {
          end_ = line_ - (text[line_ - 1] == '\n' ? 1 : 0);
          next_ = end < text.size() ? end + 1 : end;
          return true;
        }
        if (end == text.size()) {
          begin_ = end;
          return false;
        }
        begin_ = end + 1;
      } else {
        inside_ = true;
      }
      line_ = scanned_ = end < text.size() ? end + 1 : end;
    }
  }

  // After `cut` has answered true: the stanza, without its last newline, and where the text after
  // it begins.
  std::string_view stanza(std::string_view text) const {
    return text.substr(begin_, end_ - begin_);
  }
  std::size_t begin() const { return begin_; }
  std::size_t end() const { return end_; }
  std::size_t next() const { return next_; }

  // After `cut` has answered false: how many bytes at the front are separators. The caller may drop
  // them, and resets if it does.
  std::size_t skippable() const { return begin_; }

  // The caller is about to show a text that begins elsewhere.
  void reset() { *this = {}; }

 private:
  bool is_separator(std::string_view text, std::size_t end) const {
    for (std::size_t at = line_; at < end; ++at) {
      if (!is_blank(text[at])) return false;
    }
    return true;
  }

  std::size_t begin_ = 0;    // where the stanza begins, or will: behind the separators known so far
  std::size_t line_ = 0;     // the first line that has not been judged
  std::size_t scanned_ = 0;  // no newline in [line_, scanned_)
  bool inside_ = false;      // a line of the stanza has been seen
  std::size_t end_ = 0;
  std::size_t next_ = 0;
};

}  // namespace revdeps
