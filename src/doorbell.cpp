#include "cyto/doorbell.hpp"

#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <climits>
#include <ctime>

namespace cyto {

int usable_cores() noexcept {
  cpu_set_t set;
  CPU_ZERO(&set);
  return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

void wake(doorbell_line& line) noexcept {
  line.parked.publish(0);
  // Shared, not private: the sleeper is another process.
  syscall(SYS_futex, &line.parked, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

void doorbell::wait(std::uint64_t timeout_ns) noexcept {
  const timespec timeout{static_cast<time_t>(timeout_ns / 1'000'000'000),
                         static_cast<long>(timeout_ns % 1'000'000'000)};
  syscall(SYS_futex, &line_->parked, FUTEX_WAIT, parked_asleep, &timeout, nullptr, 0);  // D2
}

}  // namespace cyto
