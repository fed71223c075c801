#include "cyto/postmortem.hpp"

#include <sys/wait.h>

#include <csignal>
#include <cstring>
#include <ctime>

namespace cyto {

std::uint64_t monotonic_ns() noexcept {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 +
         static_cast<std::uint64_t>(now.tv_nsec);
}

std::string exit_text(int wait_status) {
  if (WIFSIGNALED(wait_status)) {
    const char* name = sigabbrev_np(WTERMSIG(wait_status));
    return "killed by signal " + std::to_string(WTERMSIG(wait_status)) +
           (name != nullptr ? std::string(" (SIG") + name + ")" : std::string());
  }
  return "exit code " + std::to_string(WEXITSTATUS(wait_status));
}

std::vector<flight_entry> flight_of(const flight_event (&ring)[flight_events]) {
  std::vector<flight_entry> out;
  for (const flight_event& each : ring) {
    const std::uint64_t number = each.number.observe();
    if (number == 0) continue;
    const std::uint32_t what_lane = each.what_lane.observe();
    const flight_entry entry{number,
                             static_cast<flight>(what_lane & 0xffU),
                             what_lane >> 8,
                             each.detail.observe(),
                             each.first.observe(),
                             each.second.observe()};
    if (each.number.observe() == number) out.push_back(entry);  // F1
  }
  std::sort(out.begin(), out.end(), [](const flight_entry& left, const flight_entry& right) {
    return left.number < right.number;
  });
  return out;
}

}  // namespace cyto
