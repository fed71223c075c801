// The holder's side of a slot.
#include <unistd.h>

#include <algorithm>

#include "cyto/port.hpp"
#include "process.hpp"

namespace cyto {
namespace {

const struct control& control_at(const mapping& pages) {
  return *reinterpret_cast<const control*>(pages.data());
}

// Their lanes to each other are for keys that move.
bool is_between_members(const segment& of, std::uint32_t from, std::uint32_t to) {
  return (of.slot(from).flags & slot_is_partitioned) != 0 &&
         std::string_view(of.slot(from).group) == of.slot(to).group;
}

}  // namespace

slot::slot(const segment& from, std::uint32_t index)
    : segment_(&from), index_(index), lock_(from, index) {
  const slot_entry& mine = from.slot(index);
  if (!lock_.held()) {
    throw error(error_code::already_running, "slot " + std::string(mine.name),
                "process " + std::to_string(from.control_of(index).pid.observe()) + " holds it", {},
                "one process at a time can");
  }
  own_pages_ = from.map(mine.control_offset, mine.control_bytes);
  if (mine.arena_bytes != 0) arena_ = from.map(mine.arena_offset, mine.arena_bytes);
  own_ = reinterpret_cast<control*>(own_pages_.data());
  own_->state.publish(static_cast<std::uint32_t>(slot_state::starting));
  own_->pid.publish(static_cast<std::uint32_t>(getpid()));
  own_->start_time.publish(process_start_time(getpid()));
  own_->incarnation.publish(own_->incarnation.own() + 1);
  // Of the predecessor; the supervisor has read them.
  own_->handling.publish(0);
  own_->fault.signal.publish(0);
  own_->waits_for.publish(0);
  own_->failure_bytes.publish(0);
  try {
    recover(from, index, own_pages_.data(), arena_.data());
    if (!cell_store::is_sound(own_->root.own_current(own_->commit.own()), mine.arena_bytes)) {
      throw error(error_code::failed, "cells of worker " + std::string(mine.name),
                  "their account leads out of their memory", "it was overwritten",
                  "stop the system and start it again");
    }
    const std::uint64_t held =
        own_->quarantine.own_current(own_->commit.own())[quarantine_where] >> 1;
    if (held > mine.quarantine_bytes || held % line_bytes != 0) {
      throw error(error_code::failed, "quarantine of worker " + std::string(mine.name),
                  "its account leads out of it", "it was overwritten",
                  "stop the system and start it again");
    }
  } catch (const error& failure) {
    leave_failure(failure.code(), failure.what());
    throw;
  }

  bells_ = from.map_doorbells();
  auto* bell = reinterpret_cast<doorbell_line*>(bells_.data());
  bell_ = std::make_unique<doorbell>(bell[index]);
  bell_->cancel();
  bell[index].address.publish(0);  // Of the predecessor's socket, which went with it.
  prepare_to_ring();
  turn_ = std::make_unique<turn>(*own_, arena_.data(), mine.arena_bytes, index);
  if (mine.trace_bytes != 0) {
    trace_ = from.map(mine.trace_offset, mine.trace_bytes);
    turn_->the_recorder().trace_into(
        {reinterpret_cast<flight_event*>(trace_.data()), mine.trace_bytes / sizeof(flight_event)},
        from.the_board().tracing, own_->traced);
  }
  auto* inputs = reinterpret_cast<input_line*>(own_pages_.data() + sizeof(control));
  auto* outputs = reinterpret_cast<output_line*>(inputs + mine.input_count);
  const std::uint64_t commit = control_at(own_pages_).commit.observe();
  for (std::uint32_t i = 0; i < from.lane_count(); ++i) {
    const lane_entry& lane = from.lane(i);
    if (lane.writer_slot == index) {
      rings_.push_back(from.map_ring(lane, true));
      turn_output& to = turn_->add_output(
          lane_writer({rings_.back().data(), lane.ring_bytes}, turn_->shapes(),
                      outputs[lane.writer_index], from.input_of(lane).read_published, commit),
          {outputs[lane.writer_index], commit}, bell[lane.reader_slot],
          from.board_of(lane.reader_slot).standing, lane.reader_slot);
      to.purpose = static_cast<lane_purpose>(lane.purpose);
      to.policy = static_cast<full_policy>(lane.policy);
      to.merged = account(outputs[lane.writer_index].merged, commit);
      if (to.policy == full_policy::coalesce) turn_->keep_behind_waiting();
      to.lane_hops_max = to.hops_max = lane.hops_max;
    }
    if (lane.reader_slot == index) {
      rings_.push_back(from.map_ring(lane, false));
      const control& writer = from.control_of(lane.writer_slot);
      turn_input& arrives =
          turn_->add_input(lane_reader({rings_.back().data(), lane.ring_bytes, writer.shapes},
                                       inputs[lane.reader_index], writer.commit, commit),
                           bell[lane.writer_slot], lane.writer_slot);
      arrives.purpose = static_cast<lane_purpose>(lane.purpose);
      arrives.in_cycle = lane.in_cycle != 0;
    }
    if (lane.writer_slot == index && is_own(static_cast<lane_purpose>(lane.purpose))) {
      turn_->add_own(static_cast<lane_purpose>(lane.purpose), lane.beside);
    }
  }
  follows_ = (mine.flags & slot_is_partitioned) != 0;
  for (const auto& each : turn_->outputs()) {
    follows_ = follows_ || (from.slot(each->reader_slot).flags & slot_is_partitioned) != 0;
  }
  follow_moves();
  mailbox_ = std::make_unique<mailbox>(turn_->inputs());
  cells_ = std::make_unique<cell_store>(*turn_);
  held_ = std::make_unique<quarantine>(from, index, *turn_);
  const std::uint64_t now = monotonic_ns();
  recorder& flights = turn_->the_recorder();
  flights.note(flight::recovered, 0, static_cast<std::uint32_t>(turn_->root()[root_pending]),
               commit, now);
  flights.note(flight::started, 0, own_->incarnation.own(), static_cast<std::uint64_t>(getpid()),
               now);
}

slot::~slot() {
  if (own_ == nullptr || turn_ == nullptr) return;
  turn_->the_recorder().note(flight::ended, 0, 0, 0, monotonic_ns());
  if (own_->state.own() != static_cast<std::uint32_t>(slot_state::failed)) {
    set_state(slot_state::stopped);
  }
  full_fence();
  for (const auto& each : turn_->outputs()) wake(*each->reader_bell);
  for (const auto& each : turn_->inputs()) wake(*each->writer_bell);
}

void slot::follow_moves() noexcept {
  if (!follows_) return;
  const std::uint32_t moves = segment_->the_board().moves.observe();
  for (const auto& each : turn_->outputs()) {
    if ((segment_->slot(each->reader_slot).flags & slot_is_partitioned) == 0) continue;
    each->has_share = has_share(segment_->board_of(each->reader_slot).share.observe(), moves);
  }
  own_->followed.publish(moves);  // V4
}

void slot::keep_from_children() const noexcept {
  for (const mapping* each : {&own_pages_, &arena_, &bells_, &trace_}) each->keep_from_children();
  for (const mapping& each : rings_) each.keep_from_children();
}

output slot::to(std::string_view group, bool is_control) const {
  std::vector<turn_output*> members;
  std::string there;
  for (const auto& each : turn_->outputs()) {
    if (is_own(each->purpose) || (each->purpose == lane_purpose::control) != is_control) continue;
    const slot_entry& reader = segment_->slot(each->reader_slot);
    if (is_between_members(*segment_, index_, each->reader_slot)) continue;
    if (group == reader.group) members.push_back(each.get());
    if (there.find(reader.group) == std::string::npos) there += std::string(" ") + reader.group;
  }
  if (members.empty()) {
    const bool is_port = (entry().flags & slot_is_port) != 0;
    throw error(error_code::bad_input, (is_port ? "port " : "worker ") + std::string(entry().name),
                std::string("has no ") + (is_control ? "control " : "") + "lane to '" +
                    std::string(group) + "'",
                there.empty() ? "it has none at all" : "it has lanes to:" + there,
                "add one to the topology");
  }
  std::sort(members.begin(), members.end(), [this](const turn_output* a, const turn_output* b) {
    return segment_->slot(a->reader_slot).member < segment_->slot(b->reader_slot).member;
  });
  return output(std::move(members));
}

void slot::prefault() const {
  segment_->prefault();
  own_pages_.prefault();
  arena_.prefault();
  bells_.prefault();
  trace_.prefault();
  for (const mapping& each : rings_) each.prefault();
}

void slot::set_state(slot_state state) noexcept {
  own_->state.publish(static_cast<std::uint32_t>(state));
}

void slot::leave_reason(error_code code, std::string_view text) noexcept {
  own_->failure_code.stage(static_cast<std::uint32_t>(code));
  leave_words(text);
}

void slot::leave_failure(error_code code, std::string_view text) noexcept {
  leave_reason(code, text);
  set_state(slot_state::failed);
}

void slot::leave_words(std::string_view text) noexcept {
  const std::size_t bytes = std::min(text.size(), failure_bytes_max);
  std::copy_n(text.data(), bytes, own_->failure_text);
  own_->failure_bytes.publish(static_cast<std::uint32_t>(bytes));
}

}  // namespace cyto
