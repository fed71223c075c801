// The worker's dealings with updates: those it is sent, and those of its own that wait for room.
#include <utility>

#include "cyto/worker.hpp"
#include "update_parts.hpp"

namespace cyto {

accepted_updates& worker::accept_updates() {
  if (updates_) return *updates_;
  updates_ = std::make_unique<accepted_updates>(slot_->cells());
  add_handler(update_kind(), update_type_name(), update_schema, is_sound_update,
              [this](const message_view& view, turn& in, bool is_verified) {
                bool is_sound = false;
                const update_refusal why = updates_->apply(view, in, is_verified, is_sound);
                if (is_sound) refused_ = why;
                return is_sound;
              });
  return *updates_;
}

// The message in hand is no update that this worker can apply: it is set aside, alone in its turn.
void worker::refuse_update(turn_input& from, const message_view& view, std::size_t handled) {
  const update_refusal why = std::exchange(refused_, update_refusal::none);
  abort_turn();
  if (handled > 0) {
    limit_ = handled;  // Those before it first; then it comes again.
    return;
  }
  slot_->the_turn().set_pending(nullptr);
  set_aside(from, view, why);
}

bool worker::may_send_waiting() const noexcept {
  for (turn_output* each : coalescing_) {
    if (cyto::may_send_waiting(*each)) return true;
  }
  return false;
}

// A turn of its own. Returns whether anything was done.
bool worker::send_waiting() {
  turn& in = slot_->the_turn();
  std::size_t sent = 0;
  for (turn_output* each : coalescing_) {
    if (cyto::may_send_waiting(*each)) sent += send_waiting_updates(in, *each);
  }
  if (in.fault() != turn_fault::none) {
    resolve_fault(0);
    return true;
  }
  if (sent != 0) commit_turn();
  return sent != 0;
}

}  // namespace cyto
