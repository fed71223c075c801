// cyto/record.hpp
//
// What: how a message lies in a lane: the three forms of its header, and what a header says.
//       const record_shape what = ring.shape(position, ready);
//       const std::byte* payload = ring.top(position) - what.header_bytes - what.size;
//
// Who: lane_ring by anybody who has the ring mapped; shape_book by the writer's process alone.
//
// Layout: 2^k bytes, mapped twice back to back, so no record is split. A position counts bytes for
//   ever; top(p) = base + 2*capacity - p mod capacity; the record at p occupies [top-length, top):
//
//       low addresses                                          high addresses
//       | slack | payload, ends below the header | size kind  ready |  top       plain, 16 bytes
//       | slack | payload                                   | ready |  top       brief, 8 bytes
//       | payload | 48 bytes                     | size kind  ready |  top       wide, 64 bytes
//
//   length = round_up(size + header, 64). Wide are records built in place or aligned above 16 (bit
//   31 of size). Brief are those that take a line less than if they were plain: the commonest small
//   table has 56 bytes. What a brief header has no room for, its writer has written into its own
//   control block once and for all: `shapes`, of which `ready` holds the number.
//
//   ready: 0, nothing here; else | committed 1 | number of the shape 7 | stamp 56 |, high to low.
//   The number is 0 where the header says size and kind itself.
//
// Ordering:
//   R1 A shape is written before the commit word that makes the first record of it visible, and
//      never again. Whoever sees the record sees its shape.
//
// Death: a shape that a killed turn has written stays, and is as good as any: nothing refers to it
//   yet, or what a successor sends.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "cyto/cursor.hpp"
#include "cyto/segment.hpp"
#include "cyto/types.hpp"

namespace cyto {

inline constexpr std::uint64_t committed_bit = std::uint64_t{1} << 63;
inline constexpr unsigned shape_shift = 56;
inline constexpr std::uint64_t shape_mask = std::uint64_t{shapes_max - 1} << shape_shift;
inline constexpr std::uint64_t stamp_mask = (std::uint64_t{1} << shape_shift) - 1;
// In 20 years of 100 million turns a second no clock gets there; a mad writer must not take
// everybody's clock along. The mask itself is the stamp of what is being staged.
inline constexpr std::uint64_t stamp_max = stamp_mask - 1;
inline constexpr std::uint32_t wide_bit = std::uint32_t{1} << 31;

struct record_header {
  word<std::uint32_t> size_wide;  // Payload bytes; bit 31: the header has a line of its own.
  word<std::uint32_t> kind_hops;  // Message kind in the low 24 bits, hops above.
  word<std::uint64_t> ready;
};
static_assert(sizeof(record_header) == 16);

// What lies between a payload and the top.
inline constexpr std::uint32_t brief_header_bytes = sizeof(record_header::ready);
inline constexpr std::uint32_t plain_header_bytes = sizeof(record_header);
inline constexpr std::uint32_t wide_header_bytes = line_bytes;

constexpr std::uint64_t record_bytes(std::uint64_t size, std::uint32_t header_bytes) noexcept {
  return round_up(size + header_bytes, line_bytes);
}

// Which header a copied payload gets, but that shapes may be used up. Above four lines one line
// less is little, and shapes are few.
constexpr std::uint32_t header_bytes_of(std::uint32_t size, std::size_t alignment) noexcept {
  if (alignment > plain_header_bytes) return wide_header_bytes;
  constexpr std::uint32_t first = line_bytes - plain_header_bytes + 1;
  constexpr std::uint32_t last = line_bytes - brief_header_bytes;
  const std::uint32_t rest = size % line_bytes;
  const bool saves_a_line = rest >= first && rest <= last && size < 4 * line_bytes;
  return saves_a_line && alignment <= brief_header_bytes ? brief_header_bytes : plain_header_bytes;
}

// What a header says of its record; a peer's bytes until they are checked.
struct record_shape {
  std::uint64_t length = 0;  // In the ring.
  std::uint32_t size = 0;    // Of the payload.
  std::uint32_t kind_hops = 0;
  std::uint32_t header_bytes = 0;

  // The entry of `shapes`.
  [[nodiscard]] constexpr std::uint64_t packed() const noexcept {
    return std::uint64_t{kind_hops} << 32 | size;
  }
};

// A record where it lies. Valid until the turn that took it has ended.
struct message_view {
  const std::byte* data = nullptr;
  std::uint32_t size = 0;
  std::uint32_t kind = 0;
  std::uint8_t hops = 0;
  std::uint64_t stamp = 0;
};

// The ring as an address calculation; shared by both ends, by recovery and by tools.
struct lane_ring {
  std::byte* base = nullptr;
  std::uint64_t capacity = 0;
  const word<std::uint64_t>* shapes = nullptr;  // Of its writer.

  [[nodiscard]] std::byte* top(std::uint64_t position) const noexcept {
    return base + 2 * capacity - (position & (capacity - 1));
  }
  // The top that follows `length` bytes after this one. REQUIRES: length <= capacity; what stands
  // in a header is a length only once holds() has said so.
  [[nodiscard]] std::byte* below(std::byte* top, std::uint64_t length) const noexcept {
    std::byte* const next = top - length;
    return next > base + capacity ? next : next + capacity;
  }
  static record_header& header_at(std::byte* top) noexcept {
    return *reinterpret_cast<record_header*>(top - sizeof(record_header));
  }
  [[nodiscard]] record_header& header(std::uint64_t position) const noexcept {
    return header_at(top(position));
  }
  [[nodiscard]] record_shape shape(std::uint64_t position, std::uint64_t ready) const noexcept {
    return shape_of(header(position), ready);
  }
  // Reads each word once. Of a brief record without a shape the length is 0.
  [[nodiscard]] record_shape shape_of(const record_header& at, std::uint64_t ready) const noexcept {
    if ((ready & shape_mask) == 0) {
      const std::uint32_t size_wide = at.size_wide.own();
      const std::uint32_t size = size_wide & ~wide_bit;
      const std::uint32_t header_bytes =
          (size_wide & wide_bit) != 0 ? wide_header_bytes : plain_header_bytes;
      return {record_bytes(size, header_bytes), size, at.kind_hops.own(), header_bytes};
    }
    const std::uint64_t entry = shapes[(ready & shape_mask) >> shape_shift].own();
    const auto size = static_cast<std::uint32_t>(entry);
    const std::uint64_t length = entry == 0 ? 0 : record_bytes(size, brief_header_bytes);
    return {length, size, static_cast<std::uint32_t>(entry >> 32), brief_header_bytes};
  }
  // Whether a record of that shape can be in the ring at all.
  [[nodiscard]] bool holds(const record_shape& what) const noexcept {
    return what.length != 0 && what.length + line_bytes <= capacity;
  }
};

// The shapes of one writer, all its lanes together, and where to find them fast.
class shape_book {
 public:
  // `shapes`: shapes_max words of the writer's control block; what is there stays.
  explicit shape_book(word<std::uint64_t>* shapes) noexcept;
  // Number of that shape, shifted to its place in `ready`; 0: it has none, since they are used up
  // or its hops will not stay what they are.
  [[nodiscard]] std::uint64_t number_of(const record_shape& what) noexcept {
    const std::uint64_t packed = what.packed();
    if (packed != last_) [[unlikely]]
      find(packed);
    return last_number_;
  }
  [[nodiscard]] const word<std::uint64_t>* shapes() const noexcept { return shapes_; }

 private:
  // A power of two, and twice what there can be: a search soon meets an empty place.
  static constexpr std::size_t places = std::size_t{2} * shapes_max;

  [[nodiscard]] static bool is_worth_an_entry(std::uint64_t packed) noexcept;
  void find(std::uint64_t packed) noexcept;
  [[nodiscard]] std::uint8_t& place_of(std::uint64_t packed) noexcept;

  word<std::uint64_t>* shapes_;
  std::uint64_t last_ = 0;
  std::uint64_t last_number_ = 0;
  std::uint32_t used_ = 1;  // Number 0 stays free.
  std::array<std::uint8_t, places> number_at_{};
};

}  // namespace cyto
