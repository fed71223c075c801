#include "trace_times.hpp"

#include <algorithm>
#include <utility>

#include <cyto/postmortem.hpp>

namespace cyto::tools {
namespace {

// A turn that is one of many between two looks at the clock takes no longer, usually.
constexpr std::uint64_t quick_turns_ns = 2 * timed_apart_ns_min;
constexpr std::uint64_t quick_turn_ns = quick_turns_ns / (untimed_turns_max + 1);

// When turns began, and their ends in an order that causes and effects allow: each was noted a
// little after the commit, and others may have seen that sooner.
class timing {
 public:
  explicit timing(traced_system& of) : of_(&of) {
    for (std::uint32_t slot = 0; slot < of.workers.size(); ++slot) {
      for (std::size_t i = 0; i < of.workers[slot].turns.size(); ++i) {
        if (of.workers[slot].turns[i].is_committed) order_.push_back({slot, i});
      }
    }
    // Effects have larger stamps than their causes.
    std::stable_sort(order_.begin(), order_.end(), [this](const place& a, const place& b) {
      return turn_at(a).stamp < turn_at(b).stamp;
    });
    for (const place& each : order_) {
      for (const traced_step& step : steps_at(each)) {
        if (step.what == trace_what::send) senders_.push_back({step.lane, step.position, each});
      }
    }
    std::sort(senders_.begin(), senders_.end(), [](const sender& a, const sender& b) {
      return std::pair(a.lane, a.position) < std::pair(b.lane, b.position);
    });
  }

  void settle() {
    raise();
    std::vector<std::uint64_t> next(of_->workers.size(), ~std::uint64_t{0});
    for (std::size_t left = order_.size(); left > 0; --left) {
      const place& each = order_[left - 1];
      traced_turn& turn = turn_at(each);
      turn.ended_ns = std::min(turn.ended_ns, next[each.slot]);
      next[each.slot] = turn.ended_ns;
      for_each_cause(each, [&](traced_turn& cause) {
        cause.ended_ns = std::min(cause.ended_ns, turn.ended_ns);
      });
    }
    std::vector<std::uint64_t> before(of_->workers.size(), 0);
    for (const place& each : order_) {
      traced_turn& turn = turn_at(each);
      std::uint64_t first = ~std::uint64_t{0};  // What it was handed first was there by then.
      for_each_cause(each,
                     [&](const traced_turn& cause) { first = std::min(first, cause.ended_ns); });
      if (first == ~std::uint64_t{0}) first = 0;
      turn.began_ns = std::max({turn.began_ns, before[each.slot], first});
      if (turn.began_ns == 0 || turn.began_ns > turn.ended_ns) turn.began_ns = turn.ended_ns;
      before[each.slot] = turn.ended_ns;
    }
  }

 private:
  // What was not noted ended after the turn before, and after what it was handed was there.
  void raise() {
    std::vector<std::uint64_t> before(of_->workers.size(), 0);
    for (const place& each : order_) {
      traced_turn& turn = turn_at(each);
      if (!turn.is_timed) {
        turn.ended_ns = std::max(turn.ended_ns, before[each.slot]);
        for_each_cause(each, [&](const traced_turn& cause) {
          turn.ended_ns = std::max(turn.ended_ns, cause.ended_ns);
        });
      }
      before[each.slot] = turn.ended_ns;
    }
  }

  struct place {
    std::uint32_t slot;
    std::size_t turn;
  };
  struct sender {
    std::uint32_t lane;
    std::uint64_t position;
    place at;
  };
  [[nodiscard]] traced_turn& turn_at(const place& at) const {
    return of_->workers[at.slot].turns[at.turn];
  }
  [[nodiscard]] std::span<const traced_step> steps_at(const place& at) const {
    return of_->workers[at.slot].steps_of(turn_at(at));
  }
  template <class F>
  void for_each_cause(const place& of, F visit) const {
    for (const traced_step& step : steps_at(of)) {
      if (step.what != trace_what::deliver) continue;
      const auto at = std::lower_bound(
          senders_.begin(), senders_.end(), step, [](const sender& a, const traced_step& b) {
            return std::pair(a.lane, a.position) < std::pair(b.lane, b.position);
          });
      if (at == senders_.end() || at->lane != step.lane || at->position != step.position) continue;
      visit(turn_at(at->at));
    }
  }

  traced_system* of_;
  std::vector<place> order_;
  std::vector<sender> senders_;
};

}  // namespace

void untimed_turns::know(std::uint64_t at_ns) {
  if (at_ns == 0) return;
  const std::uint64_t parts = count_ + 1;
  std::uint64_t from = known_ns_;
  std::uint64_t span = std::min(at_ns - std::min(at_ns, known_ns_), quick_turns_ns);
  if (known_ns_ == 0 || has_gap_) {
    span = std::min(at_ns - std::min(at_ns, known_ns_), parts * quick_turn_ns);
    from = at_ns - span;
  }
  for (std::size_t i = 0; i < count_; ++i) {
    (*of_)[of_->size() - count_ + i].ended_ns = from + span * (i + 1) / parts;
  }
  count_ = 0;
  known_ns_ = at_ns;
  has_gap_ = false;
}

void untimed_turns::end() {
  if (known_ns_ != 0 && count_ != 0) know(known_ns_ + (count_ + 1) * quick_turn_ns);
}

void settle_times(traced_system& of) { timing(of).settle(); }

}  // namespace cyto::tools
