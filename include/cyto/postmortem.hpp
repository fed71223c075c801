// cyto/postmortem.hpp
//
// What: what is left of a worker that died, as plain records: the message it had in hand, the last
//   events of its turns, the fault that ended it; and what the supervisor makes of these.
//       recorder.note(flight::sent, lane, kind, size);                        // a few stores
//       for (const flight_entry& each : flight_of(report.events)) print(each);
//
// Who: recorder and `handling` by the holder of the slot, one thread; suspects, reports and errands
//   by the supervisor; anybody reads. A trace is read by tracing.hpp.
//
// Layout: all of fixed size. Events are a ring in the slot's own pages: an event's number counts up
//   for ever, its place is the number modulo the ring, 0 is an event that is being written. While
//   somebody traces they go into a larger ring of the same kind instead.
//
// Ordering:
//   F1 Of a dead process every store is seen, so the ring is exact then. In a living one an event
//      counts if its number is the same before and after the look at it.
//   F2 A report's number is odd while the report is being written.
//
// Death: this is what it is for. A successor goes on in the ring of its predecessor; before it is
//   started the supervisor has copied the last events into the report. Killed between its commit
//   and the note of it, a turn has happened: the successor notes which commit word it has found.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "cyto/cursor.hpp"
#include "cyto/types.hpp"

namespace cyto {

// ---- which message is in hand ----

// One word: which input lane + 1 in the high 9 bits, its read position / 64 below; 0 is none. A
// position never needs more: 2^61 bytes. Two lane numbers are taken for what comes from no lane.
inline constexpr unsigned handling_shift = 55;
inline constexpr std::uint32_t handling_produce = 510;     // No message.
inline constexpr std::uint32_t handling_quarantine = 511;  // The position is a message's number.

constexpr std::uint64_t handling_of(std::uint32_t input, std::uint64_t position) noexcept {
  return (std::uint64_t{input} + 1) << handling_shift | position / line_bytes;
}
constexpr std::uint64_t handling_special(std::uint32_t which, std::uint64_t number) noexcept {
  return std::uint64_t{which} << handling_shift | number;
}

// ---- the flight recorder ----

enum class flight : std::uint32_t {
  none,
  started,    // detail: incarnation, first: process, second: monotonic ns
  taken,      // lane: of the inputs, detail: kind, first: position, second: stamp
  sent,       // lane: of the outputs, detail: kind, first: payload bytes, second: position
  committed,  // detail: input + 1 of the message that comes again, first: stamp, second: monotonic
              // ns, or 0 where the clock was not asked
  aborted,    // detail: turn_fault
  sleeping,   // first: monotonic ns
  producing,
  retrying,   // detail: kind, first: number in the quarantine
  set_aside,  // lane: of the inputs, detail: kind, first: number there, second: position
  recovered,  // detail: as of committed, first: the commit word found, second: monotonic ns
  ended,      // second: monotonic ns
  deferred,   // lane: of the inputs, detail: kind, first: position, second: that where it waits
};

// While turns follow each other the clock is asked so often, since it costs as much as a third of a
// small turn: not before `timed_apart_ns_min` have passed, and after so many turns at the latest.
inline constexpr std::uint64_t timed_apart_ns_min = 2048;
inline constexpr std::uint32_t untimed_turns_max = 31;

struct flight_event {
  word<std::uint64_t> number;
  word<std::uint32_t> what_lane;  // flight in the low 8 bits, lane above
  word<std::uint32_t> detail;
  word<std::uint64_t> first;
  word<std::uint64_t> second;
};
static_assert(sizeof(flight_event) == 32);

inline constexpr std::size_t flight_events = 128;

struct flight_entry {
  std::uint64_t number;
  flight what;
  std::uint32_t lane;
  std::uint32_t detail;
  std::uint64_t first;
  std::uint64_t second;
};

// "killed by signal 11 (SIGSEGV)", "exit code 70".
std::string exit_text(int wait_status);

// The clock of all times in this file.
std::uint64_t monotonic_ns() noexcept;

// The events of a ring that can be read, oldest first.
std::vector<flight_entry> flight_of(const flight_event (&ring)[flight_events]);
// The event of that number; false if it does not stand there, or no more, or is being written.
bool read_flight(std::span<const flight_event> ring, std::uint64_t number,
                 flight_entry& out) noexcept;

// Of a slot: which period of tracing its holder follows, and where that begins.
struct trace_note {
  word<std::uint64_t> from;    // Number of its first event: the end of a turn.
  word<std::uint32_t> period;  // As the board had it; published last.
};
static_assert(sizeof(trace_note) == 16);

class recorder {
 public:
  // Goes on behind the newest event that stands there.
  explicit recorder(flight_event (&ring)[flight_events]) noexcept
      : small_(ring), ring_(ring), mask_(flight_events - 1) {
    for (const flight_event& each : ring) last_ = std::max(last_, each.number.own());
  }
  recorder(const recorder&) = delete;
  recorder& operator=(const recorder&) = delete;

  // Where to note while somebody traces: while `period`, the board's word, is odd. Goes on behind
  // what stands there. REQUIRES: the size of `ring` is a power of two.
  void trace_into(std::span<flight_event> ring, const word<std::uint32_t>& period,
                  trace_note& noted) noexcept;
  // At the end of a turn, before that is noted: the time if somebody traces and it is due, else 0.
  [[nodiscard]] std::uint64_t follow() noexcept {
    const std::uint32_t now = period_->observe();
    if (now == off_) return 0;
    if (now != on_ || untimed_left_ == 0) [[unlikely]]
      return follow_period(now);
    --untimed_left_;
    expect_next_turn();
    return 0;
  }
  // There is nothing to do for a while: the time of the next turn is due.
  void rest() noexcept { untimed_left_ = 0; }
  void note(flight what, std::uint32_t lane, std::uint32_t detail, std::uint64_t first,
            std::uint64_t second = 0) noexcept {
    flight_event& to = ring_[++last_ & mask_];
    to.number.stage(0);
    to.what_lane.publish(static_cast<std::uint32_t>(what) | lane << 8);  // F1
    to.detail.publish(detail);
    to.first.publish(first);
    to.second.publish(second);
    to.number.publish(last_);
  }

 private:
  static inline const word<std::uint32_t> never_traced{};

  std::uint64_t follow_period(std::uint32_t now) noexcept;
  std::uint64_t ask_clock() noexcept;
  // The lines of the next turn's events: whoever reads the ring may have them.
  void expect_next_turn() const noexcept {
    expect_to_write(&ring_[(last_ + 3) & mask_]);
    expect_to_write(&ring_[(last_ + 5) & mask_]);
  }

  flight_event* small_;
  flight_event* ring_;  // Into which it notes now.
  std::uint64_t mask_;
  std::uint64_t last_ = 0;
  const word<std::uint32_t>* period_ = &never_traced;
  std::uint32_t off_ = 0;           // What the board's word was when last nobody traced.
  std::uint32_t on_ = 0;            // And while somebody does; 0: nobody.
  std::uint32_t untimed_left_ = 0;  // Turns that end before the clock is asked again,
  std::uint32_t untimed_ = 0;       // and how many these were at first.
  std::uint64_t asked_ns_ = 0;      // When it was asked last.
  std::span<flight_event> traced_;
  trace_note* noted_ = nullptr;
};

// The newest events of both rings of a slot, whose holder is gone, into a ring of its own.
void keep_last_flights(flight_event (&to)[flight_events],
                       const flight_event (&small)[flight_events],
                       std::span<const flight_event> traced) noexcept;

// ---- the fault that ended a process ----

// Written by the signal handler that worker_main() installs. 0: there was none.
struct fault_note {
  word<std::uint64_t> address;
  word<std::uint32_t> signal;
  word<std::uint32_t> code;    // si_code
  word<std::uint32_t> sender;  // The process that sent it, if one did.
};
static_assert(sizeof(fault_note) == 24);

// ---- what the supervisor keeps ----

// Of a lane: the message at which its reader has died.
struct suspect {
  word<std::uint64_t> position;
  word<std::uint32_t> deaths;     // 0: there is no such message.
  word<std::uint32_t> status;     // Wait status of the last of them.
  word<std::uint32_t> set_aside;  // 1: the reader shall put it into its quarantine.
  word<std::uint32_t> unused[3];
};
static_assert(sizeof(suspect) == 32);

enum class errand : std::uint32_t { none, retry, drop };

// Of a slot: what an operator asks of its worker. It stands until the quarantine's account says
// that it was answered.
struct errand_line {
  alignas(line_bytes) word<std::uint32_t> number;  // Published last.
  word<std::uint32_t> what;                        // errand
  word<std::uint32_t> message;                     // Number in the quarantine.
  word<std::uint32_t> fatal;   // The number of the errand at which the worker has died last.
  word<std::uint32_t> status;  // Wait status of that death.
};
static_assert(sizeof(errand_line) == line_bytes);

// What a worker was doing when it died.
enum class in_hand : std::uint32_t { nothing, message, quarantined, produce };

inline constexpr std::size_t report_text_bytes_max = 1000;
inline constexpr std::size_t report_head_bytes_max = 256;
inline constexpr std::size_t report_output_bytes_max = 2712;

// Of a slot: the last end of its worker.
struct death_report {
  alignas(line_bytes) word<std::uint64_t> number;  // Twice the ends so far; odd: being written.
  std::uint64_t at_ns;                             // Monotonic clock.
  std::uint64_t position;                          // Of the message in hand, or its number.
  std::uint64_t stamp;
  std::uint64_t fault_address;
  std::uint32_t pid;
  std::uint32_t incarnation;
  std::uint32_t seen;  // 1: `status` is the wait status; 0: a parent did not see the end.
  std::uint32_t status;
  std::uint32_t hand;   // in_hand
  std::uint32_t input;  // Which input lane of the worker.
  std::uint32_t writer_slot;
  std::uint32_t size;
  std::uint32_t kind;
  std::uint32_t deaths;  // That this message has caused, this one included; 0: it did not count.
  std::uint32_t set_aside;
  std::uint32_t fault_signal;
  std::uint32_t fault_code;
  std::uint32_t fault_sender;
  std::uint32_t text_bytes;
  std::uint32_t head_bytes;
  std::uint32_t output_bytes;
  std::uint32_t unused[5];
  char text[report_text_bytes_max];  // What the worker itself said of its end.
  std::byte head[report_head_bytes_max];
  char output[report_output_bytes_max];  // The end of the standard error that all workers share.
  alignas(line_bytes) flight_event events[flight_events];
};
static_assert(sizeof(death_report) == 8192);

}  // namespace cyto
