#include "trace_record.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <csignal>
#include <optional>
#include <utility>
#include <vector>

namespace cyto::tools {
namespace {

using clock = std::chrono::steady_clock;

// Between two looks at the rings. A worker that fills a part of its ring in between is looked at
// without a pause.
constexpr timespec pause{0, 500'000};

// What ends a recording; what the caller has chosen to ignore stays ignored.
sigset_t take_over_signals() {
  sigset_t out;
  sigemptyset(&out);
  for (const int each : {SIGINT, SIGTERM, SIGHUP}) {
    struct sigaction now {};
    if (sigaction(each, nullptr, &now) == 0 && now.sa_handler == SIG_IGN) continue;
    sigaddset(&out, each);
  }
  pthread_sigmask(SIG_BLOCK, &out, nullptr);
  return out;
}

void refuse_untraceable(const segment& where) {
  const std::string thing = "system " + std::string(where.name());
  if (is_pair(where)) {
    throw error(error_code::bad_input, thing, "is a pair of programs of their own",
                "nobody supervises it, and only what is supervised can be traced",
                "run its programs as workers, or correct the name");
  }
  for (std::uint32_t i = 0; i < where.slot_count(); ++i) {
    if (!where.trace_of(i).empty()) return;
  }
  throw error(error_code::bad_input, thing, "has no memory for traces",
              "trace_bytes of its topology is 0", "raise trace_bytes in [memory] and run it again");
}

class recorder_of_all {
 public:
  recorder_of_all(const segment& where, std::uint32_t period) : flights_(where.slot_count()) {
    for (std::uint32_t i = 0; i < where.slot_count(); ++i) readers_.emplace_back(where, i, period);
    // As text they take several times as much.
    events_max_ = std::max<std::uint64_t>(memory_available() / 32 / sizeof(flight_entry), 1U << 16);
  }

  // Whether so much has come that the next look is due.
  bool look() {
    std::size_t before = events_;
    bool is_behind = false;
    events_ = 0;
    for (std::size_t i = 0; i < readers_.size(); ++i) {
      is_behind = !readers_[i].read(flights_[i]) || is_behind;
      events_ += flights_[i].size();
    }
    return is_behind || events_ - before > busy_events;
  }
  [[nodiscard]] bool is_full() const noexcept { return events_ > events_max_; }
  [[nodiscard]] const std::vector<std::vector<flight_entry>>& flights() const noexcept {
    return flights_;
  }

 private:
  static constexpr std::size_t busy_events = 512;
  std::vector<flight_reader> readers_;
  std::vector<std::vector<flight_entry>> flights_;
  std::size_t events_ = 0;
  std::uint64_t events_max_;
};

bool is_over(const segment& where) {
  return where.the_board().phase.observe() == static_cast<std::uint32_t>(system_phase::stopping);
}

}  // namespace

recording record(const std::string& name, std::chrono::seconds at_most) {
  const segment where = find_system(name);
  refuse_untraceable(where);
  const sigset_t signals = take_over_signals();
  recording out;
  std::optional<tracing> on(std::in_place, name);
  recorder_of_all all(where, on->period());
  const auto end = clock::now() + at_most;
  while (clock::now() < end && out.signal == 0 && out.cut.empty()) {
    if (!on->is_on()) {
      if (is_over(where)) break;
      out.cut = "its supervisor is gone";
    } else if (all.is_full()) {
      out.cut = "its events take too much of the free memory";
    } else if (!all.look()) {
      out.signal = std::max(0, sigtimedwait(&signals, nullptr, &pause));
    }
  }
  all.look();  // What they have noted until now; and to an end, if the system has one.
  on.reset();
  out.what = turns_of(where, all.flights());
  return out;
}

}  // namespace cyto::tools
