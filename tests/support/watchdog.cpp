#include "support/watchdog.hpp"

#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <stdexcept>
#include <utility>

namespace cyto::test {
namespace {

bool on_guard = false;
std::string message;
std::function<void()> last_act;

void bite(int) {
  std::signal(SIGALRM, SIG_DFL);
  sigset_t alarm_only;
  sigemptyset(&alarm_only);
  sigaddset(&alarm_only, SIGALRM);
  ::sigprocmask(SIG_UNBLOCK, &alarm_only, nullptr);
  ::alarm(5);
  [[maybe_unused]] const ssize_t told = ::write(STDERR_FILENO, message.data(), message.size());
  if (last_act) last_act();
  ::_exit(124);
}

}  // namespace

watchdog::watchdog(std::chrono::seconds time, std::string what, std::function<void()> act) {
  if (std::exchange(on_guard, true)) throw std::logic_error("a second watchdog");
  message = "watchdog: " + what + " still ran after " + std::to_string(time.count()) + " s\n";
  last_act = std::move(act);
  std::signal(SIGALRM, bite);
  ::alarm(static_cast<unsigned>(time.count()));
}

watchdog::~watchdog() {
  ::alarm(0);
  std::signal(SIGALRM, SIG_DFL);
  last_act = {};
  on_guard = false;
}

}  // namespace cyto::test
