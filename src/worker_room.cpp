// A worker that waits for room, and what it does meanwhile for those who wait for it.
#include "cyto/lane.hpp"
#include "cyto/worker.hpp"

namespace cyto {
namespace {

// `waits_for`: number of the lane + 1, and below it the room that is wanted, in lines; 0: none.
constexpr unsigned waits_shift = 40;
constexpr std::uint64_t wanted_mask = (std::uint64_t{1} << waits_shift) - 1;

// Where the slot waits for room that is not there; lane_count() if it does not.
std::uint32_t lane_waited_for(const segment& of, std::uint32_t slot_index) {
  const control& own = of.control_of(slot_index);
  const std::uint64_t waits = own.waits_for.observe();
  const std::uint64_t number = waits >> waits_shift;
  if (number == 0 || number > of.lane_count()) return of.lane_count();
  const auto index = static_cast<std::uint32_t>(number - 1);
  const lane_entry& lane = of.lane(index);
  const output_line& line = of.output_of(lane);
  versioned<3>::values sent{};
  std::uint64_t seen = 0;
  if (lane.writer_slot != slot_index || !line.sent.read(own.commit, sent, seen)) {
    return of.lane_count();
  }
  const std::uint64_t read = of.input_of(lane).read_published.observe();
  const std::uint64_t room = lane.ring_bytes - (sent[0] - read);
  return room < (waits & wanted_mask) * line_bytes ? index : of.lane_count();
}

// Whether who waits for whom leads from this slot back to it: each of them waits for one lane, and
// takes nothing meanwhile, so none of them will ever go on. Their names, or nothing.
std::string circle_of(const segment& of, std::uint32_t slot_index) {
  std::string names = of.slot(slot_index).name;
  std::uint32_t at = slot_index;
  for (std::uint32_t steps = 0; steps < of.slot_count(); ++steps) {
    const std::uint32_t lane = lane_waited_for(of, at);
    if (lane == of.lane_count()) return {};
    at = of.lane(lane).reader_slot;
    names += std::string(" -> ") + of.slot(at).name;
    if (at == slot_index) return names;
  }
  return {};
}

}  // namespace

std::uint64_t worker::number_of(const turn_output& to) const noexcept {
  const segment& of = slot_->where();
  std::uint32_t index = 0;
  while (of.lane(index).writer_slot != slot_->index() || of.lane(index).writer_index != to.index) {
    ++index;
  }
  return index + std::uint64_t{1};
}

bool worker::is_handled(const message_view& view) const {
  for (const handler_entry& each : handlers_) {
    if (each.kind == view.kind) return verify_ == verification::never || each.is_sound(view);
  }
  return is_sound_nack(view);
}

// What is nonsense is shut out here, as it would be when it is handled: behind it nothing could be
// taken. Returns whether anything was done.
bool worker::put_off() {
  turn& in = slot_->the_turn();
  mailbox& incoming = slot_->incoming();
  if (in.deferred() == nullptr) return false;
  std::size_t count = 0;
  message_view view;
  while (count < batch_max_ && incoming.has_any_of_cycle()) {
    // What shall come again is in hand already: it goes first. While it stands in a lane of
    // another, nothing is deferred, or that would have been handled before it.
    turn_input* pending = in.pending();
    if (pending == in.deferred()) pending = nullptr;
    turn_input* from = pending == nullptr ? incoming.next(view) : incoming.front_of(*pending, view);
    if (from == nullptr) break;
    if (!is_handled(view)) {
      if (count != 0) break;
      shut(*from, view);
      return true;
    }
    if (!in.defer(*from, view)) break;
    if (pending != nullptr) in.set_pending(in.deferred());
    incoming.taken(*from);
    ++count;
  }
  if (count == 0) return false;
  in.commit();
  return true;
}

// REQUIRES: the caller has passed a full fence since this worker said what it waits for.
void worker::refuse_standstill(const turn_output& to, std::uint64_t bytes) {
  const segment& where = slot_->where();
  const std::string circle = circle_of(where, slot_->index());
  if (circle.empty()) return;
  throw error(error_code::bad_input, "cycle " + circle,
              "stands still: each waits for " + bytes_text(bytes) + " or so of room at the next",
              "all lanes and all that is deferred are full (lane to " +
                  std::string(where.slot(to.reader_slot).name) + ": " +
                  bytes_text(to.lane.capacity_bytes()) + ")",
              "raise " + setting("origin of deferred_bytes", "deferred_bytes") +
                  ", or send less for each message");
}

void worker::wait_for_room(turn_output& to, std::uint64_t bytes) {
  // When somebody comes or goes, the turn done over may choose another lane.
  const auto must_wait = [&] {
    return to.lane.room() < bytes && phase() != system_phase::stopping &&
           slot_->where().the_board().standings.observe() == standings_seen_;
  };
  mailbox& incoming = slot_->incoming();
  if (!to.is_open()) tell_supervisor();  // Nobody makes room there unless it is brought back.
  // Nothing leaves the lane of what is deferred meanwhile: once it is full it stays so.
  bool may_defer = slot_->the_turn().deferred() != nullptr;
  const bool is_in_cycle = may_defer;
  word<std::uint64_t>& waits_for = slot_->own().waits_for;
  // This worker's own readers' space first: nobody may wait for it while it waits.
  slot_->the_turn().ring_writers();
  while (must_wait()) {
    if (may_defer && incoming.has_any_of_cycle()) {
      may_defer = put_off();
      slot_->the_turn().ring_writers();
      if (incoming.has_fenced()) tell_supervisor();
      continue;
    }
    if (is_in_cycle && !may_defer && waits_for.own() == 0) {
      waits_for.publish(number_of(to) << waits_shift |
                        std::min(round_up(bytes, line_bytes) / line_bytes, wanted_mask));
    }
    if (never_sleeps_) {
      full_fence();
      if (waits_for.own() != 0) refuse_standstill(to, bytes);
      slot_->bell().stay_awake();
      continue;
    }
    slot_->bell().prepare();  // Passes a full fence.
    if (must_wait() && !(may_defer && incoming.has_any_of_cycle())) {
      if (waits_for.own() != 0) refuse_standstill(to, bytes);
      slot_->own().parks.stage(slot_->own().parks.own() + 1);
      slot_->bell().wait();
    }
  }
  slot_->bell().cancel();
  if (waits_for.own() != 0) waits_for.publish(0);
}

}  // namespace cyto
