// The processes of a system: started, told to stop, killed, and their ends judged.
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <system_error>

#include "cyto/worker.hpp"
#include "spawn.hpp"
#include "supervisor_state.hpp"

namespace cyto {
namespace {

// As in the lists of a topology: exit codes, and 128 more than a signal's number.
std::uint32_t exit_number(int status) {
  return static_cast<std::uint32_t>(WIFSIGNALED(status) ? 128 + WTERMSIG(status)
                                                        : WEXITSTATUS(status));
}

bool contains(const std::vector<std::uint32_t>& list, std::uint32_t number) {
  return std::find(list.begin(), list.end(), number) != list.end();
}

}  // namespace

std::string supervisor::state::start(std::uint32_t slot) {
  child& it = children[slot];
  it.chaos_killed = false;
  it.hung = false;
  if (phase() != system_phase::stopping) give_order(slot, phase());
  const bool again = board_of(slot).spawned_pid.own() != 0;
  const pid_t pid =
      spawn({it.program, specs[slot]->arguments, slot, where->fd(), nudge.get(), input.get()});
  if (pid < 0) {
    code = errno == ENOENT || errno == EACCES ? error_code::bad_input : error_code::failed;
    return "cannot be started; " + std::generic_category().message(errno);
  }
  it.pid = pid;
  it.process = open_process(pid);
  board_of(slot).spawned_pid.publish(static_cast<std::uint32_t>(pid));
  board_of(slot).spawned_start_time.publish(process_start_time(pid));
  board_of(slot).stalled.publish(0);
  it.moved_at = now_ns();
  if (!it.process) {
    code = error_code::failed;
    return "no pidfd; " + std::generic_category().message(errno);
  }
  watch(it.process.get(), slot);
  if (again) board_of(slot).restarts.publish(board_of(slot).restarts.own() + 1);
  return {};
}

void supervisor::state::give_order(std::uint32_t slot, system_phase order) {
  board_of(slot).order.publish(static_cast<std::uint32_t>(order));
  full_fence();
  wake(bell_of(slot));
}

void supervisor::state::tell_to_stop(std::uint32_t slot) {
  give_order(slot, system_phase::stopping);
  if (is_plain(slot)) {
    syscall(SYS_pidfd_send_signal, children[slot].process.get(), SIGTERM, nullptr, 0);
  }
}

void supervisor::state::kill(std::uint32_t slot) { kill_group(children[slot]); }

void supervisor::state::keep_down(std::uint32_t slot, bool down) {
  const membership now = standing_of(slot);
  const bool goes = now == membership::leaving || now == membership::absent;
  stand(slot, !down ? membership::member : goes ? membership::absent : membership::stopped);
}

// Whoever waits for room may find some elsewhere now.
void supervisor::state::stand(std::uint32_t slot, membership how) {
  if (standing_of(slot) == how) return;
  board_of(slot).standing.publish(static_cast<std::uint32_t>(how));
  the_board().standings.publish(the_board().standings.own() + 1);  // V3
  full_fence();
  for (std::uint32_t i = 0; i < where->lane_count(); ++i) {
    if (where->lane(i).reader_slot == slot) wake(bell_of(where->lane(i).writer_slot));
  }
}

void supervisor::state::remember(const death& one) {
  const std::uint64_t count = the_board().death_count.own();
  death_entry& to = the_board().deaths[count % deaths_max];
  to.at_ns.stage(static_cast<std::uint64_t>(one.at));
  to.child.stage(one.child);
  the_board().death_count.publish(count + 1);
  if (one.child < children.size()) {
    board_of(one.child).deaths.publish(board_of(one.child).deaths.own() + 1);
  }
}

void supervisor::state::forget(const death& one) {
  const std::uint64_t count = the_board().death_count.own();
  for (std::uint64_t i = count; i > count - std::min<std::uint64_t>(count, deaths_max); --i) {
    death_entry& each = the_board().deaths[(i - 1) % deaths_max];
    if (each.child.own() != one.child || each.at_ns.own() != static_cast<std::uint64_t>(one.at)) {
      continue;
    }
    each.child.publish(nobody);
    return;
  }
}

// What a worker has started goes with it: it has a session, and so a process group, of its own.
void supervisor::state::kill_group(const child& which) const {
  // Through the pidfd first: only if the process is still there, if only as a zombie, is the number
  // of the group its own.
  if (syscall(SYS_pidfd_send_signal, which.process.get(), SIGKILL, nullptr, 0) == 0 ||
      process_start_time(which.pid) == 0) {
    ::kill(-which.pid, SIGKILL);
  }
}

void supervisor::state::kill_all() {
  for (const child& each : children) {
    if (!each.process) continue;
    kill_group(each);
    siginfo_t info{};
    waitid(P_PID, static_cast<id_t>(each.pid), &info, WEXITED);
  }
}

void supervisor::reap_strangers() {
  siginfo_t info{};
  while (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0) {
    const auto& all = state_->children;
    const auto is_ended = [&info](const state::child& each) {
      return each.process && each.pid == info.si_pid;
    };
    // A worker's end is for step() to see; there may be more behind it.
    if (std::any_of(all.begin(), all.end(), is_ended)) return;
    waitid(P_PID, static_cast<id_t>(info.si_pid), &info, WEXITED | WNOHANG);
    info = {};
  }
}

// The kernel says that the process is gone.
void supervisor::state::died(std::uint32_t slot) {
  child& it = children[slot];
  const pid_t pid = it.pid;
  kill_group(it);
  int status = 0;
  const bool ours =
      waitpid(it.pid, &status, WNOHANG) == it.pid;  // An adopted one is not our child.
  epoll_ctl(events.get(), EPOLL_CTL_DEL, it.process.get(), nullptr);
  it.process = file();
  const control& own = where->control_of(slot);
  const std::string name = std::string("worker ") + where->slot(slot).name;
  ending how;
  how.counts = !it.chaos_killed;
  how.how = ours ? exit_text(status) : "its end was not seen";
  if (ours && WIFEXITED(status) && WEXITSTATUS(status) == exit_slot_taken && !is_plain(slot)) {
    // An incarnation that a supervisor before us has started was quicker; it is the worker.
    it.pid = static_cast<pid_t>(own.pid.observe());
    it.process = open_process(it.pid);
    // Its number may stand there from an incarnation before, and be a stranger's by now.
    const bool same = process_start_time(it.pid) == own.start_time.observe();
    if (it.process && same && slot_lock::is_held(*where, slot)) {
      watch(it.process.get(), slot);
      return;
    }
    it.process = file();
    how.how = "lost its slot";
  } else if (!tree->is_stopping() && !is_plain(slot)) {
    const bool left_failure =
        own.state.observe() == static_cast<std::uint32_t>(slot_state::failed) &&
        own.pid.observe() == static_cast<std::uint32_t>(it.pid);
    const std::uint32_t bytes =
        std::min<std::uint32_t>(own.failure_bytes.observe(), failure_bytes_max);
    if (left_failure && ours && WIFEXITED(status) && WEXITSTATUS(status) == exit_spoiled) {
      // What it would go on with was overwritten: it is not started again, the rest goes on.
      inspector.lose(*where, slot, std::string(own.failure_text, bytes));
      inspect_at = now_ns();
      how.prevent = true;
      tree->ended(slot, how, now_ns());
      return;
    }
    if (left_failure) {
      const auto with = static_cast<error_code>(own.failure_code.observe());
      fail(with == error_code::bad_input ? with : error_code::failed,
           std::string(own.failure_text, bytes));
    } else if (ours && WIFEXITED(status) && WEXITSTATUS(status) == exit_refused) {
      fail(error_code::failed,
           name + ": refused to start (exit code 65); see what " + it.program + " says");
    }
  }
  if (!ours) {
    how.clean = own.state.observe() == static_cast<std::uint32_t>(slot_state::stopped) &&
                own.pid.observe() == static_cast<std::uint32_t>(it.pid);
  } else {
    const std::uint32_t number = exit_number(status);
    board_of(slot).last_exit.publish(static_cast<std::uint32_t>(status));
    how.clean = number == 0 || contains(specs[slot]->success, number);
    how.prevent = contains(specs[slot]->prevent_restart, number);
    how.force = contains(specs[slot]->force_restart, number);
  }
  if (!tree->is_stopping() && !is_plain(slot)) {
    const verdict found = deaths->hold(slot, static_cast<std::uint32_t>(pid),
                                       ours ? std::optional<int>(status) : std::nullopt, it.hung);
    if (!found.failure.empty()) fail(error_code::failed, found.failure);
    how.how += found.circumstances;
    // What setting a message aside has mended does not count towards the intensity.
    if (found.mended != 0) {
      how.counts = false;
      tree->forgive(slot, found.mended - 1);
    }
  }
  tree->ended(slot, how, now_ns());
}

}  // namespace cyto
