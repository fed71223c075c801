// Bytes of another's making, handed out from the front; zeros once they are used up.
//
//   input in(data, size);
//   while (!in.empty()) edit(memory, in);
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>

namespace cyto::fuzz {

class input {
 public:
  input(const std::uint8_t* data, std::size_t size) noexcept : data_(data), left_(size) {}

  [[nodiscard]] bool empty() const noexcept { return left_ == 0; }
  template <class T>
  T take() noexcept {
    T out{};
    const std::size_t bytes = std::min(sizeof out, left_);
    if (bytes > 0) std::memcpy(&out, data_, bytes);
    skip(bytes);
    return out;
  }
  std::string_view bytes(std::size_t wanted) noexcept {
    const std::size_t count = std::min(wanted, left_);
    const std::string_view out(reinterpret_cast<const char*>(data_), count);
    skip(count);
    return out;
  }
  std::string_view rest() noexcept { return bytes(left_); }

  // A number that is likely to hurt: small, near a power of two, near the end of its range, or any.
  std::uint64_t number() noexcept {
    const auto kind = take<std::uint8_t>();
    const unsigned shift = kind & 63U;
    switch (kind >> 6) {
      case 0:
        return shift;
      case 1:
        return (std::uint64_t{1} << shift) + std::uint64_t{take<std::uint8_t>()} - 128;
      case 2:
        return take<std::uint16_t>() * std::uint64_t{64};
      default:
        return take<std::uint64_t>();
    }
  }

 private:
  void skip(std::size_t bytes) noexcept {
    data_ += bytes;
    left_ -= bytes;
  }
  const std::uint8_t* data_;
  std::size_t left_;
};

// What must hold whatever the bytes are.
inline void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %s\n", what);
  std::abort();
}

// Keeps a value that nobody uses, so that reading it is not left out.
inline void keep(std::uint64_t value) noexcept { asm volatile("" : : "r"(value)); }
inline void read_all(const void* data, std::size_t bytes) noexcept {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < bytes; ++i) sum += static_cast<const unsigned char*>(data)[i];
  keep(sum);
}

}  // namespace cyto::fuzz
