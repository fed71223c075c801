#include "cyto/lane.hpp"

namespace cyto {

lane_writer::lane_writer(lane_ring where, shape_book& book, output_line& line,
                         const word<std::uint64_t>& read_published, std::uint64_t commit) noexcept
    : ring_(where), book_(&book), line_(&line), read_published_(&read_published) {
  ring_.shapes = book.shapes();
  spare_ = 1 - (line.sent.current(commit) & 1);
  const auto sent = line.sent.own_current(commit);
  write_ = committed_ = sent[0];
  top_ = ring_.top(write_);
  accepted_ = sent[1];
  accepted_bytes_ = sent[2];
  // The reader's word is input: what it cannot have given back leaves no room, and no more.
  const std::uint64_t least = committed_ - std::min(committed_, where.capacity);
  read_seen_ = std::clamp(read_published.observe(), least, committed_);
}

lane_reader::lane_reader(lane_ring where, input_line& line,
                         const word<std::uint64_t>& writer_commit, std::uint64_t commit) noexcept
    : ring_(where), line_(&line), writer_commit_(&writer_commit) {
  spare_ = 1 - (line.taken.current(commit) & 1);
  const auto taken = line.taken.own_current(commit);
  read_ = committed_ = taken[0];
  top_ = ring_.top(read_);
  delivered_ = taken[1];
  dropped_ = taken[2];
}

lane_losses::lane_losses(output_line& line, std::uint64_t commit) noexcept
    : line_(&line),
      spare_(1 - (line.lost.current(commit) & 1)),
      committed_(line.lost.own_current(commit)),
      now_(committed_) {}

void lane_losses::seal(std::uint64_t stamp) noexcept {
  line_->lost.stage(spare_, now_);
  line_->lost.seal(spare_, stamp);
  spare_ = 1 - spare_;
  committed_ = now_;
  has_changed_ = false;
}

lane_walk walk(lane_ring where, std::uint64_t from, std::uint64_t commit) noexcept {
  lane_walk out{from, 0, true};
  if (from % line_bytes != 0) {
    out.sound = false;
    return out;
  }
  for (;;) {
    const std::uint64_t ready = where.header(out.position).ready.observe();
    const bool is_committed = (ready & committed_bit) != 0 || (ready & stamp_mask) <= commit;
    if (ready == 0 || !is_committed) return out;
    const record_shape what = where.shape(out.position, ready);
    if (!where.holds(what) || out.position - from + what.length + line_bytes > where.capacity) {
      out.sound = false;
      return out;
    }
    out.position += what.length;
    ++out.count;
  }
}

bool recover_writer(lane_ring where, output_line& line, const word<std::uint64_t>& read_published,
                    std::uint64_t commit) noexcept {
  line.sent.wipe(commit);
  line.lost.wipe(commit);
  line.merged.wipe(commit);
  if (line.sent.current(commit) == versioned<3>::none ||
      line.lost.current(commit) == versioned<3>::none ||
      line.merged.current(commit) == versioned<3>::none) {
    return false;
  }
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
