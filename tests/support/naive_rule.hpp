// The third program for the job's rule, after rule.hpp and the oracle: it copies at every step.
#pragma once

#include <algorithm>
#include <cctype>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace revdeps {

using table = std::map<std::string, std::set<std::string>>;

inline std::vector<std::string> split(const std::string& text, const std::string& at) {
  std::vector<std::string> parts(1);
  for (const char byte : text) {
    if (at.find(byte) == at.npos) {
      parts.back() += byte;
    } else {
      parts.emplace_back();
    }
  }
  return parts;
}

inline std::string stripped(std::string text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.erase(0, 1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.pop_back();
  return text;
}

inline void add_naively(const std::vector<std::string>& lines, table& answer) {
  std::vector<std::vector<std::string>> fields;  // name and value
  for (const std::string& line : lines) {
    const std::size_t colon = line.find(':');
    if (line[0] == ' ' || line[0] == '\t') {
      if (!fields.empty()) fields.back()[1] += " " + stripped(line);
    } else if (colon == line.npos) {
      fields.push_back({"", ""});
    } else {
      std::string name = line.substr(0, colon);
      for (char& byte : name)
        byte = static_cast<char>(std::tolower(static_cast<unsigned char>(byte)));
      fields.push_back({name, stripped(line.substr(colon + 1))});
    }
  }
  const auto package = std::find_if(fields.begin(), fields.end(),
                                    [](const auto& each) { return each[0] == "package"; });
  if (package == fields.end()) return;
  const std::string owner = stripped((*package)[1]);
  if (owner.empty()) return;
  for (const auto& each : fields) {
    if (each[0] != "depends" && each[0] != "pre-depends") continue;
    for (const std::string& alternative : split(each[1], ",|")) {
      const std::string name = split(stripped(alternative), " \t([<:")[0];
      if (!name.empty() && name != owner) answer[name].insert(owner);
    }
  }
}

inline table naive_table(const std::string& text) {
  table answer;
  std::vector<std::string> lines;
  for (const std::string& line : split(text, "\n")) {
    if (!stripped(line).empty()) {
      lines.push_back(line);
    } else {
      add_naively(lines, answer);
      lines.clear();
    }
  }
  add_naively(lines, answer);
  return answer;
}

}  // namespace revdeps
