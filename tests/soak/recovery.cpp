// soak_recovery NAME KILLS SEED: how long a worker's death lasts.
//
// Kills random workers of the running system NAME and watches, through the read-only view, until
// the successor has committed its first turn. Prints for each death a line of: worker, and in
// microseconds since the SIGKILL: dead (the kernel says so), started (the supervisor has a new
// process), attached (it holds the slot), ready (recovered and set up), turned (its first turn).
// Exit codes: 0 done, 1 a successor did not come within a minute, 3 the system ended before.
#include <poll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cyto/cyto.hpp>
#include <iostream>
#include <random>

namespace {

using clock = std::chrono::steady_clock;

constexpr auto patience = std::chrono::seconds(60);
constexpr timespec between_looks{0, 20'000};  // The cores belong to those that are watched.

struct death {
  enum step { dead, started, attached, ready, turned, steps };
  std::array<double, steps> us{};
};

// Waits for holds(); the time it took in microseconds, or -1 if it took too long.
template <class Condition>
double wait_for(clock::time_point begin, Condition holds) {
  while (!holds()) {
    if (clock::now() - begin > patience) return -1;
    nanosleep(&between_looks, nullptr);
  }
  return std::chrono::duration<double, std::micro>(clock::now() - begin).count();
}

bool is_ready(const cyto::control& own) {
  return own.state.observe() == static_cast<std::uint32_t>(cyto::slot_state::ready);
}

// False: the successor did not come. `process` is a pidfd of the slot's holder.
bool kill_and_watch(const cyto::segment& where, std::uint32_t slot, int process, death& out) {
  const cyto::control& own = where.control_of(slot);
  const std::uint32_t incarnation = own.incarnation.observe();
  const std::uint32_t pid = own.pid.observe();
  const auto begin = clock::now();
  if (syscall(SYS_pidfd_send_signal, process, SIGKILL, nullptr, 0) != 0) return false;
  pollfd end{process, POLLIN, 0};
  poll(&end, 1, -1);
  const std::uint64_t commit = own.commit.observe();  // The dead commits no more.
  out.us[death::dead] = wait_for(begin, [] { return true; });
  out.us[death::started] =
      wait_for(begin, [&] { return where.board_of(slot).spawned_pid.observe() != pid; });
  out.us[death::attached] =
      wait_for(begin, [&] { return own.incarnation.observe() != incarnation; });
  out.us[death::ready] = wait_for(begin, [&] { return is_ready(own); });
  out.us[death::turned] = wait_for(begin, [&] { return own.commit.observe() != commit; });
  for (const double each : out.us) {
    if (each < 0) return false;
  }
  return true;
}

bool has_ended(const cyto::segment& where) {
  return !cyto::slot_lock::is_held(where, cyto::slot_lock::supervisor);
}

int measure(const cyto::segment& where, std::uint64_t kills, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  for (std::uint64_t done = 0; done < kills;) {
    const timespec pause{0, static_cast<long>(random() % 30'000'000)};
    nanosleep(&pause, nullptr);
    const auto slot = static_cast<std::uint32_t>(random() % where.slot_count());
    const cyto::control& own = where.control_of(slot);
    const std::uint32_t pid = own.pid.observe();
    const int process = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
    if (process < 0 || !is_ready(own) || own.pid.observe() != pid) {
      if (process >= 0) close(process);
      if (has_ended(where)) return 3;
      continue;
    }
    death seen;
    const bool came = kill_and_watch(where, slot, process, seen);
    close(process);
    if (!came) {
      if (has_ended(where)) return 3;
      std::cerr << "soak_recovery: " << where.slot(slot).name << " did not come back\n";
      return 1;
    }
    std::printf("%s", where.slot(slot).name);
    for (const double each : seen.us) std::printf(" %.0f", each);
    std::printf("\n");
    ++done;
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::cerr << "soak_recovery: usage: soak_recovery NAME KILLS SEED\n";
    return 2;
  }
  prctl(PR_SET_TIMERSLACK, 1);
  try {
    return measure(cyto::find_system(argv[1]), std::strtoull(argv[2], nullptr, 10),
                   std::strtoull(argv[3], nullptr, 10));
  } catch (const cyto::error& failure) {
    std::cerr << "soak_recovery: " << failure.what() << '\n';
    return static_cast<int>(failure.code());
  }
}
