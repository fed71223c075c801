#include "cyto/cell.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "support/process.hpp"
#include "support/system.hpp"

namespace cyto::test {
namespace {

// ---- laws ----

template <class Merge>
cell_value merged(cell_value into, const cell_value& from) {
  Merge::merge(into, from);
  return into;
}

// Every pair and every triple of `values`.
template <class Merge>
void check_laws(const std::vector<cell_value>& values) {
  for (const cell_value& a : values) {
    ASSERT_EQ(merged<Merge>(a, a), a);
    cell_value same = a;
    ASSERT_FALSE(Merge::merge(same, a)) << "says that it changed and did not";
    ASSERT_EQ(merged<Merge>({}, a), a) << "nothing is not the bottom";
    ASSERT_EQ(merged<Merge>(a, {}), a) << "nothing is not the bottom";
    for (const cell_value& b : values) {
      ASSERT_EQ(merged<Merge>(a, b), merged<Merge>(b, a));
      cell_value into = a;
      const bool changed = Merge::merge(into, b);
      ASSERT_EQ(changed, into != a);
      for (const cell_value& c : values) {
        ASSERT_EQ(merged<Merge>(merged<Merge>(a, b), c), merged<Merge>(a, merged<Merge>(b, c)));
      }
    }
  }
}

std::vector<cell_value> numbers() {
  std::vector<cell_value> out = {{}};
  for (const std::uint64_t each : {0UL, 1UL, 2UL, 77UL, 1UL << 63, ~0UL})
    out.push_back({each, 1, 0});
  return out;
}

TEST(CellLaws, MaximumIsAssociativeCommutativeIdempotent) { check_laws<merge_maximum>(numbers()); }

TEST(CellLaws, MinimumIsAssociativeCommutativeIdempotent) { check_laws<merge_minimum>(numbers()); }

TEST(CellLaws, LastWriterIsAssociativeCommutativeIdempotent) {
  std::vector<cell_value> values = {{}};
  for (const std::uint64_t stamp : {1UL, 2UL, 1UL << 62}) {
    for (const std::uint64_t payload : {0UL, 5UL, ~0UL}) {
      for (const std::uint64_t writer : {1UL, 2UL, 256UL}) {
        values.push_back({stamp, payload, writer});
      }
    }
  }
  check_laws<merge_last_writer>(values);
}

// ---- cells of a slot ----

std::set<std::string> members_of(const segment& where, std::uint64_t newest) {
  const std::byte* arena = where.at<std::byte>(where.slot(0).arena_offset);
  std::set<std::string> out;
  while (newest != 0) {
    member_record member{};
    std::memcpy(&member, arena + newest, sizeof member);
    out.emplace(reinterpret_cast<const char*>(arena + newest + sizeof member), member.bytes);
    newest = std::uint64_t{member.previous8} * 8;
  }
  return out;
}

std::map<std::string, std::uint64_t> cells_of(const segment& where) {
  std::map<std::string, std::uint64_t> out;
  each_cell(where, 0, [&](const cell_view& cell) {
    EXPECT_TRUE(out.emplace(cell.name, cell.value[0]).second) << "twice: " << cell.name;
  });
  return out;
}

// What the owner is shown, which must not be the same twice.
std::set<std::string> shown_by(const growing_set& set) {
  std::set<std::string> out;
  set.each([&](std::string_view member) {
    EXPECT_TRUE(out.emplace(member).second) << "twice: " << member;
    return true;
  });
  return out;
}

struct one_worker {
  explicit one_worker(std::uint64_t arena_bytes = 1U << 20)
      : system({"w"}, {}, {4096, arena_bytes}) {
    reopen();
  }
  void reopen() {
    place.reset();
    place = std::make_unique<slot>(system.where, 0);
  }
  cell_store& cells() { return place->cells(); }
  turn& now() { return place->the_turn(); }

  small_system system;
  std::unique_ptr<slot> place;
};

TEST(Cell, CounterAddsAcrossTurnsAndWithinOne) {
  one_worker w;
  auto total = w.cells().cell<counter>("total");
  total.add(w.now(), 2);
  total.add(w.now(), 3);
  EXPECT_EQ(total.value(), 5U);
  EXPECT_TRUE(cells_of(w.system.where).empty());
  w.now().commit();
  for (int i = 0; i < 10; ++i) {
    total.add(w.now(), 1);
    w.now().commit();
  }
  EXPECT_EQ(cells_of(w.system.where).at("total"), 15U);
  EXPECT_EQ(w.cells().cell<counter>("total").value(), 15U);
}

TEST(Cell, ExtremesSayWhetherTheyChanged) {
  one_worker w;
  auto most = w.cells().cell<maximum>("most");
  auto least = w.cells().cell<minimum>("least");
  EXPECT_FALSE(most.has_value());
  EXPECT_TRUE(most.merge(w.now(), 0));
  EXPECT_TRUE(most.has_value());
  EXPECT_TRUE(most.merge(w.now(), 9));
  EXPECT_FALSE(most.merge(w.now(), 9));
  EXPECT_FALSE(most.merge(w.now(), 3));
  EXPECT_TRUE(least.merge(w.now(), 9));
  EXPECT_TRUE(least.merge(w.now(), 0));
  EXPECT_FALSE(least.merge(w.now(), 3));
  w.now().commit();
  EXPECT_EQ(most.value(), 9U);
  EXPECT_EQ(least.value(), 0U);
  EXPECT_FALSE(most.merge(w.now(), 1));
  EXPECT_TRUE(w.now().is_empty()) << "a merge that changed nothing wrote something";
}

TEST(Cell, LastWriterKeepsTheLatestWord) {
  one_worker w;
  auto last = w.cells().cell<last_writer>("last");
  last.set(w.now(), 10);
  w.now().commit();
  last.set(w.now(), 20);
  w.now().commit();
  EXPECT_EQ(last.value(), 20U);
  EXPECT_FALSE(last.merge(w.now(), 1, 7, 99));
  EXPECT_TRUE(last.merge(w.now(), 1000, 7, 99));
  w.now().commit();
  EXPECT_EQ(last.value(), 99U);
  // This worker's own next word is later than any it has merged.
  last.set(w.now(), 30);
  w.now().commit();
  EXPECT_FALSE(last.merge(w.now(), 1000, 7, 99)) << "an older word came back";
  EXPECT_EQ(last.value(), 30U);
}

TEST(Cell, OtherKindUnderTheSameNameThrows) {
  one_worker w;
  static_cast<void>(w.cells().cell<counter>("x"));
  w.now().commit();
  EXPECT_THROW(static_cast<void>(w.cells().cell<maximum>("x")), error);
  EXPECT_THROW(static_cast<void>(w.cells().cell<growing_set>("x")), error);
  EXPECT_EQ(w.cells().cell<counter>("x").value(), 0U);
}

TEST(Cell, NamesMayHoldAnyBytesAndBeLong) {
  one_worker w(8U << 20);
  const std::vector<std::string> names = {std::string(),
                                          std::string(1, '\0'),
                                          std::string(2, '\0'),
                                          std::string("a\0b", 3),
                                          std::string("a\0c", 3),
                                          "\xff\xfe",
                                          std::string(100'000, 'n'),
                                          std::string(cell_name_bytes_max, 'm')};
  for (std::size_t i = 0; i < names.size(); ++i) {
    w.cells().cell<counter>(names[i]).add(w.now(), i + 1);
    w.now().commit();
  }
  w.reopen();
  const auto seen = cells_of(w.system.where);
  ASSERT_EQ(seen.size(), names.size());
  for (std::size_t i = 0; i < names.size(); ++i) {
    EXPECT_EQ(seen.at(names[i]), i + 1);
    EXPECT_EQ(w.cells().cell<counter>(names[i]).value(), i + 1);
  }
  EXPECT_THROW(
      static_cast<void>(w.cells().cell<counter>(std::string(cell_name_bytes_max + 1, 'x'))), error);
}

// Against std::set: thousands of members and cells, some turns aborted, some workers replaced.
TEST(Cell, SetsBehaveAsSetsWhileIndexesGrowAndTurnsAbort) {
  for (unsigned seed = 1; seed <= (sanitized ? 1U : 4U); ++seed) {
    std::mt19937 random(seed);
    one_worker w(4U << 20);
    std::map<std::string, std::set<std::string>> committed;
    std::map<std::string, std::set<std::string>> now;
    for (int step = 0; step < 12'000; ++step) {
      const std::string name = "set " + std::to_string(random() % 2000);
      std::string member = std::to_string(random() % 12);
      member.append(random() % 5, '\0');
      auto cell = w.cells().cell<growing_set>(name);
      ASSERT_TRUE(cell);
      ASSERT_EQ(cell.add(w.now(), member), now[name].insert(member).second)
          << "seed " << seed << " step " << step;
      ASSERT_EQ(cell.size(), now[name].size());
      ASSERT_EQ(shown_by(cell), now[name]);
      switch (random() % 40) {
        case 0:
          w.now().abort();
          now = committed;
          break;
        case 1:
          w.reopen();  // As if the process had died in the turn.
          now = committed;
          break;
        case 2:
        case 3:
        case 4:
          w.now().commit();
          committed = now;
          break;
        default:
          break;
      }
    }
    w.now().commit();
    w.reopen();
    std::size_t count = 0;
    each_cell(w.system.where, 0, [&](const cell_view& cell) {
      ASSERT_EQ(members_of(w.system.where, cell.value[1]), now.at(std::string(cell.name)));
      ++count;
    });
    EXPECT_EQ(count, now.size());
    EXPECT_GT(count, 1500U);
  }
}

TEST(Cell, SetKnowsItsMembersFromOtherSets) {
  one_worker w;
  auto a = w.cells().cell<growing_set>("a");
  auto b = w.cells().cell<growing_set>("b");
  EXPECT_TRUE(a.add(w.now(), "x"));
  EXPECT_TRUE(b.add(w.now(), "x"));
  EXPECT_FALSE(a.add(w.now(), "x"));
  EXPECT_TRUE(a.add(w.now(), ""));
  EXPECT_FALSE(a.add(w.now(), ""));
  EXPECT_EQ(a.size(), 2U);
  EXPECT_EQ(b.size(), 1U);
}

TEST(Cell, SetShowsItsMembersNewestFirstUntilItIsToldToStop) {
  one_worker w;
  EXPECT_TRUE(shown_by(growing_set()).empty());
  auto set = w.cells().cell<growing_set>("set");
  auto other = w.cells().cell<growing_set>("other");
  EXPECT_TRUE(shown_by(set).empty());
  for (const char* each : {"a", "b", "", "c"}) {
    set.add(w.now(), each);
    other.add(w.now(), "of another");
    if (*each == 'b') w.now().commit();
  }
  std::vector<std::string> shown;
  set.each([&](std::string_view member) {
    shown.emplace_back(member);
    set.add(w.now(), "added meanwhile");
    return member != "b";
  });
  EXPECT_EQ(shown, (std::vector<std::string>{"c", "", "b"}));
  w.now().abort();
  EXPECT_EQ(shown_by(set), (std::set<std::string>{"a", "b"}));
}

TEST(Cell, OfAKeyIsAnotherThanThatOfTheSameName) {
  small_system system({"w"}, {});
  slot w(system.where, 0);
  cell_store& cells = w.cells();
  turn& in = w.the_turn();
  cells.cell<counter>("a b").add(in, 1);
  cells.cell_of_key<counter>("a", "b").add(in, 2);
  cells.cell_of_key<counter>("a b", "").add(in, 4);
  cells.cell_of_key<counter>("", "a b").add(in, 8);
  in.commit();
  EXPECT_EQ(cells.cell<counter>("a b").value(), 1U);
  EXPECT_EQ(cells.cell_of_key<counter>("a", "b").value(), 2U);
  EXPECT_EQ(cells.cell_of_key<counter>("a b", "").value(), 4U);
  EXPECT_EQ(cells.cell_of_key<counter>("", "a b").value(), 8U);
  EXPECT_THROW(cells.cell_of_key<maximum>("a", "b"), error);
  EXPECT_THROW(cells.cell_of_key<counter>(std::string(cell_name_bytes_max, 'x'), "y"), error);
}

TEST(Cell, OfAKeyThatHasMovedAwayIsSeenByNobodyAndBeginsAnewIfItComesBack) {
  small_system system({"w"}, {});
  slot w(system.where, 0);
  cell_store& cells = w.cells();
  turn& in = w.the_turn();
  const auto names = [&system] {
    std::vector<std::string> out;
    each_cell(system.where, 0, [&](const cell_view& each) { out.emplace_back(each.name); });
    return out;
  };
  cells.cell_of_key<growing_set>("a", "set").add(in, "member");
  cells.cell<counter>("other").add(in, 1);
  in.commit();
  const std::uint64_t cell =
      cells.find_or_make("a set", static_cast<std::uint32_t>(cell_kind::growing_set) | 2U << 8);
  cells.store(cell, {0, 0, moved_away});
  EXPECT_EQ(names(), (std::vector<std::string>{"other", "a set"})) << "before the turn commits";
  in.abort();
  EXPECT_EQ(cells.cell_of_key<growing_set>("a", "set").size(), 1U) << "it has not moved";
  cells.store(cell, {0, 0, moved_away});
  in.commit();
  EXPECT_EQ(names(), std::vector<std::string>{"other"});
  const auto again = cells.cell_of_key<growing_set>("a", "set");
  EXPECT_EQ(again.size(), 0U);
  EXPECT_TRUE(again.add(in, "member")) << "a member of the one that has moved";
  in.commit();
  EXPECT_EQ(names(), (std::vector<std::string>{"a set", "other"}));
}

TEST(Cell, FullArenaDoomsTheTurnAndAbortIsClean) {
  one_worker w(16 * 1024);
  std::size_t made = 0;
  while (w.now().fault() == turn_fault::none) {
    w.cells().cell<growing_set>("set").add(w.now(), "member " + std::to_string(made));
    if (w.now().fault() != turn_fault::none) break;
    w.now().commit();
    ++made;
    ASSERT_LT(made, 10'000U);
  }
  EXPECT_EQ(w.now().fault(), turn_fault::cells_full);
  EXPECT_GT(made, 50U);
  w.now().abort();
  EXPECT_EQ(w.cells().cell<growing_set>("set").size(), made);
  EXPECT_FALSE(w.cells().cell<growing_set>("set").add(w.now(), "member 3"));
  EXPECT_EQ(w.now().fault(), turn_fault::none);
  w.cells().cell<growing_set>("set").add(w.now(), std::string(20'000, 'x'));
  EXPECT_EQ(w.now().fault(), turn_fault::cells_full);
  w.now().abort();
  w.reopen();
  EXPECT_EQ(cells_of(w.system.where).at("set"), made);
}

TEST(Cell, WorkerWithoutAnArenaHasNoCells) {
  one_worker w(0);
  EXPECT_FALSE(w.cells().cell<counter>("x"));
  EXPECT_EQ(w.now().fault(), turn_fault::cells_full);
  w.now().abort();
}

TEST(Cell, TurnThatChangesTooManyCellsIsDoomedAndAbortIsClean) {
  one_worker w(4U << 20);
  w.cells().cell<counter>("before").add(w.now(), 1);
  w.now().commit();
  std::size_t made = 0;
  while (w.now().fault() == turn_fault::none) {
    w.cells().cell<counter>("cell " + std::to_string(made++)).add(w.now(), 1);
    ASSERT_LT(made, touched_max);
  }
  EXPECT_EQ(w.now().fault(), turn_fault::list_full);
  w.now().abort();
  EXPECT_EQ(cells_of(w.system.where).size(), 1U);
  w.cells().cell<counter>("cell 0").add(w.now(), 1);
  w.now().commit();
  EXPECT_EQ(cells_of(w.system.where).size(), 2U);
}

}  // namespace
}  // namespace cyto::test
