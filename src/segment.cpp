// Creation and checking of the segment. See segment.hpp for the layout.
#include "cyto/segment.hpp"

#include <fcntl.h>
#include <linux/memfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <utility>

#include "names.hpp"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25  // Younger than the C library's headers.
#endif

namespace cyto {
namespace {

struct counted_lanes {
  std::vector<std::uint32_t> inputs;
  std::vector<std::uint32_t> outputs;
};

counted_lanes count_lanes(const segment_plan& plan) {
  counted_lanes out{std::vector<std::uint32_t>(plan.slots.size()),
                    std::vector<std::uint32_t>(plan.slots.size())};
  for (const lane_plan& lane : plan.lanes) {
    ++out.inputs.at(lane.reader_slot);
    ++out.outputs.at(lane.writer_slot);
  }
  return out;
}

// Errands, suspects, reports.
std::uint64_t deaths_bytes(std::uint64_t slots, std::uint64_t lanes) {
  return round_up(slots * sizeof(errand_line) + lanes * sizeof(suspect), line_bytes) +
         slots * sizeof(death_report);
}

std::uint64_t control_bytes(std::uint32_t inputs, std::uint32_t outputs) {
  return round_up(sizeof(control) + inputs * sizeof(input_line) + outputs * sizeof(output_line),
                  page_bytes);
}

// Where everything goes. Filled once, used for the total and for the header.
struct placement {
  segment_header header{};
  std::vector<slot_entry> slots;
  std::vector<lane_entry> lanes;
  std::string settings;
};

void put_name(char (&to)[48], const std::string& from) {
  std::memcpy(to, from.data(), std::min(from.size(), name_bytes_max));
}

void place(const segment_plan& plan, placement& out) {
  const counted_lanes counted = count_lanes(plan);
  segment_header& header = out.header;
  put_name(header.name, plan.name);
  header.fingerprint = plan.fingerprint;
  header.slot_count = static_cast<std::uint32_t>(plan.slots.size());
  header.lane_count = static_cast<std::uint32_t>(plan.lanes.size());
  header.slots_offset = sizeof(segment_header);
  header.lanes_offset = header.slots_offset + plan.slots.size() * sizeof(slot_entry);
  header.settings_offset = header.lanes_offset + plan.lanes.size() * sizeof(lane_entry);
  for (const slot_plan& slot : plan.slots) out.settings += slot.settings;
  header.settings_bytes = out.settings.size();
  std::uint64_t end = round_up(header.settings_offset + header.settings_bytes, page_bytes);
  const auto take = [&end, &plan](std::uint64_t bytes) {
    const bool is_huge = plan.pages != huge_pages::never && bytes >= huge_page_bytes;
    const std::uint64_t at = round_up(end, is_huge ? huge_page_bytes : page_bytes);
    end = at + round_up(bytes, page_bytes);
    return at;
  };
  header.doorbells_offset = take(plan.slots.size() * sizeof(doorbell_line));
  header.board_offset = take(sizeof(board) + plan.slots.size() * sizeof(board_slot));
  header.deaths_offset = take(deaths_bytes(plan.slots.size(), plan.lanes.size()));
  std::uint64_t settings_at = header.settings_offset;
  for (std::size_t i = 0; i < plan.slots.size(); ++i) {
    const slot_plan& from = plan.slots[i];
    slot_entry to{};
    put_name(to.name, from.name);
    put_name(to.group, from.group);
    to.member = from.member;
    to.flags = from.flags;
    to.input_count = counted.inputs[i];
    to.output_count = counted.outputs[i];
    to.control_bytes = control_bytes(to.input_count, to.output_count);
    to.control_offset = take(to.control_bytes);
    to.arena_bytes = round_up(from.arena_bytes, page_bytes);
    to.arena_offset = take(to.arena_bytes);
    to.quarantine_bytes = round_up(from.quarantine_bytes, page_bytes);
    to.quarantine_offset = take(2 * to.quarantine_bytes);
    to.trace_bytes = from.trace_bytes;
    to.trace_offset = take(to.trace_bytes);
    to.settings_offset = settings_at;
    to.settings_bytes = from.settings.size();
    settings_at += from.settings.size();
    out.slots.push_back(to);
  }
  counted_lanes next{std::vector<std::uint32_t>(plan.slots.size()),
                     std::vector<std::uint32_t>(plan.slots.size())};
  for (const lane_plan& from : plan.lanes) {
    lane_entry to{};
    to.writer_slot = from.writer_slot;
    to.reader_slot = from.reader_slot;
    to.writer_index = next.outputs[from.writer_slot]++;
    to.reader_index = next.inputs[from.reader_slot]++;
    to.ring_bytes = from.ring_bytes;
    to.ring_offset = take(from.ring_bytes);
    to.purpose = static_cast<std::uint32_t>(from.purpose);
    to.policy = static_cast<std::uint32_t>(from.policy);
    to.hops_max = from.hops_max;
    to.in_cycle = from.in_cycle ? 1 : 0;
    // REQUIRES of the plan: the lane that it is beside stands before it.
    if (from.purpose == lane_purpose::held) to.beside = out.lanes.at(from.beside).writer_index;
    out.lanes.push_back(to);
  }
  header.segment_bytes = end;
}

bool is_trace_size(std::uint64_t bytes) {
  return bytes == 0 ||
         (bytes >= trace_bytes_min && bytes <= trace_bytes_max && std::has_single_bit(bytes));
}

void check(const segment_plan& plan) {
  check_name("system name", plan.name);
  if (plan.slots.empty() || plan.slots.size() > slot_count_max) {
    throw error(error_code::bad_input, "system " + plan.name,
                std::to_string(plan.slots.size()) + " workers", "1 to 256 are possible", {});
  }
  for (const slot_plan& slot : plan.slots) {
    check_name("worker name", slot.name, true);
    for (const slot_plan* other = plan.slots.data(); other != &slot; ++other) {
      if (other->name != slot.name) continue;
      throw error(error_code::bad_input, "system " + plan.name,
                  "two workers are called '" + slot.name + "'", {}, "rename one");
    }
    if (slot.arena_bytes > arena_bytes_max) {
      throw error(error_code::bad_input, "worker " + slot.name,
                  "cells_bytes is " + bytes_text(slot.arena_bytes),
                  "at most " + bytes_text(arena_bytes_max) + " are possible", "lower it");
    }
    if (slot.quarantine_bytes > quarantine_bytes_max) {
      throw error(error_code::bad_input, "worker " + slot.name,
                  "quarantine_bytes is " + bytes_text(slot.quarantine_bytes),
                  "at most " + bytes_text(quarantine_bytes_max) + " are possible", "lower it");
    }
    if (!is_trace_size(slot.trace_bytes)) {
      throw error(error_code::bad_input, "worker " + slot.name,
                  "trace_bytes is " + bytes_text(slot.trace_bytes),
                  "0, or a power of two between " + bytes_text(trace_bytes_min) + " and " +
                      bytes_text(trace_bytes_max) + ", is possible",
                  "change it");
    }
  }
  for (const lane_plan& lane : plan.lanes) {
    if (lane.writer_slot >= plan.slots.size() || lane.reader_slot >= plan.slots.size()) {
      throw error(error_code::bad_input, "system " + plan.name,
                  "a lane from slot " + std::to_string(lane.writer_slot) + " to slot " +
                      std::to_string(lane.reader_slot),
                  "it has " + std::to_string(plan.slots.size()) + " slots");
    }
    if (lane.ring_bytes >= lane_bytes_min && lane.ring_bytes <= lane_bytes_max &&
        std::has_single_bit(lane.ring_bytes)) {
      continue;
    }
    throw error(error_code::bad_input,
                "lane " + plan.slots.at(lane.writer_slot).name + " -> " +
                    plan.slots.at(lane.reader_slot).name,
                "its size is " + bytes_text(lane.ring_bytes),
                "a lane has a power of two between " + bytes_text(lane_bytes_min) + " and " +
                    bytes_text(lane_bytes_max),
                "change lane_bytes");
  }
}

bool is_name(std::string_view name, bool is_slot) {
  return !name.empty() && name.size() <= name_bytes_max &&
         std::all_of(name.begin(), name.end(), [is_slot](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '.' || c == '_' || c == '-' || (is_slot && c == '/');
         });
}

// The parts of a segment: what one process writes, no other writes, and the header nobody.
class parts {
 public:
  void add(std::uint64_t offset, std::uint64_t bytes) {
    if (bytes > 0) all_.push_back({offset, bytes});
  }
  // Whether two of them have a page in common. REQUIRES: none ends above 2^63.
  [[nodiscard]] bool overlap() {
    std::sort(all_.begin(), all_.end(),
              [](const part& a, const part& b) { return a.offset < b.offset; });
    std::uint64_t end = 0;
    for (const part& each : all_) {
      if (each.offset < end) return true;
      end = round_up(each.offset + each.bytes, page_bytes);
    }
    return false;
  }

 private:
  struct part {
    std::uint64_t offset;
    std::uint64_t bytes;
  };
  std::vector<part> all_;
};

// Whether what a lane is said to be for fits where it leads.
bool is_sound(const lane_entry& lane) noexcept {
  return lane.purpose <= static_cast<std::uint32_t>(lane_purpose::held) &&
         lane.policy <= static_cast<std::uint32_t>(full_policy::coalesce) &&
         lane.hops_max <= hops_unlimited && lane.in_cycle <= 1 &&
         (!is_own(static_cast<lane_purpose>(lane.purpose)) || lane.writer_slot == lane.reader_slot);
}

// REQUIRES: every number of the header and the tables is in range.
bool has_overlap(const segment_header& header, const slot_entry* slots, const lane_entry* lanes) {
  const std::uint64_t slots_end = header.slots_offset + header.slot_count * sizeof(slot_entry);
  const std::uint64_t lanes_end = header.lanes_offset + header.lane_count * sizeof(lane_entry);
  const std::uint64_t settings_end = header.settings_offset + header.settings_bytes;
  if (header.slots_offset < sizeof(segment_header) || header.lanes_offset < slots_end ||
      header.settings_offset < lanes_end) {
    return true;
  }
  parts all;
  all.add(0, settings_end);
  all.add(header.doorbells_offset, header.slot_count * sizeof(doorbell_line));
  all.add(header.board_offset, sizeof(board) + header.slot_count * sizeof(board_slot));
  all.add(header.deaths_offset, deaths_bytes(header.slot_count, header.lane_count));
  for (std::uint32_t i = 0; i < header.slot_count; ++i) {
    const slot_entry& slot = slots[i];
    all.add(slot.control_offset, slot.control_bytes);
    all.add(slot.arena_offset, slot.arena_bytes);
    all.add(slot.quarantine_offset, 2 * slot.quarantine_bytes);
    all.add(slot.trace_offset, slot.trace_bytes);
    if (slot.settings_offset < header.settings_offset ||
        slot.settings_offset + slot.settings_bytes > settings_end) {
      return true;
    }
  }
  for (std::uint32_t i = 0; i < header.lane_count; ++i) {
    all.add(lanes[i].ring_offset, lanes[i].ring_bytes);
  }
  if (all.overlap()) return true;
  // Which lines of a slot are a lane's already; counted from its first input line.
  std::vector<std::vector<bool>> taken;
  for (std::uint32_t i = 0; i < header.slot_count; ++i) {
    taken.emplace_back(std::size_t{slots[i].input_count} + slots[i].output_count);
  }
  for (std::uint32_t i = 0; i < header.lane_count; ++i) {
    const lane_entry& lane = lanes[i];
    auto input = taken[lane.reader_slot][lane.reader_index];
    auto output = taken[lane.writer_slot][slots[lane.writer_slot].input_count + lane.writer_index];
    if (input || output) return true;
    input = output = true;
  }
  return false;
}

[[noreturn]] void refuse(const std::string& value) {
  throw error(error_code::bad_input, "segment", value, "it was not made by this version of cyto",
              "use the version that made it");
}

}  // namespace

void check_name(const std::string& what, const std::string& name, bool is_slot) {
  if (is_name(name, is_slot)) return;
  throw error(error_code::bad_input, what, "'" + name.substr(0, 60) + "' is no name",
              "a name has 1 to 47 of a-z A-Z 0-9 . _ -", "choose another");
}

std::uint64_t bytes_needed(const segment_plan& plan) {
  placement placed;
  place(plan, placed);
  return placed.header.segment_bytes;
}

namespace {

// The lanes of one reader begin at different lines of their pages: a worker looks at the fronts of
// all, and at the same place they would share a few sets of its cache.
void begin_lane(std::byte* base, const slot_entry* slots, const lane_entry& lane) noexcept {
  const std::uint64_t position = lane.reader_index * line_bytes % lane.ring_bytes;
  const slot_entry& reader = slots[lane.reader_slot];
  const slot_entry& writer = slots[lane.writer_slot];
  auto* inputs = reinterpret_cast<input_line*>(base + reader.control_offset + sizeof(control));
  auto* outputs = reinterpret_cast<output_line*>(base + writer.control_offset + sizeof(control) +
                                                 writer.input_count * sizeof(input_line));
  inputs[lane.reader_index].taken.begin({position, 0, 0});
  inputs[lane.reader_index].read_published.stage(position);
  outputs[lane.writer_index].sent.begin({position, 0, 0});
  outputs[lane.writer_index].lost.begin({});
}

// The one time that all of it is mapped writable; gone before it is mapped read-only, which would
// take twice its address space.
void lay_out(int fd, const placement& placed) {
  const mapping all(fd, 0, placed.header.segment_bytes, true);
  std::byte* base = all.data();
  auto* header = reinterpret_cast<segment_header*>(base);
  std::memcpy(base + sizeof(header->ready), reinterpret_cast<const std::byte*>(&placed.header) + 8,
              sizeof(segment_header) - 8);
  std::memcpy(base + placed.header.slots_offset, placed.slots.data(),
              placed.slots.size() * sizeof(slot_entry));
  if (!placed.lanes.empty()) {
    std::memcpy(base + placed.header.lanes_offset, placed.lanes.data(),
                placed.lanes.size() * sizeof(lane_entry));
  }
  std::memcpy(base + placed.header.settings_offset, placed.settings.data(), placed.settings.size());
  for (const lane_entry& lane : placed.lanes) begin_lane(base, placed.slots.data(), lane);
  header->ready.publish(layout_magic);  // S1
}

// Moves the large parts into huge pages. They stay so for whoever maps them at an address that goes
// with it, which `mapping` sees to. False, with errno, if the kernel has not done it for all.
bool use_huge_pages(int fd, const placement& placed, std::uint64_t& bytes) {
  bool good = true;
  int why = 0;
  const auto use = [&](std::uint64_t offset, std::uint64_t part_bytes) {
    const std::uint64_t whole = part_bytes - part_bytes % huge_page_bytes;
    if (whole == 0) return;
    bytes += whole;
    const mapping part(fd, offset, whole, true);
    if (!good || madvise(part.data(), whole, MADV_COLLAPSE) == 0) return;
    good = false;
    why = errno;
  };
  for (const slot_entry& each : placed.slots) use(each.arena_offset, each.arena_bytes);
  for (const lane_entry& each : placed.lanes) use(each.ring_offset, each.ring_bytes);
  errno = why;
  return good;
}

void settle_pages(int fd, const segment_plan& plan, const placement& placed) {
  if (plan.pages == huge_pages::never) return;
  std::uint64_t bytes = 0;
  if (use_huge_pages(fd, placed, bytes) || plan.pages == huge_pages::attempt) return;
  const std::string why = std::strerror(errno);
  throw error(error_code::bad_input, "system " + plan.name,
              "needs " + bytes_text(bytes) + " in huge pages",
              "the kernel does not give them (" + why + "); " + bytes_text(memory_available()) +
                  " of memory are left, perhaps in small pieces",
              "say try instead of always, or use Linux 6.1 or later");
}

}  // namespace

segment segment::create(const segment_plan& plan) {
  check(plan);
  placement placed;
  place(plan, placed);
  const std::uint64_t bytes = placed.header.segment_bytes;
  const std::string thing = "system " + plan.name;
  const std::uint64_t available = memory_available();
  if (bytes > available) {
    throw error(error_code::bad_input, thing, "needs " + bytes_text(bytes),
                "this machine and its memory limits leave " + bytes_text(available),
                "lower lane or cell sizes, or raise the limit");
  }
  // Past this limit the kernel answers with a signal, SIGXFSZ, before it answers with an error.
  rlimit file_size{};
  if (getrlimit(RLIMIT_FSIZE, &file_size) == 0 && bytes > file_size.rlim_cur) {
    throw error(error_code::bad_input, thing, "needs " + bytes_text(bytes),
                "the limit of file sizes (ulimit -f), which counts for shared memory too, is " +
                    bytes_text(file_size.rlim_cur),
                "lower lane or cell sizes, or raise the limit");
  }
  const int fd = memfd_create(plan.memfd_tag.empty() ? "cyto" : plan.memfd_tag.c_str(),
                              MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) throw_errno(errno, error_code::failed, thing, "no memfd");
  try {
    // Reserved now, so that no later store can fail for want of memory (never SIGBUS).
    if (ftruncate(fd, static_cast<off_t>(bytes)) != 0 ||
        fallocate(fd, 0, 0, static_cast<off_t>(bytes)) != 0) {
      throw_errno(errno, error_code::failed, thing, "cannot reserve " + bytes_text(bytes),
                  "lower lane or cell sizes, or raise the memory limit");
    }
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
      throw_errno(errno, error_code::failed, thing, "cannot seal its memory");
    }
    lay_out(fd, placed);
    settle_pages(fd, plan, placed);
    return {fd, mapping(fd, 0, bytes, false)};
  } catch (...) {
    close(fd);
    throw;
  }
}

segment segment::attach(int fd) {
  try {
    struct stat info {};
    if (fstat(fd, &info) != 0)
      throw_errno(errno, error_code::failed, "segment", "cannot be examined");
    const auto bytes = static_cast<std::uint64_t>(info.st_size);
    const int seals = fcntl(fd, F_GET_SEALS);
    constexpr int wanted = F_SEAL_SHRINK | F_SEAL_GROW;
    if (bytes < page_bytes || bytes % page_bytes != 0) refuse("it has " + bytes_text(bytes));
    if (seals < 0 || (seals & wanted) != wanted) refuse("it is not sealed");
    mapping whole(fd, 0, bytes, false);
    const auto& header = *reinterpret_cast<const segment_header*>(whole.data());
    const std::uint64_t ready = header.ready.observe();  // S1
    if (ready != layout_magic) {
      if ((ready >> 32) == (layout_magic >> 32)) {
        refuse("its layout is version " + std::to_string(ready & 0xffffffffU) +
               ", this program's is " + std::to_string(layout_version));
      }
      refuse("it does not begin with cyto's mark");
    }
    const auto inside = [bytes](std::uint64_t offset, std::uint64_t count, std::uint64_t each) {
      return offset <= bytes && count <= (bytes - offset) / (each == 0 ? 1 : each);
    };
    bool good =
        header.segment_bytes == bytes && header.slot_count >= 1 &&
        header.slot_count <= slot_count_max && header.name[name_bytes_max] == '\0' &&
        is_name(header.name, false) &&
        inside(header.slots_offset, header.slot_count, sizeof(slot_entry)) &&
        inside(header.lanes_offset, header.lane_count, sizeof(lane_entry)) &&
        inside(header.settings_offset, header.settings_bytes, 1) &&
        inside(header.doorbells_offset, header.slot_count, sizeof(doorbell_line)) &&
        inside(header.board_offset, 1, sizeof(board) + header.slot_count * sizeof(board_slot)) &&
        inside(header.deaths_offset, 1, deaths_bytes(header.slot_count, header.lane_count));
    good = good && header.slots_offset % alignof(slot_entry) == 0 &&
           header.lanes_offset % alignof(lane_entry) == 0 &&
           header.doorbells_offset % page_bytes == 0 && header.board_offset % page_bytes == 0 &&
           header.deaths_offset % page_bytes == 0;
    if (!good) refuse("its header has numbers out of range");
    const auto* slots = reinterpret_cast<const slot_entry*>(whole.data() + header.slots_offset);
    for (std::uint32_t i = 0; good && i < header.slot_count; ++i) {
      const slot_entry& slot = slots[i];
      good = slot.name[name_bytes_max] == '\0' && slot.group[name_bytes_max] == '\0' &&
             slot.control_offset % page_bytes == 0 && slot.arena_offset % page_bytes == 0 &&
             inside(slot.control_offset, slot.control_bytes, 1) && is_name(slot.name, true) &&
             is_name(slot.group, true) && slot.input_count <= header.lane_count &&
             slot.output_count <= header.lane_count &&
             slot.control_bytes >= control_bytes(slot.input_count, slot.output_count) &&
             inside(slot.arena_offset, slot.arena_bytes, 1) &&
             slot.quarantine_offset % page_bytes == 0 &&
             inside(slot.quarantine_offset, slot.quarantine_bytes, 2) &&
             slot.trace_offset % page_bytes == 0 && is_trace_size(slot.trace_bytes) &&
             inside(slot.trace_offset, slot.trace_bytes, 1) &&
             inside(slot.settings_offset, slot.settings_bytes, 1);
    }
    const auto* lanes = reinterpret_cast<const lane_entry*>(whole.data() + header.lanes_offset);
    for (std::uint32_t i = 0; good && i < header.lane_count; ++i) {
      const lane_entry& lane = lanes[i];
      good = lane.writer_slot < header.slot_count && lane.reader_slot < header.slot_count &&
             lane.writer_index < slots[lane.writer_slot].output_count &&
             lane.reader_index < slots[lane.reader_slot].input_count &&
             std::has_single_bit(lane.ring_bytes) && lane.ring_bytes >= lane_bytes_min &&
             lane.ring_bytes <= lane_bytes_max && lane.ring_offset % page_bytes == 0 &&
             inside(lane.ring_offset, lane.ring_bytes, 1) && is_sound(lane);
    }
    if (!good) refuse("its tables have numbers out of range");
    if (has_overlap(header, slots, lanes)) refuse("its parts overlap");
    return {fd, std::move(whole)};
  } catch (...) {
    close(fd);
    throw;
  }
}

segment::segment(int fd, mapping whole) noexcept : fd_(fd), whole_(std::move(whole)) {}
segment::segment(segment&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), whole_(std::move(other.whole_)) {}
segment& segment::operator=(segment&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(whole_, other.whole_);
  return *this;
}
segment::~segment() {
  if (fd_ >= 0) close(fd_);
}

std::string_view segment::settings(std::uint32_t slot_index) const noexcept {
  const slot_entry& entry = slot(slot_index);
  return {at<char>(entry.settings_offset), entry.settings_bytes};
}

std::uint32_t segment::find_slot(std::string_view slot_name) const noexcept {
  std::uint32_t index = 0;
  while (index < slot_count() && slot_name != slot(index).name) ++index;
  return index;
}

const input_line& segment::input_of(const lane_entry& lane) const noexcept {
  const auto* first = at<input_line>(slot(lane.reader_slot).control_offset + sizeof(control));
  return first[lane.reader_index];
}

const output_line& segment::output_of(const lane_entry& lane) const noexcept {
  const slot_entry& writer = slot(lane.writer_slot);
  const auto* first = at<output_line>(writer.control_offset + sizeof(control) +
                                      writer.input_count * sizeof(input_line));
  return first[lane.writer_index];
}

const lane_entry& segment::goal_of(const lane_entry& lane) const noexcept {
  if (lane.purpose != static_cast<std::uint32_t>(lane_purpose::held)) return lane;
  for (std::uint32_t i = 0; i < lane_count(); ++i) {
    const lane_entry& each = this->lane(i);
    if (each.writer_slot == lane.writer_slot && each.writer_index == lane.beside) return each;
  }
  return lane;
}

mapping segment::map_doorbells() const {
  return map(header().doorbells_offset, slot_count() * sizeof(doorbell_line));
}

mapping segment::map_board() const {
  return map(header().board_offset, sizeof(board) + slot_count() * sizeof(board_slot));
}

mapping segment::map_deaths() const {
  return map(header().deaths_offset, deaths_bytes(slot_count(), lane_count()));
}

}  // namespace cyto
