#include <sched.h>
#include <sys/utsname.h>

#include <cstdlib>
#include <fstream>
#include <string>
#include <string_view>

#include "across/machine.hpp"
#include "commit.hpp"
#include "cyto/doorbell.hpp"
#include "version.hpp"

namespace cyto::bench {
namespace {

std::string line_of(const std::string& path) {
  std::string text;
  std::ifstream from(path);
  std::getline(from, text);
  return text;
}

std::string cpu_model() {
  std::ifstream from("/proc/cpuinfo");
  for (std::string line; std::getline(from, line);) {
    if (line.rfind("model name", 0) != 0) continue;
    const std::size_t colon = line.find(": ");
    return colon == std::string::npos ? line : line.substr(colon + 2);
  }
  return "unknown";
}

bool is_virtual() {
  std::ifstream from("/proc/cpuinfo");
  for (std::string line; std::getline(from, line);) {
    if (line.rfind("flags", 0) == 0) return line.find(" hypervisor") != std::string::npos;
  }
  return false;
}

}  // namespace

double load_average() {
  double out = 0;
  return getloadavg(&out, 1) == 1 ? out : 0;
}

nlohmann::ordered_json machine_facts() {
  utsname kernel{};
  uname(&kernel);
  nlohmann::ordered_json out;
  out["cyto"] = CYTO_VERSION;
  out["commit"] = CYTO_COMMIT;
  out["cpu"] = cpu_model();
  out["cores"] = usable_cores();
  out["kernel"] = std::string(kernel.sysname) + " " + kernel.release + " " + kernel.machine;
  out["compiler"] = "gcc " __VERSION__;
  const std::string governor = line_of("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
  out["governor"] = governor.empty() ? "unknown" : governor;
  out["real_time"] = sched_getscheduler(0) == SCHED_FIFO || sched_getscheduler(0) == SCHED_RR;
  return out;
}

nlohmann::ordered_json unfit_to_quote(double load_before) {
  nlohmann::ordered_json out = nlohmann::ordered_json::array();
  if (is_virtual()) out.push_back("a virtual machine: its host takes time unseen");
  const bool real_time = machine_facts()["real_time"].get<bool>();
  if (load_before > 0.7 && !real_time) {
    out.push_back("other processes ran: load average " + std::to_string(load_before));
  }
  if (std::string_view(CYTO_COMMIT).ends_with("-dirty")) {
    out.push_back("built of sources that are in no commit");
  }
#ifndef NDEBUG
  out.push_back("built with assertions");
#endif
  return out;
}

}  // namespace cyto::bench
