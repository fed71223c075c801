#include "handover.hpp"

#include <fcntl.h>

#include <cstdlib>
#include <initializer_list>

namespace cyto {

handover take_handover() noexcept {
  handover out;
  const char* text = std::getenv(handover_variable);
  if (text == nullptr) return out;
  char* end = nullptr;
  const unsigned long slot = std::strtoul(text, &end, 10);
  if (end == text || *end != '\0' || slot > UINT32_MAX) return out;
  out.is_rehearsal = std::getenv(rehearsal_variable) != nullptr;
  unsetenv(handover_variable);
  unsetenv(rehearsal_variable);
  out.slot = static_cast<std::uint32_t>(slot);
  for (const int fd : {segment_fd, nudge_fd, input_fd}) {
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) continue;
    if (fd == segment_fd) out.segment = fd;
    if (fd == nudge_fd) out.nudge = fd;
  }
  return out;
}

}  // namespace cyto
