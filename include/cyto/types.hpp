// cyto/types.hpp
//
// What: the words every layer shares: how a send ends, sizes, and the one hash that all processes
//   agree on. Nothing here touches memory that another process sees.
//
// Who: anybody, from any thread; everything is a constant or a pure function.
//
// Layout: `line_bytes` is the grain of every shared structure. It is fixed by the layout version
//   and not taken from the compiler, because two programs built differently share one segment.
//
// Ordering: none.
//
// Death: nothing to leave behind.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <type_traits>

namespace cyto {

// Bytes of a cache line as the layout counts them.
inline constexpr std::size_t line_bytes = 64;

// Bytes of a page as the layout counts them; memory of different writers never shares a page.
inline constexpr std::size_t page_bytes = 4096;

// How a call on the hot path ends.
enum class status : std::uint8_t {
  ok,       // Staged; it becomes visible when the turn commits.
  full,     // No room now; there will be when the reader has gone on.
  dropped,  // Not sent, and counted: no room on a lane that drops, or too many hops.
  too_big,  // It can never fit: larger than the lane, or than the worker's cells.
  closed,   // The other side has gone for good.
};

constexpr std::string_view to_string(status value) noexcept {
  switch (value) {
    case status::ok:
      return "ok";
    case status::full:
      return "full";
    case status::dropped:
      return "dropped";
    case status::too_big:
      return "too_big";
    case status::closed:
      return "closed";
  }
  return "unknown";
}

// Which messages a reader verifies before it follows the offsets in them. What it does not verify
// it believes: a sender that writes nonsense can then make it read what is no message, or kill it.
enum class verification : std::uint8_t {
  always,  // Each.
  first,   // From each lane those of a type until one was sound: finds schemas that do not fit.
  never
};

// How long to wait at most: made of any std::chrono::duration, rounded up to milliseconds; 0 to 10
// years. (The headers of cyto do without <chrono>, which takes a tenth of a second to compile.)
class time_limit {
 public:
  constexpr time_limit() = default;
  template <class Duration>
  requires requires(Duration from) {
    from.count();
    Duration::period::num;
    Duration::period::den;
  }
  constexpr time_limit(Duration from)  // NOLINT(google-explicit-constructor): wait(100ms)
      : ms_(rounded(static_cast<long double>(from.count()) * Duration::period::num * 1000 /
                    Duration::period::den)) {}

  [[nodiscard]] constexpr std::int64_t ms() const noexcept { return ms_; }

 private:
  static constexpr std::int64_t ms_max = std::int64_t{10} * 365 * 24 * 3'600 * 1'000;
  static constexpr std::int64_t rounded(long double ms) noexcept {
    if (!(ms > 0)) return 0;
    if (ms >= ms_max) return ms_max;
    const auto whole = static_cast<std::int64_t>(ms);
    return whole + (static_cast<long double>(whole) < ms ? 1 : 0);
  }

  std::int64_t ms_ = 0;
};

// `value` rounded up to a multiple of `grain`, which is a power of two.
constexpr std::uint64_t round_up(std::uint64_t value, std::uint64_t grain) noexcept {
  return (value + grain - 1) & ~(grain - 1);
}

// A 64-bit hash that is the same in every process and every build: it decides which worker owns a
// key, so it is part of the layout. Eight bytes a step, multiply and fold (the idea is wyhash's).
constexpr std::uint64_t hash_bytes(std::string_view bytes, std::uint64_t seed = 0) noexcept {
  constexpr std::uint64_t first = 0x9e3779b97f4a7c15ULL;
  constexpr std::uint64_t second = 0xd6e8feb86659fd93ULL;
  std::uint64_t state = (seed ^ first) + bytes.size() * second;
  // Up to eight bytes as a number, lowest first; in a constant expression there is no memcpy.
  const auto load = [](const char* from, std::size_t count) {
    std::uint64_t word = 0;
    if (std::is_constant_evaluated()) {
      for (std::size_t i = 0; i < count; ++i) {
        word |= std::uint64_t{static_cast<unsigned char>(from[i])} << (8 * i);
      }
    } else {
      std::memcpy(&word, from, count);
    }
    return word;
  };
  const auto mix = [&state](std::uint64_t word) {
    state = (state ^ word) * second;
    state ^= state >> 32;
  };
  std::size_t at = 0;
  for (; bytes.size() - at >= 8; at += 8) mix(load(bytes.data() + at, 8));
  if (at < bytes.size()) mix(load(bytes.data() + at, bytes.size() - at));
  state *= first;
  return state ^ (state >> 29);
}

// How much the member of that number wants a key; whoever wants it most has it (rendezvous
// hashing). Part of the layout as the hash is. It mixes, so `hash` may be any number that tells
// keys apart. (The idea is splitmix64's.)
constexpr std::uint64_t key_weight(std::uint64_t hash, std::uint64_t member) noexcept {
  std::uint64_t state = hash + (member + 1) * 0x9e3779b97f4a7c15ULL;
  state = (state ^ (state >> 30)) * 0xbf58476d1ce4e5b9ULL;
  state = (state ^ (state >> 27)) * 0x94d049bb133111ebULL;
  return state ^ (state >> 31);
}

// Which of `member_count` members has the key, of those for which takes_part(member) is true; 0 if
// that is nobody. Who comes takes its share of the keys from each of the others, and who goes
// leaves its own to them; no other key moves.
template <class TakesPart>
constexpr std::size_t owner_of_key(std::uint64_t hash, std::size_t member_count,
                                   TakesPart takes_part) noexcept {
  std::size_t owner = 0;
  std::uint64_t most = 0;
  for (std::size_t member = 0; member < member_count; ++member) {
    const std::uint64_t weight = key_weight(hash, member);
    if (weight < most || !takes_part(member)) continue;
    owner = member;
    most = weight;
  }
  return owner;
}

}  // namespace cyto
