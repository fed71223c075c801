// Facts about processes, from the kernel.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

namespace cyto {

// Owns a file descriptor.
class file {
 public:
  file() noexcept = default;
  explicit file(int fd) noexcept : fd_(fd) {}
  file(file&& other) noexcept;
  file& operator=(file&& other) noexcept;
  ~file();
  [[nodiscard]] int get() const noexcept { return fd_; }
  int release() noexcept;
  explicit operator bool() const noexcept { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

// Clock ticks since boot at which the process started, 0 if there is none: with the pid it names
// one process for as long as the machine is up.
std::uint64_t process_start_time(pid_t pid);

// A descriptor for the process, not open when it is gone.
file open_process(pid_t pid);

// False once it has ended, even if nobody has asked for its exit status yet.
bool process_lives(pid_t pid);

// Stopped by a signal or a debugger.
bool process_is_stopped(pid_t pid);

// What a link under /proc leads to, as the kernel names it; empty if it cannot be told.
std::string link_target(const std::string& link);

// The processes of this user that hold a memfd of that tag, and the path of one such descriptor
// each.
struct memfd_holder {
  pid_t pid;
  std::string path;  // /proc/PID/fd/N
};
std::vector<memfd_holder> find_memfd_holders(const std::string& tag);

// Tags of all of cyto's memfds whose holders this user may look at.
std::vector<std::string> find_memfd_tags();

}  // namespace cyto
