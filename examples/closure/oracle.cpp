// closure_oracle INDEX EVERY [ROOT]...: the table of the job that closure.toml does with many
// processes, by one: the closure of each ROOT, or of every EVERY-th package if there is none.
//
// It shares no code with the workers, so that it can catch their mistakes: it reads the whole index
// into a map and searches it breadth first. INDEX may be `-`. Exit codes: 0 done, 1 the table
// cannot be written, 2 usage or an index that cannot be read.

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <fstream>
#include <iostream>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

namespace {

using names = std::vector<std::string>;

struct package {
  std::set<names> needs;  // Groups of alternatives.
};

std::string lower(std::string text) {
  for (char& byte : text) {
    if (byte >= 'A' && byte <= 'Z') byte = static_cast<char>(byte + 32);
  }
  return text;
}

// The name that an alternative begins with.
std::string name_in(const std::string& text) {
  const auto begin = text.find_first_not_of(" \t");
  if (begin == std::string::npos) return "";
  return text.substr(begin, text.find_first_of(" \t([<:,|", begin) - begin);
}

names split(const std::string& text, char mark) {
  names parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, mark);) parts.push_back(part);
  return parts;
}

std::string join(const names& group) {
  std::string text;
  for (const std::string& each : group) text += (text.empty() ? "" : "|") + each;
  return text;
}

std::uint64_t hash(const std::string& text) {
  std::uint64_t state = 14695981039346656037ULL;  // FNV-1a
  for (const char byte : text) {
    state ^= static_cast<std::uint8_t>(byte);
    state *= 1099511628211ULL;
  }
  return state;
}

class graph {
 public:
  void read(std::istream& input) {
    std::vector<std::pair<std::string, std::string>> fields;
    for (std::string line; std::getline(input, line);) {
      const auto ink = line.find_first_not_of(" \t");
      if (ink == std::string::npos) {
        add(fields);
        fields.clear();
      } else if (ink > 0) {
        if (!fields.empty()) fields.back().second += " " + line.substr(ink);
      } else {
        const auto colon = line.find(':');
        const bool is_field = colon != std::string::npos;
        // What is no field is one without a name, so that what continues it goes nowhere.
        fields.emplace_back(is_field ? lower(line.substr(0, colon)) : "",
                            is_field ? line.substr(colon + 1) : "");
      }
    }
    add(fields);
  }

  const names& order() const { return order_; }

  void close(const std::string& root) {
    std::set<std::string> reached;
    std::set<names> missing;
    std::deque<std::string> left;
    const auto need = [&](const names& group) {
      const std::string chosen = choose(group);
      if (chosen.empty()) {
        missing.insert(group);
      } else if (reached.insert(chosen).second) {
        left.push_back(chosen);
      }
    };
    need({root});
    for (; !left.empty(); left.pop_front()) {
      for (const names& group : packages_.at(left.front()).needs) need(group);
    }
    for (const std::string& each : reached) digest_ += hash(root + "\n" + each);
    if (!reached.empty()) sizes_[root] = reached.size();
    for (const names& each : missing) ++missing_[join(each)];
  }

  void write(std::ostream& output) const {
    std::vector<std::pair<std::uint64_t, std::string>> rows{{digest_, "digest of all sets"}};
    for (const auto& [root, size] : sizes_) rows.emplace_back(size, root);
    for (const auto& [group, roots] : missing_) {
      rows.emplace_back(roots, "nobody provides " + group);
    }
    std::sort(rows.begin(), rows.end(), [](const auto& left, const auto& right) {
      return left.first != right.first ? left.first > right.first : left.second < right.second;
    });
    for (const auto& [value, name] : rows) output << value << '\t' << name << '\n';
  }

 private:
  // The first alternative that is there or is provided; of those who provide it the first by name.
  std::string choose(const names& group) const {
    for (const std::string& each : group) {
      if (packages_.contains(each)) return each;
      const auto found = providers_.find(each);
      if (found != providers_.end()) return *found->second.begin();
    }
    return "";
  }

  void add(const std::vector<std::pair<std::string, std::string>>& fields) {
    const auto is_package = [](const auto& field) { return field.first == "package"; };
    const auto first = std::find_if(fields.begin(), fields.end(), is_package);
    const std::string name = first == fields.end() ? "" : name_in(first->second);
    if (name.empty()) return;
    order_.push_back(name);
    package& its = packages_[name];
    for (const auto& [field, value] : fields) {
      const bool is_need = field == "depends" || field == "pre-depends";
      if (!is_need && field != "provides") continue;
      for (const std::string& part : split(value, ',')) {
        names group;
        for (const std::string& each : split(part, '|')) {
          if (!name_in(each).empty()) group.push_back(name_in(each));
        }
        if (group.empty()) continue;
        if (is_need) {
          its.needs.insert(group);
        } else {
          for (const std::string& each : group) providers_[each].insert(name);
        }
      }
    }
  }

  std::map<std::string, package> packages_;
  std::map<std::string, std::set<std::string>> providers_;
  names order_;  // As they stand in the index, one that stands there twice twice.
  std::map<std::string, std::uint64_t> sizes_;
  std::map<std::string, std::uint64_t> missing_;
  std::uint64_t digest_ = 0;
};

int fail(int code, const std::string& what) {
  std::cerr << "closure_oracle: " << what << '\n';
  return code;
}

}  // namespace

int main(int argc, char** argv) {
  const std::uint64_t every = argc < 3 ? 0 : std::strtoull(argv[2], nullptr, 10);
  if (every == 0) return fail(2, "usage: closure_oracle INDEX EVERY [ROOT]...");
  std::ios::sync_with_stdio(false);
  std::ifstream file;
  const bool is_standard = std::string(argv[1]) == "-";
  if (!is_standard) file.open(argv[1], std::ios::binary);
  std::istream& input = is_standard ? std::cin : file;
  if (!input || (input.peek(), input.bad())) return fail(2, std::string("cannot read ") + argv[1]);
  graph all;
  all.read(input);
  std::set<std::string> roots(argv + 3, argv + argc);
  if (argc == 3) {
    for (std::size_t i = 0; i < all.order().size(); i += every) roots.insert(all.order()[i]);
  }
  for (const std::string& each : roots) all.close(each);
  all.write(std::cout);
  std::cout.flush();
  return std::cout ? 0 : fail(1, "cannot write the table");
}
