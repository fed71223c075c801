// cyto/supervisor.hpp
//
// What: starts the workers of a topology, watches them by pidfd, restarts them, and can itself be
//   killed: the next one of the same name finds the memory in the workers and goes on.
//       supervisor system(topology, {});
//       while (!system.has_ended()) { poll(system.poll_fd()); system.step(); }
//
// Who: one thread of one process; a second supervisor of the same name is refused. It is off the
//   data path: workers go on while it is dead or stopped.
//
// Layout: what must survive it is in the segment's board: phase, budgets, counters, pids.
//
// Ordering:
//   V1 A slot is taken over only after the kernel has told that its holder is gone (pidfd), and the
//      successor takes the slot's lock, which ends with the old process, before its first store.
//   V2 `watched` is set, then a full fence, then quiet is looked for; a worker commits, passes a
//      full fence, and looks at `watched` before it sleeps. One of them sees the other, so the end
//      of the job is not missed and nobody polls for it.
//
// Death: killed anywhere, it leaves workers that run on, a socket file that refuses connections,
//   and no lock. The next supervisor replaces the socket and adopts whoever lives.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cyto/segment.hpp"

namespace cyto {

struct worker_spec {
  std::string name;
  std::uint32_t count = 1;
  std::string program;  // Path of the executable.
  std::vector<std::string> arguments;
  bool is_source = false;
  std::vector<std::pair<std::string, std::string>> settings;
  std::uint64_t cells_bytes = 0;
  std::string cells_origin = "cells_bytes";
};

struct lane_spec {
  std::string from;
  std::string to;
  std::uint64_t lane_bytes = 1U << 20;
  std::string origin = "lane_bytes";  // What to change if it is too small, for messages.
};

// The names of restart policy are those of Erlang/OTP.
struct topology {
  std::string name;
  std::vector<worker_spec> workers;
  std::vector<lane_spec> lanes;
  std::uint32_t intensity = 5;  // Deaths of one worker within the period that are still mended.
  std::uint32_t period_ms = 10'000;   // 1 to 3,600,000.
  std::uint32_t shutdown_ms = 5'000;  // From the word to stop to the kill.
  std::string table_of;               // The group whose cells are the result; may be empty.
};

// Throws bad_input, naming worker and bound, when the topology cannot work.
void check(const topology& of);
// The memory it takes. REQUIRES: check() passed.
segment_plan plan_of(const topology& of);

// Where a worker finds what the supervisor keeps for it.
inline constexpr char kept_input_path[] = "/proc/self/fd/5";

struct supervisor_options {
  int input = -1;  // A memfd that workers read at kept_input_path, and successors too.
};

class supervisor {
 public:
  // Creates the system, or adopts the one whose supervisor has died. Throws: already_running, no
  // memory, another topology under the same name.
  supervisor(topology of, const supervisor_options& options);
  supervisor(const supervisor&) = delete;
  supervisor& operator=(const supervisor&) = delete;
  // Kills what still runs.
  ~supervisor();

  // Readable when step() has something to do.
  [[nodiscard]] int poll_fd() const noexcept;
  // Handles what has happened; never waits.
  void step();

  [[nodiscard]] const segment& where() const noexcept;
  [[nodiscard]] bool was_adopted() const noexcept;
  [[nodiscard]] bool is_ready() const;
  // All sources have finished and everything accepted was consumed.
  [[nodiscard]] bool is_quiet() const;
  // No worker process is left.
  [[nodiscard]] bool has_ended() const noexcept;
  // Why the job cannot go on: error code and text; empty text while all is well.
  [[nodiscard]] const std::string& failure() const noexcept;
  [[nodiscard]] error_code failure_code() const noexcept;

  // Sources stop; what was accepted is still consumed.
  void drain();
  [[nodiscard]] bool is_draining() const noexcept;
  // Workers end at the end of their turn, those that do not within shutdown_ms are killed.
  void stop();
  // SIGKILL to one of the living workers, chosen by `random`. Returns false if there was none.
  bool kill_one(std::uint64_t random);

  [[nodiscard]] std::uint64_t kills() const noexcept;
  [[nodiscard]] std::uint64_t restarts() const noexcept;

 private:
  struct state;
  std::unique_ptr<state> state_;
};

}  // namespace cyto
