// cyto/mailbox.hpp
//
// What: merges a worker's incoming lanes into one causal sequence, without waiting for anybody.
//       while (turn_input* from = mailbox.next(message)) {
//         turn::consume(*from, message);
//         mailbox.taken(*from);
//       }
//
// Who: the loop that owns the slot, one thread.
//
// Layout: private: where the front of each lane stands, and the stamps of those in sight.
//
// Ordering (model: tests/model/causal.pml):
//   M1 Of the fronts in sight take the one with the least (stamp, slot); then look at all the other
//      lanes in turn. A lower front becomes the one, and the round begins anew; after a whole round
//      without one, deliver. An undelivered cause of the chosen message was made visible before
//      the chosen one was, and its stamp is lower; so a look after the chosen one's finds it.
//   M2 It ends after at most as many rounds as there are lanes: each needs a lane that was empty.
//   M3 A lane whose records make no sense is fenced and passed over from then on; the others go on.
//   M4 Where lanes are ranked, what is delivered is the first of its class, and depends on nothing
//      else in sight: control if it can be, else by turns so many updates and so many external
//      messages as their weights say. If the first of a class may depend on one of another class,
//      M1's choice goes before it. What may depend on what is known from the lanes: on an earlier
//      stamp, of a writer that leads to its own.
//
// Death: nothing to leave behind; a successor looks again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "cyto/turn.hpp"

namespace cyto {

class mailbox {
 public:
  // Of the inputs those that others write for messages, which come first.
  explicit mailbox(std::span<const std::unique_ptr<turn_input>> inputs);
  mailbox(const mailbox&) = delete;
  mailbox& operator=(const mailbox&) = delete;
  ~mailbox();

  // Ranks the lanes from now on (M4): weights of updates and of external messages, 1 and more.
  // reaches[i * n + j], n being the number of merged lanes: whether what the writer of lane i does
  // may be known to that of lane j.
  void rank(std::uint32_t update_weight, std::uint32_t external_weight,
            std::vector<std::uint8_t> reaches);

  // The next message in causal order and the lane it stands in; nullptr if there is none now.
  turn_input* next(message_view& out) noexcept {
    std::size_t best = first_of_all();
    if (best == none) return nullptr;
    if (!reaches_.empty()) [[unlikely]]
      best = first_by_rank(best);
    fronts_[best].input->lane.show(out);
    return fronts_[best].input;
  }

  // The front of that very lane, if there is one.
  turn_input* front_of(turn_input& lane, message_view& out) noexcept {
    if (!is_merged(lane)) return lane.lane.peek(out) == look::message ? &lane : nullptr;
    if (!is_in_sight(lane.index) && !look_at(lane.index)) return nullptr;
    lane.lane.show(out);
    return &lane;
  }

  // The front of that lane was consumed.
  void taken(const turn_input& from) noexcept {
    if (!is_merged(from)) return;
    forget(from.index);
    if (!reaches_.empty()) [[unlikely]]
      count_taken(from.purpose);
  }
  // Shuts a lane whose message turned out to be nonsense (M3).
  void fence(turn_input& from) noexcept {
    from.lane.fence();
    if (is_merged(from)) forget(from.index);
    has_fenced_ = true;
  }
  // The turn was aborted: positions went back.
  void reset() noexcept {
    for (std::size_t i = 0; i < fronts_.size(); ++i) forget(i);
  }
  // Whether a lane was fenced since the last call.
  [[nodiscard]] bool has_fenced() noexcept { return std::exchange(has_fenced_, false); }
  // Whether there is one from a worker that may wait for this one's room.
  [[nodiscard]] bool has_any_of_cycle() noexcept;
  [[nodiscard]] bool has_any() noexcept {
    if (in_sight_ != 0) return true;
    for (std::size_t at = 0; at < doors_.size(); at += doors_at_once) {
      if (!is_one_open(&doors_[at])) continue;
      for (std::size_t i = at; i < at + doors_at_once; ++i) {
        if (doors_[i]->observe() != 0 && look_at(i)) return true;
      }
    }
    return false;
  }

 private:
  static constexpr std::size_t none = ~std::size_t{0};
  // Nearly all lanes of many are empty: one branch for a few of them.
  static constexpr std::size_t doors_at_once = 4;
  static constexpr std::uint64_t nothing_in_sight = ~std::uint64_t{0};

  // Where the next record of a lane will be announced.
  using door = const word<std::uint64_t>*;

  struct front {
    turn_input* input;
    std::uint64_t stamp;  // Or nothing_in_sight.
  };

  [[nodiscard]] bool is_merged(const turn_input& lane) const noexcept {
    return lane.index < fronts_.size();
  }
  [[nodiscard]] bool is_in_sight(std::size_t index) const noexcept {
    return fronts_[index].stamp != nothing_in_sight;
  }
  static bool is_one_open(const door* from) noexcept {
    std::uint64_t any = 0;
#pragma GCC unroll 8
    for (std::size_t i = 0; i < doors_at_once; ++i) any |= from[i]->observe();
    return any != 0;
  }
  [[nodiscard]] bool before(std::size_t a, std::size_t b) const noexcept {
    if (b == none) return true;
    if (fronts_[a].stamp != fronts_[b].stamp) return fronts_[a].stamp < fronts_[b].stamp;
    return fronts_[a].input->writer_slot < fronts_[b].input->writer_slot;
  }
  [[nodiscard]] std::size_t least_in_sight() const noexcept {
    std::size_t best = none;
    if (in_sight_ == 0) return best;
    for (std::size_t i = 0; i < fronts_.size(); ++i) {
      if (is_in_sight(i) && before(i, best)) best = i;
    }
    return best;
  }
  // M1
  [[nodiscard]] std::size_t first_of_all() noexcept {
    std::size_t best = least_in_sight();
    // Neither of them changes; said here because each look at a door could have changed anything.
    door* const doors = doors_.data();
    const std::size_t count = doors_.size();
    std::size_t at = 0;
    for (std::size_t left = count; left > 0; left -= doors_at_once) {
      if (is_one_open(doors + at)) {
        for (std::size_t i = at; i < at + doors_at_once; ++i) {
          if (doors[i]->observe() == 0 || !look_at(i) || !before(i, best)) continue;
          best = i;
          left = count + doors_at_once;  // These too: some were looked at before it.
        }
      }
      at += doors_at_once;
      if (at == count) at = 0;
    }
    return best;
  }
  [[nodiscard]] std::size_t first_by_rank(std::size_t best) noexcept;
  [[nodiscard]] bool is_free(std::size_t index) const noexcept;
  void count_taken(lane_purpose what) noexcept;
  // REQUIRES: it is not in sight.
  bool look_at(std::size_t index) noexcept {
    front& at = fronts_[index];
    if (at.input->lane.is_fenced()) [[unlikely]]
      return false;
    const look found = at.input->lane.find();
    if (found == look::corrupt) [[unlikely]]
      fence(*at.input);  // M3
    if (found != look::message) return false;
    at.stamp = at.input->lane.front_stamp();
    doors_[index] = &closed_;
    ++in_sight_;
    return true;
  }
  void forget(std::size_t index) noexcept {
    front& at = fronts_[index];
    if (is_in_sight(index)) --in_sight_;
    at.stamp = nothing_in_sight;
    doors_[index] = at.input->lane.is_fenced() ? &closed_ : &at.input->lane.front_ready();
  }

  std::vector<front> fronts_;
  // One for each lane: all that a look at an empty one reads. Of a lane that need not be looked at,
  // a word that is always 0; also behind the last one.
  std::vector<door> doors_;
  word<std::uint64_t> closed_{};
  std::size_t in_sight_ = 0;
  bool has_fenced_ = false;
  std::vector<std::uint8_t> reaches_;  // Empty: not ranked.
  std::uint32_t weights_[2] = {1, 1};  // By lane_purpose: updates, external.
  lane_purpose turn_of_ = lane_purpose::updates;
  std::uint32_t left_ = 1;  // Of its weight.
};

}  // namespace cyto
