#include "remains.hpp"

#include <array>

namespace cyto {

std::pair<pid_t, file> living_process(const segment& of, std::uint32_t slot) {
  const control& own = of.control_of(slot);
  const board_slot& board = of.board_of(slot);
  const std::array<std::pair<std::uint32_t, std::uint64_t>, 2> known{
      {{own.pid.observe(), own.start_time.observe()},
       {board.spawned_pid.observe(), board.spawned_start_time.observe()}}};
  for (const auto& [number, start_time] : known) {
    const auto pid = static_cast<pid_t>(number);
    if (pid == 0) continue;
    file process = open_process(pid);
    // Asked after the pidfd is open: the number cannot have passed to another process since. One
    // that has ended already, and waits for its parent to notice, does not live.
    if (process && process_start_time(pid) == start_time && process_lives(pid)) {
      return {pid, std::move(process)};
    }
  }
  return {0, file()};
}

bool has_ended(const segment& which) {
  const auto phase = static_cast<system_phase>(which.the_board().phase.observe());
  if (phase != system_phase::stopping) return false;
  if (slot_lock::is_held(which, slot_lock::supervisor)) return false;
  for (std::uint32_t i = 0; i < which.slot_count(); ++i) {
    // Of a port it is the process of whoever had joined, which lives for itself.
    const bool is_port = (which.slot(i).flags & slot_is_port) != 0;
    if (!is_port && living_process(which, i).second) return false;
  }
  return true;
}

}  // namespace cyto
