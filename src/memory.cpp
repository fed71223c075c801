// How much memory is there to reserve. A memfd has no size limit of its own: asking for more than
// the machine has would end in the out-of-memory killer, not in an error, so it is asked
// beforehand.
#include <algorithm>
#include <fstream>
#include <limits>
#include <string>

#include "cyto/segment.hpp"

namespace cyto {
namespace {

constexpr std::uint64_t unlimited = std::numeric_limits<std::uint64_t>::max();

std::uint64_t number_in(const std::string& path) {
  std::ifstream file(path);
  std::uint64_t value = 0;
  return file >> value ? value : unlimited;  // "max" and absent files are no limit.
}

std::uint64_t room_in_group(const std::string& limit_path, const std::string& usage_path) {
  const std::uint64_t limit = number_in(limit_path);
  const std::uint64_t usage = number_in(usage_path);
  if (limit == unlimited || usage == unlimited) return unlimited;
  return limit > usage ? limit - usage : 0;
}

std::uint64_t machine_bytes() {
  std::ifstream file("/proc/meminfo");
  std::string key;
  std::uint64_t kib = 0;
  std::string unit;
  while (file >> key >> kib >> unit) {
    if (key == "MemAvailable:") return kib * 1024;
  }
  return unlimited;
}

}  // namespace

std::uint64_t memory_available() {
  std::uint64_t room = machine_bytes();
  std::ifstream groups("/proc/self/cgroup");
  // Each line is "number:controllers:path"; version 2 has an empty middle. Limits hold on the way
  // up.
  for (std::string line; std::getline(groups, line);) {
    const std::size_t first = line.find(':');
    const std::size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const bool version2 = controllers.empty();
    if (!version2 && controllers != "memory") continue;
    std::string path = line.substr(second + 1);
    for (;;) {
      const std::string base = (version2 ? "/sys/fs/cgroup" : "/sys/fs/cgroup/memory") + path;
      room = std::min(room, version2 ? room_in_group(base + "/memory.max", base + "/memory.current")
                                     : room_in_group(base + "/memory.limit_in_bytes",
                                                     base + "/memory.usage_in_bytes"));
      if (path.empty() || path == "/") break;
      path.erase(path.rfind('/'));
    }
  }
  return room;
}

}  // namespace cyto
