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
// Layout: private: what was last seen at the front of each lane.
//
// Ordering (model: tests/model/causal.pml):
//   M1 Two passes: of the fronts in sight take the one with the least (stamp, slot); look again at
//      every lane that was empty; if that shows a lower front take that one and look again; else
//      deliver. An undelivered cause of the chosen message is visible by the second pass, because
//      its visibility happens before the chosen one's, and its stamp is lower.
//   M2 It ends after at most as many repeats as there are lanes: each fills an empty one.
//   M3 A lane whose records make no sense is fenced and passed over from then on; the others go on.
//
// Death: nothing to leave behind; a successor looks again.
#pragma once

#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "cyto/turn.hpp"

namespace cyto {

class mailbox {
 public:
  explicit mailbox(std::span<const std::unique_ptr<turn_input>> inputs) {
    for (const auto& each : inputs) fronts_.push_back({each.get(), {}, false});
  }

  // The next message in causal order and the lane it stands in; nullptr if there is none now.
  turn_input* next(message_view& out) noexcept {
    front* best = nullptr;
    for (front& each : fronts_) {
      if (look_at(each) && (best == nullptr || before(each, *best))) best = &each;
    }
    if (best == nullptr) return nullptr;
    if (fronts_.size() > 1) best = second_pass(best);
    out = best->message;
    return best->input;
  }

  // The front of that very lane, if there is one.
  turn_input* front_of(const turn_input& lane, message_view& out) noexcept {
    for (front& each : fronts_) {
      if (each.input != &lane || !look_at(each)) continue;
      out = each.message;
      return each.input;
    }
    return nullptr;
  }

  // The front of that lane was consumed.
  void taken(const turn_input& from) noexcept {
    for (front& each : fronts_) {
      if (each.input == &from) each.seen = false;
    }
  }
  // Shuts a lane whose message turned out to be nonsense (M3).
  void fence(turn_input& from) noexcept {
    taken(from);
    from.lane.fence();
    has_fenced_ = true;
  }
  // The turn was aborted: positions went back.
  void reset() noexcept {
    for (front& each : fronts_) each.seen = false;
  }
  // Whether a lane was fenced since the last call.
  [[nodiscard]] bool has_fenced() noexcept { return std::exchange(has_fenced_, false); }
  [[nodiscard]] bool has_any() noexcept {
    bool any = false;
    for (front& each : fronts_) any = look_at(each) || any;
    return any;
  }

 private:
  struct front {
    turn_input* input;
    message_view message;
    bool seen;
  };

  static bool before(const front& a, const front& b) noexcept {
    if (a.message.stamp != b.message.stamp) return a.message.stamp < b.message.stamp;
    return a.input->writer_slot < b.input->writer_slot;
  }
  bool look_at(front& at) noexcept {
    if (at.seen) return true;
    if (at.input->lane.is_fenced()) [[unlikely]]
      return false;
    const look found = at.input->lane.peek(at.message);
    if (found == look::corrupt) [[unlikely]]
      fence(*at.input);  // M3
    at.seen = found == look::message;
    return at.seen;
  }
  front* second_pass(front* best) noexcept {
    for (bool again = true; again;) {
      again = false;
      for (front& each : fronts_) {
        if (each.seen || !look_at(each) || !before(each, *best)) continue;
        best = &each;
        again = true;
      }
    }
    return best;
  }

  std::vector<front> fronts_;
  bool has_fenced_ = false;
};

}  // namespace cyto
