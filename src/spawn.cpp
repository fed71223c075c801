#include "spawn.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <initializer_list>
#include <string_view>
#include <utility>

#include "handover.hpp"
#include "process.hpp"

namespace cyto {
namespace {

// A variable of the handover, which a worker that starts others would hand on.
bool is_ours(std::string_view variable) {
  return variable.starts_with(std::string(handover_variable) + "=") ||
         variable.starts_with(std::string(rehearsal_variable) + "=");
}

}  // namespace

pid_t spawn(const spawn_request& what) {
  const std::string& called = what.called.empty() ? what.program : what.called;
  std::vector<char*> arguments{const_cast<char*>(called.c_str())};
  for (const std::string& each : what.arguments)
    arguments.push_back(const_cast<char*>(each.c_str()));
  arguments.push_back(nullptr);
  std::string variable = std::string(handover_variable) + "=" + std::to_string(what.slot);
  std::string rehearsal = std::string(rehearsal_variable) + "=1";
  std::vector<char*> environment;
  const auto inherit = [&environment](const char* each) {
    if (!is_ours(each)) environment.push_back(const_cast<char*>(each));
  };
  for (const std::string& each : what.environment) inherit(each.c_str());
  for (char** each = environ; what.environment.empty() && *each != nullptr; ++each) inherit(*each);
  environment.push_back(variable.data());
  if (what.is_rehearsal) environment.push_back(rehearsal.data());
  environment.push_back(nullptr);

  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_init(&attributes);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  if (!what.folder.empty()) posix_spawn_file_actions_addchdir_np(&actions, what.folder.c_str());
  if (what.words >= 0) posix_spawn_file_actions_adddup2(&actions, what.words, STDERR_FILENO);
  posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
  // Moved out of the way first, so that no source is overwritten by another's target.
  std::vector<file> moved;
  int failed = 0;
  for (const auto& [from, to] : std::initializer_list<std::pair<int, int>>{
           {what.segment, segment_fd}, {what.nudge, nudge_fd}, {what.input, input_fd}}) {
    if (from < 0) continue;
    moved.emplace_back(fcntl(from, F_DUPFD_CLOEXEC, 16));
    if (!moved.back()) failed = errno;
    posix_spawn_file_actions_adddup2(&actions, moved.back().get(), to);
  }
  sigset_t none;
  sigset_t defaults;
  sigemptyset(&none);
  sigemptyset(&defaults);
  for (const int each : {SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGCHLD, SIGXFSZ})
    sigaddset(&defaults, each);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &defaults);
  // A session of its own: a terminal's signals go to the supervisor alone, and a stopped worker
  // whose supervisor dies is not sent SIGHUP, as the kernel does within a session.
  posix_spawnattr_setflags(&attributes,
                           POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
  pid_t pid = -1;
  if (failed == 0) {
    failed = posix_spawn(&pid, what.program.c_str(), &actions, &attributes, arguments.data(),
                         environment.data());
  }
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (failed == 0) return pid;
  errno = failed;
  return -1;
}

}  // namespace cyto
