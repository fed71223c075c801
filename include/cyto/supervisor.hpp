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
//   V3 A worker's `standing` is published, then `standings` counts the change, then a full fence,
//      then those who send to it are woken. A sender reads `standings` before it chooses a lane,
//      and again between the preparation of its bell and its sleep for room: it does not sleep for
//      the room of one that has gone while another has come.
//   V4 A share of keys is stored, with the number of its move, before `moves` has that number. Who
//      has read `moves` passes over what is later: all go by the same shares as of one move.
//   V5 A member commits the last of what it hands over of its keys, then publishes `handed`. Quiet
//      is looked for in the lanes only once all who run, or will, have: before that one of them may
//      put cells into a lane that was seen empty.
//
// Death: killed anywhere, it leaves workers that run on, a socket file that refuses connections,
//   and no lock. The next supervisor replaces the socket and adopts whoever lives.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cyto/doorbell.hpp"
#include "cyto/segment.hpp"

namespace cyto {

// The words of restart policy, and what they mean, are those of Erlang/OTP's supervisor.
enum class restart_type : std::uint8_t {
  permanent,  // Always restarted.
  transient,  // Restarted only after an end that is not clean.
  temporary   // Never restarted, not even with its siblings.
};
enum class restart_strategy : std::uint8_t {
  one_for_one,  // Only the one that ended.
  one_for_all,  // All children of its supervisor.
  rest_for_one  // The one that ended and those that start after it.
};
// Whether the end of significant children for good is the end of their supervisor.
enum class automatic_shutdown : std::uint8_t { never, any_significant, all_significant };
enum class stall_policy : std::uint8_t { tell, restart };

inline constexpr std::uint32_t intensity_max = 1'000;  // Fewer than the deaths that are kept.
static_assert(intensity_max < deaths_max);

inline constexpr std::uint32_t brutal_kill = 0;  // shutdown_ms: killed without a word.
inline constexpr std::uint32_t infinity = 0xffffffff;

// What a supervisor knows of a child.
struct child_spec {
  std::string supervisor;   // By name; empty: the root.
  std::uint32_t order = 0;  // Children start in this order and stop in the reverse.
  restart_type restart = restart_type::permanent;
  bool significant = false;  // REQUIRES: not permanent.
};

struct worker_spec : child_spec {
  std::string name;
  std::uint32_t count = 1;
  // Members there can be: those above `count` are laid out and absent until they are added
  // (Erlang/OTP: simple_one_for_one). 0: `count`.
  std::uint32_t count_max = 0;
  [[nodiscard]] std::uint32_t places() const noexcept { return std::max(count, count_max); }
  std::string program;  // Path of the executable.
  std::vector<std::string> arguments;
  bool is_source = false;
  bool is_plain = false;  // A program without cyto: no lanes, no cells; told to stop by SIGTERM.
  std::vector<std::pair<std::string, std::string>> settings;
  std::uint64_t cells_bytes = 0;
  std::string cells_origin = "cells_bytes";
  // From the word to stop to the kill: brutal_kill, milliseconds, or infinity.
  std::uint32_t shutdown_ms = 5'000;
  bool is_port = false;        // No process is started for it: a thread of any program may join.
  bool wait_ready = false;     // Those that start after it wait until it is ready.
  std::uint32_t ready_ms = 0;  // Killed, as dead, if it is not ready by then; 0: no limit.
  std::uint32_t stall_ms = 0;  // Work waits and no turn ends: stalled after that; 0: not watched.
  stall_policy on_stall = stall_policy::tell;
  // Exit codes, signals as 128 + number. Clean ends beside 0; ends after which it is not
  // restarted, whatever its type; ends after which it is.
  std::vector<std::uint32_t> success;
  std::vector<std::uint32_t> prevent_restart;
  std::vector<std::uint32_t> force_restart;
  wait_strategy wait = wait_strategy::spin_then_park;
  verification verify = verification::always;  // Of what it receives.
  std::uint32_t spin_us = spin_us_default;     // 0 to spin_us_max.
  // Cores, by the kernel's numbers: member i is pinned to the i-th, and from the first again after
  // the last. Empty: the kernel chooses.
  std::vector<std::uint32_t> cpus;
  std::uint64_t quarantine_bytes = 64 * 1024;  // 0 to 1 GiB.
  std::string quarantine_origin = "quarantine_bytes";
  // Of what waits for it: so many updates for so many external messages (mailbox.hpp, M4), 1 to
  // 1,000; 0 and 0: in the order of their stamps, unless a control lane leads to it.
  std::uint32_t update_weight = 0;
  std::uint32_t external_weight = 0;
  // To how many others one message leads at most, 1 to 1,000,000; 0: any number.
  std::uint32_t sends_max = 0;
  // Bytes of what it has sent that lie in its lanes at most, those of control left out: what would
  // be more finds no room. 4 KiB to 2^40; 0: what its lanes hold.
  std::uint64_t in_flight_bytes_max = 0;
  std::vector<std::string> reads;  // Groups whose cells its handlers look at.
  // Of what it defers while it waits for room, if it is part of a cycle: a power of two, at least
  // twice the largest lane that leads to it. 0: four times that.
  std::uint64_t deferred_bytes = 0;
  std::string deferred_origin = "deferred_bytes";
  // Its members own keys, and the cells of these: who is added takes its share, who is removed
  // leaves it. Not of a source, a plain program or a port; not in a cycle, nor sent to by ports.
  bool is_partitioned = false;
};

struct lane_spec {
  std::string from;
  std::string to;
  std::uint64_t lane_bytes = 1U << 20;
  std::string origin = "lane_bytes";  // What to change if it is too small, for messages.
  full_policy policy = full_policy::defer;
  // Of what waits for its room if it drops the oldest, which not a port's and no control lane can:
  // a power of two, at least lane_bytes, to 1 GiB. 0: lane_bytes.
  std::uint64_t held_bytes = 0;
  std::string held_origin = "held_bytes";
  bool is_control = false;  // One such lane beside another between the same two is possible.
  // Hops that its messages have made at most, 1 to 254; hops_unlimited; or 0: hops_max_default if
  // it is part of a cycle, and else unlimited.
  std::uint32_t hops_max = 0;
};

// A supervisor: of workers, and of other supervisors. All live in one process.
struct supervisor_spec : child_spec {
  std::string name;  // Empty for the root.
  restart_strategy strategy = restart_strategy::one_for_one;
  // More deaths than that within the period, of all its children together, end the supervisor: it
  // stops what it still has, and its own supervisor decides; that of the root is the user.
  std::uint32_t intensity = 5;       // 0 to 1,000.
  std::uint32_t period_ms = 10'000;  // 1 to 3,600,000.
  automatic_shutdown shutdown = automatic_shutdown::never;
};

struct topology {
  std::string name;
  std::vector<worker_spec> workers;
  std::vector<lane_spec> lanes;
  supervisor_spec root;
  std::vector<supervisor_spec> supervisors;  // Below the root.
  std::uint32_t shutdown_ms = 5'000;   // From the first word to drain to the end without waiting.
  std::uint32_t quarantine_after = 3;  // Deaths of one message until it is set aside; 0: never.
  huge_pages pages = huge_pages::never;
  bool prefault = false;  // A worker has its memory mapped before it is ready.
  // Of each worker and port, for `cyto trace`: 0, or a power of two, 4 KiB to 1 GiB.
  std::uint64_t trace_bytes = 256 * 1024;
  std::string table_of;  // The group whose cells are the result; may be empty.
};

// Whether the lane is part of a cycle: its reader reaches its writer along lanes between workers.
bool is_in_cycle(const topology& of, const lane_spec& lane);
// Throws bad_input, naming worker and bound, when the topology cannot work.
void check(const topology& of);
// The memory it takes. REQUIRES: check() passed.
segment_plan plan_of(const topology& of);

// Where a worker finds what the supervisor keeps for it.
inline constexpr char kept_input_path[] = "/proc/self/fd/5";

struct supervisor_options {
  int input = -1;  // A memfd that workers read at kept_input_path, and successors too.
  // The memory of a system of that name whose workers may all be dead, kept by somebody else; -1:
  // none. Borrowed.
  int memory = -1;
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

  // For process 1: takes note of the ends of processes that are nobody's children any more.
  void reap_strangers();

  [[nodiscard]] std::uint64_t kills() const noexcept;
  [[nodiscard]] std::uint64_t restarts() const noexcept;

 private:
  struct state;
  std::unique_ptr<state> state_;
};

}  // namespace cyto
