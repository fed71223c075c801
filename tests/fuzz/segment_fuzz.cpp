// A memfd of somebody else's: attach() refuses it in words, or all that is done with a segment is
// safe, and no two parts of it overlap.
#include <fcntl.h>
#include <linux/memfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <stdexcept>

#include "fuzz/world.hpp"

namespace cyto::fuzz {
namespace {

int memfd_of(const std::vector<std::byte>& bytes) {
  const int fd = memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0 || write(fd, bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size()) ||
      fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) != 0) {
    throw std::runtime_error("no memfd");
  }
  return fd;
}

// What different processes write must not meet, whatever the numbers say.
void expect_apart(const segment& where) {
  std::vector<std::pair<std::uint64_t, std::uint64_t>> parts;
  const auto add = [&](std::uint64_t offset, std::uint64_t bytes) {
    if (bytes > 0) parts.emplace_back(offset, offset + bytes);
  };
  add(0, sizeof(segment_header));
  add(where.header().slots_offset, where.slot_count() * sizeof(slot_entry));
  add(where.header().lanes_offset, where.lane_count() * sizeof(lane_entry));
  add(where.header().settings_offset, where.header().settings_bytes);
  add(where.header().doorbells_offset, where.slot_count() * sizeof(doorbell_line));
  add(where.header().board_offset, sizeof(board) + where.slot_count() * sizeof(board_slot));
  for (std::uint32_t i = 0; i < where.slot_count(); ++i) {
    add(where.slot(i).control_offset, where.slot(i).control_bytes);
    add(where.slot(i).arena_offset, where.slot(i).arena_bytes);
    add(where.slot(i).quarantine_offset, 2 * where.slot(i).quarantine_bytes);
    add(where.slot(i).trace_offset, where.slot(i).trace_bytes);
  }
  for (std::uint32_t i = 0; i < where.lane_count(); ++i) {
    add(where.lane(i).ring_offset, where.lane(i).ring_bytes);
  }
  std::sort(parts.begin(), parts.end());
  for (std::size_t i = 1; i < parts.size(); ++i) {
    require(parts[i - 1].second <= parts[i].first, "no two parts overlap");
  }
}

void use(const segment& where) {
  expect_apart(where);
  look_at_all(where);
  keep(where.find_slot("last/0"));
  for (std::uint32_t i = 0; i < where.slot_count(); ++i) {
    read_all(where.settings(i).data(), where.settings(i).size());
    try {
      slot place(where, i);
      for (std::string payload; test::take_one(place, payload);) {
        read_all(payload.data(), payload.size());
      }
      if (!place.the_turn().outputs().empty()) test::send(place, 0, "a message");
    } catch (const error&) {
      continue;
    }
  }
}

}  // namespace
}  // namespace cyto::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace cyto;
  using namespace cyto::fuzz;
  static const fuzz::world honest;
  static std::vector<std::byte> bytes;
  bytes = honest.whole;
  const std::uint64_t tables_bytes = honest.where.header().settings_offset + 16;
  input in(data, size);
  if (in.take<std::uint8_t>() % 4 == 0) {
    const std::string_view raw = in.rest();  // Behind the mark, the input is the head.
    std::memcpy(bytes.data() + 8, raw.data(), std::min<std::size_t>(raw.size(), 4096));
  }
  while (!in.empty()) {
    const std::uint64_t offset = in.take<std::uint16_t>() % tables_bytes;
    const std::uint64_t value = in.number();
    const bool half = in.take<std::uint8_t>() % 2 == 0;
    std::memcpy(bytes.data() + offset / 4 * 4, &value, half ? 4 : 8);
  }
  try {
    use(segment::attach(memfd_of(bytes)));
  } catch (const error&) {
    return 0;
  }
  return 0;
}
