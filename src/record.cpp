#include "cyto/record.hpp"

namespace cyto {

static_assert(shapes_max == 128 && shapes_max - 1 <= UINT8_MAX);
static_assert((committed_bit | shape_mask | stamp_mask) == ~std::uint64_t{0});

shape_book::shape_book(word<std::uint64_t>* shapes) noexcept : shapes_(shapes) {
  while (used_ < shapes_max && shapes_[used_].own() != 0) {
    place_of(shapes_[used_].own()) = static_cast<std::uint8_t>(used_);
    ++used_;
  }
}

// Where the number of that shape stands, or is to stand.
std::uint8_t& shape_book::place_of(std::uint64_t packed) noexcept {
  std::size_t at = packed * 0x9e3779b97f4a7c15ULL >> 56;
  while (number_at_[at] != 0 && shapes_[number_at_[at]].own() != packed) at = (at + 1) % places;
  return number_at_[at];
}

// Two who answer each other count hops up to the last one, and would take an entry for each.
bool shape_book::is_worth_an_entry(std::uint64_t packed) noexcept {
  const std::uint64_t hops = packed >> 56;
  return hops <= 16 || hops == 255;
}

void shape_book::find(std::uint64_t packed) noexcept {
  last_ = packed;
  last_number_ = 0;
  if (!is_worth_an_entry(packed)) return;
  std::uint8_t& number = place_of(packed);
  if (number == 0 && used_ < shapes_max) {
    shapes_[used_].stage(packed);  // R1
    number = static_cast<std::uint8_t>(used_++);
  }
  last_number_ = std::uint64_t{number} << shape_shift;
}

}  // namespace cyto
