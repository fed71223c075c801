#include "across/pinning.hpp"

#include <sched.h>

#include <fstream>
#include <string>
#include <vector>

namespace cyto::bench {
namespace {

std::vector<int> cores_allowed() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<int> out;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return out;
  for (std::size_t i = 0; i < CPU_SETSIZE; ++i) {
    if (CPU_ISSET(i, &set)) out.push_back(static_cast<int>(i));
  }
  return out;
}

std::string siblings_of(int core) {
  std::string text;
  std::ifstream from("/sys/devices/system/cpu/cpu" + std::to_string(core) +
                     "/topology/thread_siblings_list");
  std::getline(from, text);
  return text;
}

}  // namespace

cores pinned_cores() {
  const std::vector<int> all = cores_allowed();
  if (all.size() < 2) return {};
  for (const int other : all) {
    if (other != all[0] && siblings_of(other) != siblings_of(all[0])) return {all[0], other};
  }
  return {all[0], all[1]};
}

}  // namespace cyto::bench
