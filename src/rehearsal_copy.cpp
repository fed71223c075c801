// The memory of a rehearsal.
#include <fcntl.h>
#include <linux/memfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "cyto/cell.hpp"
#include "rehearsal.hpp"

namespace cyto {
namespace {

constexpr int still_tries = 64;

class copy {
 public:
  copy(const segment& from, const file& to)
      : from_(&from), pages_(to.get(), 0, from.header().segment_bytes, true) {}

  // The kernel copies, so no load here races with a store over there.
  void take(std::uint64_t offset, std::uint64_t bytes) const {
    while (bytes > 0) {
      const ssize_t got =
          pread(from_->fd(), pages_.data() + offset, bytes, static_cast<off_t>(offset));
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) {
        throw_errno(errno, error_code::failed, "system " + std::string(from_->name()),
                    "its memory cannot be copied for a rehearsal");
      }
      offset += static_cast<std::uint64_t>(got);
      bytes -= static_cast<std::uint64_t>(got);
    }
  }
  template <class T>
  [[nodiscard]] T& at(std::uint64_t offset) const noexcept {
    return *reinterpret_cast<T*>(pages_.data() + offset);
  }

 private:
  const segment* from_;
  mapping pages_;
};

// What lies between two turns, unless the holder is quicker than a copy, again and again; then a
// part of what one more turn has changed is among it.
void take_control(const copy& to, const segment& from, const slot_entry& entry,
                  std::uint32_t slot_index) {
  const word<std::uint64_t>& commit = from.control_of(slot_index).commit;
  for (int i = 0; i < still_tries; ++i) {
    const std::uint64_t before = commit.observe();
    to.take(entry.control_offset, entry.control_bytes);
    if (commit.observe() == before) return;
  }
}

// Nothing waits in a lane of the copy: the rings are zeros there, so the readers have read all.
void empty_lanes(const copy& to, const segment& from, std::uint32_t slot_index,
                 std::uint64_t commit) {
  const slot_entry& entry = from.slot(slot_index);
  const std::uint64_t outputs =
      entry.control_offset + sizeof(control) + entry.input_count * sizeof(input_line);
  for (std::uint32_t i = 0; i < from.lane_count(); ++i) {
    const lane_entry& lane = from.lane(i);
    if (lane.writer_slot != slot_index) continue;
    const auto& mine = to.at<output_line>(outputs + lane.writer_index * sizeof(output_line));
    const std::uint64_t theirs = from.slot(lane.reader_slot).control_offset + sizeof(control) +
                                 lane.reader_index * sizeof(input_line);
    const auto sent = mine.sent.own_current(commit);
    auto& reader = to.at<input_line>(theirs);
    reader.read_published.publish(sent[0]);
    if (lane.reader_slot != slot_index) continue;
    // It reads from itself: the position is its own too.
    reader.taken.stage(0, {sent[0], sent[1], 0});
    reader.taken.seal(0, commit);
    reader.taken.stage(1, {});  // And not sealed: it counts for nothing.
  }
}

}  // namespace

file copy_for_rehearsal(const segment& where, std::uint32_t slot_index) {
  const std::string thing = "rehearsal of worker " + std::string(where.slot(slot_index).name);
  const slot_entry& entry = where.slot(slot_index);
  versioned<7>::values root{};
  std::uint64_t seen = 0;
  // Cells grow at their end only; what is behind it is zeros.
  const control& live = where.control_of(slot_index);
  if (!live.root.read(live.commit, root, seen) || root[root_end] > entry.arena_bytes) {
    root[root_end] = entry.arena_bytes;
  }
  const std::uint64_t available = memory_available();
  if (root[root_end] + entry.control_bytes > available) {
    throw error(error_code::bad_input, thing,
                "a copy of its cells takes " + bytes_text(root[root_end]),
                "this machine and its memory limits leave " + bytes_text(available),
                "free some, or raise the limit");
  }
  // The tag is that of no system, and bears the name of this one for whoever looks.
  const std::string tag = "cyto:rehearsal:" + std::string(where.name());
  file made(memfd_create(tag.c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!made || ftruncate(made.get(), static_cast<off_t>(where.header().segment_bytes)) != 0 ||
      fcntl(made.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    throw_errno(errno, error_code::failed, thing, "no memory for it");
  }
  const copy to(where, made);
  to.take(0, where.header().settings_offset + where.header().settings_bytes);
  take_control(to, where, entry, slot_index);
  to.take(entry.arena_offset, root[root_end]);
  // The holder goes on meanwhile. The cells are newer than the account of them, never older, so
  // what that leads to is there; and the commit word is the newest of all, so every version of a
  // cell that has been committed counts.
  const std::uint64_t commit = live.commit.observe();
  to.at<control>(entry.control_offset).commit.publish(commit);
  empty_lanes(to, where, slot_index, commit);
  return made;
}

}  // namespace cyto
