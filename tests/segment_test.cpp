#include "cyto/segment.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/memfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "support/refusal.hpp"
#include "support/process.hpp"
#include "support/system.hpp"
#include "support/watchdog.hpp"

namespace cyto::test {
namespace {

using testing::HasSubstr;

segment_plan some_plan() {
  segment_plan plan = small_plan({"a", "b/0", "b/1"}, {{0, 1}, {0, 2}, {1, 2}});
  plan.slots[1].settings = "key=value\n";
  plan.fingerprint = 42;
  return plan;
}

// A memfd with these bytes, sealed or not.
int memfd_of(const std::vector<std::byte>& bytes, bool sealed) {
  const int fd = memfd_create("cyto-unit-test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  EXPECT_EQ(write(fd, bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
  if (sealed) {
    EXPECT_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), 0);
  }
  return fd;
}

std::vector<std::byte> bytes_of(const segment& from) {
  const auto* begin = from.at<std::byte>(0);
  return {begin, begin + from.header().segment_bytes};
}

template <class T>
void put(std::vector<std::byte>& to, std::size_t offset, T value) {
  std::memcpy(to.data() + offset, &value, sizeof value);
}

// Uses all that attach() has vouched for.
void use(const segment& made) {
  std::size_t sum = made.find_slot("nobody");
  for (std::uint32_t i = 0; i < made.slot_count(); ++i) {
    sum += made.control_of(i).pid.observe() + made.board_of(i).kills.observe();
    for (const char each : made.settings(i)) sum += static_cast<unsigned char>(each);
    sum += made.control_of(i).touched[touched_max - 1].observe();
  }
  for (std::uint32_t i = 0; i < made.lane_count(); ++i) {
    const lane_entry& lane = made.lane(i);
    sum += made.input_of(lane).fenced.observe() + made.output_of(lane).sent.tag(0);
    const mapping ring = made.map_ring(lane, false);
    sum += std::to_integer<std::size_t>(ring.data()[2 * lane.ring_bytes - 1]);
  }
  const mapping bells = made.map_doorbells();
  sum += reinterpret_cast<const doorbell_line*>(bells.data())[made.slot_count() - 1].parked.own();
  EXPECT_GE(sum + 1, 1U);
}

TEST(Segment, IsSeenByAttachAsItWasMade) {
  const segment made = segment::create(some_plan());
  const segment seen = segment::attach(dup(made.fd()));
  EXPECT_EQ(seen.name(), "test");
  EXPECT_EQ(seen.header().fingerprint, 42U);
  EXPECT_EQ(seen.slot_count(), 3U);
  EXPECT_EQ(seen.lane_count(), 3U);
  EXPECT_EQ(seen.settings(1), "key=value\n");
  EXPECT_EQ(seen.settings(0), "");
  EXPECT_EQ(seen.find_slot("b/1"), 2U);
  EXPECT_EQ(seen.find_slot("c"), 3U);
  EXPECT_EQ(seen.lane(2).writer_slot, 1U);
  EXPECT_EQ(seen.lane(2).reader_index, 1U);
  EXPECT_EQ(seen.header().segment_bytes, bytes_needed(some_plan()));
  use(seen);
}

TEST(Segment, MemoryIsReservedAndSealed) {
  const segment made = segment::create(some_plan());
  struct stat info {};
  ASSERT_EQ(fstat(made.fd(), &info), 0);
  EXPECT_GE(static_cast<std::uint64_t>(info.st_blocks) * 512, made.header().segment_bytes);
  EXPECT_NE(ftruncate(made.fd(), 4096), 0);
  EXPECT_NE(ftruncate(made.fd(), info.st_size + 4096), 0);
  const int seals = fcntl(made.fd(), F_GET_SEALS);
  EXPECT_EQ(seals & (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL),
            F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
}

TEST(Segment, PagesOfDifferentWritersAreDifferent) {
  const segment made = segment::create(some_plan());
  std::vector<std::pair<std::uint64_t, std::uint64_t>> parts = {
      {made.header().doorbells_offset, made.slot_count() * sizeof(doorbell_line)},
      {made.header().board_offset, sizeof(board) + made.slot_count() * sizeof(board_slot)}};
  for (std::uint32_t i = 0; i < made.slot_count(); ++i) {
    parts.emplace_back(made.slot(i).control_offset, made.slot(i).control_bytes);
    parts.emplace_back(made.slot(i).arena_offset, made.slot(i).arena_bytes);
  }
  for (std::uint32_t i = 0; i < made.lane_count(); ++i) {
    parts.emplace_back(made.lane(i).ring_offset, made.lane(i).ring_bytes);
  }
  std::sort(parts.begin(), parts.end());
  std::uint64_t end = page_bytes;
  for (const auto& [offset, bytes] : parts) {
    EXPECT_GE(offset, end);
    EXPECT_EQ(offset % page_bytes, 0U);
    end = round_up(offset + bytes, page_bytes);
  }
  EXPECT_EQ(end, made.header().segment_bytes);
}

// ---- create refuses ----

TEST(Segment, CreateRefusesNamesThatAreNone) {
  const std::vector<std::string> bad = {"",  std::string(48, 'x'),   "a b",
                                        "ä", std::string("a\0b", 3), "a\n"};
  for (const std::string& name : bad) {
    segment_plan plan = some_plan();
    plan.name = name;
    EXPECT_THAT(refusal([&] { segment::create(plan); }), HasSubstr("system name")) << name;
    plan = some_plan();
    plan.slots[1].name = name;
    EXPECT_THAT(refusal([&] { segment::create(plan); }), HasSubstr("worker name")) << name;
  }
  segment_plan plan = some_plan();
  plan.name = std::string(47, 'x');
  EXPECT_EQ(refusal([&] { segment::create(plan); }), "not refused");
}

TEST(Segment, CreateRefusesASystemNameThatWouldLeadOutOfTheRuntimeFolder) {
  for (const char* name : {"a/b", "/", "../x"}) {
    segment_plan plan = some_plan();
    plan.name = name;
    EXPECT_THAT(refusal([&] { segment::create(plan); }), HasSubstr("system name")) << name;
  }
}

TEST(Segment, CreateRefusesTwoSlotsOfOneName) {
  segment_plan plan = some_plan();
  plan.slots[1].name = plan.slots[0].name;
  EXPECT_THAT(refusal([&] { segment::create(plan); }), HasSubstr("'a'"));
}

TEST(Segment, CreateRefusesSizesAndCountsOutOfBounds) {
  for (const std::uint64_t bytes :
       std::initializer_list<std::uint64_t>{0, 2048, 4095, 4097, 12288, lane_bytes_max * 2}) {
    segment_plan plan = some_plan();
    plan.lanes[1].ring_bytes = bytes;
    const std::string text = refusal([&] { segment::create(plan); });
    EXPECT_THAT(text, HasSubstr("a -> b/1"));
    EXPECT_THAT(text, HasSubstr(bytes_text(bytes)));
  }
  segment_plan plan = some_plan();
  plan.slots[0].arena_bytes = arena_bytes_max + 1;
  EXPECT_THAT(refusal([&] { segment::create(plan); }), HasSubstr(bytes_text(arena_bytes_max)));
  plan = some_plan();
  plan.lanes.clear();
  plan.slots.clear();
  EXPECT_THAT(refusal([&] { segment::create(plan); }), HasSubstr("0 workers"));
  plan.slots.resize(257, some_plan().slots[0]);
  EXPECT_THAT(refusal([&] { segment::create(plan); }), HasSubstr("257 workers"));
}

TEST(Segment, CreateRefusesLanesOfSlotsThatAreNotThere) {
  segment_plan plan = some_plan();
  plan.lanes[0].reader_slot = 3;
  EXPECT_NE(refusal([&] { segment::create(plan); }), "not refused");
}

TEST(Segment, CreateNamesBothNumbersWhenMemoryIsShort) {
  segment_plan plan = small_plan({"a", "b"}, {});
  for (int i = 0; i < 15; ++i) plan.slots.push_back({"s" + std::to_string(i), "s", 0, 0, 0, {}});
  for (auto& slot : plan.slots) slot.arena_bytes = arena_bytes_max;
  const std::string text = refusal([&] { segment::create(plan); });
  EXPECT_THAT(text, HasSubstr("needs " + bytes_text(bytes_needed(plan))));
  EXPECT_THAT(text, testing::ContainsRegex("leave [0-9,]+ bytes"));
}

// ---- attach refuses ----

TEST(Segment, AttachRefusesWhatIsTruncatedOrNotSealed) {
  std::vector<std::byte> good = bytes_of(segment::create(some_plan()));
  EXPECT_EQ(refusal([&] { segment::attach(memfd_of(good, true)); }), "not refused");
  EXPECT_THAT(refusal([&] { segment::attach(memfd_of(good, false)); }), HasSubstr("not sealed"));
  for (const std::size_t bytes : {std::size_t{0}, std::size_t{100}, std::size_t{4096},
                                  std::size_t{8192}, good.size() - 4096, good.size() - 1}) {
    std::vector<std::byte> cut(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(bytes));
    EXPECT_THAT(refusal([&] { segment::attach(memfd_of(cut, true)); }), HasSubstr("segment: "))
        << bytes;
  }
}

TEST(Segment, AttachNamesBothVersions) {
  std::vector<std::byte> other = bytes_of(segment::create(some_plan()));
  put(other, 0, layout_magic + 6);
  const std::string text = refusal([&] { segment::attach(memfd_of(other, true)); });
  EXPECT_THAT(text, HasSubstr("version " + std::to_string(layout_version + 6)));
  EXPECT_THAT(text, HasSubstr("is " + std::to_string(layout_version)));
  put(other, 0, std::uint64_t{0});
  EXPECT_THAT(refusal([&] { segment::attach(memfd_of(other, true)); }), HasSubstr("mark"));
}

TEST(Segment, AttachRefusesDescriptorsThatAreNoMemory) {
  EXPECT_NE(refusal([] { segment::attach(-1); }), "not refused");
  EXPECT_NE(refusal([] { segment::attach(::open("/dev/null", O_RDWR | O_CLOEXEC)); }),
            "not refused");
  EXPECT_NE(refusal([] { segment::attach(::open("/", O_RDONLY | O_CLOEXEC)); }), "not refused");
}

TEST(Segment, AttachClosesTheDescriptorThatItRefuses) {
  const int fd = memfd_of(std::vector<std::byte>(4096), true);
  EXPECT_NE(refusal([&] { segment::attach(fd); }), "not refused");
  EXPECT_EQ(fcntl(fd, F_GETFD), -1);
}

// Each number of the header and the tables, one at a time, with values that are likely to hurt:
// refused, or harmless to whoever uses it. Run under the sanitizers, misalignment counts as harm.
TEST(Segment, CorruptedNumbersAreRefusedOrHarmless) {
  const segment made = segment::create(some_plan());
  const std::vector<std::byte> good = bytes_of(made);
  const std::size_t tables_end = made.header().settings_offset;
  std::size_t refused = 0;
  std::size_t tried = 0;
  for (std::size_t at = 8; at < tables_end; at += 4) {
    for (const std::uint64_t value :
         {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{3}, std::uint64_t{129},
          std::uint64_t{4097}, std::uint64_t{1} << 20, std::uint64_t{0x7fffffff},
          std::uint64_t{0xfffffff0}, ~std::uint64_t{0} - 4095, ~std::uint64_t{0}}) {
      for (const bool wide : {false, true}) {
        if (wide && (at % 8 != 0 || at + 8 > tables_end)) continue;
        std::vector<std::byte> bent = good;
        if (wide) {
          put(bent, at, value);
        } else {
          put(bent, at, static_cast<std::uint32_t>(value));
        }
        ++tried;
        const int fd = memfd_of(bent, true);
        const std::string text = refusal([&] {
          const segment seen = segment::attach(fd);
          use(seen);
        });
        if (text != "not refused") ++refused;
      }
    }
  }
  EXPECT_GT(refused, tried / 4);
}

TEST(Segment, AttachRefusesTablesThatAreNotAligned) {
  const segment made = segment::create(some_plan());
  for (const std::size_t field :
       {offsetof(segment_header, slots_offset), offsetof(segment_header, lanes_offset),
        offsetof(segment_header, doorbells_offset), offsetof(segment_header, board_offset)}) {
    std::vector<std::byte> bent = bytes_of(made);
    std::uint64_t offset = 0;
    std::memcpy(&offset, bent.data() + field, sizeof offset);
    put(bent, field, offset + 1);
    EXPECT_NE(refusal([&] { segment::attach(memfd_of(bent, true)); }), "not refused") << field;
  }
}

// ---- the kernel's lock ----

TEST(SlotLock, IsHeldByOneAtATimeAndPerSlot) {
  const segment made = segment::create(some_plan());
  slot_lock first(made, 0);
  EXPECT_TRUE(first.held());
  EXPECT_FALSE(slot_lock(made, 0).held());
  EXPECT_TRUE(slot_lock(made, 1).held());
  EXPECT_TRUE(slot_lock::is_held(made, 0));
  EXPECT_FALSE(slot_lock::is_held(made, 1));
  slot_lock moved = std::move(first);
  EXPECT_TRUE(moved.held());
  EXPECT_FALSE(slot_lock(made, 0).held());
  moved = slot_lock();
  EXPECT_TRUE(slot_lock(made, 0).held());
  EXPECT_FALSE(slot_lock::is_held(made, 0));
}

// Runs `body` in a child that then waits to be killed. Returns once it waits.
pid_t child_that_waits(const std::function<bool()>& body) {
  const pipe_ends pipe = make_pipe();
  const pid_t child = fork();
  if (child == 0) {
    const char answer = body() ? 'y' : 'n';
    if (write(pipe.write.get(), &answer, 1) != 1) _exit(1);
    for (;;) pause();
  }
  char answer = '?';
  EXPECT_EQ(read(pipe.read.get(), &answer, 1), 1);
  EXPECT_EQ(answer, 'y');
  return child;
}

void kill_and_reap(pid_t child) {
  kill(child, SIGKILL);
  int state = 0;
  EXPECT_EQ(waitpid(child, &state, 0), child);
}

TEST(SlotLock, IsFreedByTheDeathOfItsHolderAndByNothingElse) {
  const watchdog guard(std::chrono::seconds(30), "SlotLock.IsFreedByTheDeath...");
  const segment made = segment::create(some_plan());
  const pid_t child = child_that_waits([&] {
    static slot_lock held(made, 0);
    return held.held();
  });
  EXPECT_TRUE(slot_lock::is_held(made, 0));
  EXPECT_FALSE(slot_lock(made, 0).held());
  kill(child, SIGSTOP);
  EXPECT_FALSE(slot_lock(made, 0).held()) << "a stopped process is not a dead one";
  kill_and_reap(child);
  EXPECT_FALSE(slot_lock::is_held(made, 0));
  EXPECT_TRUE(slot_lock(made, 0).held());
}

TEST(SlotLock, IsNotSharedWithAChildThatInheritedTheSegment) {
  const watchdog guard(std::chrono::seconds(30), "SlotLock.IsNotSharedWithAChild...");
  const segment made = segment::create(some_plan());
  const pid_t child = child_that_waits([&] {
    // Through the inherited descriptor and by itself, nobody's lock is its own.
    static slot_lock held(made, 1);
    return held.held();
  });
  const slot_lock mine(made, 0);
  EXPECT_TRUE(mine.held());
  EXPECT_TRUE(slot_lock::is_held(made, 1));
  EXPECT_FALSE(slot_lock(made, 1).held());
  kill_and_reap(child);
  EXPECT_TRUE(slot_lock(made, 1).held());
  EXPECT_TRUE(slot_lock::is_held(made, 0));
}

TEST(SlotLock, IsSeenThroughADescriptorThatMayOnlyRead) {
  const segment made = segment::create(some_plan());
  const std::string path = "/proc/self/fd/" + std::to_string(made.fd());
  const segment seen = segment::attach(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  EXPECT_FALSE(slot_lock::is_held(seen, 0));
  const slot_lock mine(made, 0);
  EXPECT_TRUE(slot_lock::is_held(seen, 0));
  EXPECT_FALSE(slot_lock::is_held(seen, 1));
}

TEST(SlotLock, SecondHolderOfASlotIsTurnedAwayWithTheFirstOnesPid) {
  const segment made = segment::create(some_plan());
  const slot first(made, 0);
  EXPECT_THAT(refusal([&] { slot second(made, 0); }),
              HasSubstr("process " + std::to_string(getpid()) + " holds it"));
}

}  // namespace
}  // namespace cyto::test
