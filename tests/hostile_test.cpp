// Memory that somebody else has written over: each thing that a worker could spoil of its own, one
// at a time, and a worker that goes mad among others that do not.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/memfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <functional>
#include <optional>
#include <random>
#include <sstream>

#include "cyto/cyto.hpp"
#include "support/refusal.hpp"
#include "support/actor.hpp"
#include "support/files.hpp"
#include "support/system.hpp"
#include "support/watchdog.hpp"
#include "tools/table.hpp"
#include "tools/topology_file.hpp"
#include "trees_generated.h"
#include "update_generated.h"

namespace cyto::test {
namespace {

using std::chrono::seconds;
using testing::HasSubstr;

// ---- one thing at a time ----

// A worker between two others that has worked, and whose successor comes.
struct spoiled {
  spoiled() : system({"first", "mad", "last"}, {{0, 1}, {1, 2}}), all(system.map_all()) {
    slot first(system.where, 0), mad(system.where, 1), last(system.where, 2);
    for (int i = 0; i < 3; ++i) {
      mad.cells().cell<counter>("count").add(mad.the_turn(), 1);
      mad.cells().cell<growing_set>("set").add(mad.the_turn(), std::to_string(i));
      send(first, 0, "to the mad one");
      std::string payload;
      EXPECT_TRUE(take_one(mad, payload));
      send(mad, 0, "from the mad one");
    }
    EXPECT_EQ(drain(last).size(), 3U);
  }
  control& own() {
    return *reinterpret_cast<control*>(all.data() + system.where.slot(1).control_offset);
  }
  input_line& input() { return *reinterpret_cast<input_line*>(&own() + 1); }
  output_line& output() { return *reinterpret_cast<output_line*>(&input() + 1); }
  template <std::size_t N>
  void bend(versioned<N>& what, std::size_t which, std::uint64_t value) {
    const std::uint64_t commit = own().commit.own();
    auto values = what.own_current(commit);
    values[which] = value;
    const unsigned index = what.current(commit);
    const std::uint64_t tag = what.tag(index);
    what.stage(index, values);
    what.seal(index, tag);
  }
  template <std::size_t N>
  void take_both_versions(versioned<N>& what) {
    for (const unsigned index : {0U, 1U}) what.seal(index, own().commit.own() + 1 + index);
  }
  std::string successor() {
    return refusal([this] {
      slot mad(system.where, 1);
      std::string payload;
      while (take_one(mad, payload)) continue;
      mad.cells().cell<counter>("count").add(mad.the_turn(), 1);
      mad.cells().cell<counter>("one more").add(mad.the_turn(), 1);
      mad.cells().cell<growing_set>("set").add(mad.the_turn(), "more");
      if (mad.the_turn().fault() == turn_fault::none) mad.the_turn().commit();
    });
  }

  small_system system;
  mapping all;
};

TEST(Spoiled, NothingIsRefusedWhenNothingIs) { EXPECT_EQ(spoiled().successor(), "not refused"); }

TEST(Spoiled, ACommitWordThatNoClockReachesIsRefused) {
  for (const std::uint64_t value : {stamp_max + 1, committed_bit, ~std::uint64_t{0}}) {
    spoiled at;
    at.own().commit.publish(value);
    EXPECT_THAT(at.successor(), HasSubstr("worker mad: its control block contradicts itself"));
  }
}

TEST(Spoiled, PositionsBetweenTwoLinesAreRefused) {
  spoiled reads;
  reads.bend(reads.input().taken, 0, 7);
  EXPECT_THAT(reads.successor(), HasSubstr("control block"));
  spoiled writes;
  writes.bend(writes.output().sent, 0, 7);
  EXPECT_THAT(writes.successor(), HasSubstr("lane mad -> last"));
  spoiled both;  // A reader that tells nonsense does not hide it.
  both.bend(both.output().sent, 0, 7);
  auto* last =
      reinterpret_cast<control*>(both.all.data() + both.system.where.slot(2).control_offset);
  reinterpret_cast<input_line*>(last + 1)->read_published.publish(12345);
  EXPECT_THAT(both.successor(), HasSubstr("lane mad -> last"));
}

TEST(Spoiled, RecordsWithoutACommittedVersionAreRefused) {
  spoiled reads;
  reads.take_both_versions(reads.input().taken);
  EXPECT_THAT(reads.successor(), HasSubstr("control block"));
  spoiled writes;
  writes.take_both_versions(writes.output().sent);
  EXPECT_THAT(writes.successor(), HasSubstr("lane mad -> last"));
  spoiled root;
  root.take_both_versions(root.own().root);
  EXPECT_THAT(root.successor(), HasSubstr("control block"));
}

TEST(Spoiled, AnAccountOfCellsThatLeadsOutOfTheirMemoryIsRefused) {
  for (const root_word which :
       {root_end, root_directory, root_cells, root_last_cell, root_members, root_member_count}) {
    for (const std::uint64_t value :
         {std::uint64_t{1} << 20, std::uint64_t{1} << 40 | 9, ~std::uint64_t{0}}) {
      spoiled at;
      at.bend(at.own().root, which, value);
      EXPECT_THAT(at.successor(), HasSubstr("cells of worker mad")) << which << " " << value;
    }
  }
}

TEST(Spoiled, AnIndexOfCellsWithoutAFreeWordOrWithWordsThatLeadOutIsSearchedToItsEnd) {
  const watchdog guard(seconds(30), "Spoiled.AnIndexOfCells...");
  for (const root_word which : {root_directory, root_members}) {
    spoiled at;
    const std::uint64_t index = at.own().root.own_current(at.own().commit.own())[which];
    auto* words = reinterpret_cast<std::uint64_t*>(
        at.all.data() + at.system.where.slot(1).arena_offset + (index & ~std::uint64_t{63}));
    const std::uint64_t hash =
        which == root_directory ? hash_bytes("one more") : hash_bytes("more", hash_bytes("set"));
    for (std::uint64_t i = 0; i < std::uint64_t{1} << (index & 63); ++i) {
      if (words[i] == 0) words[i] = (hash >> 32) << 32 | 0xffffffff;
    }
    EXPECT_EQ(at.successor(), "not refused");  // In words of its own: its cells are full.
  }
}

TEST(Spoiled, ASetWhoseMembersLeadOutOfTheCellsOrInACircleIsShownToItsEnd) {
  const watchdog guard(seconds(30), "Spoiled.ASetWhoseMembers...");
  using spoiler = std::function<void(spoiled&, cell_record&, member_record&)>;
  const auto lead_to = [](std::uint64_t offset) {
    return [=](spoiled& at, cell_record& set, member_record&) { at.bend(set.value, 1, offset); };
  };
  const std::vector<spoiler> spoilers = {
      lead_to(1),
      lead_to(1U << 20),
      lead_to(~std::uint64_t{0}),
      lead_to(~std::uint64_t{7}),
      [](auto&, auto&, auto& newest) { newest.bytes = 0xffffffff; },
      [](auto&, auto&, auto& newest) { newest.previous8 = 0xffffffff; },
      [](spoiled& at, auto&, auto& newest) {
        const auto* arena = at.all.data() + at.system.where.slot(1).arena_offset;
        newest.previous8 =
            static_cast<std::uint32_t>((reinterpret_cast<std::byte*>(&newest) - arena) / 8);
      }};
  for (std::size_t i = 0; i < spoilers.size(); ++i) {
    spoiled at;
    std::byte* const arena = at.all.data() + at.system.where.slot(1).arena_offset;
    const std::uint64_t commit = at.own().commit.own();
    auto& set =
        *reinterpret_cast<cell_record*>(arena + at.own().root.own_current(commit)[root_last_cell]);
    auto& newest = *reinterpret_cast<member_record*>(arena + set.value.own_current(commit)[1]);
    spoilers[i](at, set, newest);
    slot mad(at.system.where, 1);
    int shown = 0;
    mad.cells().cell<growing_set>("set").each([&](std::string_view) { return ++shown < 100; });
    EXPECT_LT(shown, 3) << i;
  }
}

TEST(Spoiled, AMessageWhoseSizeMovesItOffItsAlignmentIsNoMessage) {
  flatbuffers::FlatBufferBuilder fbb;
  fbb.Finish(tree::CreateNode(fbb, 7));
  alignas(line_bytes) std::byte line[4 * line_bytes] = {};
  std::byte* const end = line + sizeof line;
  message_view view;
  view.size = fbb.GetSize();
  view.data = end - view.size;
  std::memcpy(end - view.size, fbb.GetBufferPointer(), view.size);
  ASSERT_NE(open_message<tree::Node>(view), nullptr);
  for (const std::size_t off : {1U, 2U, 4U}) {
    std::memmove(end - off - view.size, fbb.GetBufferPointer(), view.size);
    view.data = end - off - view.size;
    EXPECT_EQ(open_message<tree::Node>(view), nullptr) << off;
  }
}

TEST(Spoiled, AFencedLaneIsToldOnce) {
  spoiled at;
  slot mad(at.system.where, 1), last(at.system.where, 2);
  send(mad, 0, "x");
  const mapping ring = at.system.where.map_ring(at.system.where.lane(1), true);
  std::memset(ring.data(), 0xff, 4096);
  message_view view;
  EXPECT_EQ(last.incoming().next(view), nullptr);
  EXPECT_TRUE(last.incoming().has_fenced());
  EXPECT_FALSE(last.incoming().has_fenced());
}

// ---- a segment of somebody else's ----

class AttachedSegment : public testing::Test {
 protected:
  AttachedSegment() : made_(segment::create(small_plan({"a", "b", "c"}, {{0, 1}, {0, 2}}))) {
    bytes_.assign(made_.at<std::byte>(0), made_.at<std::byte>(0) + made_.header().segment_bytes);
  }
  slot_entry& slot_at(std::size_t index) {
    return reinterpret_cast<slot_entry*>(bytes_.data() + made_.header().slots_offset)[index];
  }
  lane_entry& lane_at(std::size_t index) {
    return reinterpret_cast<lane_entry*>(bytes_.data() + made_.header().lanes_offset)[index];
  }
  std::string attached() {
    const int fd = memfd_create("cyto-unit-test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    EXPECT_EQ(write(fd, bytes_.data(), bytes_.size()), static_cast<ssize_t>(bytes_.size()));
    EXPECT_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), 0);
    return refusal([fd] { segment::attach(fd); });
  }

  segment made_;
  std::vector<std::byte> bytes_;
};

TEST_F(AttachedSegment, IsTakenAsItIs) { EXPECT_EQ(attached(), "not refused"); }

TEST_F(AttachedSegment, WhosePartsOverlapIsRefused) {
  const std::vector<std::byte> good = bytes_;
  const std::vector<std::function<void()>> bends = {
      [&] { lane_at(1).ring_offset = lane_at(0).ring_offset; },
      [&] { slot_at(1).control_offset = slot_at(0).control_offset; },
      [&] { slot_at(1).arena_offset = slot_at(0).control_offset; },
      [&] { lane_at(0).ring_offset = slot_at(2).arena_offset; },
      [&] { lane_at(0).ring_offset = made_.header().board_offset; },
      [&] { lane_at(0).ring_offset = made_.header().deaths_offset; },
      [&] {
        slot_at(2).quarantine_offset = slot_at(0).control_offset;
        slot_at(2).quarantine_bytes = page_bytes;
      },
      [&] {
        slot_at(2).trace_offset = slot_at(0).control_offset;
        slot_at(2).trace_bytes = trace_bytes_min;
      },
      [&] { lane_at(0).ring_offset = made_.header().doorbells_offset; },
      [&] { slot_at(0).control_offset = 0; },
      [&] { lane_at(1).writer_index = 0; },
      [&] {
        lane_at(1).reader_slot = 1;
        lane_at(1).reader_index = 0;
      },
      [&] {
        slot_at(0).settings_offset = slot_at(0).control_offset;
        slot_at(0).settings_bytes = 16;
      }};
  for (std::size_t i = 0; i < bends.size(); ++i) {
    bytes_ = good;
    bends[i]();
    EXPECT_THAT(attached(), HasSubstr("its parts overlap")) << i;
  }
}

TEST_F(AttachedSegment, WhoseTraceIsNoPowerOfTwoIsRefused) {
  slot_at(2).trace_bytes = 3 * trace_bytes_min;
  EXPECT_THAT(attached(), HasSubstr("out of range"));
}

TEST_F(AttachedSegment, WhoseNamesCouldNotBeGivenIsRefused) {
  slot_at(1).name[0] = '\x1b';
  EXPECT_THAT(attached(), HasSubstr("out of range"));
}

// ---- a user's topology ----

TEST(HostileTopology, WhatItsParserTakesForGrantedIsRefusedInWords) {
  const temp_dir folder;
  const auto read = [&](const std::string& text) {
    write_file(folder / "t.toml", text);
    tools::topology_request request;
    request.path = folder / "t.toml";
    request.programs = "/bin";
    return refusal([&] { tools::read_topology(request); });
  };
  const std::string worker = "name = \"x\"\n[[worker]]\nname = \"a\"\nprogram = \"true\"\n";
  EXPECT_EQ(read(worker), "not refused");
  for (const char* text : {"[=]", "[,", "[[=", "[#]"}) {
    EXPECT_THAT(read(worker + text), HasSubstr("it is not TOML")) << text;
  }
  for (const char* key : {"a=b", "a\\nb"}) {
    EXPECT_THAT(read(worker + "settings = { \"" + key + "\" = \"c\" }\n"),
                HasSubstr("the name of a setting"))
        << key;
  }
  EXPECT_THAT(read(worker + "arguments = [\"a\\u0000b\"]\n"), HasSubstr("zero byte"));
}

// ---- what is mapped how ----

struct mapped {
  std::uint64_t begin;  // Offset in the segment.
  std::uint64_t end;
  bool writable;
};

// The parts of the segment of that tag that this process has mapped.
std::vector<mapped> maps_of(const std::string& tag) {
  std::vector<mapped> out;
  std::ifstream maps("/proc/self/maps");
  for (std::string text; std::getline(maps, text);) {
    if (text.find("/memfd:" + tag) == text.npos) continue;
    std::istringstream fields(text);
    std::string range, rights, offset;
    fields >> range >> rights >> offset;
    const std::uint64_t from = std::stoull(range, nullptr, 16);
    const std::uint64_t to = std::stoull(range.substr(range.find('-') + 1), nullptr, 16);
    const std::uint64_t begin = std::stoull(offset, nullptr, 16);
    out.push_back({begin, begin + (to - from), rights[1] == 'w'});
  }
  return out;
}

TEST(Mapped, WhatASlotOnlyReadsIsReadOnly) {
  segment_plan plan = small_plan({"first", "middle", "last"}, {{0, 1}, {1, 2}, {0, 2}});
  plan.memfd_tag = "cyto-unit-maps";
  const segment where = segment::create(plan);
  const slot middle(where, 1);
  const slot_entry& own = where.slot(1);
  const std::vector<std::pair<std::uint64_t, std::uint64_t>> mine = {
      {own.control_offset, own.control_bytes},
      {own.arena_offset, own.arena_bytes},
      {where.lane(1).ring_offset, where.lane(1).ring_bytes},
      {where.header().doorbells_offset, page_bytes}};
  std::size_t writable = 0;
  std::size_t reads_ring = 0;
  for (const mapped& each : maps_of(plan.memfd_tag)) {
    if (each.begin == where.lane(0).ring_offset) {
      ++reads_ring;
      EXPECT_FALSE(each.writable);
    }
    if (!each.writable) continue;
    ++writable;
    const bool is_mine = std::any_of(mine.begin(), mine.end(), [&](const auto& part) {
      return each.begin >= part.first && each.end <= part.first + part.second;
    });
    EXPECT_TRUE(is_mine) << each.begin << " to " << each.end << " is writable";
  }
  EXPECT_EQ(writable, 5U);  // The ring twice.
  EXPECT_EQ(reads_ring, 2U);
}

}  // namespace
}  // namespace cyto::test
