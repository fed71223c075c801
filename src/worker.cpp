#include "cyto/worker.hpp"

#include <unistd.h>

#include <algorithm>

#include "shares.hpp"

namespace cyto {
namespace {

std::string lane_name(const slot& place, const turn_output& to) {
  return "lane " + std::string(place.entry().name) + " -> " +
         place.where().slot(to.reader_slot).name;
}

}  // namespace

std::string worker::setting(std::string_view key) const {
  const std::string_view absent("\n");
  std::string value = setting(key, absent);
  if (value != absent) return value;
  throw error(error_code::bad_input, "worker " + std::string(name()),
              "has no setting '" + std::string(key) + "'", "its program needs one",
              "add settings." + std::string(key) + " to the topology");
}

std::string worker::setting(std::string_view key, std::string_view otherwise) const {
  std::string_view text = slot_->where().settings(slot_->where().find_slot(name()));
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    const std::size_t equals = line.find('=');
    if (line.substr(0, equals) == key) return std::string(line.substr(equals + 1));
  }
  return std::string(otherwise);
}

void worker::progress(std::uint64_t done, std::uint64_t total) noexcept {
  slot_->own().progress_total.stage(total);
  slot_->own().progress_done.publish(done);
}

void worker::batch(std::size_t messages_max) {
  batch_max_ = std::clamp<std::size_t>(messages_max, 1, 4096);
  limit_ = std::min(limit_, batch_max_);
}

void worker::add_handler(std::uint32_t kind, const char* type_name, std::string (*schema)(),
                         sound_function is_sound, call_function call) {
  for (const handler_entry& each : handlers_) {
    if (each.kind != kind) continue;
    throw error(error_code::bad_input, "worker " + std::string(name()),
                std::string("handles ") + each.type_name + " and " + type_name,
                "both have message number " + std::to_string(kind), "rename one of the types");
  }
  handlers_.push_back({kind, type_name, schema, is_sound, std::move(call)});
}

bool worker::handle(const message_view& view, const turn_input* from) {
  if (shares_ != nullptr && shares::is_of_members(view.kind)) {
    return shares_->take(view, from, slot_->the_turn());
  }
  in_hand_ = &view;
  for (handler_entry& each : handlers_) {
    if (each.kind != view.kind) continue;
    if (verify_ == verification::always) [[likely]]
      return each.call(view, slot_->the_turn(), true);
    return handle_believing(each, view, from);
  }
  return take_nack(view);
}

bool worker::handle_believing(handler_entry& by, const message_view& view, const turn_input* from) {
  // What was set aside has killed, and a port's programs are nobody's that this system knows.
  const bool is_border =
      from == nullptr || (slot_->where().slot(from->writer_slot).flags & slot_is_port) != 0;
  if (verify_ == verification::never || is_border) {
    return by.call(view, slot_->the_turn(), is_border);
  }
  const bool is_verified = !by.was_sound[from->index];
  if (!by.call(view, slot_->the_turn(), is_verified)) return false;
  by.was_sound[from->index] = true;
  return true;
}

// The message is nonsense to this worker: nothing more is taken from its lane. The turn is done
// over, without it.
void worker::shut(turn_input& lane, const message_view& view) {
  abort_turn();
  slot_->incoming().fence(lane);
  for (const handler_entry& each : handlers_) {
    if (each.kind != view.kind) continue;
    return slot_->leave_reason(error_code::failed,
                               std::string("a broken ") + each.type_name +
                                   "; its bytes do not verify; see that sender and receiver were "
                                   "built from one schema");
  }
  slot_->leave_reason(error_code::bad_input, "a message of number " + std::to_string(view.kind) +
                                                 ", which its reader does not handle; register a "
                                                 "handler for it, or send it elsewhere");
}

system_phase worker::phase() const noexcept {
  return static_cast<system_phase>(slot_->where().board_of(slot_->index()).order.observe());
}

void worker::tell_supervisor() const noexcept {
  const char byte = 0;
  // A full pipe has woken it already.
  if (nudge_ >= 0 && write(nudge_, &byte, 1) < 0) return;
}

// Aborts the turn; returns false if a retry can only help after something else has happened, which
// it then waits for. `handled` messages went well before the fault.
bool worker::resolve_fault(std::size_t handled) {
  turn& in = slot_->the_turn();
  const turn_fault fault = in.fault();
  turn_output* lane = in.fault_lane();
  const std::uint64_t bytes = in.fault_bytes();
  const std::uint64_t ring_bytes = in.fault_ring_bytes();
  abort_turn();
  if (handled > 0 && fault != turn_fault::lane_too_big) {
    limit_ = handled;
    return true;
  }
  if (fault == turn_fault::cells_full) {
    throw error(error_code::bad_input, "worker " + std::string(name()),
                "its cells have used up " + bytes_text(in.arena_bytes()), {},
                "raise " + setting("origin of cells_bytes", "cells_bytes"));
  }
  if (fault == turn_fault::list_full) {
    throw error(error_code::bad_input, "worker " + std::string(name()),
                "one message changes more than " + std::to_string(touched_max) + " words of cells",
                {}, "do the work in several turns: see turn::again()");
  }
  if (fault == turn_fault::lane_full && lane->purpose == lane_purpose::held) {
    in.give_up_oldest(*lane, ring_bytes);
    return true;
  }
  if (fault == turn_fault::too_many_sends) {
    throw error(error_code::bad_input, lane_name(*slot_, *lane),
                "one message leads to more than " + std::to_string(bytes) + " others", {},
                "raise sends_max of worker " + std::string(slot_->entry().group) +
                    ", or do the work in several turns: see turn::again()");
  }
  if (fault == turn_fault::in_flight_too_big) {
    throw error(error_code::bad_input, lane_name(*slot_, *lane),
                "one turn sends " + bytes_text(bytes) + " and more",
                "in_flight_bytes_max is below that",
                "raise in_flight_bytes_max of worker " + std::string(slot_->entry().group));
  }
  const std::string origin = setting(
      std::string("origin of lane_bytes to ") + slot_->where().slot(lane->reader_slot).group,
      "lane_bytes");
  if (fault == turn_fault::lane_too_big) {
    throw error(error_code::bad_input, lane_name(*slot_, *lane),
                "a message of " + bytes_text(bytes) + " does not fit",
                "a lane of " + bytes_text(lane->lane.capacity_bytes()) +
                    " takes messages of up to " + bytes_text(lane->lane.payload_bytes_max()),
                "raise " + origin);
  }
  if (ring_bytes > lane->lane.capacity_bytes()) {
    throw error(error_code::bad_input, lane_name(*slot_, *lane),
                "one turn sends " + bytes_text(ring_bytes) + " and more",
                "the lane has " + bytes_text(lane->lane.capacity_bytes()), "raise " + origin);
  }
  wait_for_room(*lane, ring_bytes);
  return false;
}

// Returns whether anything was done.
bool worker::run_turn() {
  turn& in = slot_->the_turn();
  mailbox& incoming = slot_->incoming();
  quarantine& held = slot_->held();
  const bool careful = held.is_careful();
  const std::size_t most = careful ? 1 : limit_;  // W3
  std::size_t handled = 0;
  message_view view;
  const bool waits = shares_ != nullptr && shares_->is_waiting();
  if (shares_ != nullptr) shares_->begin_turn();
  while (handled < most) {
    turn_input* pending = in.pending();
    if (pending != nullptr && pending->lane.is_fenced()) {
      in.set_pending(nullptr);  // What should come again is nonsense by now.
      pending = nullptr;
    }
    turn_input* from =
        pending != nullptr ? incoming.front_of(*pending, view) : in.deferred_front(view);  // W4
    if (from == nullptr && pending == nullptr) {
      from = waits ? shares_->next(incoming, view) : incoming.next(view);
    }
    if (from == nullptr) break;
    if (slot_->has_to_follow()) [[unlikely]] {
      if (handled == 0) return true;
      break;  // W7: who sent it may go by other shares already.
    }
    if (pending == nullptr && handled == 0 && asks_before(*from)) return true;
    if (pending == nullptr && shares_ != nullptr && shares_->has_to_ask(*from)) break;
    if (careful && held.is_due(*from)) [[unlikely]] {
      set_aside(*from, view);
      return true;
    }
    in.take(*from, view);
    if (!handle(view, from)) {
      shut(*from, view);
      return true;
    }
    if (refused_ != update_refusal::none) [[unlikely]] {
      refuse_update(*from, view, handled);
      return true;
    }
    if (in.fault() != turn_fault::none) {
      resolve_fault(handled);
      return true;
    }
    ++handled;
    in.set_pending(in.wants_again() ? from : nullptr);
    if (in.wants_again()) break;
    turn::consume(*from, view);
    incoming.taken(*from);
    if (in.is_nearly_full()) break;
  }
  if (handled > 0) {
    commit_turn();
    if (shares_ != nullptr) shares_->committed();
    limit_ = std::min(batch_max_, limit_ * 2);
  }
  return handled > 0;
}

bool worker::produce_turn() {
  wake_at_ns_ = 0;
  if (!produce_) return false;
  source_waits_ = source_waits_ && !waiting_.empty();
  control& own = slot_->own();
  const bool draining = phase() == system_phase::draining;
  const auto end = static_cast<source_end>(own.finished.own());
  if (end == source_end::finished || (end == source_end::drained && draining)) return false;
  if (draining) {
    say_end(source_end::drained);
    return true;
  }
  // A supervisor that died while it drained has left a successor that goes on.
  if (end == source_end::drained)
    own.finished.publish(static_cast<std::uint32_t>(source_end::none));
  if (source_waits_ || is_ahead_of_its_rate()) return false;
  turn& in = slot_->the_turn();
  in.begin_source();
  const produced said = produce_(in);
  if (in.is_too_fast() && rate_.is_limited()) rate_.fall(monotonic_ns());
  if (in.fault() != turn_fault::none) {
    resolve_fault(0);
    return true;
  }
  if (!in.is_empty() || !asked_.empty()) commit_turn();
  source_waits_ = said == produced::later;
  if (said == produced::finished) say_end(source_end::finished);
  return true;
}

void worker::say_end(source_end end) noexcept {
  slot_->own().finished.publish(static_cast<std::uint32_t>(end));
  tell_supervisor();
}

// What waits in the lane of one that is not there brings it back; the supervisor has to be told.
bool worker::has_sent_to_closed() const noexcept {
  const auto& outputs = slot_->the_turn().outputs();
  return std::any_of(outputs.begin(), outputs.end(), [this](const auto& each) {
    // Nobody is brought back to a port.
    return !each->is_open() && each->lane.room() < each->lane.capacity_bytes() &&
           (slot_->where().slot(each->reader_slot).flags & slot_is_port) == 0;
  });
}

void worker::check_setup() {
  if (produce_ && (slot_->entry().flags & slot_is_source) == 0) {
    throw error(error_code::bad_input, "worker " + std::string(name()),
                "produces, but the topology does not call it a source",
                "the end of the job would not wait for it", "add source = true");
  }
  if (slot_->the_turn().fault() != turn_fault::none) resolve_fault(0);
}

std::string worker::description() const {
  std::string out;
  for (const handler_entry& each : handlers_) out += each.schema();
  return out;
}

void worker::run(int nudge) {
  nudge_ = nudge;
  check_setup();
  settle();
  for (handler_entry& each : handlers_) each.was_sound.resize(slot_->the_turn().inputs().size());
  for (const auto& each : slot_->the_turn().outputs()) {
    if (each->policy == full_policy::coalesce) coalescing_.push_back(each.get());
  }
  if ((slot_->entry().flags & slot_is_partitioned) != 0) shares_ = std::make_unique<shares>(*slot_);
  if (!slot_->the_turn().is_empty() || !asked_.empty()) commit_turn();  // What setup has done.
  say_what_is_asked();  // And no more what its predecessor had.
  slot_->set_state(slot_state::ready);
  tell_supervisor();
  while ((phase_seen_ = phase()) != system_phase::stopping) {
    standings_seen_ = slot_->where().the_board().standings.observe();  // V3
    if (!coalescing_.empty() && send_waiting()) continue;
    follow_moves();
    if (hand_over()) continue;
    const bool has_moved = slot_->the_turn().may_hold() && slot_->the_turn().move_held();
    const bool has_called = call_due();
    if (!run_errand() && !run_turn() && !produce_turn() && !has_called && !has_moved) sleep();
    if (slot_->incoming().has_fenced()) tell_supervisor();
  }
}

}  // namespace cyto
