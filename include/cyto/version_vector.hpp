// cyto/version_vector.hpp
//
// What: how many events of each worker are in the past of one event. Two of them tell what stamps
//   cannot: whether one event happened before the other, or neither did.
//       if (happens_before(theirs, mine)) ...; else if (concurrent(theirs, mine)) ...
//   A worker's own is a cell, cell.hpp's vector_clock, and so part of its turns.
//
// Who: anybody; a plain value of at most slot_count_max entries. An object is used by one thread at
//   a time. Nothing allocates.
//
// Layout: entry i counts the events of slot i. What is not there counts as 0, and the last entry
//   that is there is not 0. In a message it is a field of type [ulong]: encode(), decode().
//
//   An entry belongs to a slot and not to a process. Incarnations of a slot follow each other, each
//   begins with what the last committed turn of the one before has left, and so does its count: a
//   later event of the slot has the larger number, whichever program holds it, a worker restarted
//   or replaced, or whoever joins a port next. So slot and count name one event for as long as the
//   memory lives, nothing is to be reset, and nothing grows with the processes there ever were.
//   Vectors of two systems, or of one before and after it was created anew, have nothing in common.
//
// Ordering: none of memory. Of events: compare() is a partial order; merge() is its least upper
//   bound, and so associative, commutative and idempotent.
//
// Death: nothing to leave behind. The cell is as its worker's last committed turn left it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "cyto/segment.hpp"

namespace cyto {

enum class causality : std::uint8_t { equal, before, after, concurrent };

class version_vector {
 public:
  static constexpr std::size_t entries_max = slot_count_max;

  // Takes what somebody else has sent. False, and nothing is changed, if it has more than
  // entries_max entries.
  [[nodiscard]] bool assign(std::span<const std::uint64_t> counts) noexcept {
    if (counts.size() > entries_max) return false;
    entries_ = {};
    count_ = 0;
    for (std::size_t i = 0; i < counts.size(); ++i) {
      entries_[i] = counts[i];
      if (counts[i] != 0) count_ = i + 1;
    }
    return true;
  }
  [[nodiscard]] std::uint64_t operator[](std::size_t slot_index) const noexcept {
    return slot_index < count_ ? entries_[slot_index] : 0;
  }
  // Up to the last that is not 0.
  [[nodiscard]] std::span<const std::uint64_t> counts() const noexcept {
    return {entries_.data(), count_};
  }
  // One more event of that slot. REQUIRES: slot_index < entries_max.
  void increment(std::size_t slot_index) noexcept {
    ++entries_[slot_index];
    if (slot_index >= count_) count_ = slot_index + 1;
  }
  // The larger of each two entries. Returns whether anything changed.
  bool merge(const version_vector& from) noexcept {
    bool changed = false;
    for (std::size_t i = 0; i < from.count_; ++i) {
      if (from.entries_[i] <= entries_[i]) continue;
      entries_[i] = from.entries_[i];
      changed = true;
    }
    if (from.count_ > count_) count_ = from.count_;
    return changed;
  }
  friend bool operator==(const version_vector&, const version_vector&) = default;

 private:
  std::array<std::uint64_t, entries_max> entries_{};
  std::size_t count_ = 0;
};

// How `a` stands to `b`: `before` if all that `a` counts, `b` counts too, and more.
[[nodiscard]] inline causality compare(const version_vector& a, const version_vector& b) noexcept {
  bool less = false;
  bool more = false;
  const std::size_t entries =
      a.counts().size() > b.counts().size() ? a.counts().size() : b.counts().size();
  for (std::size_t i = 0; i < entries; ++i) {
    less = less || a[i] < b[i];
    more = more || a[i] > b[i];
  }
  if (less && more) return causality::concurrent;
  if (less) return causality::before;
  return more ? causality::after : causality::equal;
}
// Equal ones are not before each other.
[[nodiscard]] inline bool happens_before(const version_vector& a,
                                         const version_vector& b) noexcept {
  return compare(a, b) == causality::before;
}
[[nodiscard]] inline bool concurrent(const version_vector& a, const version_vector& b) noexcept {
  return compare(a, b) == causality::concurrent;
}

// For a field `clock:[ulong]` of a message: CreateUpdate(fbb, encode(fbb, clock.value())).
template <class Builder>
auto encode(Builder& fbb, const version_vector& from) {
  return fbb.CreateVector(from.counts().data(), from.counts().size());
}
// The other way: decode(update.clock(), out). A field that is absent is the empty vector. False,
// and `to` is as it was, if it has too many entries.
template <class Vector>
[[nodiscard]] bool decode(const Vector* from, version_vector& to) noexcept {
  if (from == nullptr) return to.assign({});
  return to.assign({from->data(), static_cast<std::size_t>(from->size())});
}

}  // namespace cyto
