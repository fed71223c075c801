// What the workers of an experiment leave for whoever runs it, and what they are told: memory that
// is not the system's own, so that nothing measured goes through what is measured. It is the input
// that the supervisor keeps for its workers (kept_input_path), a memfd: a page of orders, then for
// each slot a seat and a log.
//
// A worker that was killed leaves its log as it was: how much of it counts stands in a cell, which
// is part of the turn, so the successor writes over what its predecessor did not commit.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>

#include "across/histogram.hpp"
#include <cyto/cursor.hpp>
#include <cyto/types.hpp>

namespace cyto::experiment {

inline constexpr std::uint32_t phases_max = 4;

// The monotonic clock, which all processes of a machine share.
inline std::uint64_t now_ns() {
  return static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
}

// Written by the one who runs the experiment.
struct orders {
  alignas(line_bytes) word<std::uint64_t> phase;  // 0: nothing is measured; else 1 to phases_max.
  word<std::uint64_t> stopped;                    // 1: sources finish.
  word<std::uint64_t> paused;                     // 1: feeds send nothing for now.
  word<std::uint64_t> delay_ns;                   // What a slow worker sleeps for each message.
  word<std::uint64_t> runner_pid;                 // Who writes this, and starts the workers.
};
static_assert(sizeof(orders) == line_bytes);

// Written by the worker of one slot.
struct seat {
  bench::histogram times[phases_max];  // ns; of phase n at n - 1.
};

enum class happened : std::uint8_t { send, deliver, crash, drop };

struct log_entry {
  std::uint64_t turn;     // The worker's commit word before: the same for all entries of a turn.
  std::uint64_t message;  // Sender << 48 | number.
  std::uint64_t stamp;    // Of a message that was delivered.
  std::uint32_t targets;  // Bits by slot, of a message that was sent.
  happened what;
  std::uint8_t filling[3];
};
static_assert(sizeof(log_entry) == 32);

inline constexpr std::uint64_t message_id(std::uint32_t sender, std::uint64_t number) noexcept {
  return std::uint64_t{sender} << 48 | number;
}

class tally {
 public:
  // A new one, with a log of so many entries for each slot. Throws std::runtime_error.
  static tally make(std::uint32_t slots, std::uint64_t log_entries);
  // That of the worker that calls this.
  static tally of_worker();
  tally(tally&& other) noexcept;
  tally& operator=(tally&&) = delete;
  ~tally();

  [[nodiscard]] int fd() const noexcept { return fd_; }
  [[nodiscard]] orders& the_orders() const noexcept { return *at<orders>(page_bytes / 2); }
  [[nodiscard]] seat& seat_of(std::uint32_t slot) const noexcept;
  [[nodiscard]] std::span<log_entry> log_of(std::uint32_t slot) const noexcept;

 private:
  struct heading {
    std::uint64_t log_entries;  // For each slot.
  };
  tally(int fd, std::uint64_t bytes);
  [[nodiscard]] static std::uint64_t place_bytes(std::uint64_t log_entries) noexcept;
  template <class T>
  [[nodiscard]] T* at(std::uint64_t offset) const noexcept {
    return reinterpret_cast<T*>(data_ + offset);
  }

  int fd_ = -1;
  std::byte* data_ = nullptr;
  std::uint64_t bytes_ = 0;
};

}  // namespace cyto::experiment
