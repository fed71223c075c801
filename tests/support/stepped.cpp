#include "support/stepped.hpp"

#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <fstream>
#include <stdexcept>
#include <string>
#include <system_error>

namespace cyto::test {
namespace {

constexpr int system_call_bit = 0x80;  // PTRACE_O_TRACESYSGOOD

bool is_a_look(std::uint64_t number) {
  constexpr auto looks = std::to_array<std::uint64_t>({
#if defined(SYS_readlink)
    SYS_readlink, SYS_stat, SYS_lstat,
#endif
        SYS_readlinkat, SYS_newfstatat, SYS_fstat, SYS_getdents64, SYS_geteuid, SYS_brk
  });
  return std::find(looks.begin(), looks.end(), number) != looks.end();
}

}  // namespace

on_one_core::on_one_core() {
  ::sched_getaffinity(0, sizeof before_, &before_);
  const int core = ::sched_getcpu();
  if (core < 0) return;
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<unsigned>(core), &set);
  ::sched_setaffinity(0, sizeof set, &set);
}

on_one_core::~on_one_core() { ::sched_setaffinity(0, sizeof before_, &before_); }

bool is_asleep(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string line;
  std::getline(file, line);
  const auto name_end = line.rfind(')');
  return name_end != line.npos && line.compare(name_end, 3, ") S") == 0;
}

stepped_child::stepped_child(const std::function<void()>& prepare,
                             const std::function<void()>& act) {
  pid_ = ::fork();
  if (pid_ < 0) throw std::system_error(errno, std::generic_category(), "fork");
  if (pid_ == 0) {
    // _exit on every way out: the test program's own clean-up is its parent's.
    try {
      prepare();
      if (::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) ::_exit(3);
      ::raise(SIGSTOP);
      act();
      ::raise(SIGUSR1);
      ::_exit(0);
    } catch (...) {
      ::_exit(4);
    }
  }
  int state = 0;
  ::waitpid(pid_, &state, 0);
  if (!WIFSTOPPED(state) || WSTOPSIG(state) != SIGSTOP) {
    pid_ = -1;
    throw std::runtime_error("the child did not get as far as its first step: state " +
                             std::to_string(state));
  }
  ::ptrace(PTRACE_SETOPTIONS, pid_, nullptr, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
}

stepped_child::~stepped_child() { kill(); }

void stepped_child::start(int request, int signal) {
  if (::ptrace(static_cast<__ptrace_request>(request), pid_, nullptr, signal) != 0) {
    throw std::system_error(errno, std::generic_category(), "ptrace");
  }
}

void stepped_child::resume(int request) {
  start(request);
  wait_for_stop();
}

void stepped_child::wait_for_stop() {
  int state = 0;
  ::waitpid(pid_, &state, 0);
  if (!WIFSTOPPED(state)) {
    pid_ = -1;
    throw std::runtime_error("the stepped child ended: state " + std::to_string(state));
  }
  // The end of act() is a signal that nothing else sends; a trap is a step.
  if (WSTOPSIG(state) == SIGUSR1) {
    done_ = true;
  } else if (WSTOPSIG(state) != SIGTRAP) {
    throw std::runtime_error("the stepped child got signal " + std::to_string(WSTOPSIG(state)));
  }
}

bool stepped_child::step() {
  if (done_) return false;
  resume(PTRACE_SINGLESTEP);
  ++steps_;
  return !done_;
}

std::uint64_t stepped_child::step_at_most(std::uint64_t instructions) {
  const std::uint64_t before = steps_;
  while (steps_ - before < instructions && step()) continue;
  return steps_ - before;
}

std::optional<long> stepped_child::next_system_call() const {
#if defined(__x86_64__)
  constexpr long instruction = 0x050f;
  user_regs_struct registers{};
  if (::ptrace(PTRACE_GETREGS, pid_, nullptr, &registers) != 0) {
    throw std::system_error(errno, std::generic_category(), "ptrace");
  }
  const long code = ::ptrace(PTRACE_PEEKTEXT, pid_, registers.rip, nullptr);
  if ((code & 0xffff) != instruction) return std::nullopt;
  const auto number = static_cast<long>(registers.rax);
  return number == SYS_futex ? -1 - static_cast<long>(registers.rsi) : number;
#else
  return std::nullopt;
#endif
}

void stepped_child::fall_asleep() {
  start(PTRACE_SINGLESTEP);
  while (!is_asleep(pid_)) ::sched_yield();
}

bool stepped_child::run_to_system_call() {
  int signal = 0;
  while (!done_) {
    start(PTRACE_SYSCALL, signal);
    int state = 0;
    ::waitpid(pid_, &state, 0);
    if (!WIFSTOPPED(state)) {
      pid_ = -1;
      done_ = true;
      break;
    }
    if (WSTOPSIG(state) == (SIGTRAP | system_call_bit)) return true;
    done_ = WSTOPSIG(state) == SIGUSR1;
    signal = WSTOPSIG(state) == SIGTRAP ? 0 : WSTOPSIG(state);  // A trap is an exec.
  }
  return false;
}

bool stepped_child::run_to_deed() {
  while (run_to_system_call()) {
    const auto call = beginning();
    if (call) only_looks_ = is_a_look(call->number);
    if (!only_looks_) return true;
  }
  return false;
}

std::optional<stepped_child::system_call> stepped_child::beginning() const {
  __ptrace_syscall_info info{};
  if (::ptrace(PTRACE_GET_SYSCALL_INFO, pid_, sizeof info, &info) <= 0 ||
      info.op != PTRACE_SYSCALL_INFO_ENTRY) {
    return std::nullopt;
  }
  system_call out{info.entry.nr, {}};
  std::copy_n(info.entry.args, 6, out.argument);
  return out;
}

void stepped_child::finish() {
  while (!done_) resume(PTRACE_CONT);
}

void stepped_child::kill() {
  if (pid_ < 0) return;
  ::kill(pid_, SIGKILL);
  int state = 0;
  while (::waitpid(pid_, &state, 0) == pid_ && !WIFSIGNALED(state) && !WIFEXITED(state)) {
  }
  pid_ = -1;
}

}  // namespace cyto::test
