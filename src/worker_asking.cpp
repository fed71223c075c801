// What a worker has asked to be told of: room in a lane (W6).
#include <algorithm>
#include <iterator>

#include "cyto/lane.hpp"
#include "cyto/worker.hpp"

namespace cyto {
namespace {

// Whether nobody is meant to take what stands in the lane, until somebody says otherwise.
bool is_given_up(const turn_output& to) noexcept {
  const auto standing = static_cast<membership>(to.reader_standing->observe());
  return standing == membership::stopped || standing == membership::absent;
}

}  // namespace

void worker::when_room(turn_output& to, std::uint64_t payload_bytes, std::function<void(turn&)> f) {
  const std::uint64_t capacity = to.lane.capacity_bytes();
  if (payload_bytes > to.lane.payload_bytes_max()) {
    throw error(error_code::bad_input,
                "lane " + std::string(name()) + " -> " + slot_->where().slot(to.reader_slot).name,
                "is to have room for a message of " + bytes_text(payload_bytes),
                "a lane of " + bytes_text(capacity) + " takes messages of up to " +
                    bytes_text(to.lane.payload_bytes_max()),
                "ask for less, or raise its lane_bytes");
  }
  // Whatever the alignment of its parts.
  const std::uint64_t bytes = record_bytes(payload_bytes, wide_header_bytes) + line_bytes;
  const auto hops = static_cast<std::uint8_t>(slot_->the_turn().hops());
  asked_.push_back({&to, std::min(bytes, capacity), hops, std::move(f)});
}

bool worker::is_due(const room_request& asked) noexcept {
  return asked.to->lane.room_seen() >= asked.bytes || asked.to->lane.room() >= asked.bytes ||
         is_given_up(*asked.to);
}

bool worker::has_due() const noexcept {
  return std::any_of(waiting_.begin(), waiting_.end(), is_due);
}

// One at most, so that one that asks anew leaves time for messages. Returns whether it was called.
bool worker::call_due() {
  if (waiting_.empty()) [[likely]]
    return false;
  const auto due = std::find_if(waiting_.begin(), waiting_.end(), is_due);
  if (due == waiting_.end()) return false;
  const std::ptrdiff_t at = due - waiting_.begin();
  turn& in = slot_->the_turn();
  in.begin_source();
  in.continue_hops(due->hops);
  due->call(in);
  if (in.fault() != turn_fault::none) {
    resolve_fault(0);
    return true;
  }
  commit_turn();
  waiting_.erase(waiting_.begin() + at);
  source_waits_ = false;
  say_what_is_asked();
  return true;
}

// One of them, of a worker if there is one: a port may have nobody who comes.
void worker::say_what_is_asked() noexcept {
  const segment& where = slot_->where();
  const turn_output* one = nullptr;
  for (const room_request& each : waiting_) {
    const bool is_port = (where.slot(each.to->reader_slot).flags & slot_is_port) != 0;
    if (one == nullptr || !is_port) one = each.to;
    if (!is_port) break;
  }
  const std::uint64_t number = one == nullptr ? 0 : number_of(*one);
  word<std::uint64_t>& asks_for = slot_->own().asks_for;
  if (asks_for.own() != number) asks_for.publish(number);
}

void worker::commit_turn() {
  if (!asked_.empty()) [[unlikely]] {
    std::move(asked_.begin(), asked_.end(), std::back_inserter(waiting_));
    asked_.clear();
    say_what_is_asked();
  }
  slot_->the_turn().commit();
}

void worker::abort_turn() noexcept {
  slot_->the_turn().abort();
  slot_->incoming().reset();
  asked_.clear();
}

}  // namespace cyto
