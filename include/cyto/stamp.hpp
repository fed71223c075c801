// cyto/stamp.hpp
//
// What: the logical time of a turn. One number is turn number, commit word and Lamport clock.
//       clock.see(message.stamp);  const auto stamp = clock.next();
//
// Who: the holder of the slot, one thread.
//
// Layout: private memory. In the segment a stamp is the low 56 bits of a word; what stands above
//   it in a record's ready word is record.hpp's.
//
// Ordering:
//   T1 next() is above the worker's last commit and above every stamp seen since; so an effect's
//      stamp is above its causes'.
//   T2 A turn has one stamp, taken after its last take.
//   T3 Equal stamps of two workers are concurrent; the lower slot goes first.
//   T4 A turn that takes no message has a stamp of at least the monotonic clock's, in units of
//      clock_tick_ns. No order depends on it; it bounds how long a message can be passed over:
//      until those are handed out that were sent before it, or at about the same time.
//
// Death: the clock is the commit word, so a successor continues it.
#pragma once

#include <algorithm>
#include <cstdint>

namespace cyto {

// 56 bits of them are 36 years after the machine was started.
inline constexpr std::uint64_t clock_tick_ns = 16;

class stamp_clock {
 public:
  explicit stamp_clock(std::uint64_t commit = 0) noexcept : commit_(commit), seen_(commit) {}

  void see(std::uint64_t stamp) noexcept { seen_ = std::max(seen_, stamp); }
  [[nodiscard]] std::uint64_t next() const noexcept { return std::max(commit_, seen_) + 1; }
  [[nodiscard]] std::uint64_t commit() const noexcept { return commit_; }
  void committed(std::uint64_t stamp) noexcept { commit_ = seen_ = stamp; }
  // The turn did not happen; what it saw need not be remembered.
  void forget() noexcept { seen_ = commit_; }

 private:
  std::uint64_t commit_;
  std::uint64_t seen_;
};

}  // namespace cyto
