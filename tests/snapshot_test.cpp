#include "cyto/snapshot.hpp"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "support/allocations.hpp"
#include "support/inquiry.hpp"
#include "support/must.hpp"
#include "support/stepped.hpp"
#include "support/system.hpp"
#include "support/watchdog.hpp"

namespace cyto::test {
namespace {

constexpr unsigned chain_length = 3;

// a -> b -> c. Each counts the messages that it has handled, or sent, in the cell "n".
struct chain : small_system {
  chain() : small_system({"a", "b", "c"}, {{0, 1}, {1, 2}}) {
    for (unsigned i = 0; i < chain_length; ++i) {
      slots[i] = std::make_unique<slot>(where, i);
      static_cast<void>(slots[i]->cells().cell<counter>("n"));
      slots[i]->the_turn().commit();
    }
  }
  // One more message goes all the way: a turn of each.
  void pass() const {
    for (unsigned i = 0; i < chain_length; ++i) step(i);
  }
  void step(unsigned i) const {
    turn& now = slots[i]->the_turn();
    std::string payload;
    if (i > 0 && !take_one(*slots[i], payload)) return;
    slots[i]->cells().cell<counter>("n").add(now, 1);
    if (i + 1 < chain_length) must(stage(*slots[i], 0, "x") == status::ok, "no room");
    now.commit();
  }
  // Its clock goes on, its cell "n" stays as it is.
  void run_ahead(unsigned i, int turns) const {
    for (; turns > 0; --turns) {
      slots[i]->cells().cell<counter>("other").add(slots[i]->the_turn(), 1);
      slots[i]->the_turn().commit();
    }
  }
  [[nodiscard]] std::vector<cell_place> places() const {
    return {*find_cell(where, "a", "n"), *find_cell(where, "b", "n"), *find_cell(where, "c", "n")};
  }
  std::array<std::unique_ptr<slot>, chain_length> slots;
};

using counts = std::array<std::uint64_t, chain_length>;

counts counts_of(const snapshot& of) { return {of.value(0)[0], of.value(1)[0], of.value(2)[0]}; }

// Nothing was handled that had not been sent.
bool is_consistent(const counts& seen) { return seen[0] >= seen[1] && seen[1] >= seen[2]; }

TEST(Snapshot, ReadsCellsOfAllKinds) {
  const small_system system({"a", "b"}, {});
  slot a(system.where, 0), b(system.where, 1);
  a.cells().cell<counter>("sum").add(a.the_turn(), 7);
  a.cells().cell<vector_clock>("clock").tick(a.the_turn());
  a.the_turn().commit();
  b.the_turn().see(40);
  b.cells().cell<last_writer>("word").set(b.the_turn(), 9);
  b.cells().cell<growing_set>("names").add(b.the_turn(), "x");
  b.the_turn().commit();
  EXPECT_FALSE(find_cell(system.where, "a", "word").has_value());
  EXPECT_THROW(static_cast<void>(find_cell(system.where, "c", "sum")), error);
  snapshot cut(system.where,
               {*find_cell(system.where, "b", "names"), *find_cell(system.where, "a", "clock"),
                *find_cell(system.where, "b", "word"), *find_cell(system.where, "a", "sum")});
  ASSERT_TRUE(cut.take());
  EXPECT_EQ(cut.failures(), 0U);
  EXPECT_EQ(cut.stamp(), 41U);
  EXPECT_EQ(cut.kind(0), cell_kind::growing_set);
  EXPECT_EQ(cut.value(0)[0], 1U);
  EXPECT_EQ(cut.vector(1)[0], 1U);
  EXPECT_EQ(cut.vector(0), version_vector());
  EXPECT_EQ(cut.value(2)[1], 9U);
  EXPECT_EQ(cut.written_at(2), 41U);
  EXPECT_EQ(cut.value(3)[0], 7U);
  EXPECT_EQ(cut.written_at(3), 1U);
}

TEST(Snapshot, AnEmptyOneIsTaken) {
  const small_system system({"a"}, {});
  snapshot cut(system.where, {});
  EXPECT_TRUE(cut.take());
  EXPECT_EQ(cut.stamp(), 0U);
}

TEST(Snapshot, RefusesAPlaceWhereNoCellIs) {
  const small_system system({"a"}, {}, {4096, 4096});
  for (const cell_place& each :
       {cell_place{1, 64}, cell_place{0, 0}, cell_place{0, 65}, cell_place{0, 4096},
        cell_place{0, 4096 - 64}, cell_place{0, ~std::uint64_t{63}}}) {
    EXPECT_THROW(snapshot(system.where, {each}), error) << each.arena_offset;
  }
}

TEST(Snapshot, HasAllThatWasCommittedWhoeverIsAhead) {
  for (unsigned ahead = 0; ahead < chain_length; ++ahead) {
    chain system;
    snapshot cut(system.where, system.places());
    system.run_ahead(ahead, 100);
    for (std::uint64_t i = 1; i < 20; ++i) {
      system.pass();
      system.step(0);
      system.step(1);
      ASSERT_TRUE(cut.take());
      EXPECT_EQ(cut.failures(), 0U);
      EXPECT_EQ(counts_of(cut), (counts{2 * i, 2 * i, 2 * i - 1}));
      system.step(2);
    }
  }
}

TEST(Snapshot, SeesNothingOfATurnThatIsNotCommitted) {
  chain system;
  system.pass();
  snapshot cut(system.where, system.places());
  slot& a = *system.slots[0];
  a.cells().cell<counter>("n").add(a.the_turn(), 1);
  ASSERT_TRUE(cut.take());
  EXPECT_EQ(counts_of(cut), (counts{1, 1, 1}));
  a.the_turn().abort();
  ASSERT_TRUE(cut.take());
  EXPECT_EQ(counts_of(cut), (counts{1, 1, 1}));
}

TEST(Snapshot, WhoeverActsUponItIsLaterThanAllOfIt) {
  chain system;
  system.run_ahead(2, 50);
  snapshot cut(system.where, system.places());
  ASSERT_TRUE(cut.take());
  EXPECT_EQ(cut.stamp(), system.where.control_of(2).commit.observe());
  turn& reader = system.slots[0]->the_turn();
  reader.see(cut.stamp());
  EXPECT_GT(reader.stamp(), cut.stamp());
  reader.abort();
}

TEST(Snapshot, TakingOneAllocatesNothing) {
  chain system;
  snapshot cut(system.where, system.places());
  const std::uint64_t before = allocations();
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(cut.take());
  EXPECT_EQ(allocations(), before);
}

TEST(Snapshot, AnswersNoWhereMemoryWasOverwritten) {
  chain system;
  system.pass();
  snapshot cut(system.where, system.places());
  const mapping all = system.map_all();
  const cell_place place = system.places()[1];
  auto* record = reinterpret_cast<cell_record*>(all.data() + system.where.slot(1).arena_offset +
                                                place.arena_offset);
  record->value.seal(0, tag_void);
  record->value.seal(1, tag_void);
  EXPECT_FALSE(cut.take(10));
  EXPECT_EQ(cut.failures(), 10U);
  record->value.seal(0, 0);
  EXPECT_TRUE(cut.take(10));
  reinterpret_cast<control*>(all.data() + system.where.slot(2).control_offset)
      ->commit.publish(~std::uint64_t{0});
  static_cast<void>(cut.take(10));  // Whatever it answers, it comes back.
}

TEST(Snapshot, ReadsAClockWhileItChanges) {
  const small_system system({"a"}, {});
  slot a(system.where, 0);
  const auto clock = a.cells().cell<vector_clock>("clock");
  snapshot* cut = nullptr;
  std::unique_ptr<snapshot> made;
  version_vector sent;
  for (std::uint64_t i = 1; i <= 20; ++i) {
    sent.increment(i);
    clock.merge(a.the_turn(), sent);
    if (cut != nullptr) {  // The turn is open.
      ASSERT_TRUE(cut->take());
      EXPECT_EQ(cut->vector(0)[i], 0U);
      EXPECT_EQ(cut->vector(0).counts().size(), i);
    }
    a.the_turn().commit();
    if (cut == nullptr) {
      made = std::make_unique<snapshot>(
          system.where, std::vector<cell_place>{*find_cell(system.where, "a", "clock")});
      cut = made.get();
    }
    ASSERT_TRUE(cut->take());
    EXPECT_EQ(cut->vector(0), sent);
  }
}

// ---- one instruction at a time ----

// What the child has found.
struct finding {
  word<std::uint64_t> taken;
  word<std::uint64_t> failures;
  word<std::uint64_t> count[chain_length];
  word<std::uint64_t> naive[chain_length];
};

class shared_finding {
 public:
  shared_finding()
      : place_(::mmap(nullptr, sizeof(finding), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                      -1, 0)) {
    if (place_ == MAP_FAILED) throw std::bad_alloc();
    new (place_) finding{};
  }
  shared_finding(const shared_finding&) = delete;
  shared_finding& operator=(const shared_finding&) = delete;
  ~shared_finding() { ::munmap(place_, sizeof(finding)); }
  finding* operator->() const { return static_cast<finding*>(place_); }

 private:
  void* place_;
};

// Workers are stopped after each instruction of their turns; a snapshot is taken of that, and waits
// for nobody.
TEST(SnapshotStepped, IsTakenAtOnceWhereverTheWorkersStand) {
  CYTO_SKIP_UNDER_TSAN();
  const watchdog guard(std::chrono::seconds(150), name_of_test());
  for (unsigned ahead = 0; ahead < chain_length; ++ahead) {
    chain system;
    system.run_ahead(ahead, 9);
    system.pass();
    snapshot cut(system.where, system.places());
    ASSERT_TRUE(cut.take());
    counts last = counts_of(cut);
    std::uint64_t last_stamp = cut.stamp();
    stepped_child child([] {}, [&] { system.pass(); });
    std::size_t changes = 0;
    while (child.step()) {
      ASSERT_TRUE(cut.take(1)) << "after " << child.steps();
      const counts now = counts_of(cut);
      ASSERT_TRUE(is_consistent(now)) << "after " << child.steps();
      for (unsigned i = 0; i < chain_length; ++i) ASSERT_GE(now[i], last[i]);
      ASSERT_GE(cut.stamp(), last_stamp);
      changes += now != last ? 1U : 0U;
      last = now;
      last_stamp = cut.stamp();
    }
    EXPECT_EQ(last, (counts{2, 2, 2}));
    EXPECT_EQ(changes, chain_length);
  }
}

// The reader is stopped after each instruction, and meanwhile the workers do `rounds` rounds. What
// comes out has all that was there before and is consistent, unlike what each cell by itself gives.
void expect_cuts(unsigned ahead, unsigned rounds) {
  const shared_finding out;
  chain system;
  system.run_ahead(ahead, 9);
  system.pass();
  const std::vector<cell_place> places = system.places();
  snapshot cut(system.where, places);
  const auto read_one = [&](unsigned i) {
    std::uint64_t seen = 0;
    cell_value value{};
    const auto& cell =
        *system.where.at<cell_record>(system.where.slot(i).arena_offset + places[i].arena_offset);
    cell.value.read(system.where.control_of(i).commit, value, seen);
    return value[0];
  };
  const auto look = [&] {
    out->taken.publish(cut.take() ? 1 : 0);
    for (unsigned i = 0; i < chain_length; ++i) out->naive[i].publish(read_one(i));
    for (unsigned i = 0; i < chain_length; ++i) out->count[i].publish(cut.value(i)[0]);
    out->failures.publish(cut.failures());
  };
  std::size_t naive_wrong = 0;
  const std::uint64_t stride = sanitized ? 61U : is_full() ? 1U : 9U;
  std::uint64_t k = 0;
  for (bool goes_on = true; goes_on; k += stride) {
    const std::uint64_t before = read_one(chain_length - 1);
    stepped_child child([] {}, look);
    for (std::uint64_t i = 0; i < k && goes_on; ++i) goes_on = child.step();
    for (unsigned i = 0; i < rounds; ++i) system.pass();
    if (goes_on) child.finish();
    const counts seen{out->count[0].observe(), out->count[1].observe(), out->count[2].observe()};
    const counts naive{out->naive[0].observe(), out->naive[1].observe(), out->naive[2].observe()};
    ASSERT_EQ(out->taken.observe(), 1U) << k;
    ASSERT_LE(out->failures.observe(), 1U) << k;
    ASSERT_TRUE(is_consistent(seen)) << k << ": " << seen[0] << " " << seen[1] << " " << seen[2];
    for (const std::uint64_t each : seen) ASSERT_GE(each, before) << k;
    naive_wrong += is_consistent(naive) ? 0U : 1U;
  }
  EXPECT_GT(k, 100U);
  EXPECT_TRUE(sanitized || naive_wrong > 0) << "the control has not seen what it is there for";
}

TEST(SnapshotStepped, IsACutWhereverTheReaderIsInterrupted) {
  CYTO_SKIP_UNDER_TSAN();
  const watchdog guard(std::chrono::seconds(200), name_of_test());
  for (unsigned ahead = 0; ahead < chain_length; ++ahead) {
    for (const unsigned rounds : {1U, 2U}) expect_cuts(ahead, rounds);
  }
}

}  // namespace
}  // namespace cyto::test
