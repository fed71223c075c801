// cyto/doorbell.hpp
//
// What: where a worker sleeps until somebody has something for it: a futex word that processes
//       share. bell.prepare();  if (!anything_to_do()) bell.wait(timeout_ns);  bell.cancel();
//       ring(line);      // after the store that made something to do
//       For a thread that has an event loop of its own: a descriptor that does the same.
//       bell_descriptor door(bell);  epoll_ctl(..., door.fd(), ...);
//       door.arm();  if (anything_to_do()) door.signal();  epoll_wait(...);
//
// Who: prepare, wait, cancel by the holder of the slot; ring() by anybody who has the doorbells
//   mapped writable, from any thread.
//
// Layout: one line a slot, in pages that everybody may write: `parked` is 1 while its owner sleeps
//   or is about to, 2 while it waits for room without sleeping, so that nobody need ring and nobody
//   takes it for stalled. `address` is 0, or says where its owner has a datagram socket: in the
//   abstract namespace, under "cyto/" and its 16 hexadecimal digits. It is of the owner's network
//   namespace; a ringer in another one cannot reach it, and the belt has to do.
//
// Ordering (models: tests/model/park.pml):
//   D1 Sleeper: parked = 1, full fence, look again, sleep. Ringer: store, full fence, parked? Each
//      has its fence between its store and its load, so one of them sees the other: either the
//      sleeper finds the work or the ringer finds it parked.
//   D2 The futex compares `parked` with 1 as it falls asleep, so a ring between the second look and
//      the sleep is not lost. A descriptor keeps the ring: it is a datagram, and arm() throws old
//      ones away before it parks, never after.
//   D3 Who clears `parked` looks at `address` afterwards, and has a full fence in between; who sets
//      `address` has one before it parks. So whoever clears the bell of a sleeper rings it where it
//      sleeps, futex or descriptor, however late it clears.
//
// Death: a ringer killed between clearing `parked` and waking leaves a sleeper; recovery of a dead
//   worker therefore wakes its neighbours unconditionally, and no sleep is longer than
//   `park_ns_max`; for a descriptor a timer sees to that. The name of the socket goes with its
//   process: a ring to a dead owner is refused by the kernel, and its successor clears `address`.
#pragma once

#include <cstdint>

#include "cyto/cursor.hpp"
#include "cyto/segment.hpp"

namespace cyto {

// Longest sleep in nanoseconds before a sleeper looks for itself, a belt beside D1 and D2.
inline constexpr std::uint64_t park_ns_max = 1'000'000'000;

// What a worker does when there is nothing to do.
enum class wait_strategy : std::uint8_t {
  spin_then_park,  // Looks on for spin_us, then sleeps until it is woken.
  park,            // Sleeps at once.
  spin             // Never sleeps and holds its core; but sleeps where it has only one to share.
};

// Longest spin_us: a second.
inline constexpr std::uint32_t spin_us_max = 1'000'000;
inline constexpr std::uint32_t spin_us_default = 5;

inline void full_fence() noexcept {
#if defined(__SANITIZE_THREAD__)
  // ThreadSanitizer does not follow fences; a read-modify-write has the same effect.
  static std::atomic<int> anchor;
  anchor.fetch_add(1, std::memory_order_seq_cst);
#else
  std::atomic_thread_fence(std::memory_order_seq_cst);
#endif
}

// Tells the core that this is a waiting loop.
inline void relax() noexcept {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Makes the socket from which this process rings descriptors, once; it stays until the process
// ends. Without it each such ring makes one of its own, which may find no descriptor left.
void prepare_to_ring() noexcept;

// Wakes the owner of `line` without asking whether it sleeps.
void wake(doorbell_line& line) noexcept;

// Cores that this process may use. On a single one it is of no use to look on: nobody else could
// make anything visible meanwhile.
int usable_cores() noexcept;

inline constexpr std::uint32_t parked_asleep = 1;
inline constexpr std::uint32_t parked_awake = 2;

// Whether the owner sleeps or is about to, be it in a futex or in an event loop.
inline bool is_asleep(const doorbell_line& line) noexcept {
  return line.parked.observe() == parked_asleep;
}

// Wakes the owner if it sleeps. The caller has passed a full fence since its store (D1); one fence
// serves any number of bells.
inline void ring(doorbell_line& line) noexcept {
  if (is_asleep(line)) [[unlikely]]
    wake(line);
}

class doorbell {
 public:
  explicit doorbell(doorbell_line& line) noexcept : line_(&line) {}

  void prepare() noexcept {
    line_->parked.stage(parked_asleep);
    full_fence();  // D1
  }
  // Says that its owner waits, but will look for itself. Recovery of a neighbour may have cleared
  // it since the last time.
  void stay_awake() noexcept {
    if (line_->parked.own() != parked_awake) line_->parked.stage(parked_awake);
    relax();
  }
  // Sleeps until rung, at most `timeout_ns`. Spurious returns happen.
  void wait(std::uint64_t timeout_ns = park_ns_max) noexcept;
  void cancel() noexcept { line_->parked.stage(0); }

  [[nodiscard]] doorbell_line& where() const noexcept { return *line_; }

 private:
  doorbell_line* line_;
};

// The owner's other place to sleep: a descriptor for epoll, poll, select or io_uring. It is
// readable unless it is armed, and armed it becomes readable when it is rung, when `sleep_ns_max`
// nanoseconds are over, or when the descriptor `beside` (-1: none) is readable. Spurious readiness
// happens: anybody in the network namespace may send to the socket. Nothing is to be read from it.
class bell_descriptor {
 public:
  // Throws cyto::error when descriptors run out. `bell` and `beside` outlive it.
  explicit bell_descriptor(doorbell& bell, int beside = -1,
                           std::uint64_t sleep_ns_max = park_ns_max);
  bell_descriptor(const bell_descriptor&) = delete;
  bell_descriptor& operator=(const bell_descriptor&) = delete;
  ~bell_descriptor();

  [[nodiscard]] int fd() const noexcept { return set_; }
  // As prepare(): the caller then looks once more (D1), and calls signal() if there is something.
  void arm() noexcept;
  // Its owner is awake: readable, and nobody need ring. A system call only if it was armed and
  // nobody has rung since.
  void signal() noexcept;

 private:
  void close_all() noexcept;
  void set_timer(std::uint64_t in_ns) noexcept;

  doorbell_line* line_;
  std::uint64_t sleep_ns_max_;
  std::uint64_t address_ = 0;
  int set_ = -1;  // An epoll descriptor of the other two and `beside`.
  int socket_ = -1;
  int timer_ = -1;
  bool is_armed_ = false;
};

}  // namespace cyto
