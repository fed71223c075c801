#include "cyto/tracing.hpp"

#include <poll.h>
#include <unistd.h>

#include <algorithm>

#include "process.hpp"
#include "rendezvous.hpp"
#include "verbs.hpp"

namespace cyto {
namespace {

constexpr int answer_ms = 5'000;

std::uint64_t newest_in(std::span<const flight_event> ring) noexcept {
  std::uint64_t out = 0;
  for (const flight_event& each : ring) out = std::max(out, each.number.observe());
  return out;
}

}  // namespace

tracing::tracing(const std::string& name) {
  file connection = connect_to(name);
  packet reply{};
  std::vector<file> unwanted;
  if (!connection || !send_packet(connection.get(), {verb_trace, 0}, {})) {
    throw error(error_code::failed, "system " + name, "nobody supervises it",
                "its supervisor switches tracing on and off",
                "start the same `cyto run` to adopt it, then try again");
  }
  if (!receive_packet(connection.get(), reply, unwanted, answer_ms) || reply.verb != verb_trace) {
    throw error(error_code::failed, "system " + name, "is not traced",
                "its supervisor refuses, is stopped, or about to end",
                "see `cyto status " + name + "`, and try again");
  }
  period_ = static_cast<std::uint32_t>(reply.value);
  connection_ = connection.release();
}

tracing::~tracing() {
  if (connection_ >= 0) close(connection_);
}

bool tracing::is_on() const noexcept {
  pollfd end{connection_, POLLRDHUP, 0};
  return poll(&end, 1, 0) == 0;
}

flight_reader::flight_reader(const segment& of, std::uint32_t slot_index,
                             std::uint32_t period) noexcept
    : of_(&of.control_of(slot_index)), ring_(of.trace_of(slot_index)), period_(period) {
  // Somebody else may trace already; and what was noted in earlier periods stands there still.
  passed_ = newest_in(ring_);
}

bool flight_reader::read(std::vector<flight_entry>& out) {
  if (ring_.empty()) return true;
  if (next_ == 0) {
    if (of_->traced.period.observe() != period_) return true;  // E1
    next_ = std::max(passed_ + 1, of_->traced.from.observe());
  }
  for (std::size_t i = 0; i < ring_.size(); ++i) {
    flight_entry entry{};
    if (read_flight(ring_, next_, entry)) {
      out.push_back(entry);
      ++next_;
      continue;
    }
    // Not yet; or just being overwritten, which shows next time.
    if (ring_[next_ % ring_.size()].number.observe() <= next_) return true;
    // Its holder is a round ahead, and may go on: the older half of what stands there is given up.
    const std::uint64_t newest = newest_in(ring_);
    const std::uint64_t half = ring_.size() / 2;
    const std::uint64_t gone = std::max(next_ + 1, newest - std::min(newest, half));
    missed_ += gone - next_;
    out.push_back({next_, flight::none, 0, 0, gone - next_, 0});
    next_ = gone;
  }
  return false;
}

}  // namespace cyto
