#include "process.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <string_view>
#include <utility>

namespace cyto {
namespace {

struct close_dir {
  void operator()(DIR* dir) const { closedir(dir); }
};

template <class F>
void each_entry(const std::string& path, F visit) {
  const std::unique_ptr<DIR, close_dir> dir(opendir(path.c_str()));
  if (!dir) return;
  while (const dirent* entry = readdir(dir.get())) {
    if (entry->d_name[0] >= '0' && entry->d_name[0] <= '9') visit(entry->d_name);
  }
}

// Calls visit(pid, descriptor path, tag) for each memfd of cyto's.
template <class F>
void each_memfd(F visit) {
  constexpr std::string_view before = "/memfd:cyto:";
  constexpr std::string_view after = " (deleted)";
  each_entry("/proc", [&](const char* pid) {
    struct stat info {};
    const std::string process = std::string("/proc/") + pid;
    if (stat(process.c_str(), &info) != 0 || info.st_uid != geteuid()) return;
    const std::string folder = process + "/fd";
    each_entry(folder, [&](const char* number) {
      const std::string path = folder + "/" + number;
      std::array<char, 400> target{};
      const ssize_t length = readlink(path.c_str(), target.data(), target.size());
      if (length <= 0) return;
      std::string_view text(target.data(), static_cast<std::size_t>(length));
      if (!text.starts_with(before)) return;
      text.remove_prefix(7);  // "/memfd:"
      if (text.ends_with(after)) text.remove_suffix(after.size());
      visit(static_cast<pid_t>(std::strtol(pid, nullptr, 10)), path, std::string(text));
    });
  });
}

}  // namespace

bool process_is_stopped(pid_t pid) {
  std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
  std::string text;
  std::getline(stat, text);
  const std::size_t at = text.rfind(')');
  return at != std::string::npos && at + 2 < text.size() &&
         (text[at + 2] == 'T' || text[at + 2] == 't');
}

std::string link_target(const std::string& link) {
  std::array<char, 4096> target{};
  const ssize_t length = readlink(link.c_str(), target.data(), target.size());
  return length > 0 ? std::string(target.data(), static_cast<std::size_t>(length)) : std::string();
}

file::file(file&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
file& file::operator=(file&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}
file::~file() {
  if (fd_ >= 0) close(fd_);
}
int file::release() noexcept { return std::exchange(fd_, -1); }

std::uint64_t process_start_time(pid_t pid) {
  std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
  std::string text;
  std::getline(stat, text);
  // The command's name may hold anything, so count from its last closing bracket: field 3 follows.
  std::size_t at = text.rfind(')');
  if (at == std::string::npos) return 0;
  for (int field = 2; field < 22 && at != std::string::npos; ++field) at = text.find(' ', at + 1);
  return at == std::string::npos ? 0 : std::strtoull(text.c_str() + at + 1, nullptr, 10);
}

file open_process(pid_t pid) { return file(static_cast<int>(syscall(SYS_pidfd_open, pid, 0))); }

bool process_lives(pid_t pid) {
  const file process = pid > 0 ? open_process(pid) : file();
  pollfd end{process.get(), POLLIN, 0};
  return process && poll(&end, 1, 0) == 0;
}

std::vector<memfd_holder> find_memfd_holders(const std::string& tag) {
  std::vector<memfd_holder> found;
  each_memfd([&](pid_t pid, const std::string& path, const std::string& seen) {
    if (seen == tag && (found.empty() || found.back().pid != pid)) found.push_back({pid, path});
  });
  return found;
}

std::vector<std::string> find_memfd_tags() {
  std::vector<std::string> found;
  each_memfd([&](pid_t, const std::string&, const std::string& tag) {
    if (std::find(found.begin(), found.end(), tag) == found.end()) found.push_back(tag);
  });
  return found;
}

}  // namespace cyto
