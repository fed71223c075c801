// journal_generate SEED LINES PACKAGES: writes a log as dpkg writes it, the same for the same three
// numbers. What happens to each package follows dpkg's order (unpacked, configured, upgraded,
// removed), and packages take turns at random, far more often than dpkg would let them. One line in
// a thousand or so is damaged, and the last one is cut short.

#include <array>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace {

// dpkg's lines for one thing that is done to a package: `@` is the package, `<` the version that
// was there, `>` the new one.
using steps = std::vector<std::string_view>;

const steps& install() {
  static const steps lines = {
      "install @ <none> >",   "status half-installed @ >",    "status triggers-pending @ >",
      "status unpacked @ >",  "conffile /etc/@.conf install", "startup packages configure",
      "configure @ > <none>", "status half-configured @ >",   "status installed @ >"};
  return lines;
}
const steps& upgrade() {
  static const steps lines = {"startup archives unpack",     "upgrade @ < >",
                              "status half-configured @ <",  "status unpacked @ <",
                              "status half-installed @ <",   "status unpacked @ >",
                              "configure @ > <none>",        "status half-configured @ >",
                              "conffile /etc/@ 1.conf keep", "status triggers-awaited @ >",
                              "status installed @ >"};
  return lines;
}
const steps& trigger() {
  static const steps lines = {"status triggers-pending @ >", "trigproc @ > <none>",
                              "status half-configured @ >", "status installed @ >"};
  return lines;
}
const steps& remove() {
  static const steps lines = {"remove @ > <none>",         "status half-configured @ >",
                              "status half-installed @ >", "status config-files @ >",
                              "purge @ > <none>",          "status not-installed @ <none>"};
  return lines;
}

struct package {
  std::uint64_t version = 0;
  bool is_installed = false;
  const steps* doing = nullptr;
  std::size_t done = 0;  // Lines of what is being done.
};

std::string version_text(std::uint64_t version) {
  return version == 0 ? "<none>" : "1." + std::to_string(version) + "-1";
}

std::string filled(std::string_view shape, const std::string& name, std::uint64_t version) {
  std::string line;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] == '@') {
      line += name;
    } else if (shape.substr(i) == "<none>" || shape.substr(i).starts_with("<none> ")) {
      line += "<none>";
      i += 5;
    } else if (shape[i] == '<') {
      line += version_text(version - 1);
    } else if (shape[i] == '>') {
      line += version_text(version);
    } else {
      line += shape[i];
    }
  }
  return line;
}

void begin_something(package& its, std::uint64_t dice) {
  its.done = 0;
  if (!its.is_installed) {
    its.doing = &install();
    ++its.version;
  } else if (dice % 4 == 0) {
    its.doing = &upgrade();
    ++its.version;
  } else {
    its.doing = dice % 4 == 1 ? &remove() : &trigger();
  }
}

// What a crash, or somebody's editor, leaves of a line.
std::string damaged(const std::string& line, std::uint64_t dice) {
  switch (dice % 5) {
    case 0:
      return line.substr(0, line.size() / 2);
    case 1:
      return line + line;
    case 2:
      return std::string(line.size(), '\0');
    case 3:
      return "";
    default:
      return line + std::string(dice / 5 % 4 == 0 ? 100'000 : 10, 'x') + " ";
  }
}

}  // namespace

int main(int argc, char** argv) {
  const auto number = [&](int index) -> std::uint64_t {
    return index < argc ? std::strtoull(argv[index], nullptr, 10) : 0;
  };
  const std::uint64_t lines = number(2);
  const std::uint64_t package_count = number(3);
  if (argc != 4 || lines == 0 || package_count == 0) {
    std::cerr << "journal_generate: usage: journal_generate SEED LINES PACKAGES\n";
    return 2;
  }
  std::ios::sync_with_stdio(false);
  // The distributions of the standard library differ between libraries; its generators do not.
  std::mt19937_64 random(number(1));
  std::vector<package> packages(package_count);
  for (std::uint64_t i = 0; i < lines; ++i) {
    const std::uint64_t which = random() % package_count;
    package& its = packages[which];
    if (its.doing == nullptr) begin_something(its, random());
    const std::string name = "package-" + std::to_string(which) + ":amd64";
    const std::string line = "2026-01-" + std::string(i * 28 / lines < 9 ? "0" : "") +
                             std::to_string(i * 28 / lines + 1) + " 12:00:00 " +
                             filled((*its.doing)[its.done], name, its.version);
    if (++its.done == its.doing->size()) {
      its.is_installed = its.doing != &remove();
      its.doing = nullptr;
    }
    const bool is_last = i + 1 == lines;
    const std::string kept = random() % 1024 == 0 ? damaged(line, random()) : line;
    std::cout << (is_last ? line.substr(0, line.size() - 2) : kept + "\n");
  }
  std::cout.flush();
  return std::cout ? 0 : 1;
}
