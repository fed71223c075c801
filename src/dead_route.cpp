// By which way a message came that has made too many hops: from turn to turn, by what the flight
// recorders of its handlers still know.
#include "dead_route.hpp"

#include <algorithm>
#include <span>

#include "cyto/postmortem.hpp"

namespace cyto {
namespace {

constexpr std::size_t steps_max = 512;

void add_events(std::vector<flight_entry>& to, std::span<const flight_event> ring) {
  for (const flight_event& each : ring) {
    const std::uint64_t number = each.number.observe();
    flight_entry entry{};
    if (number != 0 && read_flight(ring, number, entry)) to.push_back(entry);
  }
}

std::uint32_t lane_into(const segment& from, std::uint32_t reader, std::uint32_t index) {
  std::uint32_t at = 0;
  while (at < from.lane_count() &&
         (from.lane(at).reader_slot != reader || from.lane(at).reader_index != index)) {
    ++at;
  }
  return at;
}

}  // namespace

const std::vector<flight_entry>& dead_routes::flights(std::uint32_t slot) {
  auto [found, is_new] = flights_.try_emplace(slot);
  std::vector<flight_entry>& out = found->second;
  if (!is_new) return out;
  add_events(out, from_->control_of(slot).events);
  add_events(out, from_->trace_of(slot));
  // The newest first: a position that an aborted turn has used as well counts the second time.
  std::sort(out.begin(), out.end(), [](const flight_entry& left, const flight_entry& right) {
    return left.number > right.number;
  });
  return out;
}

// The way of one message: from its handling by `slot` back to where it began. False: the recorders
// do not go back so far.
bool dead_routes::follow(std::uint32_t slot, const flight_entry& handled,
                         std::vector<std::string>& out) {
  flight_entry taken = handled;
  while (out.size() < steps_max) {
    const std::vector<flight_entry>& here = flights(slot);
    std::uint64_t position = taken.first;
    std::uint32_t lane = lane_into(*from_, slot, taken.lane);
    if (lane < from_->lane_count() && from_->lane(lane).writer_slot == slot &&
        from_->lane(lane).purpose == static_cast<std::uint32_t>(lane_purpose::deferred)) {
      const auto moved = std::find_if(here.begin(), here.end(), [&](const flight_entry& each) {
        return each.what == flight::deferred && each.second == position;
      });
      if (moved == here.end()) return false;
      position = moved->first;
      lane = lane_into(*from_, slot, moved->lane);
    }
    if (lane >= from_->lane_count()) return false;
    const lane_entry& came_by = from_->lane(lane);
    slot = came_by.writer_slot;
    out.emplace_back(from_->slot(slot).name);
    const std::vector<flight_entry>& there = flights(slot);
    const auto sent = std::find_if(there.begin(), there.end(), [&](const flight_entry& each) {
      return each.what == flight::sent && each.lane == came_by.writer_index &&
             each.second == position;
    });
    // In whose hand it was then: what stands next below.
    const auto cause = std::find_if(sent, there.end(), [](const flight_entry& each) {
      return each.what == flight::taken || each.what == flight::producing ||
             each.what == flight::retrying || each.what == flight::committed;
    });
    if (cause == there.end()) return false;
    if (cause->what != flight::taken) return true;
    taken = *cause;
  }
  return false;
}

std::vector<std::string> dead_routes::route(std::uint32_t slot, std::uint64_t stamp,
                                            std::uint32_t hops) {
  std::vector<std::string> best{from_->slot(slot).name};
  if (stamp == 0) return best;
  bool is_first = true;
  for (const flight_entry& each : flights(slot)) {
    if (each.what != flight::taken || each.second != stamp) continue;
    std::vector<std::string> way{from_->slot(slot).name};
    const bool is_whole = follow(slot, each, way);
    // Of those that came with the same stamp the one that has made as many hops is meant.
    const bool is_it = is_whole && way.size() == std::size_t{hops} + 1;
    if (is_first || is_it) best = std::move(way);
    is_first = false;
    if (is_it) break;
  }
  std::reverse(best.begin(), best.end());
  return best;
}

}  // namespace cyto
