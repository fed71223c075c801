// What the topology says of how a worker runs: what it does while there is nothing to do, on which
// core, whom it believes, and when its memory is mapped.
#include <sched.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "cyto/worker.hpp"

namespace cyto {
namespace {

constexpr int looks_between_clocks = 16;

std::vector<std::uint32_t> numbers_of(const std::string& text) {
  std::vector<std::uint32_t> out;
  for (std::size_t at = 0; at < text.size();) {
    out.push_back(static_cast<std::uint32_t>(std::stoul(text.substr(at))));
    const std::size_t comma = text.find(',', at);
    at = comma == std::string::npos ? text.size() : comma + 1;
  }
  return out;
}

}  // namespace

void worker::settle() {
  // Whoever may look on is decided by what is there, not by the core it is then pinned to: others
  // run on the others.
  const bool may_spin = usable_cores() > 1;
  rank_lanes();
  if (setting("prefault of worker", "") == "yes") slot_->prefault();
  const std::string verify = setting("verify of worker", "");
  if (verify == "first") verify_ = verification::first;
  if (verify == "never") verify_ = verification::never;
  const std::string sends_max = setting("sends_max of worker", "");
  if (!sends_max.empty()) {
    slot_->the_turn().limit_sends(static_cast<std::uint32_t>(std::stoul(sends_max)));
  }
  const std::string in_flight = setting("in_flight_bytes_max of worker", "");
  if (!in_flight.empty()) slot_->the_turn().limit_in_flight(std::stoull(in_flight));
  never_sleeps_ = may_spin && setting("wait of worker", "") == "spin";
  const std::string spin_us = setting("spin_us of worker", std::to_string(spin_us_default));
  spin_ns_ = may_spin ? std::stoull(spin_us) * 1000 : 0;
  const std::vector<std::uint32_t> cpus = numbers_of(setting("cpus of worker", ""));
  if (cpus.empty()) return;
  const std::uint32_t core = cpus[slot_->entry().member % cpus.size()];
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(core, &set);
  if (sched_setaffinity(0, sizeof set, &set) == 0) return;
  throw error(error_code::bad_input, "worker " + std::string(name()),
              "cannot be pinned to core " + std::to_string(core), std::strerror(errno),
              "change its cpus; see the cores this machine gives: nproc, taskset -p $$");
}

// Looks at the lanes until there is something, as long as that is worth more than a sleep.
bool worker::look_on() noexcept {
  if (spin_ns_ == 0 && !never_sleeps_) return has_any();
  const std::uint64_t began = monotonic_ns();
  do {
    for (int i = 0; i < looks_between_clocks; ++i) {
      if (has_any()) return true;
      relax();
    }
    slot_->the_turn().the_recorder().rest();
  } while (monotonic_ns() - began < spin_ns_);
  return false;
}

void worker::sleep() {
  if (look_on()) return;
  slot_->the_turn().ring_writers();  // Passes a full fence.
  if (!never_sleeps_) slot_->bell().prepare();
  if (!has_any() && !may_send_waiting() && phase() == phase_seen_ && !slot_->held().has_errand() &&
      !has_due() && !slot_->the_turn().can_move_held() && !slot_->has_to_follow()) {
    // Whoever falls idle while the supervisor watches tells it, once for each time it was busy.
    const std::uint64_t turns = slot_->own().turns.own();
    const bool tells = slot_->where().the_board().watched.observe() != 0 || has_sent_to_closed();
    if (tells && turns != turns_told_) {
      turns_told_ = turns;
      tell_supervisor();
    }
    if (never_sleeps_) return;
    slot_->own().parks.stage(slot_->own().parks.own() + 1);
    recorder& flights = slot_->the_turn().the_recorder();
    flights.note(flight::sleeping, 0, 0, monotonic_ns());
    flights.rest();
    slot_->bell().wait(sleep_ns());
  }
  slot_->bell().cancel();
}

}  // namespace cyto
