// cyto/message.hpp
//
// What: FlatBuffers in a lane. The builder's buffer is a private block while the message is small
//   and the ring itself once it is not; reading is always in place.
//       auto& fbb = builder.begin(writer);  fbb.Finish(CreateTick(fbb, 7));
//       builder.end(message_kind<Tick>(), 0);
//       const Tick* tick = open_message<Tick>(view);   // nullptr: not a sound Tick
//       const Tick* tick = trust_message<Tick>(view);  // not verified: its writer is believed
//       prebuilt<Tick> tick([](auto& fbb) { return CreateTick(fbb, 0); });   // built once,
//       tick->mutate_number(7);                        // and changed where it lies, sent by copy
//
// Who: the holder of the slot, on one thread; one builder serves all its lanes in turn.
//
// Layout: FlatBufferBuilder writes from high to low addresses, and so does the lane: a message of a
//   size nobody declared grows downward below the record's header. Up to `private_bytes` it is
//   built in a block that stays in this core's cache and is copied once, because a reader that
//   polls the header's line steals it from a builder (512 against 1156 ns a round trip at 56
//   bytes). Larger ones move into the ring once and go on there. When the ring has no room in the
//   middle of a build, a private spill takes over and the refusal comes at the end, when the exact
//   size is known.
//
// Ordering: none of its own; lane.hpp publishes.
//
// Death: a half-built message is private, or lies above the writer's newest record where nobody
//   looks. begin() forgets it.
#pragma once

#include <flatbuffers/flatbuffers.h>

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "cyto/lane.hpp"
#include "cyto/types.hpp"

namespace cyto {

// Above this size in bytes a message is built in the ring. Measured: see docs/ARCHITECTURE.md.
inline constexpr std::size_t private_bytes = 2048;

// A message type's number on the wire: 24 bits of its fully qualified name's hash. Two types of one
// system whose numbers meet are refused when handlers are registered. REQUIRES: the header was
// generated with --gen-name-strings, as cyto_schema() does.
template <class T>
constexpr std::uint32_t message_kind() noexcept {
  constexpr std::uint64_t hash = hash_bytes(T::GetFullyQualifiedName());
  return static_cast<std::uint32_t>(hash & 0xffffffU);
}

// The message in `view`, or nullptr if its bytes are not a sound T. Reads where it lies.
template <class T>
const T* open_message(const message_view& view) noexcept {
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(view.data);
  // The verifier takes the beginning of what it is shown for aligned. It is shown the message's
  // first line from that line's beginning, so a size that would misalign the message is seen.
  const std::size_t before = reinterpret_cast<std::uintptr_t>(bytes) % line_bytes;
  flatbuffers::Verifier verifier(bytes - before, before + view.size);
  if (view.size < sizeof(flatbuffers::uoffset_t) ||
      !verifier.template VerifyBufferFromStart<T>(nullptr, before)) [[unlikely]]
    return nullptr;
  return flatbuffers::GetRoot<T>(bytes);
}

// The same without verifying: nullptr only if its root lies outside. Offsets in it are followed as
// they stand when fields are read, so bytes that are no sound T make this process read anywhere in
// its memory, or die.
template <class T>
const T* trust_message(const message_view& view) noexcept {
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(view.data);
  if (view.size < 2 * sizeof(flatbuffers::uoffset_t)) [[unlikely]]
    return nullptr;
  const auto root = flatbuffers::ReadScalar<flatbuffers::uoffset_t>(bytes);
  if (root > view.size - sizeof(flatbuffers::soffset_t)) [[unlikely]]
    return nullptr;
  return reinterpret_cast<const T*>(bytes + root);
}

template <class T>
const T* open_message(const message_view& view, bool is_verified) noexcept {
  return is_verified ? open_message<T>(view) : trust_message<T>(view);
}

// A message that was built once, of which fields are set in place before each time it is sent: no
// builder runs then. Only what does not change the size can be set (numbers, structs, elements of
// vectors), by the mutate_ functions that cyto_schema() has flatc generate. Defaults are written
// out, so that each field has a place. For one thread, as the turn it is sent in.
template <class T>
class prebuilt {
 public:
  // `build` gets a FlatBufferBuilder and returns the root's offset, as for turn::send().
  template <class Build>
  explicit prebuilt(const Build& build) {
    flatbuffers::FlatBufferBuilder fbb;
    fbb.ForceDefaults(true);
    fbb.Finish(build(fbb));
    size_ = fbb.GetSize();
    alignment_ = fbb.GetBufferMinAlignment();
    lines_.resize(round_up(size_, line_bytes) / line_bytes);
    std::memcpy(lines_.data(), fbb.GetBufferPointer(), size_);
  }
  [[nodiscard]] T* operator->() noexcept { return flatbuffers::GetMutableRoot<T>(lines_.data()); }
  [[nodiscard]] T& operator*() noexcept { return *operator->(); }

  [[nodiscard]] const void* data() const noexcept { return lines_.data(); }
  [[nodiscard]] std::uint32_t size() const noexcept { return size_; }
  // Of its parts, the largest; in bytes.
  [[nodiscard]] std::size_t alignment() const noexcept { return alignment_; }

 private:
  struct line {
    alignas(line_bytes) std::byte bytes[line_bytes];
  };
  std::vector<line> lines_;
  std::uint32_t size_ = 0;
  std::size_t alignment_ = 1;
};

// Hands out memory whose end stays put while it grows downward.
class lane_allocator final : public flatbuffers::Allocator {
 public:
  void begin(lane_writer& to) noexcept {
    writer_ = &to;
    place_ = place::block;
  }
  std::uint8_t* allocate(std::size_t bytes) override;
  void deallocate(std::uint8_t*, std::size_t) override {}
  std::uint8_t* reallocate_downward(std::uint8_t* old_start, std::size_t old_bytes,
                                    std::size_t new_bytes, std::size_t back,
                                    std::size_t front) override;
  // Whether the message stands in the ring already.
  [[nodiscard]] bool in_ring() const noexcept { return place_ == place::ring; }

 private:
  enum class place : std::uint8_t { block, ring, spill };
  std::uint8_t* spill(std::size_t bytes);

  alignas(line_bytes) std::uint8_t block_[private_bytes];
  lane_writer* writer_ = nullptr;
  std::uint8_t* ring_end_ = nullptr;
  place place_ = place::block;
  std::unique_ptr<std::uint8_t[]> spill_[2];  // Two, because growth copies from one to the other.
  std::size_t spill_bytes_[2] = {0, 0};
  unsigned spill_used_ = 0;
};

class message_builder {
 public:
  message_builder() : fbb_(512, &allocator_) {}
  message_builder(const message_builder&) = delete;
  message_builder& operator=(const message_builder&) = delete;

  // Starts a message for `to`, forgetting one that was not ended.
  flatbuffers::FlatBufferBuilder& begin(lane_writer& to) {
    fbb_.Reset();
    allocator_.begin(to);
    writer_ = &to;
    return fbb_;
  }
  // Stages the finished message. REQUIRES: fbb.Finish() was called since begin().
  status end(std::uint32_t kind, std::uint8_t hops) noexcept;

  // Where the finished message stands, until begin(); its size in bytes, and the largest alignment
  // of its parts.
  [[nodiscard]] const void* data() const noexcept { return fbb_.GetBufferPointer(); }
  [[nodiscard]] std::size_t alignment() const noexcept { return fbb_.GetBufferMinAlignment(); }
  [[nodiscard]] std::uint32_t size() const noexcept { return fbb_.GetSize(); }

 private:
  lane_allocator allocator_;
  flatbuffers::FlatBufferBuilder fbb_;
  lane_writer* writer_ = nullptr;
};

}  // namespace cyto
