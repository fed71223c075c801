#include "support/process.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <stdexcept>
#include <system_error>

namespace cyto::test {
namespace {

int check(int result, const char* what) {
  if (result < 0) throw std::system_error(errno, std::generic_category(), what);
  return result;
}

file_descriptor open_pidfd(pid_t pid) {
  return file_descriptor(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
}

bool wait_readable(int fd, std::chrono::milliseconds time) {
  const auto deadline = std::chrono::steady_clock::now() + time;
  for (;;) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    pollfd one{fd, POLLIN, 0};
    const int ready = ::poll(&one, 1, static_cast<int>(std::max<std::int64_t>(0, left.count())));
    if (ready >= 0) return ready > 0;
    if (errno != EINTR) check(ready, "poll");
  }
}

std::string contents(int fd) {
  std::string text;
  if (fd < 0) return text;
  char block[64 * 1024];
  for (;;) {
    const ssize_t count = ::pread(fd, block, sizeof block, static_cast<off_t>(text.size()));
    if (count <= 0) return text;
    text.append(block, static_cast<std::size_t>(count));
  }
}

file_descriptor capture(const char* name) {
  return file_descriptor(check(memfd_create(name, MFD_CLOEXEC), "memfd_create"));
}

file_descriptor open_output(const process_options& options) {
  if (options.stdout_path.empty()) return {};
  return file_descriptor(
      check(::open(options.stdout_path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600),
            options.stdout_path.c_str()));
}

std::vector<std::string> environment_with(const process_options& options) {
  std::vector<std::string> all;
  for (const auto& [name, value] : options.env) all.push_back(name + "=" + value);
  for (char** each = environ; *each != nullptr; ++each) {
    const std::string entry = *each;
    const std::string name = entry.substr(0, entry.find('='));
    bool replaced = false;
    for (const auto& own : options.env) replaced = replaced || own.first == name;
    if (!replaced) all.push_back(entry);
  }
  return all;
}

std::vector<char*> pointers(std::vector<std::string>& strings) {
  std::vector<char*> all;
  for (std::string& each : strings) all.push_back(each.data());
  all.push_back(nullptr);
  return all;
}

}  // namespace

void file_descriptor::close() {
  if (value_ >= 0) ::close(std::exchange(value_, -1));
}

pipe_ends make_pipe() {
  int ends[2];
  check(::pipe2(ends, O_CLOEXEC), "pipe2");
  return {file_descriptor(ends[0]), file_descriptor(ends[1])};
}

process_ref::process_ref(pid_t pid) : pid_(pid), pidfd_(open_pidfd(pid)) {}

bool process_ref::send_signal(int signal) const {
  return pidfd_ && syscall(SYS_pidfd_send_signal, pidfd_.get(), signal, nullptr, 0) == 0;
}

bool process_ref::wait_for_end(std::chrono::milliseconds time) const {
  return !pidfd_ || wait_readable(pidfd_.get(), time);
}

process::process(std::vector<std::string> arguments, const process_options& options)
    : arguments_(std::move(arguments)), started_(std::chrono::steady_clock::now()) {
  err_ = capture("stderr of a test");
  const file_descriptor output_file = open_output(options);
  int out = options.stdout_fd >= 0 ? options.stdout_fd : output_file.get();
  if (out < 0) {
    out_ = capture("stdout of a test");
    out = out_.get();
  }
  file_descriptor input_file;
  if (options.stdin_fd < 0) {
    input_file = file_descriptor(check(::open(options.stdin_path.c_str(), O_RDONLY | O_CLOEXEC),
                                       options.stdin_path.c_str()));
  }
  const int in = options.stdin_fd >= 0 ? options.stdin_fd : input_file.get();

  // All that allocates is done before the fork: the test may have threads.
  std::vector<std::string> environment = environment_with(options);
  const std::vector<char*> environment_pointers = pointers(environment);
  const std::vector<char*> argument_pointers = pointers(arguments_);
  const std::string cwd = options.cwd.string();
  pipe_ends failure = make_pipe();
  const pid_t parent = ::getpid();

  pid_ = check(::fork(), "fork");
  if (pid_ == 0) {
    // A test that is killed takes its program along; the program has a chance to clean up.
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);
    sigset_t none;
    sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    if (::getppid() == parent && ::dup2(in, STDIN_FILENO) >= 0 && ::dup2(out, STDOUT_FILENO) >= 0 &&
        ::dup2(err_.get(), STDERR_FILENO) >= 0 && (cwd.empty() || ::chdir(cwd.c_str()) == 0)) {
      ::execvpe(argument_pointers[0], argument_pointers.data(), environment_pointers.data());
    }
    const int reason = errno;
    [[maybe_unused]] const ssize_t told = ::write(failure.write.get(), &reason, sizeof reason);
    ::_exit(127);
  }
  pidfd_ = open_pidfd(pid_);
  failure.write.close();
  int reason = 0;
  if (::read(failure.read.get(), &reason, sizeof reason) == sizeof reason) {
    ::waitpid(pid_, nullptr, 0);
    throw std::system_error(reason, std::generic_category(), "cannot start " + arguments_[0]);
  }
}

process::~process() {
  if (pid_ < 0 || outcome_ || !pidfd_) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

void process::send_signal(int signal) {
  if (!outcome_) check(::kill(pid_, signal), "kill");
}

std::optional<outcome> process::wait_for(std::chrono::milliseconds time) {
  if (outcome_ || !wait_readable(pidfd_.get(), time)) return outcome_;
  int status = 0;
  check(::waitpid(pid_, &status, 0), "waitpid");
  outcome end;
  if (WIFEXITED(status)) end.exit_code = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) end.signal = WTERMSIG(status);
  end.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started_).count();
  end.out = out();
  end.err = err();
  outcome_ = std::move(end);
  return outcome_;
}

outcome process::wait(std::chrono::milliseconds deadline) {
  if (auto end = wait_for(deadline)) return *end;
  throw std::runtime_error("still running after " + std::to_string(deadline.count()) +
                           " ms: " + command_line() + "\nit said: " + err());
}

std::string process::out() const { return contents(out_.get()); }
std::string process::err() const { return contents(err_.get()); }

std::string process::command_line() const {
  std::string line;
  for (const std::string& each : arguments_) line += each + ' ';
  return line;
}

outcome run(std::vector<std::string> arguments, const process_options& options) {
  return process(std::move(arguments), options).wait();
}

}  // namespace cyto::test
