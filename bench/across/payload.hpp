// What messages of the benchmarks carry: words that depend on the message's number, all of them
// written for each message, and all of them read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace cyto::bench {

// The number of the message that ends a run.
inline constexpr std::uint64_t stop_number = ~std::uint64_t{0};

// Fills `bytes`, a multiple of 8.
inline void write_payload(std::byte* to, std::size_t bytes, std::uint64_t number) noexcept {
  for (std::size_t i = 0; i < bytes / 8; ++i) {
    const std::uint64_t word = number + i;
    std::memcpy(to + 8 * i, &word, 8);
  }
}

// The sum of its words, which the number of the message decides.
inline std::uint64_t sum_of(const std::byte* from, std::size_t bytes) noexcept {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < bytes / 8; ++i) {
    std::uint64_t word = 0;
    std::memcpy(&word, from + 8 * i, 8);
    sum += word;
  }
  return sum;
}

inline std::uint64_t number_in(const std::byte* from) noexcept {
  std::uint64_t number = 0;
  std::memcpy(&number, from, 8);
  return number;
}

constexpr std::uint64_t right_sum(std::size_t bytes, std::uint64_t number) noexcept {
  const std::uint64_t words = bytes / 8;
  return words * number + words * (words - 1) / 2;
}

// Reads a payload. Its number, or something no message has if it is not what was written.
inline std::uint64_t read_payload(const std::byte* from, std::size_t bytes) noexcept {
  const std::uint64_t number = number_in(from);
  const bool right = sum_of(from, bytes) == right_sum(bytes, number);
  return right ? number : stop_number - 1;
}

}  // namespace cyto::bench
