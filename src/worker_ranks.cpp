// What of a system may be known to whom, and so which messages may go before which.
#include <algorithm>
#include <string>

#include "cyto/worker.hpp"

namespace cyto {
namespace {

// A line of a slot's settings; nothing if it is not there.
std::string_view setting_of(const segment& where, std::uint32_t slot_index, std::string_view key) {
  std::string_view text = where.settings(slot_index);
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    if (line.size() > key.size() && line.starts_with(key) && line[key.size()] == '=') {
      return line.substr(key.size() + 1);
    }
  }
  return {};
}

bool names(std::string_view list, std::string_view group) {
  while (!list.empty()) {
    const std::string_view each = list.substr(0, list.find(','));
    if (each == group) return true;
    list.remove_prefix(std::min(list.size(), each.size() + 1));
  }
  return false;
}

// By slot: to whom it leads at once. Along lanes, and to those who read its cells.
std::vector<std::vector<std::uint32_t>> neighbours_of(const segment& where) {
  std::vector<std::vector<std::uint32_t>> out(where.slot_count());
  for (std::uint32_t i = 0; i < where.lane_count(); ++i) {
    out[where.lane(i).writer_slot].push_back(where.lane(i).reader_slot);
  }
  for (std::uint32_t reader = 0; reader < where.slot_count(); ++reader) {
    const std::string_view reads = setting_of(where, reader, "reads of worker");
    for (std::uint32_t i = 0; i < where.slot_count(); ++i) {
      if (names(reads, where.slot(i).group)) out[i].push_back(reader);
    }
  }
  return out;
}

// Whether each slot can be reached from that one. Itself can.
std::vector<bool> reached_from(const std::vector<std::vector<std::uint32_t>>& neighbours,
                               std::uint32_t start) {
  std::vector<bool> seen(neighbours.size());
  std::vector<std::uint32_t> next{start};
  seen[start] = true;
  while (!next.empty()) {
    const std::uint32_t at = next.back();
    next.pop_back();
    for (const std::uint32_t each : neighbours[at]) {
      if (seen[each]) continue;
      seen[each] = true;
      next.push_back(each);
    }
  }
  return seen;
}

}  // namespace

void worker::rank_lanes() {
  const segment& where = slot_->where();
  std::vector<const turn_input*> lanes;
  bool has_control = false;
  for (const auto& each : slot_->the_turn().inputs()) {
    if (is_own(each->purpose)) continue;
    lanes.push_back(each.get());
    has_control = has_control || each->purpose == lane_purpose::control;
  }
  const std::string weights = setting("weights of worker", "");
  if (lanes.empty() || (weights.empty() && !has_control)) return;
  const auto neighbours = neighbours_of(where);
  std::vector<std::uint8_t> reaches(lanes.size() * lanes.size());
  for (std::size_t i = 0; i < lanes.size(); ++i) {
    const std::vector<bool> reached = reached_from(neighbours, lanes[i]->writer_slot);
    for (std::size_t j = 0; j < lanes.size(); ++j) {
      reaches[i * lanes.size() + j] = reached[lanes[j]->writer_slot] ? 1 : 0;
    }
  }
  const auto weight_at = [&weights](std::size_t from) {
    return weights.empty() ? 1U : static_cast<std::uint32_t>(std::stoul(weights.substr(from)));
  };
  slot_->incoming().rank(weight_at(0), weight_at(weights.find(',') + 1), std::move(reaches));
}

}  // namespace cyto
