// cyto/rate_control.hpp
//
// What: how often a source may produce. Its rate is halved when it is told that it is too fast,
//   and rises by and by: additive increase, multiplicative decrease. Sources that share a slow
//   reader come to equal rates that way, since the faster one loses more by each halving
//   (D.-M. Chiu and R. Jain, "Analysis of the Increase and Decrease Algorithms for Congestion
//   Avoidance in Computer Networks", 1989).
//       rate_control rate({.turns_per_s_max = 100'000});
//       if (rate.may_go(now_ns)) produce();  else sleep_until(rate.due_ns());
//       if (was_refused) rate.fall(now_ns);
//
// Who: one thread. worker::limit_rate() has one for the worker's source.
//
// Layout: private memory. A worker that is started again begins at the highest rate.
//
// Ordering: none.
//
// Death: nothing is left.
#pragma once

#include <algorithm>
#include <cstdint>

#include "cyto/error.hpp"

namespace cyto {

struct rate_limits {
  // Turns a second, above 0 and at most 1e9. Where it begins, too.
  double turns_per_s_max = 0;
  // Below this it never falls; 0: a thousandth of the highest.
  double turns_per_s_min = 0;
  // Turns a second that it gains in each second; 0: a quarter of the highest. Sources that share a
  // reader are treated alike if they have the same.
  double rise_per_s = 0;
  // For so long after it has fallen it does not fall again: what is on its way still was sent
  // before. Nanoseconds.
  std::uint64_t rest_ns = 10'000'000;
};

class rate_control {
 public:
  // No limit, and none to fall to.
  rate_control() = default;
  // Throws cyto::error for limits that cannot be.
  explicit rate_control(const rate_limits& by);

  [[nodiscard]] bool is_limited() const noexcept { return by_.turns_per_s_max > 0; }
  [[nodiscard]] double turns_per_s() const noexcept { return turns_per_s_; }

  // Whether a turn is due; if so, it counts as made. `now_ns` is of any clock that never goes back.
  [[nodiscard]] bool may_go(std::uint64_t now_ns) noexcept {
    pass_to(now_ns);
    if (credit_ < 1) return false;
    credit_ -= 1;
    return true;
  }
  // When a good moment to ask again is, seen from the last may_go(): for fast sources some turns
  // later, so that they do not sleep and wake for each.
  [[nodiscard]] std::uint64_t due_ns() const noexcept {
    const double turns = std::min(burst(), std::max(1.0, turns_per_s_ * grain_s));
    return seen_ns_ +
           static_cast<std::uint64_t>(std::max(0.0, turns - credit_) / turns_per_s_ * 1e9) + 1;
  }
  // It was too fast.
  void fall(std::uint64_t now_ns) noexcept {
    pass_to(now_ns);
    if (has_fallen_ && now_ns - fell_ns_ < by_.rest_ns) return;
    has_fallen_ = true;
    fell_ns_ = now_ns;
    turns_per_s_ = std::max(by_.turns_per_s_min, turns_per_s_ / 2);
    credit_ = std::min(credit_, burst());
  }

 private:
  static constexpr double burst_s = 1e-3;    // Turns of so long may be made up for,
  static constexpr double grain_s = 200e-6;  // and of so long are worth a sleep.
  static constexpr double pause_s_max = 0.1;

  [[nodiscard]] double burst() const noexcept { return std::max(1.0, turns_per_s_ * burst_s); }
  void pass_to(std::uint64_t now_ns) noexcept {
    if (seen_ns_ != 0 && now_ns > seen_ns_) {
      const double passed_s = static_cast<double>(now_ns - seen_ns_) * 1e-9;
      credit_ = std::min(burst(), credit_ + turns_per_s_ * passed_s);
      // A source that was held up elsewhere has not shown that it may be faster: of a longer pause
      // no more than this counts.
      const double rise = by_.rise_per_s * std::min(pause_s_max, passed_s);
      turns_per_s_ = std::min(by_.turns_per_s_max, turns_per_s_ + rise);
    }
    seen_ns_ = std::max(seen_ns_, now_ns);
  }

  rate_limits by_;
  double turns_per_s_ = 0;
  double credit_ = 1;  // Turns that are due.
  std::uint64_t seen_ns_ = 0;
  std::uint64_t fell_ns_ = 0;
  bool has_fallen_ = false;
};

}  // namespace cyto
