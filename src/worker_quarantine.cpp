// The worker's dealings with its quarantine: setting aside, and what an operator asks for.
#include <utility>

#include "cyto/worker.hpp"

namespace cyto {

void worker::set_aside(turn_input& from, const message_view& view, update_refusal why) {
  std::string_view type;
  for (const handler_entry& each : handlers_) {
    if (each.kind == view.kind) type = each.type_name;
  }
  slot_->held().set_aside(from, view, type,
                          setting("origin of quarantine_bytes", "quarantine_bytes"),
                          static_cast<std::uint32_t>(why));
  slot_->incoming().taken(from);
  commit_turn();
}

// Each errand is one turn, with its answer; a retry that asks to come again is several.
bool worker::run_errand() {
  quarantine& held = slot_->held();
  if (!held.has_errand()) [[likely]]
    return false;
  turn& in = slot_->the_turn();
  const quarantine::order now = held.next_errand();
  message_view view;
  if (!held.find(now.number, view)) {
    held.answer(errand_answer::absent);
  } else if (now.what == errand::drop) {
    held.remove(now.number, false);
    held.answer(errand_answer::done);
  } else if (now.killed) {
    held.blame(now.number);
    held.answer(errand_answer::killed);
  } else {
    retry(now.number);
    return true;
  }
  in.commit();
  held.answered();
  tell_supervisor();
  return true;
}

void worker::retry(std::uint64_t number) {
  quarantine& held = slot_->held();
  turn& in = slot_->the_turn();
  message_view view;
  if (!held.find(number, view)) return;
  in.take_again(view, number);
  const bool is_sound = handle(view, nullptr);
  if (!is_sound || std::exchange(refused_, update_refusal::none) != update_refusal::none) {
    abort_turn();
    held.answer(errand_answer::unknown);
    commit_turn();
    held.answered();
    return tell_supervisor();
  }
  if (in.fault() != turn_fault::none) {
    resolve_fault(0);
    return;
  }
  if (in.wants_again()) {
    held.set_in_part(number);
    commit_turn();
    return;
  }
  held.set_in_part(0);
  held.remove(number, true);
  held.answer(errand_answer::done);
  commit_turn();
  held.answered();
  tell_supervisor();
}

}  // namespace cyto
