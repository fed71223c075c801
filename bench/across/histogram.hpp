// Times, counted in buckets that grow with what they hold: within 0.4 % of each value, from one
// tick to hours. A plain array, so that it can lie in memory that processes share. (The idea is Gil
// Tene's HdrHistogram, which Debian has for Java and Go only.)
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace cyto::bench {

class histogram {
 public:
  void add(std::uint64_t ticks) noexcept {
    ++counts_[bucket_of(ticks)];
    ++count_;
    sum_ += ticks;
    max_ = std::max(max_, ticks);
  }
  void add(const histogram& other) noexcept {
    for (std::size_t i = 0; i < buckets; ++i) counts_[i] += other.counts_[i];
    count_ += other.count_;
    sum_ += other.sum_;
    max_ = std::max(max_, other.max_);
  }
  [[nodiscard]] std::uint64_t count() const noexcept { return count_; }
  [[nodiscard]] std::uint64_t max() const noexcept { return max_; }
  [[nodiscard]] double mean() const noexcept {
    return count_ == 0 ? 0 : static_cast<double>(sum_) / static_cast<double>(count_);
  }
  // The value that this share of all are not above; 0 < share <= 1.
  [[nodiscard]] std::uint64_t quantile(double share) const noexcept {
    const auto rank = static_cast<std::uint64_t>(share * static_cast<double>(count_) + 0.5);
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < buckets; ++i) {
      seen += counts_[i];
      if (seen != 0 && seen >= rank) return std::min(middle_of(i), max_);
    }
    return max_;
  }

 private:
  static constexpr unsigned sub_bits = 7;
  static constexpr unsigned ranges = 40;
  static constexpr std::size_t buckets = std::size_t{ranges + 1} << sub_bits;

  // Below 128 each value has its own; above, each doubling has 128 of them.
  static std::size_t bucket_of(std::uint64_t value) noexcept {
    if (value < 1U << sub_bits) return value;
    const auto shift = static_cast<unsigned>(std::bit_width(value)) - sub_bits - 1;
    const std::size_t at = (std::size_t{shift} << sub_bits) + (value >> shift);
    return std::min(at, buckets - 1);
  }
  static std::uint64_t middle_of(std::size_t bucket) noexcept {
    if (bucket < 2U << sub_bits) return bucket;
    const std::size_t shift = (bucket >> sub_bits) - 1;
    const std::uint64_t low = (bucket - (shift << sub_bits)) << shift;
    return low + (std::uint64_t{1} << shift) / 2;
  }

  std::array<std::uint64_t, buckets> counts_{};
  std::uint64_t count_ = 0;
  std::uint64_t sum_ = 0;
  std::uint64_t max_ = 0;
};

}  // namespace cyto::bench
