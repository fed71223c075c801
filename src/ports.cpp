// Those who join at a port: nobody starts, stops, restarts or judges them. The supervisor knows who
// is there, tells them when the system ends, and does not end while one of them may still send.
#include <sys/epoll.h>

#include "cyto/observe.hpp"
#include "supervisor_state.hpp"

namespace cyto {

// Whoever joins or leaves knocks, and the kernel tells of an end.
void supervisor::state::look_at_ports() {
  for (std::uint32_t i = 0; i < specs.size(); ++i) {
    if (!is_port(i)) continue;
    joined& it = at_ports[i];
    const bool held = slot_lock::is_held(*where, i);
    const auto pid = static_cast<pid_t>(where->control_of(i).pid.observe());
    if (it.process && (!held || it.pid != pid)) forget_holder(i);
    if (held && !it.process && process_lives(pid)) {
      it = {pid, open_process(pid)};
      if (it.process) watch(it.process.get(), event_port + i);
    }
    // Whoever may choose among members sends to one that is there.
    stand(i, it.process ? membership::member : membership::absent);
  }
}

void supervisor::state::forget_holder(std::uint32_t slot) {
  if (!at_ports[slot].process) return;
  epoll_ctl(events.get(), EPOLL_CTL_DEL, at_ports[slot].process.get(), nullptr);
  at_ports[slot].process = file();
}

// A port that may send is like a source that has more to say, for as long as somebody is there.
bool supervisor::state::ports_let_it_end() {
  for (std::uint32_t i = 0; i < specs.size(); ++i) {
    if (!is_port(i) || where->slot(i).output_count == 0) continue;
    const bool is_closed =
        board_of(i).order.own() != static_cast<std::uint32_t>(system_phase::running);
    if (!is_closed && at_ports[i].process) return false;
  }
  return true;
}

// Nothing more comes from ports. False while one is in a turn that it may have begun before.
bool supervisor::state::close_ports() {
  bool is_over = true;
  for (std::uint32_t i = 0; i < specs.size(); ++i) {
    if (!is_port(i)) continue;
    if (board_of(i).order.own() == static_cast<std::uint32_t>(system_phase::running)) {
      give_order(i, system_phase::draining);
    }
  }
  full_fence();  // J1
  for (std::uint32_t i = 0; i < specs.size(); ++i) {
    if (!is_port(i) || !slot_lock::is_held(*where, i)) continue;
    const control& own = where->control_of(i);
    const bool is_in_turn = own.handling.observe() != 0;
    if (is_in_turn && process_lives(static_cast<pid_t>(own.pid.observe()))) is_over = false;
  }
  return is_over;
}

void supervisor::state::end_ports() {
  for (std::uint32_t i = 0; i < specs.size(); ++i) {
    if (is_port(i)) give_order(i, system_phase::stopping);
  }
}

}  // namespace cyto
