// Memory that is mapped beforehand: how many page faults are left for the turns, counted by the
// kernel in a process of its own; and how much address space creating takes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/resource.h>

#include <cstdint>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "cyto/worker.hpp"
#include "support/actor.hpp"
#include "support/files.hpp"
#include "support/system.hpp"
#include "support/watchdog.hpp"
#include "tools/topology_file.hpp"

namespace cyto::test {
namespace {

constexpr std::uint64_t ring_bytes = 4U << 20;
constexpr std::uint64_t ring_pages = ring_bytes / page_bytes;

std::uint64_t faults() {
  rusage used{};
  ::getrusage(RUSAGE_SELF, &used);
  return static_cast<std::uint64_t>(used.ru_minflt);
}

// Sends and takes as much as the lane is long, so that each of its pages is used at both ends.
void go_round(slot& from, slot& to) {
  const std::string payload(3'000, 'x');
  std::string got;
  for (std::uint64_t bytes = 0; bytes < ring_bytes; bytes += payload.size()) {
    if (send(from, 0, payload) != status::ok || !take_one(to, got)) {
      throw std::runtime_error("a message was lost");
    }
    to.the_turn().commit();
  }
}

// Page faults of one round of a lane whose two ends are in one process.
std::uint64_t faults_of_a_round(bool is_prefaulted) {
  actor counts([&](const line& test) {
    const small_system system({"a", "b"}, {{0, 1}, {1, 0}}, {.ring_bytes = ring_bytes});
    slot from(system.where, 0);
    slot to(system.where, 1);
    // What the process itself uses at its first turn (code, stack, heap) is not the matter here.
    std::string got;
    for (int i = 0; i < 4; ++i) {
      if (send(to, 0, std::string(3'000, 'x')) != status::ok || !take_one(from, got)) test.say(0);
      from.the_turn().commit();
    }
    if (is_prefaulted) {
      from.prefault();
      to.prefault();
    }
    const std::uint64_t before = faults();
    go_round(from, to);
    test.say(faults() - before);
  });
  const std::uint64_t out = counts.hear();
  EXPECT_EQ(counts.end(), 0);
  return out;
}

TEST(Prefault, LeavesNoPageFaultForTheTurns) {
  const watchdog guard(std::chrono::seconds(60), "Prefault.LeavesNoPageFaultForTheTurns");
  const std::uint64_t without = faults_of_a_round(false);
  const std::uint64_t with = faults_of_a_round(true);
  EXPECT_GE(without, with + ring_pages);
  // A sanitizer has pages of its own for each string.
  if (!sanitized) {
    EXPECT_LT(with, 16U);
  }
}

TEST(Prefault, AWorkerDoesItBeforeItIsReadyIfItsTopologySaysSo) {
  const watchdog guard(std::chrono::seconds(60), "Prefault.AWorkerDoesItBeforeItIsReady");
  const auto resident_when_ready = [](const std::string& setting) {
    segment_plan plan = small_plan({"feeder", "worker"}, {{0, 1}}, {.ring_bytes = ring_bytes});
    plan.slots[1].arena_bytes = ring_bytes;
    plan.slots[1].settings = setting;
    const segment where = segment::create(plan);
    const actor works([&](const line&) {
      slot place(where, 1);
      worker self(place);
      self.run(-1);
    });
    const auto state = [&] { return where.control_of(1).state.observe(); };
    while (state() != static_cast<std::uint32_t>(slot_state::ready)) ::sched_yield();
    // "size resident shared ...", in pages; shared are those of the memfd, and of files.
    std::ifstream file("/proc/" + std::to_string(works.pid()) + "/statm");
    std::uint64_t size = 0;
    std::uint64_t resident = 0;
    std::uint64_t shared = 0;
    file >> size >> resident >> shared;
    return shared;
  };
  const std::uint64_t without = resident_when_ready("");
  // Its arena, and the lane it reads, mapped twice.
  EXPECT_GE(resident_when_ready("prefault of worker=yes\n"), without + 3 * ring_pages);
}

TEST(Prefault, TheTopologySaysItForAllItsWorkers) {
  const temp_dir folder;
  const auto read = [&](const std::string& memory) {
    const auto path = folder.path() / "t.toml";
    write_file(path, "name = \"job\"\n[[worker]]\nname = \"w\"\nprogram = \"true\"\n" + memory);
    tools::topology_request request;
    request.path = path.string();
    request.programs = "/bin";
    return tools::read_topology(request);
  };
  EXPECT_FALSE(read("").prefault);
  EXPECT_FALSE(read("[memory]\nprefault = false\n").prefault);
  const topology yes = read("[memory]\nprefault = true\n");
  EXPECT_TRUE(yes.prefault);
  EXPECT_THAT(plan_of(yes).slots[0].settings, testing::HasSubstr("prefault of worker=yes\n"));
  EXPECT_THROW(read("[memory]\nprefault = 1\n"), error);
  EXPECT_EQ(yes.pages, huge_pages::never);
  EXPECT_EQ(plan_of(read("[memory]\nhuge_pages = \"try\"\n")).pages, huge_pages::attempt);
  EXPECT_EQ(plan_of(read("[memory]\nhuge_pages = \"always\"\n")).pages, huge_pages::always);
  EXPECT_THROW(read("[memory]\nhuge_pages = true\n"), error);
  EXPECT_THROW(read("[memory]\nprefolt = true\n"), error);
}

// What of this process is mapped by huge pages of shared memory.
std::uint64_t huge_bytes() {
  std::ifstream file("/proc/self/smaps_rollup");
  for (std::string word; file >> word;) {
    std::uint64_t kib = 0;
    if (word == "ShmemPmdMapped:" && file >> kib) return kib * 1024;
  }
  return 0;
}

segment_plan large_plan(huge_pages pages) {
  segment_plan plan = small_plan({"a", "b"}, {{0, 1}, {1, 0}}, {.ring_bytes = ring_bytes});
  plan.slots[1].arena_bytes = ring_bytes + page_bytes;
  plan.lanes[1].ring_bytes = page_bytes;
  plan.pages = pages;
  return plan;
}

TEST(HugePages, LargePartsLieInThemAndMessagesGoRoundAsEver) {
  segment_plan plan = large_plan(huge_pages::always);
  std::optional<segment> where;
  try {
    where.emplace(segment::create(plan));
  } catch (const error& failure) {
    EXPECT_THAT(failure.what(), testing::AllOf(testing::HasSubstr("8,388,608 bytes in huge pages"),
                                               testing::HasSubstr("of memory are left")));
    GTEST_SKIP() << failure.what();
  }
  EXPECT_EQ(where->header().segment_bytes, bytes_needed(plan));
  EXPECT_EQ(where->lane(0).ring_offset % huge_page_bytes, 0U);
  EXPECT_EQ(where->slot(1).arena_offset % huge_page_bytes, 0U);
  slot from(*where, 0);
  slot to(*where, 1);
  const std::uint64_t before = huge_bytes();
  from.prefault();
  to.prefault();
  // The lane twice at both ends, and the arena.
  EXPECT_GE(huge_bytes(), before + 5 * ring_bytes);
  go_round(from, to);
  go_round(from, to);
}

TEST(HugePages, ToTryThemIsNeverRefused) {
  const segment where = segment::create(large_plan(huge_pages::attempt));
  slot from(where, 0);
  slot to(where, 1);
  go_round(from, to);
  go_round(from, to);
}

TEST(Create, TakesNoMoreAddressSpaceThanItMapsInTheEnd) {
  if (sanitized) GTEST_SKIP() << "a sanitizer's address space has no limit";
  const watchdog guard(std::chrono::seconds(60), "Create.TakesNoMoreAddressSpace");
  actor creates([](const line& test) {
    std::ifstream file("/proc/self/statm");
    std::uint64_t pages = 0;
    file >> pages;
    constexpr std::uint64_t arena_bytes = 256U << 20;
    const rlimit most{pages * page_bytes + arena_bytes * 3 / 2, RLIM_INFINITY};
    if (::setrlimit(RLIMIT_AS, &most) != 0) test.say(1);
    const small_system system({"a"}, {}, {.arena_bytes = arena_bytes});
    test.say(system.where.header().segment_bytes / arena_bytes);
  });
  EXPECT_EQ(creates.hear(), 1U);
  EXPECT_EQ(creates.end(), 0);
}

}  // namespace
}  // namespace cyto::test
