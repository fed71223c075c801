#include "cyto/snapshot.hpp"

#include <algorithm>
#include <string>
#include <utility>

#include "cyto/observe.hpp"

// Why this is a cut.
//
// Each worker w is read as of a bound k(w): its turns with stamps up to k(w) are in the cut. It is
// read only once its commit word was seen at or above k(w), so these turns are all committed, and
// what they left in a cell is the version with the largest tag <= k(w), or nothing any more (C5).
//
// Bounds are chosen one after the other and never rise: the next one is the largest commit word of
// the workers that are still to be read, looked at after all others were read, or the bound before
// if that is less.
//
// Let turn t of x be in the cut, and depend on turn u of another worker w. Then stamp(u) <
// stamp(t) <= k(x) (T1), and u was committed before t. If k(w) >= k(x), u is in the cut. If not, w
// was still to be read when x was, and every bound chosen from then on is the least of some that
// are at or above k(x), and of maxima over commit words w's among them, each looked at after x's
// was seen to have reached t. By then u was committed, and whoever sees t sees u (C1). So each of
// these maxima is at least stamp(u), hence k(w) is, and u is in the cut. (N1)
//
// In the same way each bound is at or above what w had committed when take() was called. (N2)
//
// The first bound is the largest: the stamp of the cut. (N3)
//
// Each bound is the commit word of a worker, which can be read at it; so there are at most as many
// bounds as workers, and nothing is waited for.
namespace cyto {

std::optional<cell_place> find_cell(const segment& from, std::string_view worker,
                                    std::string_view cell) {
  const std::uint32_t slot_index = from.find_slot(worker);
  if (slot_index == from.slot_count()) {
    throw error(error_code::bad_input, "worker " + std::string(worker), "there is none", {},
                "see `cyto status`");
  }
  std::optional<cell_place> found;
  each_cell(from, slot_index, [&](const cell_view& each) {
    if (each.name == cell) found = cell_place{slot_index, each.arena_offset};
  });
  return found;
}

snapshot::snapshot(const segment& from, const std::vector<cell_place>& places) {
  for (const cell_place& each : places) {
    const bool is_slot = each.slot_index < from.slot_count();
    const std::uint64_t arena_bytes = is_slot ? from.slot(each.slot_index).arena_bytes : 0;
    if (each.arena_offset == 0 || each.arena_offset % line_bytes != 0 ||
        each.arena_offset > arena_bytes || sizeof(cell_record) > arena_bytes - each.arena_offset) {
      throw error(error_code::bad_input,
                  "cell at " + std::to_string(each.arena_offset) + " of slot " +
                      std::to_string(each.slot_index),
                  "there is none", {}, "take places from find_cell() or each_cell()");
    }
    const auto* record =
        from.at<cell_record>(from.slot(each.slot_index).arena_offset + each.arena_offset);
    cell& made = cells_.emplace_back(cell{record});
    made.kind = kind_in(read_once(record->kind));
    if (made.kind == cell_kind::vector_clock) {
      made.vector = vectors_.size();
      vectors_.emplace_back();
    }
    order_.push_back(order_.size());
  }
  std::stable_sort(order_.begin(), order_.end(), [&](std::size_t a, std::size_t b) {
    return places[a].slot_index < places[b].slot_index;
  });
  for (std::size_t i = 0; i < order_.size();) {
    const std::uint32_t slot_index = places[order_[i]].slot_index;
    const slot_entry& entry = from.slot(slot_index);
    source made{&from.control_of(slot_index).commit,
                from.at<std::byte>(entry.arena_offset),
                entry.arena_bytes,
                i,
                i,
                i};
    while (i < order_.size() && places[order_[i]].slot_index == slot_index) ++i;
    made.end = i;
    sources_.push_back(made);
  }
}

bool snapshot::take(unsigned tries_max) noexcept {
  for (failures_ = 0; failures_ < tries_max; ++failures_) {
    if (take_once()) return true;
  }
  return false;
}

bool snapshot::take_once() noexcept {
  std::uint64_t bound = tag_staged - 1;
  stamp_ = 0;
  for (std::size_t left = sources_.size(); left > 0;) {
    std::uint64_t newest = 0;
    for (std::size_t i = 0; i < left; ++i) {
      newest = std::max(newest, sources_[i].commit->observe());
    }
    bound = std::min(bound, newest);
    stamp_ = std::max(stamp_, bound);
    for (std::size_t i = 0; i < left;) {
      if (sources_[i].commit->observe() < bound) {
        ++i;
        continue;
      }
      if (!read(sources_[i], bound)) return false;
      std::swap(sources_[i], sources_[--left]);
    }
  }
  return true;
}

bool snapshot::read(source& of, std::uint64_t bound) noexcept {
  for (std::size_t i = of.begin; i < of.end; ++i) {
    cell& each = cells_[order_[i]];
    if (each.at->value.read_at(bound, each.value, each.tag) &&
        (each.kind != cell_kind::vector_clock || read_vector(of, each, bound))) {
      continue;
    }
    // The next try looks at it early, when less time has passed since the bound was chosen.
    std::swap(order_[i], order_[of.next_hot]);
    of.next_hot = of.next_hot + 1 == of.end ? of.begin : of.next_hot + 1;
    return false;
  }
  return true;
}

bool snapshot::read_vector(const source& of, cell& to, std::uint64_t bound) noexcept {
  const auto [entries, half, halves] = to.value;
  version_vector& out = vectors_[to.vector];
  static_cast<void>(out.assign({}));
  if (halves == 0) return true;
  if (entries > version_vector::entries_max || half % 8 != 0 || half > of.arena_bytes ||
      entries * 8 > of.arena_bytes - half) {
    return false;
  }
  std::array<std::uint64_t, version_vector::entries_max> counts;
  const auto* words = reinterpret_cast<const word<std::uint64_t>*>(of.arena + half);
  for (std::size_t i = 0; i < entries; ++i) counts[i] = words[i].observe();
  static_cast<void>(out.assign({counts.data(), entries}));
  const std::uint64_t tag = to.tag;
  return to.at->value.read_at(bound, to.value, to.tag) && to.tag == tag;  // K4
}

version_vector snapshot::vector(std::size_t index) const noexcept {
  const cell& of = cells_[index];
  return of.kind == cell_kind::vector_clock ? vectors_[of.vector] : version_vector();
}

}  // namespace cyto
