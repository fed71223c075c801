// The ring against a deque: every record length, every start position, every header, committed
// and aborted, over memory full of old records; and a reader that is shown nonsense.
#include "cyto/lane.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>
#include <cstring>
#include <deque>
#include <memory>
#include <random>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "support/process.hpp"
#include "support/system.hpp"

namespace cyto::test {
namespace {

// Both ends of a lane of one page, the smallest there is, on two mappings of its memory. What the
// ends own in the segment is plain memory here, so that a test can put it anywhere.
class tiny_lane {
 public:
  tiny_lane() : system_({"writer", "reader"}, {{0, 1}}) {
    const lane_entry& lane = system_.where.lane(0);
    write_side_ = system_.where.map_ring(lane, true);
    read_side_ = system_.where.map_ring(lane, false);
    capacity = lane.ring_bytes;
  }

  void reopen() {
    book = std::make_unique<shape_book>(shapes);
    writer = std::make_unique<lane_writer>(lane_ring{write_side_.data(), capacity}, *book, out_line,
                                           in_line.read_published, commit.own());
    reader = std::make_unique<lane_reader>(lane_ring{read_side_.data(), capacity, shapes}, in_line,
                                           commit, reader_commit);
  }
  // Begins with both ends at `position`, and with records everywhere that once were good.
  void begin_at(std::uint64_t position) {
    out_line.~output_line();
    new (&out_line) output_line{};
    in_line.~input_line();
    new (&in_line) input_line{};
    commit.publish(100);
    reader_commit = 100;
    out_line.sent.stage(0, {position, 0, 0});
    out_line.sent.seal(0, 1);
    in_line.taken.stage(0, {position, 0, 0});
    in_line.taken.seal(0, 1);
    in_line.read_published.publish(position);
    for (std::uint64_t at = 0; at < capacity; at += line_bytes) {
      record_header& old = header(at);
      old.size_wide.stage(20);
      old.kind_hops.stage(0x666);
      old.ready.stage(50 | committed_bit);
    }
    header(position).ready.stage(0);
    reopen();
  }
  record_header& header(std::uint64_t position) const {
    return lane_ring{write_side_.data(), capacity}.header(position);
  }
  std::byte* memory() const { return write_side_.data(); }
  lane_ring ring() const { return {write_side_.data(), capacity, shapes}; }

  void commit_writes() {
    const std::uint64_t stamp = commit.own() + 1;
    writer->seal(stamp);
    commit.publish(stamp);
    writer->announce(stamp);
  }
  void commit_reads() {
    reader->seal(++reader_commit);
    reader->give_back();
  }

  std::uint64_t capacity = 0;
  output_line out_line{};
  input_line in_line{};
  word<std::uint64_t> commit{};
  std::uint64_t reader_commit = 0;
  word<std::uint64_t> shapes[shapes_max] = {};
  std::unique_ptr<shape_book> book;
  std::unique_ptr<lane_writer> writer;
  std::unique_ptr<lane_reader> reader;

 private:
  small_system system_;
  mapping write_side_;
  mapping read_side_;
};

std::string bytes_of(std::size_t size, unsigned seed) {
  std::string out(size, '\0');
  for (std::size_t i = 0; i < size; ++i) out[i] = static_cast<char>(seed * 31 + i * 7 + 1);
  return out;
}

// Stages a record one of four ways: copied with a brief header where that saves a line, with a
// plain or a wide one, or built in place.
enum class how { brief, narrow, wide, claimed };
std::size_t alignment_of(how way) { return way == how::brief ? 8 : way == how::narrow ? 16 : 32; }
std::uint64_t bytes_in_ring(std::uint32_t size, how way) {
  return record_bytes(size, header_bytes_of(size, alignment_of(way)));
}
status put(lane_writer& to, const std::string& payload, how way) {
  const auto size = static_cast<std::uint32_t>(payload.size());
  if (way != how::claimed) return to.append(payload.data(), size, 7, alignment_of(way));
  std::byte* end = to.claim(size);
  if (end == nullptr) {
    return bytes_in_ring(size, way) + line_bytes > to.capacity_bytes() ? status::too_big
                                                                       : status::full;
  }
  std::memcpy(end - size, payload.data(), size);
  to.append_claimed(size, 7);
  return status::ok;
}

std::string text_of(const message_view& view) {
  return {reinterpret_cast<const char*>(view.data), view.size};
}

TEST(Lane, EveryLengthFromEveryPositionIsReadBackWhole) {
  tiny_lane lane;
  message_view view;
  constexpr std::uint64_t step = sanitized ? 7 * line_bytes : line_bytes;
  for (const how way : {how::brief, how::narrow, how::wide, how::claimed}) {
    for (std::uint64_t position = 0; position <= lane.capacity; position += step) {
      lane.begin_at(position);
      // Every length where two headers differ, a few steps of the others.
      for (std::uint32_t size = 0; size <= lane.capacity; size += size % 64 < 50 ? 5U : 1U) {
        const std::string payload = bytes_of(size, static_cast<unsigned>(position) + size);
        const bool fits = bytes_in_ring(size, way) + line_bytes <= lane.capacity;
        ASSERT_EQ(put(*lane.writer, payload, way), fits ? status::ok : status::too_big) << size;
        ASSERT_EQ(lane.reader->peek(view), look::nothing) << "seen before its turn has committed";
        if (!fits) continue;
        lane.commit_writes();
        ASSERT_EQ(lane.reader->peek(view), look::message);
        ASSERT_EQ(text_of(view), payload);
        ASSERT_EQ(view.kind, 7U);
        lane.reader->take(view);
        ASSERT_EQ(lane.reader->peek(view), look::nothing) << "an old header was taken for a record";
        lane.commit_reads();
      }
    }
  }
}

TEST(Lane, BehavesAsADequeOfCommittedRecords) {
  for (unsigned seed = 1; seed <= 40; ++seed) {
    std::mt19937 random(seed);
    const auto below = [&random](std::size_t bound) { return random() % bound; };
    tiny_lane lane;
    lane.begin_at(line_bytes * below(130));
    std::deque<std::pair<std::string, std::uint64_t>> visible;  // With their bytes in the ring.
    std::deque<std::pair<std::string, std::uint64_t>> staged;
    std::deque<std::pair<std::string, std::uint64_t>> taken;
    std::uint64_t used = 0;  // Of the ring, from what is not given back to what is staged.
    const auto sum = [](const auto& of) {
      std::uint64_t bytes = 0;
      for (const auto& each : of) bytes += each.second;
      return bytes;
    };
    for (int i = 0; i < 3000; ++i) {
      switch (below(8)) {
        case 0:
        case 1:
        case 2: {
          const auto way = static_cast<how>(below(4));
          const auto size = static_cast<std::uint32_t>(below(4) == 0 ? below(4200) : below(300));
          const std::string payload = bytes_of(size, static_cast<unsigned>(i));
          const std::uint64_t bytes = bytes_in_ring(size, way);
          const status expected = bytes + line_bytes > lane.capacity          ? status::too_big
                                  : used + bytes + line_bytes > lane.capacity ? status::full
                                                                              : status::ok;
          ASSERT_EQ(put(*lane.writer, payload, way), expected) << "seed " << seed << " step " << i;
          if (expected != status::ok) break;
          staged.emplace_back(payload, bytes);
          used += bytes;
          break;
        }
        case 3:
          if (staged.empty()) break;
          lane.commit_writes();
          visible.insert(visible.end(), staged.begin(), staged.end());
          staged.clear();
          break;
        case 4:
          lane.writer->forget();
          used -= sum(staged);
          staged.clear();
          break;
        case 5:
        case 6: {
          message_view view;
          const look found = lane.reader->peek(view);
          ASSERT_EQ(found, visible.empty() ? look::nothing : look::message)
              << "seed " << seed << " step " << i;
          if (visible.empty()) break;
          ASSERT_EQ(text_of(view), visible.front().first) << "seed " << seed << " step " << i;
          lane.reader->take(view);
          taken.push_back(visible.front());
          visible.pop_front();
          break;
        }
        default:
          if (below(2) == 0) {
            lane.reader->forget();
            visible.insert(visible.begin(), taken.begin(), taken.end());
          } else {
            if (!taken.empty()) lane.commit_reads();
            used -= sum(taken);
          }
          taken.clear();
          // Now and then both ends are new processes, which know only what was committed.
          if (below(4) == 0) {
            ASSERT_TRUE(recover_writer(lane.ring(), lane.out_line, lane.in_line.read_published,
                                       lane.commit.own()));
            lane.reopen();
            used -= sum(staged);
            staged.clear();
          }
      }
    }
  }
}

TEST(Lane, HopsAndStampTravelWithTheRecord) {
  tiny_lane lane;
  lane.begin_at(0);
  ASSERT_EQ(lane.writer->append("x", 1, 0xab123456, 1), status::ok);
  ASSERT_EQ(lane.writer->append("y", 1, 0xff000001, 32), status::ok);
  lane.commit_writes();
  message_view view;
  ASSERT_EQ(lane.reader->peek(view), look::message);
  EXPECT_EQ(view.kind, 0x123456U);
  EXPECT_EQ(view.hops, 0xabU);
  EXPECT_EQ(view.stamp, 101U);
  lane.reader->take(view);
  ASSERT_EQ(lane.reader->peek(view), look::message);
  EXPECT_EQ(view.hops, 0xffU);
  EXPECT_EQ(view.stamp, 101U);
}

TEST(Lane, WideRecordsStartOnALineOfTheirOwn) {
  tiny_lane lane;
  lane.begin_at(0);
  ASSERT_EQ(put(*lane.writer, bytes_of(128, 1), how::wide), status::ok);
  ASSERT_EQ(put(*lane.writer, bytes_of(64, 1), how::claimed), status::ok);
  lane.commit_writes();
  message_view view;
  for (int i = 0; i < 2; ++i) {
    ASSERT_EQ(lane.reader->peek(view), look::message);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(view.data) % line_bytes, 0U);
    lane.reader->take(view);
  }
}

TEST(Lane, LargestPayloadIsTheLargestThatFits) {
  tiny_lane lane;
  lane.begin_at(0);
  const std::uint64_t most = lane.writer->payload_bytes_max();
  EXPECT_EQ(put(*lane.writer, bytes_of(most, 1), how::narrow), status::ok);
  lane.writer->forget();
  EXPECT_EQ(put(*lane.writer, bytes_of(most + 1, 1), how::narrow), status::too_big);
}

TEST(Lane, SpaceIsNotReusedBeforeItIsGivenBack) {
  tiny_lane lane;
  lane.begin_at(0);
  while (put(*lane.writer, bytes_of(100, 1), how::narrow) == status::ok) {
  }
  lane.commit_writes();
  message_view view;
  while (lane.reader->peek(view) == look::message) lane.reader->take(view);
  EXPECT_EQ(put(*lane.writer, bytes_of(100, 2), how::narrow), status::full);
  lane.reader->seal(++lane.reader_commit);
  EXPECT_EQ(put(*lane.writer, bytes_of(100, 2), how::narrow), status::full);
  lane.reader->give_back();
  EXPECT_EQ(put(*lane.writer, bytes_of(100, 2), how::narrow), status::ok);
}

TEST(Lane, ReaderThatClaimsToHaveReadMoreThanWasSentGainsNothing) {
  tiny_lane lane;
  lane.begin_at(0);
  while (put(*lane.writer, bytes_of(100, 1), how::narrow) == status::ok) {
  }
  lane.commit_writes();
  for (const std::uint64_t lie : {~std::uint64_t{0}, std::uint64_t{1} << 63, lane.capacity * 9}) {
    lane.in_line.read_published.publish(lie);
    EXPECT_LE(lane.writer->room(), lane.capacity);
  }
}

// ---- nonsense in the ring ----

TEST(Lane, NonsenseInAnyFieldOfAHeaderIsNeverReadOutsideTheRing) {
  std::mt19937_64 random(1);
  tiny_lane lane;
  for (int i = 0; i < 200'000; ++i) {
    if (i % 500 == 0) lane.begin_at(line_bytes * (random() % 64));
    record_header& header = lane.header(lane.in_line.read_published.own());
    header.size_wide.stage(static_cast<std::uint32_t>(random() >> (random() % 64)));
    header.kind_hops.stage(static_cast<std::uint32_t>(random()));
    header.ready.publish(random() >> (random() % 64));
    message_view view;
    if (lane.reader->peek(view) != look::message) continue;
    ASSERT_LE(view.size + brief_header_bytes + line_bytes, lane.capacity);
    // Every byte is there to be read: a page that is not would end the test.
    unsigned total = 0;
    for (std::uint32_t at = 0; at < view.size; ++at)
      total += std::to_integer<unsigned>(view.data[at]);
    ASSERT_GE(total, 0U);
  }
}

TEST(Lane, SizesThatNoWriterCouldStageAreCorrupt) {
  tiny_lane lane;
  message_view view;
  for (const std::uint32_t size : {4096U, 4081U, 4033U, 0x7fffffffU, 0xffffffffU, 0x80000fc1U}) {
    lane.begin_at(0);
    ASSERT_EQ(put(*lane.writer, "x", how::narrow), status::ok);
    lane.commit_writes();
    lane.header(0).size_wide.stage(size);
    EXPECT_EQ(lane.reader->peek(view), look::corrupt) << size;
  }
}

TEST(Lane, StampThatFallsIsCorrupt) {
  tiny_lane lane;
  lane.begin_at(0);
  message_view view;
  for (int i = 0; i < 2; ++i) {
    ASSERT_EQ(put(*lane.writer, "x", how::narrow), status::ok);
    lane.commit_writes();
  }
  lane.header(line_bytes).ready.stage(100 | committed_bit);
  ASSERT_EQ(lane.reader->peek(view), look::message);
  lane.reader->take(view);
  EXPECT_EQ(lane.reader->peek(view), look::corrupt);
}

TEST(Lane, StampThatNoClockReachesIsCorrupt) {
  // Believed, it would lift the reader's clock into the committed bit and spoil all its own lanes.
  tiny_lane lane;
  message_view view;
  for (const std::uint64_t stamp :
       {~std::uint64_t{0}, committed_bit | stamp_mask, committed_bit | std::uint64_t{0}}) {
    lane.begin_at(0);
    ASSERT_EQ(put(*lane.writer, "x", how::narrow), status::ok);
    lane.commit_writes();
    lane.header(0).ready.stage(stamp);
    EXPECT_EQ(lane.reader->peek(view), look::corrupt) << std::hex << stamp;
  }
}

TEST(Lane, ASmallTableOfTheCommonestSizeTakesOneLine) {
  tiny_lane lane;
  message_view view;
  for (const auto& [size, alignment, bytes] : {std::tuple{48U, 8U, 64U},
                                               {49U, 8U, 64U},
                                               {56U, 8U, 64U},
                                               {57U, 8U, 128U},
                                               {52U, 16U, 128U},
                                               {120U, 4U, 128U},
                                               {248U, 8U, 256U},
                                               {312U, 8U, 384U}}) {
    lane.begin_at(0);
    const std::string payload = bytes_of(size, 3);
    ASSERT_EQ(lane.writer->append(payload.data(), size, 7, alignment), status::ok);
    lane.commit_writes();
    ASSERT_EQ(lane.reader->peek(view), look::message);
    EXPECT_EQ(text_of(view), payload);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(view.data + size) % std::min(alignment, 16U), 0U);
    lane.reader->take(view);
    EXPECT_EQ(lane.reader->position(), bytes) << size << " aligned to " << alignment;
  }
}

TEST(Lane, HopsThatTwoCountUpDoNotUseUpTheShapes) {
  word<std::uint64_t> shapes[shapes_max] = {};
  shape_book book(shapes);
  const auto shape_of = [](std::uint32_t hops) {
    return record_shape{0, 56, 7U | hops << 24, brief_header_bytes};
  };
  for (std::uint32_t hops = 0; hops <= 255; ++hops) {
    EXPECT_EQ(book.number_of(shape_of(hops)) != 0, hops <= 16 || hops == 255) << hops;
  }
  EXPECT_EQ(shapes[18].observe() >> 56, 255U);
  EXPECT_EQ(shapes[19].observe(), 0U);
  EXPECT_EQ(book.number_of(shape_of(3)), std::uint64_t{4} << shape_shift);
}

TEST(Lane, WhenTheShapesAreUsedUpRecordsSayThemselvesWhatTheyAre) {
  tiny_lane lane;
  lane.begin_at(0);
  message_view view;
  const std::string payload = bytes_of(56, 1);
  const auto pass = [&](std::uint32_t kind) {
    ASSERT_EQ(lane.writer->append(payload.data(), 56, kind, 8), status::ok);
    lane.commit_writes();
    ASSERT_EQ(lane.reader->peek(view), look::message);
    ASSERT_EQ(view.kind, kind);
    ASSERT_EQ(text_of(view), payload);
    lane.reader->take(view);
    lane.commit_reads();
  };
  for (std::uint32_t kind = 1; kind < shapes_max; ++kind) pass(kind);
  const std::uint64_t before = lane.reader->position();
  EXPECT_EQ(before, (shapes_max - 1) * line_bytes);
  for (std::uint32_t kind = shapes_max; kind < shapes_max + 9; ++kind) pass(kind);
  EXPECT_EQ(lane.reader->position(), before + 9 * 2 * line_bytes);
  // The first ones are known still, to a successor as well.
  lane.reopen();
  for (std::uint32_t kind = 1; kind < shapes_max; ++kind) pass(kind);
  EXPECT_EQ(lane.reader->position(), (2 * shapes_max - 2 + 18) * line_bytes);
}

TEST(Lane, AShapeThatAKilledTurnHasWrittenIsTheSameForItsSuccessor) {
  tiny_lane lane;
  lane.begin_at(0);
  const std::string payload = bytes_of(56, 1);
  const auto append = [&](std::uint32_t kind) {
    ASSERT_EQ(lane.writer->append(payload.data(), 56, kind, 8), status::ok);
  };
  append(1);
  lane.commit_writes();
  append(2);
  append(3);
  lane.writer->seal(lane.commit.own() + 1);
  ASSERT_TRUE(
      recover_writer(lane.ring(), lane.out_line, lane.in_line.read_published, lane.commit.own()));
  lane.reopen();
  append(4);
  append(3);
  append(1);
  lane.commit_writes();
  message_view view;
  for (const std::uint32_t kind : {1U, 4U, 3U, 1U}) {
    ASSERT_EQ(lane.reader->peek(view), look::message);
    EXPECT_EQ(view.kind, kind);
    EXPECT_EQ(text_of(view), payload);
    lane.reader->take(view);
  }
  EXPECT_EQ(lane.reader->peek(view), look::nothing);
  const auto known =
      static_cast<std::uint64_t>(std::count_if(std::begin(lane.shapes), std::end(lane.shapes),
                                               [](const auto& each) { return each.own() != 0; }));
  EXPECT_EQ(known, 4U) << "each is written once";
}

TEST(Lane, NumberOfAShapeThatIsNotThereIsCorrupt) {
  tiny_lane lane;
  message_view view;
  const std::string payload = bytes_of(56, 1);
  for (const std::uint64_t entry :
       {std::uint64_t{0}, std::uint64_t{4096}, std::uint64_t{0xffffffff}, ~std::uint64_t{0}}) {
    lane.begin_at(0);
    ASSERT_EQ(put(*lane.writer, payload, how::brief), status::ok);
    lane.commit_writes();
    const std::uint64_t number = lane.header(0).ready.own() & shape_mask;
    ASSERT_NE(number, 0U);
    word<std::uint64_t>& shape = lane.shapes[number >> shape_shift];
    const std::uint64_t sound = shape.own();
    shape.publish(entry);
    EXPECT_EQ(lane.reader->peek(view), look::corrupt) << entry;
    EXPECT_FALSE(walk(lane.ring(), 0, lane.commit.own()).sound);
    shape.publish(sound);
  }
}

TEST(Lane, FencedLaneStaysFenced) {
  tiny_lane lane;
  lane.begin_at(0);
  EXPECT_FALSE(lane.reader->is_fenced());
  lane.reader->fence();
  EXPECT_TRUE(lane.reader->is_fenced());
  lane.reopen();
  EXPECT_TRUE(lane.reader->is_fenced());
}

// ---- walking and cutting ----

TEST(Lane, WalkCountsWhatIsCommittedAndStopsAtTheRest) {
  tiny_lane lane;
  lane.begin_at(line_bytes * 62);
  for (int i = 0; i < 5; ++i)
    ASSERT_EQ(put(*lane.writer, bytes_of(60, 1), how::narrow), status::ok);
  lane.commit_writes();
  ASSERT_EQ(put(*lane.writer, "ghost", how::narrow), status::ok);
  lane.writer->seal(lane.commit.own() + 1);
  const lane_walk found = walk(lane.ring(), line_bytes * 62, lane.commit.own());
  EXPECT_TRUE(found.sound);
  EXPECT_EQ(found.count, 5U);
  EXPECT_EQ(found.position, line_bytes * (62 + 10));
}

TEST(Lane, WalkThroughNonsenseEnds) {
  std::mt19937_64 random(2);
  tiny_lane lane;
  for (int i = 0; i < 2000; ++i) {
    lane.begin_at(0);
    for (std::uint64_t at = 0; at < lane.capacity; at += 8) {
      const std::uint64_t noise = random() >> (random() % 64);
      std::memcpy(lane.memory() + at, &noise, sizeof noise);
    }
    // Read positions are a peer's words as well.
    const std::uint64_t from = random() >> (random() % 64);
    const lane_walk found = walk(lane.ring(), from / line_bytes * line_bytes, random());
    EXPECT_LE(found.count, lane.capacity / line_bytes);
  }
}

TEST(Lane, RecoveryCutsTheGhostAndASecondRecoveryChangesNothing) {
  tiny_lane lane;
  lane.begin_at(line_bytes * 60);
  ASSERT_EQ(put(*lane.writer, "kept", how::narrow), status::ok);
  lane.commit_writes();
  ASSERT_EQ(put(*lane.writer, bytes_of(300, 1), how::narrow), status::ok);
  ASSERT_EQ(put(*lane.writer, bytes_of(10, 1), how::wide), status::ok);
  lane.writer->seal(lane.commit.own() + 1);
  for (int i = 0; i < 2; ++i) {
    EXPECT_TRUE(
        recover_writer(lane.ring(), lane.out_line, lane.in_line.read_published, lane.commit.own()));
    EXPECT_EQ(lane.header(line_bytes * 61).ready.own(), 0U);
  }
  // The turn done over sends nothing here, and bears the ghost's stamp.
  lane.commit.publish(lane.commit.own() + 1);
  lane.reopen();
  message_view view;
  ASSERT_EQ(lane.reader->peek(view), look::message);
  EXPECT_EQ(text_of(view), "kept");
  lane.reader->take(view);
  EXPECT_EQ(lane.reader->peek(view), look::nothing);
}

TEST(Lane, RecoveryRefusesARingThatContradictsItsWritersAccount) {
  tiny_lane lane;
  lane.begin_at(0);
  ASSERT_EQ(put(*lane.writer, "x", how::narrow), status::ok);
  ASSERT_EQ(put(*lane.writer, "y", how::narrow), status::ok);
  lane.commit_writes();
  lane.header(line_bytes).ready.stage(0);
  EXPECT_FALSE(
      recover_writer(lane.ring(), lane.out_line, lane.in_line.read_published, lane.commit.own()));
}

}  // namespace
}  // namespace cyto::test
