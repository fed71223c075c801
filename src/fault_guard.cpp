#include "fault_guard.hpp"

#include <unistd.h>

#include <array>
#include <csignal>

namespace cyto {
namespace {

constexpr std::array<int, 5> noted_signals = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};

// A signal handler has nothing else to find its way by.
volatile sig_atomic_t noting_pid = 0;
fault_note* volatile note = nullptr;

extern "C" void note_fault(int signal, siginfo_t* info, void*) {
  // What the kernel found comes again when the instruction is tried again, with the default action
  // by then; what was sent does not.
  const bool was_sent = info->si_code <= 0;
  fault_note* to = note;
  if (to != nullptr && getpid() == noting_pid) {  // A child of the worker's may have inherited it.
    to->address.publish(was_sent ? 0 : reinterpret_cast<std::uint64_t>(info->si_addr));
    to->code.publish(static_cast<std::uint32_t>(info->si_code));
    to->sender.publish(was_sent ? static_cast<std::uint32_t>(info->si_pid) : 0);
    to->signal.publish(static_cast<std::uint32_t>(signal));
  }
  if (was_sent) static_cast<void>(raise(signal));
}

bool is_default(int signal) {
  struct sigaction now {};
  return sigaction(signal, nullptr, &now) == 0 && (now.sa_flags & SA_SIGINFO) == 0 &&
         now.sa_handler == SIG_DFL;
}

bool is_ours(int signal) {
  struct sigaction now {};
  return sigaction(signal, nullptr, &now) == 0 && (now.sa_flags & SA_SIGINFO) != 0 &&
         now.sa_sigaction == note_fault;
}

}  // namespace

fault_guard::fault_guard(control& own) {
  note = &own.fault;
  noting_pid = getpid();
  stack_t before{};
  if (sigaltstack(nullptr, &before) == 0 && (before.ss_flags & SS_DISABLE) != 0) {
    stack_ = std::make_unique<std::byte[]>(stack_bytes);
    stack_t mine{};
    mine.ss_sp = stack_.get();
    mine.ss_size = stack_bytes;
    sigaltstack(&mine, nullptr);
  }
  for (const int each : noted_signals) {
    if (!is_default(each)) continue;
    struct sigaction action {};
    action.sa_sigaction = note_fault;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | static_cast<int>(SA_RESETHAND);
    sigemptyset(&action.sa_mask);
    sigaction(each, &action, nullptr);
  }
}

fault_guard::~fault_guard() {
  for (const int each : noted_signals) {
    if (is_ours(each)) static_cast<void>(std::signal(each, SIG_DFL));
  }
  if (stack_) {
    stack_t none{};
    none.ss_flags = SS_DISABLE;
    sigaltstack(&none, nullptr);
  }
  note = nullptr;
}

}  // namespace cyto
