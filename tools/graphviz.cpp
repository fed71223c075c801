#include "graphviz.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>

#include <cyto/error.hpp>

namespace cyto::tools {

graphviz::graphviz() {
  int ends[2] = {-1, -1};
  if (pipe2(ends, O_CLOEXEC) != 0) {
    throw_errno(errno, error_code::failed, "trace as svg", "cannot make a pipe");
  }
  posix_spawn_file_actions_t files{};
  posix_spawnattr_t how{};
  posix_spawn_file_actions_init(&files);
  posix_spawnattr_init(&how);
  posix_spawn_file_actions_adddup2(&files, ends[0], STDIN_FILENO);
  posix_spawnattr_setflags(&how, POSIX_SPAWN_SETPGROUP);
  char name[] = "dot";
  char format[] = "-Tsvg";
  char* const words[] = {name, format, nullptr};
  const int failed = posix_spawnp(&pid_, name, &files, &how, words, environ);
  posix_spawnattr_destroy(&how);
  posix_spawn_file_actions_destroy(&files);
  close(ends[0]);
  to_ = ends[1];
  if (failed == 0) return;
  close(to_);
  if (failed != ENOENT) {
    throw_errno(failed, error_code::failed, "program 'dot'", "cannot be started");
  }
  throw error(error_code::failed, "trace as svg", "there is no program 'dot'",
              "graphviz draws it, and is not installed",
              "install it, or take --format dot and draw that elsewhere");
}

graphviz::~graphviz() {
  if (pid_ > 0) end();
}

// Waits until all is drawn. Its wait status.
int graphviz::end() noexcept {
  close(to_);
  int status = -1;
  while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) continue;
  pid_ = -1;
  return status;
}

void graphviz::draw(const std::string& graph) {
  std::string_view left = graph;
  while (!left.empty()) {
    const ssize_t written = write(to_, left.data(), left.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) break;  // Its exit status says why.
    left.remove_prefix(static_cast<std::size_t>(written));
  }
  if (end() == 0 && left.empty()) return;
  throw error(error_code::failed, "trace as svg", "'dot' could not draw it",
              "see what it says above", "take --format dot and look at that");
}

}  // namespace cyto::tools
