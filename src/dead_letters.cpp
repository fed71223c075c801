// What lies among the dead letters of a slot, for whoever looks from outside.
#include <cstring>

#include "cyto/doorbell.hpp"
#include "cyto/lane.hpp"
#include "cyto/observe.hpp"
#include "cyto/turn.hpp"

namespace cyto {
namespace {

// The worker goes on meanwhile: what it has given up is not to be believed. So all is copied first,
// and the read position looked at again after it.
std::vector<dead_message> letters_of(const segment& from, const lane_entry& lane) {
  const control& own = from.control_of(lane.writer_slot);
  const mapping memory = from.map_ring(lane, false);
  const lane_ring ring{memory.data(), lane.ring_bytes, own.shapes};
  const std::uint64_t commit = own.commit.observe();
  const word<std::uint64_t>& read_published = from.input_of(lane).read_published;
  std::uint64_t at = read_published.observe();
  const std::uint64_t end = walk(ring, at, commit).position;
  std::vector<dead_message> out;
  std::vector<std::uint64_t> positions;
  bool wants_bytes = false;
  while (at < end) {
    const record_shape what = ring.shape(at, ring.header(at).ready.observe());
    if (!ring.holds(what)) break;
    const std::byte* payload = ring.top(at) - what.header_bytes - what.size;
    const std::uint32_t kind = what.kind_hops & 0xffffffU;
    if (!wants_bytes && kind == dead_letter_kind && what.size == sizeof(dead_letter)) {
      dead_letter letter{};
      std::memcpy(&letter, payload, sizeof letter);
      dead_message& each = out.emplace_back();
      each.from = from.slot(lane.writer_slot).name;
      each.to = letter.reader_slot < from.slot_count() ? from.slot(letter.reader_slot).name : "?";
      each.kind = letter.kind;
      each.hops = letter.hops;
      each.size = letter.size;
      each.stamp = letter.stamp;
      positions.push_back(at);
      wants_bytes = letter.size <= dead_letter_bytes_max;
    } else if (wants_bytes) {
      out.back().bytes.assign(payload, payload + what.size);
      wants_bytes = false;
    }
    at += what.length;
  }
  full_fence();
  std::size_t gone = 0;
  while (gone < positions.size() && positions[gone] < read_published.observe()) ++gone;
  out.erase(out.begin(), out.begin() + static_cast<std::ptrdiff_t>(gone));
  return out;
}

}  // namespace

std::vector<dead_message> dead_letters_of(const segment& from, std::uint32_t slot_index) {
  for (std::uint32_t i = 0; i < from.lane_count(); ++i) {
    const lane_entry& lane = from.lane(i);
    if (lane.writer_slot != slot_index ||
        lane.purpose != static_cast<std::uint32_t>(lane_purpose::dead_letters)) {
      continue;
    }
    return letters_of(from, lane);
  }
  return {};
}

}  // namespace cyto
