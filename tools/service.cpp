#include "service.hpp"

#include <fcntl.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <utility>

namespace cyto::tools {

service::service(const std::string& name) : entry_("cyto-" + name) {
  char** names = nullptr;
  const int count = sd_listen_fds_with_names(1, &names);
  for (int i = 0; i < count; ++i) {
    const int fd = SD_LISTEN_FDS_START + i;
    if (memory_ < 0 && entry_ == names[i]) {
      memory_ = fcntl(fd, F_DUPFD_CLOEXEC, 16);
    }
    close(fd);
    std::free(names[i]);
  }
  std::free(names);
  std::uint64_t period_us = 0;
  if (sd_watchdog_enabled(1, &period_us) > 0) {
    period_ = std::chrono::milliseconds(std::max<std::uint64_t>(1, period_us / 3000));
  }
}

service::~service() {
  if (memory_ >= 0) close(memory_);
}

void service::store(int memory) const noexcept {
  const std::string text = "FDSTORE=1\nFDPOLL=0\nFDNAME=" + entry_;
  sd_pid_notify_with_fds(0, 0, text.c_str(), &memory, 1);
}

void service::forget() const noexcept {
  sd_notify(0, ("FDSTOREREMOVE=1\nFDNAME=" + entry_).c_str());
}

void service::ready() noexcept {
  if (!std::exchange(is_ready_, true)) sd_notify(0, "READY=1");
}

void service::alive() const noexcept { sd_notify(0, "WATCHDOG=1"); }

void service::stopping() const noexcept { sd_notify(0, "STOPPING=1"); }

}  // namespace cyto::tools
