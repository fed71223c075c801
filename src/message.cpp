#include "cyto/message.hpp"

#include <algorithm>

namespace cyto {

std::uint8_t* lane_allocator::allocate(std::size_t bytes) {
  if (bytes <= private_bytes) {
    place_ = place::block;
    return block_ + private_bytes - bytes;
  }
  if (std::byte* end = writer_->claim(bytes); end != nullptr) {
    place_ = place::ring;
    ring_end_ = reinterpret_cast<std::uint8_t*>(end);
    return ring_end_ - bytes;
  }
  return spill(bytes);
}

std::uint8_t* lane_allocator::spill(std::size_t bytes) {
  place_ = place::spill;
  spill_used_ = 1 - spill_used_;
  const std::size_t needed = bytes + line_bytes;
  if (spill_bytes_[spill_used_] < needed) {
    // Not cleared: it is written before it is read.
    spill_[spill_used_].reset(new std::uint8_t[needed]);
    spill_bytes_[spill_used_] = needed;
  }
  // The end is aligned as in the ring: the builder aligns what it stores by its distance from
  // there.
  std::uint8_t* start = spill_[spill_used_].get();
  const auto end = round_up(reinterpret_cast<std::uintptr_t>(start) + bytes, line_bytes);
  return start + (end - reinterpret_cast<std::uintptr_t>(start) - bytes);
}

std::uint8_t* lane_allocator::reallocate_downward(std::uint8_t* old_start, std::size_t old_bytes,
                                                  std::size_t new_bytes, std::size_t back,
                                                  std::size_t front) {
  const place before = place_;
  std::uint8_t* start = before == place::spill ? spill(new_bytes) : allocate(new_bytes);
  // The back stays where it is while block or ring grow; the front (the builder's scratch) moves.
  if (place_ != before || before == place::spill) {
    std::memcpy(start + new_bytes - back, old_start + old_bytes - back, back);
    std::memcpy(start, old_start, front);
  } else {
    std::memmove(start, old_start, front);
  }
  return start;
}

status message_builder::end(std::uint32_t kind, std::uint8_t hops) noexcept {
  const std::uint32_t kind_hops = kind | std::uint32_t{hops} << 24;
  const std::uint32_t bytes = fbb_.GetSize();
  if (allocator_.in_ring()) {
    writer_->append_claimed(bytes, kind_hops);
    return status::ok;
  }
  return writer_->append(fbb_.GetBufferPointer(), bytes, kind_hops, fbb_.GetBufferMinAlignment());
}

}  // namespace cyto
