// One piece of code, run in a child process one instruction at a time.
//
//   stepped_child child([&] { prepare(); }, [&] { act(); });
//   while (child.step()) look();        // after every instruction of act()
//   child.kill();                       // as the kernel does it
#pragma once

#include <sched.h>
#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <optional>

namespace cyto::test {

// Tracer and traced hand a token to and fro; on one core that is three times as quick.
class on_one_core {
 public:
  on_one_core();
  on_one_core(const on_one_core&) = delete;
  on_one_core& operator=(const on_one_core&) = delete;
  ~on_one_core();

 private:
  cpu_set_t before_{};
};

// Whether the kernel says that the process waits for something.
bool is_asleep(pid_t pid);

class stepped_child {
 public:
  // Returns when the child has run `prepare` and stands before the first instruction of `act`.
  // Throws if the kernel does not let it be traced.
  stepped_child(const std::function<void()>& prepare, const std::function<void()>& act);
  stepped_child(const stepped_child&) = delete;
  stepped_child& operator=(const stepped_child&) = delete;
  // Kills it if it still lives.
  ~stepped_child();

  // One instruction. False once `act` has returned.
  bool step();
  // So many instructions, fewer if `act` returns before; how many there were.
  std::uint64_t step_at_most(std::uint64_t instructions);
  // The number of the system call that the next instruction is, if it is one; for a futex -1 - its
  // operation. Only x86-64 can be asked; elsewhere there never is one.
  [[nodiscard]] std::optional<long> next_system_call() const;
  // Lets it run into a system call that waits. It is not stopped when this returns, but asleep;
  // only kill() can follow, or wait_for_stop() after it was woken.
  void fall_asleep();
  void wait_for_stop();
  // Runs to the next beginning or end of a system call, of a program too that `act` becomes by
  // exec. False once it has ended or `act` has returned.
  bool run_to_system_call();
  // The same, passing over system calls that only look, such as those of a search through /proc:
  // before and after them nothing differs that another process could see.
  bool run_to_deed();
  // The system call at whose beginning it stands; nothing at the end of one.
  struct system_call {
    std::uint64_t number;
    std::uint64_t argument[6];
  };
  [[nodiscard]] std::optional<system_call> beginning() const;
  // Runs on without steps until `act` has returned.
  void finish();
  // SIGKILL; returns when the kernel has reaped it, and so freed what it held.
  void kill();
  [[nodiscard]] std::uint64_t steps() const noexcept { return steps_; }
  [[nodiscard]] pid_t pid() const noexcept { return pid_; }

 private:
  void start(int request, int signal = 0);
  void resume(int request);

  on_one_core core_;
  pid_t pid_ = -1;
  std::uint64_t steps_ = 0;
  bool done_ = false;
  bool only_looks_ = false;  // The system call in which it is.
};

}  // namespace cyto::test
