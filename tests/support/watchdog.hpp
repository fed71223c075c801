// A test that hangs dies, and says which one it was.
//
//   const watchdog guard(std::chrono::seconds(30), "Lane.WrapsAround", [&] { kill_holders_of(name);
//   });
#pragma once

#include <chrono>
#include <functional>
#include <string>

namespace cyto::test {

// One at a time in a process. Works by SIGALRM, so that it needs no thread and tests may fork.
class watchdog {
 public:
  // `last_act` runs in the signal handler. That is more than a handler may do; if it hangs as well,
  // the alarm after it kills the process without a word.
  watchdog(std::chrono::seconds time, std::string what, std::function<void()> last_act = {});
  watchdog(const watchdog&) = delete;
  watchdog& operator=(const watchdog&) = delete;
  ~watchdog();
};

}  // namespace cyto::test
