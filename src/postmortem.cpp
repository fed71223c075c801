#include "cyto/postmortem.hpp"

#include <sys/wait.h>

#include <csignal>
#include <cstring>
#include <ctime>

namespace cyto {

std::uint64_t monotonic_ns() noexcept {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 +
         static_cast<std::uint64_t>(now.tv_nsec);
}

std::string exit_text(int wait_status) {
  if (WIFSIGNALED(wait_status)) {
    const char* name = sigabbrev_np(WTERMSIG(wait_status));
    return "killed by signal " + std::to_string(WTERMSIG(wait_status)) +
           (name != nullptr ? std::string(" (SIG") + name + ")" : std::string());
  }
  return "exit code " + std::to_string(WEXITSTATUS(wait_status));
}

bool read_flight(std::span<const flight_event> ring, std::uint64_t number,
                 flight_entry& out) noexcept {
  const flight_event& from = ring[number % ring.size()];
  if (from.number.observe() != number) return false;
  const std::uint32_t what_lane = from.what_lane.observe();
  out = {number,
         static_cast<flight>(what_lane & 0xffU),
         what_lane >> 8,
         from.detail.observe(),
         from.first.observe(),
         from.second.observe()};
  return from.number.observe() == number;  // F1
}

std::vector<flight_entry> flight_of(const flight_event (&ring)[flight_events]) {
  std::vector<flight_entry> out;
  for (const flight_event& each : ring) {
    const std::uint64_t number = each.number.observe();
    flight_entry entry{};
    if (number != 0 && read_flight(ring, number, entry)) out.push_back(entry);
  }
  std::sort(out.begin(), out.end(), [](const flight_entry& left, const flight_entry& right) {
    return left.number < right.number;
  });
  return out;
}

void recorder::trace_into(std::span<flight_event> ring, const word<std::uint32_t>& period,
                          trace_note& noted) noexcept {
  traced_ = ring;
  period_ = &period;
  noted_ = &noted;
  // What was never traced into need not be looked at: that is many pages.
  if (noted.period.own() != 0) {
    for (const flight_event& each : ring) last_ = std::max(last_, each.number.own());
  }
  static_cast<void>(follow());
}

std::uint64_t recorder::follow_period(std::uint32_t now) noexcept {
  if (now % 2 == 0) {
    off_ = now;
    on_ = 0;
    ring_ = small_;
    mask_ = flight_events - 1;
    return 0;
  }
  on_ = now;
  ring_ = traced_.data();
  mask_ = traced_.size() - 1;
  if (noted_->period.own() != now) {
    noted_->from.publish(last_ + 1);
    noted_->period.publish(now);  // E1
  }
  expect_next_turn();
  return ask_clock();
}

// Twice as many turns until the next time if these were quick, and none if one of them may have
// been slow: it shall be seen which.
std::uint64_t recorder::ask_clock() noexcept {
  const std::uint64_t now = monotonic_ns();
  const std::uint64_t passed = now - asked_ns_;
  asked_ns_ = now;
  if (passed < timed_apart_ns_min) {
    untimed_ = std::min(2 * untimed_ + 1, untimed_turns_max);
  } else if (passed > 4 * timed_apart_ns_min) {
    untimed_ = 0;
  }
  untimed_left_ = untimed_;
  return now;
}

void keep_last_flights(flight_event (&to)[flight_events],
                       const flight_event (&small)[flight_events],
                       std::span<const flight_event> traced) noexcept {
  std::memcpy(static_cast<void*>(to), small, sizeof to);
  for (const flight_event& each : traced) {
    const std::uint64_t number = each.number.observe();
    flight_event& place = to[number % flight_events];
    if (number <= place.number.own()) continue;
    std::memcpy(static_cast<void*>(&place), &each, sizeof place);
  }
}

}  // namespace cyto
