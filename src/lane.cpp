#include "cyto/lane.hpp"

namespace cyto {

lane_writer::lane_writer(lane_ring where, output_line& line,
                         const word<std::uint64_t>& read_published, std::uint64_t commit) noexcept
    : ring_(where), line_(&line), read_published_(&read_published) {
  const auto sent = line.sent.own_current(commit);
  write_ = committed_ = sent[0];
  accepted_ = sent[1];
  accepted_bytes_ = sent[2];
  // The reader's word is input: what it cannot have given back leaves no room, and no more.
  const std::uint64_t least = committed_ - std::min(committed_, where.capacity);
  read_seen_ = std::clamp(read_published.observe(), least, committed_);
}

void lane_writer::seal(std::uint64_t stamp) noexcept {
  std::byte* top = ring_.top(committed_);
  record_header& first = ring_.header(committed_);
  if ((first_size_wide_ & wide_bit) == 0) {
    const std::size_t kept = std::min<std::size_t>(first_size_wide_, sizeof kept_);
    std::memcpy(top - sizeof(record_header) - kept, kept_ + sizeof kept_ - kept, kept);
  }
  first.size_wide.stage(first_size_wide_);
  first.kind_hops.stage(first_kind_hops_);
  first.ready.stage(stamp);
  std::uint64_t at = committed_;
  for (std::uint32_t i = 0; i < staged_; ++i) {
    record_header& header = ring_.header(at);
    header.ready.stage(stamp);
    const std::uint32_t size_wide = header.size_wide.own();
    at += record_bytes(size_wide & ~wide_bit, (size_wide & wide_bit) != 0);
  }
  spare_ = 1 - (line_->sent.current(stamp - 1) & 1);
  line_->sent.stage(spare_, {write_, accepted_ + staged_, accepted_bytes_ + staged_bytes_});
  line_->sent.seal(spare_, stamp);
}

void lane_writer::announce(std::uint64_t stamp) noexcept {
  ring_.header(committed_).ready.publish(stamp | committed_bit);  // L4
  committed_ = write_;
  accepted_ += staged_;
  accepted_bytes_ += staged_bytes_;
  staged_ = 0;
  staged_bytes_ = 0;
  // The next turn writes here; the reader may still own these lines.
  const std::byte* next = ring_.top(committed_);
  for (std::size_t i = 1; i <= 4; ++i) __builtin_prefetch(next - i * line_bytes, 1);
}

lane_reader::lane_reader(lane_ring where, input_line& line,
                         const word<std::uint64_t>& writer_commit, std::uint64_t commit) noexcept
    : ring_(where), line_(&line), writer_commit_(&writer_commit) {
  const auto taken = line.taken.own_current(commit);
  read_ = committed_ = taken[0];
  delivered_ = taken[1];
  dropped_ = taken[2];
}

std::uint64_t lane_reader::seal(std::uint64_t stamp) noexcept {
  const std::uint64_t bytes = read_ - committed_;
  spare_ = 1 - (line_->taken.current(stamp - 1) & 1);
  const auto dropped_more = static_cast<std::uint64_t>(std::int64_t{dropped_more_});
  delivered_ += taken_ - dropped_more;
  dropped_ += dropped_more;
  line_->taken.stage(spare_, {read_, delivered_, dropped_});
  line_->taken.seal(spare_, stamp);
  committed_ = read_;
  stamp_committed_ = stamp_taken_;
  taken_ = 0;
  dropped_more_ = 0;
  return bytes;
}

lane_walk walk(lane_ring where, std::uint64_t from, std::uint64_t commit) noexcept {
  lane_walk out{from, 0, true};
  if (from % line_bytes != 0) {
    out.sound = false;
    return out;
  }
  for (;;) {
    const record_header& header = where.header(out.position);
    const std::uint64_t ready = header.ready.observe();
    if (ready == 0 || ((ready & committed_bit) == 0 && ready > commit)) return out;
    const std::uint32_t size_wide = header.size_wide.own();
    const std::uint64_t length = record_bytes(size_wide & ~wide_bit, (size_wide & wide_bit) != 0);
    if (out.position - from + length + line_bytes > where.capacity) {
      out.sound = false;
      return out;
    }
    out.position += length;
    ++out.count;
  }
}

bool recover_writer(lane_ring where, output_line& line, const word<std::uint64_t>& read_published,
                    std::uint64_t commit) noexcept {
  line.sent.wipe(commit);
  if (line.sent.current(commit) == versioned<3>::none) return false;
  // The writer's own account says where its last committed record ends.
  const std::uint64_t end = line.sent.own_current(commit)[0];
  if (end % line_bytes != 0) return false;
  where.header(end).ready.stage(0);  // Cuts the ghost (L2).
  // A reader that tells nonsense spoils this lane only, and is found by whoever observes it.
  const std::uint64_t read = read_published.observe();
  if (read > end || end - read > where.capacity || read % line_bytes != 0) return true;
  const lane_walk found = walk(where, read, commit);
  return found.sound && found.position == end;
}

}  // namespace cyto
