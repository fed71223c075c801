// cyto/lane.hpp
//
// What: a ring of byte records with one writer and one reader, filled downward.
//       writer.append(bytes, size, kind_hops, alignment)   // staged; the turn publishes it
//       reader.peek(view)                                  // where it lies, once committed
//
// Who:                       writer's process   reader's process   successor, under the slot's lock
//   append, claim, seal            x
//   peek, take, give_back                              x
//   recover_writer                                                       x (of the writer)
//
// Layout: records, of which record.hpp tells the bytes. `ready` is 0: nothing here; or has the
//   stamp s of its turn, with or without the bit that says that s is known to be committed.
//
// Ordering (prototype and models: tests/model/turn.pml):
//   L1 A record counts once the writer's commit word is >= its stamp. The reader looks at `ready`
//      first, at the commit word if the bit stays away, and at `ready` again after the commit word:
//      between the two looks a dead writer's record may have been cut and written anew.
//   L2 The word above which the next record would stand is zeroed before the newest record can be
//      seen, so an old header is never taken for a record.
//   L3 Space is given back (published) only after the turn that consumed it has committed.
//   L4 Only the first record of a lane in a turn gets the bit: whoever takes it knows that the
//      commit word has reached its stamp. A cached commit word only ever says yes.
//   L5 The line that the reader polls is written once, at the end of the turn: until then the first
//      record's header line is kept in private memory.
//
// Death: a writer killed in a turn leaves records above its commit word; recover_writer() zeroes
//   the ready word behind the last committed one, and walks there from the reader's position to see
//   that records and account agree. A reader killed leaves its position in an `input_line`,
//   versioned like everything of a turn.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "cyto/cursor.hpp"
#include "cyto/record.hpp"
#include "cyto/segment.hpp"
#include "cyto/types.hpp"

namespace cyto {

class lane_writer {
 public:
  // `book`: of the writer's slot, whose lanes share it.
  lane_writer(lane_ring where, shape_book& book, output_line& line,
              const word<std::uint64_t>& read_published, std::uint64_t commit) noexcept;

  // Stages a copy of the payload, which has parts aligned to `alignment`.
  status append(const void* data, std::uint32_t size, std::uint32_t kind_hops,
                std::size_t alignment) noexcept {
    record_shape what{0, size, kind_hops, header_bytes_of(size, alignment)};
    std::uint64_t number = 0;
    if (what.header_bytes == brief_header_bytes) {
      number = book_->number_of(what);
      if (number == 0) [[unlikely]]
        what.header_bytes = plain_header_bytes;
    }
    what.length = record_bytes(size, what.header_bytes);
    if (const status fits = reserve(what.length); fits != status::ok) return fits;
    std::byte* top = top_;
    const auto* from = static_cast<const std::byte*>(data);
    if (staged_ != 0 || what.header_bytes == wide_header_bytes) {
      std::memcpy(top - what.header_bytes - size, from, size);
    } else if (what.header_bytes == plain_header_bytes) {
      keep<plain_header_bytes>(top, from, size);
    } else {
      keep<brief_header_bytes>(top, from, size);
    }
    stage_record(what, number);
    return status::ok;
  }

  // Room in the ring itself for a payload of up to `bytes`, for building in place: the payload must
  // end at the returned address. nullptr when there is no room now.
  [[nodiscard]] std::byte* claim(std::uint64_t bytes) noexcept {
    if (reserve(record_bytes(bytes, wide_header_bytes)) != status::ok) return nullptr;
    return top_ - wide_header_bytes;
  }
  // Stages the claimed payload: `size` bytes that end where claim() said.
  void append_claimed(std::uint32_t size, std::uint32_t kind_hops) noexcept {
    stage_record({record_bytes(size, wide_header_bytes), size, kind_hops, wide_header_bytes}, 0);
  }

  // Ends of a turn, in this order: seal, (the commit word), announce. Or forget.
  void seal(std::uint64_t stamp) noexcept;
  void announce(std::uint64_t stamp) noexcept;
  void forget() noexcept {
    write_ = committed_;
    top_ = ring_.top(write_);
    staged_ = 0;
    staged_bytes_ = 0;
  }

  // Where the next record will stand.
  [[nodiscard]] std::uint64_t position() const noexcept { return write_; }
  [[nodiscard]] std::uint32_t staged() const noexcept { return staged_; }
  [[nodiscard]] std::uint64_t staged_ring_bytes() const noexcept { return write_ - committed_; }
  // Bytes of room with which this turn could have staged the record last refused as `full`.
  [[nodiscard]] std::uint64_t room_wanted() const noexcept {
    return write_ - committed_ + refused_ + line_bytes;
  }
  // Of the ring, by the turn in progress.
  [[nodiscard]] std::uint64_t staged_bytes() const noexcept { return write_ - committed_; }
  [[nodiscard]] std::uint64_t capacity_bytes() const noexcept { return ring_.capacity; }
  // Largest payload that can ever fit.
  [[nodiscard]] std::uint64_t payload_bytes_max() const noexcept {
    return ring_.capacity - line_bytes - plain_header_bytes;
  }
  // Bytes free as last seen, without touching the reader's line.
  [[nodiscard]] std::uint64_t room_seen() const noexcept {
    return read_seen_ + ring_.capacity - write_;
  }
  // Looks at the reader's line.
  std::uint64_t room() noexcept {
    read_seen_ = std::max(read_seen_, std::min(read_published_->observe(), committed_));
    return room_seen();
  }
  [[nodiscard]] bool was_empty() const noexcept { return read_published_->observe() == committed_; }

 private:
  // Whether a record of `length` bytes and the zero word below it fit.
  [[nodiscard]] status reserve(std::uint64_t length) noexcept {
    if (length + line_bytes > ring_.capacity) [[unlikely]]
      return status::too_big;
    if (length + line_bytes > room_seen() && length + line_bytes > room()) [[unlikely]] {
      refused_ = length;
      return status::full;
    }
    return status::ok;
  }
  // L5: the part of the first record that shares the header's line is kept back with it.
  template <std::uint32_t HeaderBytes>
  void keep(std::byte* top, const std::byte* from, std::uint32_t size) noexcept {
    constexpr std::uint32_t room = line_bytes - HeaderBytes;
    if (size < room) {
      std::memcpy(kept_ + room - size, from, size);
    } else {
      const std::uint32_t rest = size - room;
      std::memcpy(kept_, from + rest, room);
      if (rest != 0) std::memcpy(top - HeaderBytes - size, from, rest);
    }
  }
  void stage_record(const record_shape& what, std::uint64_t number) noexcept {
    if (staged_ == 0) {
      first_ = what;
      first_number_ = number;
      first_top_ = top_;
    } else if (number != 0) {
      lane_ring::header_at(top_).ready.stage(number | stamp_mask);  // No turn has that stamp.
    } else {
      write_header(lane_ring::header_at(top_), what);
    }
    write_ += what.length;
    top_ = ring_.below(top_, what.length);
    lane_ring::header_at(top_).ready.stage(0);  // L2
    ++staged_;
    staged_bytes_ += what.size;
  }
  static void write_header(record_header& to, const record_shape& what) noexcept {
    const bool is_wide = what.header_bytes == wide_header_bytes;
    to.size_wide.stage(what.size | (is_wide ? wide_bit : 0));
    to.kind_hops.stage(what.kind_hops);
  }

  lane_ring ring_;
  shape_book* book_;
  output_line* line_;
  const word<std::uint64_t>* read_published_;
  std::byte* top_ = nullptr;     // Of the record to come, as `write_` has it.
  std::uint64_t write_ = 0;      // Behind the newest staged record.
  std::uint64_t committed_ = 0;  // Behind the newest committed record.
  std::uint64_t read_seen_ = 0;
  std::uint64_t accepted_ = 0;
  std::uint64_t accepted_bytes_ = 0;
  std::uint64_t staged_bytes_ = 0;
  std::uint64_t refused_ = 0;
  std::uint32_t staged_ = 0;
  unsigned spare_;  // The version that is not current: the next turn writes it.
  record_shape first_;
  std::byte* first_top_ = nullptr;
  std::uint64_t first_number_ = 0;  // Of its shape; 0: its header says all.
  std::byte kept_[line_bytes - brief_header_bytes] = {};
};

// Why a message was not sent.
enum class lane_loss : std::uint8_t { hops, no_room, refused };

// A writer's count of what it has not sent along a lane, by reason; part of its turns.
class lane_losses {
 public:
  lane_losses(output_line& line, std::uint64_t commit) noexcept;

  void add(lane_loss why) noexcept {
    ++now_[static_cast<std::size_t>(why)];
    has_changed_ = true;
  }
  [[nodiscard]] bool has_changed() const noexcept { return has_changed_; }
  // Ends of a turn: seal, before the commit word; or forget.
  void seal(std::uint64_t stamp) noexcept;
  void forget() noexcept {
    now_ = committed_;
    has_changed_ = false;
  }

 private:
  output_line* line_;
  unsigned spare_;
  bool has_changed_ = false;
  versioned<3>::values committed_;
  versioned<3>::values now_;
};

enum class look : std::uint8_t { nothing, message, corrupt };

class lane_reader {
 public:
  lane_reader(lane_ring where, input_line& line, const word<std::uint64_t>& writer_commit,
              std::uint64_t commit) noexcept;

  // The record at the read position, if its turn has committed.
  look peek(message_view& out) noexcept {
    const look found = find();
    if (found == look::message) show(out);
    return found;
  }
  // peek() in two steps, for who wants the stamp first. REQUIRES, of the others: find() found one.
  look find() noexcept {
    const record_header& header = lane_ring::header_at(top_);
    const std::uint64_t ready = header.ready.observe();
    if (ready == 0) return look::nothing;
    if (ready < committed_bit) return find_without_bit(header, ready);
    commit_seen_ = std::max(commit_seen_, ready & stamp_mask);
    return read_header(header, ready);
  }
  [[nodiscard]] std::uint64_t front_stamp() const noexcept { return front_stamp_; }
  void show(message_view& out) const noexcept {
    out.data = top_ - front_.header_bytes - front_.size;
    out.size = front_.size;
    out.kind = front_.kind_hops & 0xffffffU;
    out.hops = static_cast<std::uint8_t>(front_.kind_hops >> 24);
    out.stamp = front_stamp_;
  }
  // Its length in a ring; and what some of its parts may be aligned to, at most.
  [[nodiscard]] std::uint64_t front_bytes() const noexcept { return front_.length; }
  [[nodiscard]] std::size_t front_alignment() const noexcept { return front_.header_bytes; }
  // The word that says whether there is something at the read position.
  [[nodiscard]] const word<std::uint64_t>& front_ready() const noexcept {
    return lane_ring::header_at(top_).ready;
  }
  // Takes the record that peek() showed, for the turn in progress.
  void take(const message_view& taken) noexcept {
    read_ += front_.length;
    top_ = ring_.below(top_, front_.length);
    stamp_taken_ = taken.stamp;
    ++taken_;
  }
  // The same for a record that is not handled: it counts as dropped.
  void drop(const message_view& taken) noexcept {
    take(taken);
    ++dropped_more_;
  }
  // A record dropped before was handled after all.
  void redeem() noexcept { --dropped_more_; }

  // Ends of a turn, in this order: seal, (the commit word), give_back. Or forget. seal() returns
  // how many bytes the turn has taken.
  std::uint64_t seal(std::uint64_t stamp) noexcept;
  void give_back() noexcept { line_->read_published.publish(read_); }  // L3
  void forget() noexcept {
    read_ = committed_;
    top_ = ring_.top(read_);
    taken_ = 0;
    dropped_more_ = 0;
    stamp_taken_ = stamp_committed_;
  }

  // Whether nothing stands at the read position, committed or not.
  [[nodiscard]] bool looks_empty() const noexcept { return front_ready().own() == 0; }
  // Where the front stands, taken in this turn or not.
  [[nodiscard]] std::uint64_t position() const noexcept { return read_; }
  // Taken, in this turn or before, and not given back.
  [[nodiscard]] std::uint64_t kept_bytes() const noexcept {
    return read_ - line_->read_published.own();
  }
  // Whether the turn in progress changes this end's account.
  [[nodiscard]] bool has_changed() const noexcept {
    return (taken_ | static_cast<std::uint32_t>(dropped_more_)) != 0;
  }
  [[nodiscard]] std::uint64_t capacity_bytes() const noexcept { return ring_.capacity; }
  // Shuts the lane after nonsense was found in it. It stays shut.
  void fence() noexcept { line_->fenced.publish(read_ + 1); }
  [[nodiscard]] bool is_fenced() const noexcept { return line_->fenced.own() != 0; }

 private:
  static constexpr int looks_for_bit = 64;

  // Of all records of a turn but the first, and of the first for a moment.
  look find_without_bit(const record_header& header, std::uint64_t ready) noexcept {
    // The bit is a few stores behind. To wait for it is cheaper than to take the writer's commit
    // word away from it, which would hold up the next one too.
    for (int i = 0; i < looks_for_bit && (ready & stamp_mask) > commit_seen_; ++i) {
      if (ready >= committed_bit) break;
      ready = header.ready.observe();
    }
    if (ready == 0) return look::nothing;
    const std::uint64_t stamp = ready & stamp_mask;
    if ((ready & committed_bit) != 0) {
      commit_seen_ = std::max(commit_seen_, stamp);
    } else if (stamp > commit_seen_) {  // L4
      commit_seen_ = std::max(commit_seen_, writer_commit_->observe());
      if (stamp > commit_seen_) return look::nothing;
      if ((header.ready.observe() & ~committed_bit) != ready) return look::nothing;  // L1
    }
    return read_header(header, ready);
  }
  // A peer's bytes are input: each number is read once and checked before it is used.
  look read_header(const record_header& header, std::uint64_t ready) noexcept {
    const record_shape what = ring_.shape_of(header, ready);
    const std::uint64_t stamp = ready & stamp_mask;
    // One by one: a copy of the whole would be loaded by halves that were just stored in parts, and
    // wait until these have left the store buffer.
    front_.length = what.length;
    front_.size = what.size;
    front_.kind_hops = what.kind_hops;
    front_.header_bytes = what.header_bytes;
    front_stamp_ = stamp;
    if (!ring_.holds(what) || stamp < stamp_taken_ || stamp > stamp_max || stamp == 0)
        [[unlikely]] {
      return look::corrupt;
    }
    // The reader will follow offsets through the payload: fetch its lines all at once. Of a large
    // one fetch the beginning, where FlatBuffers have their root.
    const std::byte* stop = top_ - what.length;
    if (what.length > 17 * line_bytes) [[unlikely]] {
      for (std::uint64_t i = 0; i < 4; ++i) __builtin_prefetch(stop + i * line_bytes);
    } else {
      for (const std::byte* at = top_ - 2 * line_bytes; at >= stop; at -= line_bytes) {
        __builtin_prefetch(at);
      }
    }
    return look::message;
  }

  lane_ring ring_;
  input_line* line_;
  const word<std::uint64_t>* writer_commit_;
  std::byte* top_ = nullptr;  // Of the front, as `read_` has it.
  std::uint64_t read_ = 0;
  std::uint64_t committed_ = 0;
  std::uint64_t commit_seen_ = 0;
  std::uint64_t stamp_taken_ = 0;
  std::uint64_t stamp_committed_ = 0;
  std::uint64_t delivered_ = 0;
  std::uint64_t dropped_ = 0;
  std::uint32_t taken_ = 0;
  std::int32_t dropped_more_ = 0;
  unsigned spare_;      // The version that is not current: the next turn writes it.
  record_shape front_;  // Of the record that find() has found.
  std::uint64_t front_stamp_ = 0;
};

inline void lane_writer::seal(std::uint64_t stamp) noexcept {
  line_->sent.stage(spare_, {write_, accepted_ + staged_, accepted_bytes_ + staged_bytes_});
  line_->sent.seal(spare_, stamp);
  spare_ = 1 - spare_;
  // After the account, so that of a single record little stands between its header and the bit: its
  // reader waits on this very line.
  // The whole line: below a shorter payload there is only slack.
  record_header& first = lane_ring::header_at(first_top_);
  std::byte* line = first_top_ - line_bytes;
  if (first_number_ != 0) {
    std::memcpy(line, kept_, line_bytes - brief_header_bytes);
  } else {
    if (first_.header_bytes == plain_header_bytes) {
      std::memcpy(line, kept_, line_bytes - plain_header_bytes);
    }
    write_header(first, first_);
  }
  first.ready.stage(stamp | first_number_);
  // By positions: whoever writes over its own lane is led nowhere but into it.
  std::uint64_t at = committed_ + first_.length;
  for (std::uint32_t i = 1; i < staged_; ++i) {
    record_header& each = ring_.header(at);
    const std::uint64_t number = each.ready.own() & shape_mask;
    at += ring_.shape_of(each, number).length;
    each.ready.stage(stamp | number);
  }
}

inline void lane_writer::announce(std::uint64_t stamp) noexcept {
  lane_ring::header_at(first_top_).ready.publish(stamp | first_number_ | committed_bit);  // L4
  // The next turn writes there, probably as much as this one; the reader may still own the lines.
  // Of a large message only the top is written at once.
  const std::uint64_t used = (write_ - committed_) / line_bytes;
  const std::uint64_t lines = used < 2 || used > 22 ? 4 : used + 2;
  committed_ = write_;
  accepted_ += staged_;
  accepted_bytes_ += staged_bytes_;
  staged_ = 0;
  staged_bytes_ = 0;
  for (std::uint64_t i = 1; i <= lines; ++i) expect_to_write(top_ - i * line_bytes);
}

inline std::uint64_t lane_reader::seal(std::uint64_t stamp) noexcept {
  const std::uint64_t bytes = read_ - committed_;
  const auto dropped_more = static_cast<std::uint64_t>(std::int64_t{dropped_more_});
  delivered_ += taken_ - dropped_more;
  dropped_ += dropped_more;
  line_->taken.stage(spare_, {read_, delivered_, dropped_});
  line_->taken.seal(spare_, stamp);
  spare_ = 1 - spare_;
  committed_ = read_;
  stamp_committed_ = stamp_taken_;
  taken_ = 0;
  dropped_more_ = 0;
  return bytes;
}

// What a walk over a lane's committed records found.
struct lane_walk {
  std::uint64_t position = 0;  // Of the first record that is not committed.
  std::uint64_t count = 0;
  bool sound = true;  // False: a header was nonsense.
};
lane_walk walk(lane_ring where, std::uint64_t from, std::uint64_t commit) noexcept;

// First act of a writer's successor: cuts the lane behind the last committed record. Idempotent.
// Returns false when what is in the ring contradicts the writer's own account.
bool recover_writer(lane_ring where, output_line& line, const word<std::uint64_t>& read_published,
                    std::uint64_t commit) noexcept;

}  // namespace cyto
