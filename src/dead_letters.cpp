// What lies among the dead letters of a slot, for whoever looks from outside.
#include <algorithm>
#include <cstring>

#include "cyto/doorbell.hpp"
#include "cyto/lane.hpp"
#include "cyto/observe.hpp"
#include "cyto/turn.hpp"
#include "dead_route.hpp"

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
  dead_routes routes(from);
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
      each.route = routes.route(lane.writer_slot, letter.stamp, letter.hops);
      each.route.push_back(each.to);
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

constexpr int count_tries = 1000;

// All as of one turn of the slot; false if it was faster.
bool read_counts(const segment& from, std::uint32_t slot_index, std::vector<dead_count>& out) {
  const control& own = from.control_of(slot_index);
  const std::uint64_t commit = own.commit.observe();
  const auto add = [&](std::uint64_t reader, std::uint64_t kind, std::uint64_t count) {
    if (count == 0 || reader >= from.slot_count()) return;
    out.push_back({from.slot(slot_index).name, from.slot(static_cast<std::uint32_t>(reader)).name,
                   static_cast<std::uint32_t>(kind), count});
  };
  std::vector<std::uint64_t> known(from.slot_count());
  versioned<3>::values values{};
  std::uint64_t seen = 0;
  for (const versioned<3>& each : own.dead_kinds) {
    if (!each.read(own.commit, values, seen) || seen != commit) return false;
    const std::uint64_t reader = values[0] - 1;
    if (reader >= from.slot_count()) continue;
    known[reader] += values[2];
    add(reader, values[1], values[2]);
  }
  std::vector<std::uint64_t> all(from.slot_count());
  for (std::uint32_t i = 0; i < from.lane_count(); ++i) {
    const lane_entry& lane = from.lane(i);
    if (lane.writer_slot != slot_index) continue;
    if (!from.output_of(lane).lost.read(own.commit, values, seen) || seen != commit) return false;
    all[lane.reader_slot] += values[static_cast<std::size_t>(lane_loss::hops)];
  }
  for (std::uint32_t reader = 0; reader < from.slot_count(); ++reader) {
    add(reader, dead_kind_other, all[reader] - std::min(all[reader], known[reader]));
  }
  return true;
}

}  // namespace

std::vector<dead_count> dead_counts_of(const segment& from, std::uint32_t slot_index) {
  std::vector<dead_count> out;
  for (int tries = count_tries; tries > 0 && !read_counts(from, slot_index, out); --tries) {
    out.clear();
  }
  return out;
}

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
