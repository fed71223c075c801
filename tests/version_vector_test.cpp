#include "cyto/version_vector.hpp"

#include <gtest/gtest.h>

#include <initializer_list>
#include <memory>
#include <optional>
#include <vector>

#include "support/actor.hpp"
#include "support/allocations.hpp"
#include "support/must.hpp"
#include "support/system.hpp"
#include "trees_generated.h"

namespace cyto::test {
namespace {

using tree::Dated;

version_vector vector_of(std::initializer_list<std::uint64_t> counts) {
  version_vector out;
  EXPECT_TRUE(out.assign({counts.begin(), counts.size()}));
  return out;
}

version_vector merged(version_vector into, const version_vector& from) {
  into.merge(from);
  return into;
}

// All vectors of three entries of 0 to 2: some are shorter, since the last entry is not 0.
std::vector<version_vector> small_vectors() {
  std::vector<version_vector> out;
  for (std::uint64_t a = 0; a < 3; ++a) {
    for (std::uint64_t b = 0; b < 3; ++b) {
      for (std::uint64_t c = 0; c < 3; ++c) out.push_back(vector_of({a, b, c}));
    }
  }
  return out;
}

// Said entry by entry, of three: what compare() is held to.
causality expected(const version_vector& a, const version_vector& b) {
  bool at_most = true;
  bool at_least = true;
  for (std::size_t i = 0; i < 3; ++i) {
    at_most &= a[i] <= b[i];
    at_least &= a[i] >= b[i];
  }
  if (at_most && at_least) return causality::equal;
  if (at_most) return causality::before;
  return at_least ? causality::after : causality::concurrent;
}

TEST(VersionVector, ComparesAsAPartialOrder) {
  const auto all = small_vectors();
  std::size_t concurrent_pairs = 0;
  for (const version_vector& a : all) {
    ASSERT_EQ(compare(a, a), causality::equal);
    ASSERT_FALSE(happens_before(a, a));
    for (const version_vector& b : all) {
      ASSERT_EQ(compare(a, b), expected(a, b));
      // Exactly one of the four answers.
      ASSERT_EQ(happens_before(a, b) + happens_before(b, a) + concurrent(a, b) + (a == b), 1);
      ASSERT_EQ(concurrent(a, b), concurrent(b, a));
      if (concurrent(a, b)) ++concurrent_pairs;
      for (const version_vector& c : all) {
        ASSERT_TRUE(!happens_before(a, b) || !happens_before(b, c) || happens_before(a, c));
      }
    }
  }
  EXPECT_GT(concurrent_pairs, 100U);
}

TEST(VersionVector, MergeIsTheLeastUpperBound) {
  const auto all = small_vectors();
  for (const version_vector& a : all) {
    version_vector same = a;
    ASSERT_FALSE(same.merge(a));
    ASSERT_EQ(same, a);
    ASSERT_EQ(merged({}, a), a);
    for (const version_vector& b : all) {
      const version_vector both = merged(a, b);
      ASSERT_EQ(both, merged(b, a));
      version_vector into = a;
      const bool changed = into.merge(b);
      ASSERT_EQ(changed, into != a);
      ASSERT_TRUE(both == a || happens_before(a, both));
      for (const version_vector& c : all) {
        ASSERT_EQ(merged(both, c), merged(a, merged(b, c)));
        const bool is_above = !happens_before(c, a) && !concurrent(c, a) && !happens_before(c, b) &&
                              !concurrent(c, b);
        ASSERT_TRUE(!is_above || both == c || happens_before(both, c));
      }
    }
  }
}

TEST(VersionVector, AnEntryThatIsMissingCountsAsZero) {
  EXPECT_EQ(vector_of({1, 2}), vector_of({1, 2, 0, 0}));
  EXPECT_EQ(compare(vector_of({}), vector_of({0, 0})), causality::equal);
  EXPECT_EQ(compare(vector_of({1}), vector_of({1, 0, 1})), causality::before);
  EXPECT_EQ(compare(vector_of({2}), vector_of({1, 0, 1})), causality::concurrent);
  EXPECT_EQ(vector_of({1, 2})[200], 0U);
  EXPECT_EQ(vector_of({0, 3, 0, 0}).counts().size(), 2U);
}

TEST(VersionVector, HasAnEntryForEverySlotThereCanBeAndNoMore) {
  version_vector full;
  const std::uint64_t before = allocations();
  for (std::size_t i = 0; i < version_vector::entries_max; ++i) full.increment(i);
  version_vector other;
  EXPECT_TRUE(other.merge(full));
  EXPECT_EQ(compare(other, full), causality::equal);
  EXPECT_EQ(allocations(), before);
  EXPECT_EQ(full.counts().size(), slot_count_max);
  const std::vector<std::uint64_t> too_many(slot_count_max + 1, 1);
  EXPECT_FALSE(other.assign(too_many));
  EXPECT_EQ(other, full);
}

TEST(VersionVector, GoesThroughAMessage) {
  flatbuffers::FlatBufferBuilder fbb;
  const version_vector sent = vector_of({7, 0, ~0ULL});
  fbb.Finish(tree::CreateDated(fbb, encode(fbb, sent)));
  version_vector got;
  ASSERT_TRUE(decode(flatbuffers::GetRoot<Dated>(fbb.GetBufferPointer())->clock(), got));
  EXPECT_EQ(got, sent);
  fbb.Clear();
  fbb.Finish(tree::CreateDated(fbb));
  ASSERT_TRUE(decode(flatbuffers::GetRoot<Dated>(fbb.GetBufferPointer())->clock(), got));
  EXPECT_EQ(got, version_vector());
  fbb.Clear();
  fbb.Finish(
      tree::CreateDated(fbb, fbb.CreateVector(std::vector<std::uint64_t>(slot_count_max + 1, 1))));
  EXPECT_FALSE(decode(flatbuffers::GetRoot<Dated>(fbb.GetBufferPointer())->clock(), got));
  EXPECT_EQ(got, version_vector());
}

// ---- clocks: real turns ----

enum who : unsigned { a_slot, b_slot, c_slot, d_slot };

struct four_workers : small_system {
  four_workers() : small_system({"a", "b", "c", "d"}, {{0, 1}, {1, 2}, {3, 2}}) {}
};

// One turn without a message: an event. It is sent on where there is a lane.
version_vector begin_event(slot& at) {
  const auto clock = at.cells().cell<vector_clock>("clock");
  clock.tick(at.the_turn());
  for (const auto& to : at.the_turn().outputs()) {
    must(at.the_turn().send<Dated>(
             *to, [&](auto& fbb) { return tree::CreateDated(fbb, encode(fbb, clock.value())); }) ==
             status::ok,
         "no room");
  }
  return clock.value();
}
version_vector event(slot& at) {
  const version_vector out = begin_event(at);
  at.the_turn().commit();
  return out;
}
// The same with the next message, which is taken.
std::optional<version_vector> begin_receive(slot& at) {
  message_view view;
  turn_input* from = at.incoming().next(view);
  if (from == nullptr) return {};
  at.the_turn().take(*from, view);
  version_vector theirs;
  must(decode(open_message<Dated>(view)->clock(), theirs), "no clock");
  at.cells().cell<vector_clock>("clock").merge(at.the_turn(), theirs);
  const version_vector out = begin_event(at);
  turn::consume(*from, view);
  at.incoming().taken(*from);
  return out;
}
std::optional<version_vector> receive(slot& at) {
  const auto out = begin_receive(at);
  if (out) at.the_turn().commit();
  return out;
}

TEST(VectorClock, TellsCauseFromCoincidence) {
  const four_workers system;
  slot a(system.where, a_slot), b(system.where, b_slot), c(system.where, c_slot);
  slot d(system.where, d_slot);
  const version_vector at_a = event(a);
  const version_vector at_b = *receive(b);
  const version_vector at_c = *receive(c);
  const version_vector at_d = event(d);
  const version_vector later_at_a = event(a);
  EXPECT_EQ(compare(at_a, at_b), causality::before);
  EXPECT_EQ(compare(at_a, at_c), causality::before);
  EXPECT_EQ(compare(at_c, at_b), causality::after);
  EXPECT_EQ(compare(at_a, later_at_a), causality::before);
  for (const version_vector& other : {at_a, at_b, at_c, later_at_a}) {
    EXPECT_TRUE(concurrent(at_d, other));
  }
  EXPECT_TRUE(concurrent(later_at_a, at_b));
  EXPECT_TRUE(concurrent(later_at_a, at_c));
  const version_vector heard_of_d = *receive(c);
  EXPECT_TRUE(happens_before(at_d, heard_of_d));
  EXPECT_TRUE(happens_before(at_a, heard_of_d));
  EXPECT_TRUE(concurrent(later_at_a, heard_of_d));
}

TEST(VectorClock, ATurnThatAbortsWasNoEvent) {
  const four_workers system;
  slot a(system.where, a_slot);
  begin_event(a);
  a.the_turn().abort();  // The one that makes the cell.
  EXPECT_EQ(event(a), vector_of({1}));
  for (int i = 0; i < 3; ++i) {
    begin_event(a);
    begin_event(a);
    a.the_turn().abort();
  }
  const auto clock = a.cells().cell<vector_clock>("clock");
  EXPECT_EQ(clock.value(), vector_of({1}));
  begin_event(a);
  begin_event(a);
  EXPECT_EQ(event(a), vector_of({4}));
  EXPECT_FALSE(clock.merge(a.the_turn(), vector_of({3})));
  EXPECT_TRUE(clock.merge(a.the_turn(), vector_of({3, 1})));
  a.the_turn().commit();
  EXPECT_EQ(clock.value(), vector_of({4, 1}));
}

TEST(VectorClock, SurvivesAKilledIncarnationOfItsWorker) {
  const four_workers system;
  slot a(system.where, a_slot), c(system.where, c_slot);
  const version_vector first = event(a);
  const version_vector second = event(a);
  actor b_that_dies([&](const line& to_test) {
    slot b(system.where, b_slot);
    must(receive(b).has_value(), "no first message");
    must(begin_receive(b).has_value(), "no second message");
    to_test.say(1);
    static_cast<void>(to_test.hear());
  });
  ASSERT_EQ(b_that_dies.hear(), 1U);
  b_that_dies.kill();
  const version_vector from_the_dead = *receive(c);
  slot b(system.where, b_slot);
  EXPECT_EQ(b.own().incarnation.own(), 2U);
  EXPECT_EQ(b.cells().cell<vector_clock>("clock").value(), vector_of({1, 1}));
  const version_vector redone = *receive(b);
  EXPECT_EQ(redone, vector_of({2, 2})) << "the turn that was killed has left something";
  EXPECT_TRUE(happens_before(first, from_the_dead));
  EXPECT_TRUE(concurrent(second, from_the_dead));
  EXPECT_TRUE(happens_before(second, redone));
  EXPECT_FALSE(receive(b).has_value());
  const version_vector last = *receive(c);
  EXPECT_TRUE(happens_before(redone, last));
  EXPECT_TRUE(happens_before(from_the_dead, last));
}

TEST(VectorClock, ChangesAllocateNothing) {
  const four_workers system;
  slot a(system.where, a_slot);
  const auto clock = a.cells().cell<vector_clock>("clock");
  clock.tick(a.the_turn());
  a.the_turn().commit();
  version_vector wide;
  wide.increment(slot_count_max - 1);
  const std::uint64_t before = allocations();
  clock.merge(a.the_turn(), wide);
  clock.tick(a.the_turn());
  a.the_turn().commit();
  EXPECT_EQ(allocations(), before);
  EXPECT_EQ(clock.value()[slot_count_max - 1], 1U);
}

TEST(VectorClock, AFullArenaDoomsTheTurn) {
  const small_system system({"a"}, {}, {4096, 4096});
  slot a(system.where, 0);
  const auto clock = a.cells().cell<vector_clock>("clock");
  clock.tick(a.the_turn());
  EXPECT_EQ(a.the_turn().fault(), turn_fault::cells_full);
  a.the_turn().abort();
}

}  // namespace
}  // namespace cyto::test
