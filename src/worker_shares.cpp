// A worker that owns keys, or sends to those who do, while keys move.
#include "cyto/worker.hpp"
#include "shares.hpp"

namespace cyto {

worker::worker(slot& place, bool is_rehearsal) noexcept
    : slot_(&place), is_rehearsal_(is_rehearsal) {}

worker::~worker() = default;

void worker::follow_moves() {
  if (!slot_->has_to_follow()) [[likely]]
    return;
  slot_->follow_moves();
  if (shares_ != nullptr) shares_->follow();
}

// Before anything else is handled: what comes now may be about a key that another one has to have.
bool worker::hand_over() {
  if (shares_ == nullptr || !shares_->has_lost()) [[likely]]
    return false;
  turn& in = slot_->the_turn();
  in.begin_source();
  shares_->hand_over(in);
  if (in.fault() != turn_fault::none) {
    resolve_fault(0);
    return true;
  }
  if (!in.is_empty()) in.commit();
  shares_->handed_over();
  return true;
}

bool worker::asks_before(const turn_input& from) {
  if (shares_ == nullptr || !shares_->has_to_ask(from)) [[likely]]
    return false;
  turn& in = slot_->the_turn();
  in.begin_source();
  shares_->ask(in);
  if (in.fault() != turn_fault::none) {
    resolve_fault(0);
    return true;
  }
  const std::uint64_t stamp = in.stamp();
  in.commit();
  shares_->asked(stamp);
  return true;
}

bool worker::passes_on(std::uint64_t hash, turn& in) noexcept {
  if (shares_ == nullptr) return false;
  turn_output* owner = shares_->owner_of(hash);
  if (owner == nullptr) return false;
  (void)in.forward(*owner, *in_hand_);
  return true;
}

bool worker::has_any() noexcept {
  const bool waits = shares_ != nullptr && shares_->is_waiting();
  return waits ? shares_->has_any(slot_->incoming()) : slot_->incoming().has_any();
}

}  // namespace cyto
