// revdeps_oracle INPUT [OUTPUT]: reverse dependencies of a Debian package index, in one process.
//
// The judge and the baseline of the job that revdeps.toml does with many processes. It shares no
// code with them, so that it can catch their mistakes, and it is written as one would write it
// without a thought of speed: not slow, not tuned.
//
// A stanza belongs to its first Package field; every Depends and Pre-Depends field of it names
// packages. The table says for each name how many packages other than itself name it: `count TAB
// name`, most first, then by the bytes of the name. INPUT may be `-`. Exit codes: 0 done, 1 the
// table cannot be written, 2 usage or an input that cannot be read.

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iostream>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

namespace {

constexpr std::string_view blanks = " \t";

std::string_view trim(std::string_view text) {
  const auto first = text.find_first_not_of(blanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

std::string to_lower(std::string_view text) {
  std::string lower(text);
  for (char& byte : lower) {
    if (byte >= 'A' && byte <= 'Z') byte = static_cast<char>(byte - 'A' + 'a');
  }
  return lower;
}

struct stanza {
  std::optional<std::string> package;
  std::vector<std::string> dependencies;  // the values of its Depends and Pre-Depends fields
};

class reverse_dependencies {
 public:
  void read(std::istream& input) {
    stanza current;
    std::string* value = nullptr;  // of the field that the line before belongs to, if it counts
    for (std::string line; std::getline(input, line);) {
      if (trim(line).empty()) {
        add(current);
        current = {};
        value = nullptr;
      } else if (blanks.find(line.front()) != std::string_view::npos) {
        if (value != nullptr) value->append(" ").append(trim(line));
      } else {
        value = field_of(current, line);
      }
    }
    add(current);
  }

  void write(std::ostream& output) const {
    std::vector<std::pair<std::size_t, std::string_view>> rows;
    for (const auto& [name, packages] : packages_naming_) rows.emplace_back(packages.size(), name);
    std::sort(rows.begin(), rows.end(), [](const auto& a, const auto& b) {
      return a.first != b.first ? a.first > b.first : a.second < b.second;
    });
    for (const auto& [count, name] : rows) output << count << '\t' << name << '\n';
  }

 private:
  // Begins the field of `line`. Null: a field that does not count, or no field at all.
  static std::string* field_of(stanza& current, const std::string& line) {
    const auto colon = line.find(':');
    if (colon == std::string::npos) return nullptr;
    const std::string name = to_lower(line.substr(0, colon));
    const std::string_view value = trim(std::string_view(line).substr(colon + 1));
    if (name == "depends" || name == "pre-depends") {
      return &current.dependencies.emplace_back(value);
    }
    if (name != "package" || current.package) return nullptr;
    return &current.package.emplace(value);
  }

  void add(const stanza& each) {
    const std::string package(trim(each.package.value_or("")));
    if (package.empty()) return;
    for (const std::string& value : each.dependencies) add_names(package, value);
  }

  void add_names(const std::string& package, std::string_view value) {
    while (!value.empty()) {
      const auto end = std::min(value.find_first_of(",|"), value.size());
      std::string_view name = trim(value.substr(0, end));
      name = name.substr(0, name.find_first_of(" \t([<:"));
      if (!name.empty() && name != package) packages_naming_[std::string(name)].insert(package);
      value.remove_prefix(std::min(end + 1, value.size()));
    }
  }

  std::unordered_map<std::string, std::unordered_set<std::string>> packages_naming_;
};

int fail(int code, const std::string& what) {
  std::cerr << "revdeps_oracle: " << what << '\n';
  return code;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2 && argc != 3) return fail(2, "usage: revdeps_oracle INPUT [OUTPUT]");
  std::ios::sync_with_stdio(false);
  const std::string input_name = argv[1];
  std::ifstream file;
  if (input_name != "-") {
    file.open(input_name, std::ios::binary);
    // A folder can be opened but not read; only the first read tells.
    if (!file || (file.peek(), file.bad())) {
      return fail(2, "cannot read " + input_name + ": " + std::strerror(errno));
    }
  }
  std::istream& input = input_name == "-" ? std::cin : file;
  reverse_dependencies answer;
  answer.read(input);
  if (input.bad()) return fail(2, "cannot read " + input_name + ": " + std::strerror(errno));

  std::ofstream output_file;
  if (argc == 3) output_file.open(argv[2], std::ios::binary);
  std::ostream& output = argc == 3 ? output_file : std::cout;
  answer.write(output);
  output.flush();
  if (!output) return fail(1, std::string("cannot write ") + (argc == 3 ? argv[2] : "the table"));
  return 0;
}
