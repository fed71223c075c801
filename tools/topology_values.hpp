// The values of a topology file, each read as what it must be. What is refused is refused with the
// file, the line, the key, the value and what is possible.
#pragma once

#include <initializer_list>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "toml.hpp"
#include "topology_file.hpp"

namespace cyto::tools {

class topology_values {
 public:
  // `request` outlives this.
  explicit topology_values(const topology_request& request) : request_(request) {}

  // The file as TOML.
  toml::table parse() const;
  // Learns what ${key} stands for, from [set], --set and --input.
  void read_set(const toml::table& root);

  // "file:line".
  std::string where(const toml::source_region& at) const;
  [[noreturn]] void refuse(const toml::node& at, const std::string& value, const std::string& cause,
                           const std::string& next = {}) const;
  // Refuses any key that is not `known`. `what` is the table's name in messages.
  void only(const toml::table& at, const std::string& what,
            const std::initializer_list<std::string_view> known) const;

  // Puts values for ${key}. `origin` gets the key if the whole text is one.
  std::string expand(const toml::node& at, const std::string& from,
                     std::string* origin = nullptr) const;
  // Refuses if there is no such key.
  std::string text(const toml::table& at, const char* key, const std::string& what,
                   std::string* origin = nullptr) const;
  // `otherwise` if there is no such key, as in the next ones.
  std::uint32_t number(const toml::table& at, const char* key, std::uint32_t otherwise,
                       std::uint64_t least, std::uint64_t most) const;
  std::uint64_t bytes(const toml::table& at, const char* key, std::uint64_t otherwise,
                      std::string& origin) const;
  // What a user changes to change a size: the key of the file, or --set if that decides.
  std::string remedy(const std::string& origin) const;
  // Visits the tables of a list of them.
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
  // False if there is no such key.
  bool yes(const toml::table& at, const char* key) const;
  // Exit codes and names of signals.
  std::vector<std::uint32_t> exits(const toml::table& at, const char* key) const;
  // Numbers of cores, under "cpus".
  std::vector<std::uint32_t> cores(const toml::table& at) const;

 private:
  const topology_request& request_;
  std::map<std::string, std::string> values_;
};

}  // namespace cyto::tools
