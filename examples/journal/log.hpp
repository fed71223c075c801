// The rule of the job: what a line of dpkg's log says.
//
// What: dpkg(1) writes one line for each thing that it does, under --log. `read_line` tells what
//   it says, or that it is none of dpkg's.
//       2026-01-01 12:00:00 startup archives unpack
//       2026-01-01 12:00:00 upgrade foo:amd64 1.2-3 1.2-4
//       2026-01-01 12:00:00 status half-installed foo:amd64 1.2-3
//       2026-01-01 12:00:00 conffile /etc/foo.conf keep
//
// Words are separated by one blank each; only a conffile's name may have blanks in it. A name of a
// package and a version have 1 to 255 bytes, all of them printable ASCII. A line of more than
// `line_bytes_max` bytes is not understood, whatever it says.
//
// Nothing here allocates; what `entry` shows lies in the line.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace journal {

inline constexpr std::size_t line_bytes_max = 8192;
inline constexpr std::size_t name_bytes_max = 255;

// What is said of packages: their states first, then what is done to them.
inline constexpr std::array<std::string_view, 15> words = {
    "not-installed",    "config-files",     "half-installed", "unpacked", "half-configured",
    "triggers-awaited", "triggers-pending", "installed",      "install",  "upgrade",
    "configure",        "trigproc",         "disappear",      "remove",   "purge"};
inline constexpr std::size_t state_count = 8;

// All else that is said; the lines are counted by it.
inline constexpr std::array<std::string_view, 8> notes = {
    "startup archives install",   "startup archives unpack",
    "startup packages configure", "startup packages triggers-only",
    "startup packages remove",    "startup packages purge",
    "conffile install",           "conffile keep"};

enum class entry_kind : std::uint8_t { none, note, state, action };

struct entry {
  entry_kind kind = entry_kind::none;
  std::size_t word = 0;      // Which of `notes`, or of `words`.
  std::string_view package;  // Of a state or an action, as what follows.
  std::string_view version;
  std::string_view new_version;  // Of an action.
};

// A state as messages and cells have it: 0 is none that is known, else 1 + which of `words`.
inline std::string_view state_name(std::uint64_t state) {
  return state == 0 || state > state_count ? "unknown" : words[state - 1];
}

inline std::string_view word_name(std::uint64_t word) {
  return word < words.size() ? words[word] : "unknown";
}

namespace detail {

inline constexpr std::string_view time_shape = "0000-00-00 00:00:00 ";

// Whether `text` begins with a time, and a blank after it.
inline bool begins_with_time(std::string_view text) {
  if (text.size() < time_shape.size()) return false;
  for (std::size_t i = 0; i < time_shape.size(); ++i) {
    const bool is_digit = text[i] >= '0' && text[i] <= '9';
    if (time_shape[i] == '0' ? !is_digit : text[i] != time_shape[i]) return false;
  }
  return true;
}

// Cuts the word before the next blank off `text`.
inline std::string_view cut_word(std::string_view& text) {
  const std::string_view word = text.substr(0, text.find(' '));
  text.remove_prefix(std::min(text.size(), word.size() + 1));
  return word;
}

inline bool is_name(std::string_view text) {
  return !text.empty() && text.size() <= name_bytes_max &&
         std::all_of(text.begin(), text.end(), [](char byte) { return byte > ' ' && byte <= '~'; });
}

// `text` begins behind the time.
inline entry read_note(std::string_view text) {
  constexpr std::string_view conffile = "conffile ";
  const std::size_t blank = text.rfind(' ');
  for (std::size_t i = 0; i < notes.size(); ++i) {
    const bool is_conffile = notes[i].starts_with(conffile) && text.starts_with(conffile) &&
                             blank > conffile.size() &&
                             text.substr(blank + 1) == notes[i].substr(conffile.size());
    if (text == notes[i] || is_conffile) return {entry_kind::note, i, {}, {}, {}};
  }
  return {};
}

}  // namespace detail

inline entry read_line(std::string_view line) {
  if (line.size() > line_bytes_max || !detail::begins_with_time(line)) return {};
  std::string_view text = line.substr(detail::time_shape.size());
  const entry note = detail::read_note(text);
  if (note.kind != entry_kind::none) return note;

  const auto blanks = std::count(text.begin(), text.end(), ' ');
  std::string_view word = detail::cut_word(text);
  const bool is_state = word == "status";
  if (is_state) word = detail::cut_word(text);
  const auto* const first = words.begin() + (is_state ? 0 : state_count);
  const auto* const last = is_state ? words.begin() + state_count : words.end();
  const auto* const found = std::find(first, last, word);
  entry it;
  it.package = detail::cut_word(text);
  it.version = detail::cut_word(text);
  it.new_version = detail::cut_word(text);
  if (found == last || blanks != 3 || !detail::is_name(it.package) || !detail::is_name(it.version))
    return {};
  if (is_state ? !it.new_version.empty() : !detail::is_name(it.new_version)) return {};
  it.word = static_cast<std::size_t>(found - words.begin());
  it.kind = is_state ? entry_kind::state : entry_kind::action;
  return it;
}

}  // namespace journal
