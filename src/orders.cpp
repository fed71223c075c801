// What operators want of single workers: that they start, stop, are replaced, added or removed.
#include <unistd.h>

#include "cyto/observe.hpp"
#include "supervisor_state.hpp"

namespace cyto {

// What an operator wants of one worker.
bool supervisor::state::take_order(const packet& request, const std::vector<file>& given) {
  auto slot = static_cast<std::uint32_t>(request.value);
  if (slot >= children.size() || is_port(slot) || tree->is_stopping() ||
      askers.size() >= clients_max)
    return false;
  const instant now = now_ns();
  const pid_t before = children[slot].process ? children[slot].pid : 0;
  switch (request.verb) {
    case verb_stop_one:
      tree->stop_one(slot, now);
      break;
    case verb_start_one:
      tree->start_one(slot, now);
      break;
    case verb_restart_one: {
      if (!given.empty()) {
        const std::string path =
            link_target("/proc/self/fd/" + std::to_string(given.front().get()));
        if (access(path.c_str(), X_OK) != 0) return false;
        children[slot].program = path;
        board_of(slot).other_program.publish(1);
      }
      tree->restart_one(slot, now);
      break;
    }
    case verb_add_one:
      if (!add_one(slot, now)) return false;
      break;
    case verb_remove_one:
      if (!remove_one(slot)) return false;
      break;
    default:
      return false;
  }
  askers.push_back({{}, request.verb, slot, before});
  return true;
}

// `slot` becomes the one that is added: the first of its group that is not there.
bool supervisor::state::add_one(std::uint32_t& slot, instant now) {
  const worker_spec* group = specs[slot];
  for (std::uint32_t i = 0; i < specs.size(); ++i) {
    if (specs[i] != group || standing_of(i) != membership::absent) continue;
    slot = i;
    tree->start_one(i, now);
    return true;
  }
  return false;
}

bool supervisor::state::remove_one(std::uint32_t slot) {
  if (specs[slot]->is_source || (is_partitioned(slot) && !has_heir(slot))) return false;
  stand(slot, membership::leaving);
  return true;
}

// Who is leaving goes when nothing is left for it. Somebody may have chosen it just before that, or
// send to it by its number: it comes back for that, and goes again.
void supervisor::state::see_off_the_leaving(instant now) {
  const auto any = [this](membership how) {
    for (std::uint32_t i = 0; i < children.size(); ++i) {
      if (standing_of(i) == how && !is_port(i)) return true;
    }
    return false;
  };
  const bool leaves = any(membership::leaving);
  if (leaves) {
    the_board().watched.publish(1);
    full_fence();  // V2
  } else if (seeing_off && !sources_have_ended(*where)) {
    the_board().watched.publish(0);
  }
  seeing_off = leaves;
  if (tree->is_stopping() || (!leaves && !any(membership::absent))) return;
  const std::vector<bool> waited_for = readers_with_work(*where);
  for (std::uint32_t i = 0; i < children.size(); ++i) {
    if (is_port(i)) continue;
    const membership standing = standing_of(i);
    // Whose keys are not all with others yet has something to do.
    const bool moves = is_partitioned(i) && (owns_keys(i) || !has_settled());
    if (standing == membership::leaving && !waited_for[i] && !moves) {
      tree->stop_one(i, now);
      continue;
    }
    const bool gone = standing == membership::absent && !children[i].process;
    const bool comes_back = standing == membership::leaving ? !tree->is_wanted(i) : gone;
    if (!comes_back || !waited_for[i]) continue;
    // One that has not ended well would do so again.
    const auto end = static_cast<slot_state>(where->control_of(i).state.observe());
    if (end != slot_state::stopped && end != slot_state::empty) continue;
    tree->start_one(i, now);
    stand(i, membership::leaving);
  }
}

void supervisor::state::answer_askers() {
  std::erase_if(askers, [this](const asker& each) {
    if (!each.connection) return false;
    if (has_hung_up(each.connection)) return true;
    const child& it = children[each.slot];
    if (tree->is_stopping()) {
      send_packet(each.connection.get(), {verb_refused, 0}, {});
      return true;
    }
    if (each.verb == verb_stop_one || each.verb == verb_remove_one) {
      if (it.process || standing_of(each.slot) == membership::leaving) return false;
      send_packet(each.connection.get(), {each.verb, 0}, {});
      return true;
    }
    const bool replaced = each.verb != verb_restart_one || it.pid != each.before;
    if (!it.process || !replaced || !tree->is_ready(each.slot)) return false;
    send_packet(each.connection.get(), {each.verb, it.pid}, {});
    return true;
  });
}

}  // namespace cyto
