#include <sched.h>
#include <sys/utsname.h>

#include <cstdlib>
#include <fstream>
#include <string>

#include "across/peers/peers.hpp"
#include "across/report.hpp"
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

// Share of the cores' time that others had in the last minute.
double load() {
  double out = 0;
  return getloadavg(&out, 1) == 1 ? out : 0;
}

}  // namespace

nlohmann::ordered_json machine_json(const pace& how, int passes) {
  utsname kernel{};
  uname(&kernel);
  nlohmann::ordered_json out;
  out["cyto"] = CYTO_VERSION;
  out["cpu"] = cpu_model();
  out["cores"] = usable_cores();
  out["kernel"] = std::string(kernel.sysname) + " " + kernel.release + " " + kernel.machine;
  out["compiler"] = "gcc " __VERSION__;
  const std::string governor = line_of("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
  out["governor"] = governor.empty() ? "unknown" : governor;
  out["pinned_to"] = {how.where.near, how.where.far};
  out["real_time"] = sched_getscheduler(0) == SCHED_FIFO || sched_getscheduler(0) == SCHED_RR;
  out["passes"] = passes;
  out["seconds_per_pass"] = how.seconds;
  out["ns_per_tick"] = ns_per_tick();
  out["peers_missing"] = peers_missing();
  nlohmann::ordered_json unfit = nlohmann::ordered_json::array();
  if (how.where.near < 0) unfit.push_back("fewer than two cores: nothing is pinned");
  if (is_virtual()) unfit.push_back("a virtual machine: its host takes time unseen");
  if (load() > 0.7 && !out["real_time"].get<bool>()) {
    unfit.push_back("other processes ran: load average " + std::to_string(load()));
  }
#ifndef NDEBUG
  unfit.push_back("built with assertions");
#endif
  out["unfit_to_quote"] = unfit;
  return out;
}

}  // namespace cyto::bench
