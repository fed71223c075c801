// How fast a worker's source is, and what tells it to be slower (W5 of worker.hpp).
#include <cstring>

#include "cyto/worker.hpp"

namespace cyto {

void worker::limit_rate(const rate_limits& by) { rate_ = rate_control(by); }

// A nack that nobody asked for makes the source slower, if its rate is limited at all.
bool worker::take_nack(const message_view& view) {
  nack found{};
  if (!is_sound_nack(view)) return false;
  std::memcpy(&found, view.data, sizeof found);
  if (rate_.is_limited()) rate_.fall(monotonic_ns());
  if (on_nack_) on_nack_(found, slot_->the_turn());
  return true;
}

bool worker::is_sound_nack(const message_view& view) const noexcept {
  std::uint32_t reader_slot = 0;
  if (view.kind != nack_kind || view.size != sizeof(nack)) return false;
  std::memcpy(&reader_slot, view.data, sizeof reader_slot);
  return reader_slot < slot_->where().slot_count();
}

// Whether its source has to wait for its time, which is when this worker wakes.
bool worker::is_ahead_of_its_rate() noexcept {
  if (!rate_.is_limited()) [[likely]]
    return false;
  if (rate_.may_go(monotonic_ns())) return false;
  wake_at_ns_ = rate_.due_ns();
  return true;
}

std::uint64_t worker::sleep_ns() const noexcept {
  if (wake_at_ns_ == 0) return park_ns_max;
  const std::uint64_t now = monotonic_ns();
  return wake_at_ns_ <= now ? 1 : std::min(park_ns_max, wake_at_ns_ - now);
}

}  // namespace cyto
