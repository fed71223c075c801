// journal_oracle LOG: the table of the job that journal.toml does with many processes, by one.
//
// It shares no code with the workers, so that it can catch their mistakes: it cuts a line into all
// its words and goes by their number. LOG may be `-`. Exit codes: 0 done, 1 the table cannot be
// written, 2 usage or a log that cannot be read.

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <exception>
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace {

using word_list = std::vector<std::string>;

struct package {
  std::string state = "unknown";
  std::string version = "<none>";
  std::uint64_t events = 0;
  std::uint64_t digest = 14695981039346656037ULL;  // FNV-1a

  void hash(const std::string& text) {
    for (const char byte : text) {
      digest ^= static_cast<std::uint8_t>(byte);
      digest *= 1099511628211ULL;
    }
  }
};

word_list split(const std::string& line) {
  word_list all(1);
  for (const char byte : line) {
    if (byte == ' ') {
      all.emplace_back();
    } else {
      all.back() += byte;
    }
  }
  return all;
}

bool is_name(const std::string& text) {
  return !text.empty() && text.size() < 256 &&
         std::all_of(text.begin(), text.end(),
                     [](unsigned char byte) { return byte > 32 && byte < 127; });
}

class replay {
 public:
  // Without its newline.
  void read(const std::string& line) {
    ++lines_;
    const word_list all = split(line);
    if (line.size() <= 8192 && all.size() >= 4 && is_time(all[0] + " " + all[1]) &&
        (read_note(all) || read_status(all) || read_action(all))) {
      return;
    }
    if (++counts_["lines not understood"] == 1) counts_["first line not understood"] = lines_;
  }

  void tell_cut() { counts_["lines cut short at the end"] = 1; }

  void write(std::ostream& output) const {
    std::map<std::string, std::uint64_t> all = counts_;
    for (const char* name : {"digest", "events", "moves", "out of order"}) all.emplace(name, 0);
    for (const auto& [name, each] : packages_) {
      all["package " + name + " " + each.state + " " + each.version] = each.events;
      all["digest"] += each.digest;
    }
    std::vector<std::pair<std::uint64_t, std::string>> rows;
    rows.reserve(all.size());
    for (const auto& [name, value] : all) rows.emplace_back(value, name);
    std::stable_sort(rows.begin(), rows.end(),
                     [](const auto& left, const auto& right) { return left.first > right.first; });
    for (const auto& [value, name] : rows) output << value << '\t' << name << '\n';
  }

 private:
  static bool is_time(const std::string& text) {
    static const std::regex shape(R"re(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)re");
    return text.size() == 19 && std::regex_match(text, shape);
  }

  bool read_note(const word_list& all) {
    static const std::set<std::string> kinds = {"archives install",   "archives unpack",
                                                "packages configure", "packages triggers-only",
                                                "packages remove",    "packages purge"};
    if (all[2] == "startup" && all.size() == 5 && kinds.contains(all[3] + " " + all[4])) {
      ++counts_["startup " + all[3] + " " + all[4]];
      return true;
    }
    const bool named = all.size() > 5 || (all.size() == 5 && !all[3].empty());
    if (all[2] != "conffile" || !named || (all.back() != "install" && all.back() != "keep")) {
      return false;
    }
    ++counts_["conffile " + all.back()];
    return true;
  }

  bool read_status(const word_list& all) {
    static const std::set<std::string> states = {
        "not-installed",   "config-files",     "half-installed",   "unpacked",
        "half-configured", "triggers-awaited", "triggers-pending", "installed"};
    if (all[2] != "status" || all.size() != 6 || !states.contains(all[3]) || !is_name(all[4]) ||
        !is_name(all[5])) {
      return false;
    }
    package& its = happened(all[4], all[3] + " " + all[5] + " \n");
    ++counts_["moves"];
    ++counts_[its.state + " -> " + all[3]];
    its.state = all[3];
    its.version = all[5];
    return true;
  }

  bool read_action(const word_list& all) {
    static const std::set<std::string> actions = {"install",   "upgrade", "configure", "trigproc",
                                                  "disappear", "remove",  "purge"};
    if (all.size() != 6 || !actions.contains(all[2]) || !is_name(all[3]) || !is_name(all[4]) ||
        !is_name(all[5])) {
      return false;
    }
    happened(all[3], all[2] + " " + all[4] + " " + all[5] + "\n");
    ++counts_[all[2]];
    return true;
  }

  package& happened(const std::string& name, const std::string& what) {
    package& its = packages_[name];
    if (++its.events == 1) its.hash(name + "\n");
    its.hash(what);
    ++counts_["events"];
    return its;
  }

  std::map<std::string, package> packages_;
  std::map<std::string, std::uint64_t> counts_;
  std::uint64_t lines_ = 0;
};

int fail(int code, const std::string& what) {
  std::cerr << "journal_oracle: " << what << '\n';
  return code;
}

int judge(int argc, char** argv) {
  if (argc != 2) return fail(2, "usage: journal_oracle LOG");
  std::ios::sync_with_stdio(false);
  std::ifstream file;
  const bool is_standard = std::string(argv[1]) == "-";
  if (!is_standard) file.open(argv[1], std::ios::binary);
  std::istream& input = is_standard ? std::cin : file;
  if (!input || (input.peek(), input.bad())) return fail(2, std::string("cannot read ") + argv[1]);
  replay all;
  for (std::string line; std::getline(input, line);) {
    if (input.eof()) {
      all.tell_cut();  // No newline at its end.
    } else {
      all.read(line);
    }
  }
  all.write(std::cout);
  std::cout.flush();
  return std::cout ? 0 : fail(1, "cannot write the table");
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return judge(argc, argv);
  } catch (const std::exception& failure) {
    return fail(1, failure.what());
  }
}
