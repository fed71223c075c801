// What a package pulls in, by messages that run round the cycles of the graph and come to rest: the
// oracle's table, however the names are spread, however full the lanes are and whoever is killed.
#include "e2e/job.hpp"

#include <random>

namespace cyto::test {
namespace {

namespace fs = std::filesystem;

// A stanza of the excerpt must fit in half of the first.
const arguments tight_lanes = {"--set", "stanza_lane_bytes=64KiB", "--set", "need_lane_bytes=4KiB",
                               "--set", "tally_lane_bytes=4KiB",   "--set", "deferred_bytes=4MiB"};

class Closure : public job_test {
 protected:
  arguments search(const fs::path& index, const arguments& more = {}) const {
    return arguments{"run",      source_dir / "examples/closure/closure.toml",
                     "--name",   name(),
                     "--input",  index,
                     "--output", table_path()} +
           more;
  }

  static std::string oracles_table(const fs::path& index, const arguments& more) {
    const outcome end = run(arguments{bin_dir / "closure_oracle", index} + more);
    EXPECT_EQ(end.exit_code, 0) << end.err;
    return end.out;
  }

  // Some hundred roots of the excerpt.
  static constexpr int every = 20;
  const arguments roots_ = {"--set", "root_every=" + std::to_string(every)};
  std::string oracles_table() const { return oracles_table(excerpt(), {std::to_string(every)}); }

  void expect_oracles_table(const arguments& more) const {
    const outcome end = cyto(search(excerpt(), roots_ + more));
    ASSERT_EQ(end.exit_code, 0) << end.err;
    EXPECT_TRUE(same_table(read_file(table_path()), oracles_table()));
  }

  // The table of a small index whose every package is a root; the digest is for programs.
  std::string sizes_of(const std::string& index,
                       const arguments& more = {"--set", "root_every=1"}) const {
    write_file(in_dir("index"), index);
    const outcome end = cyto(search(in_dir("index"), more));
    EXPECT_EQ(end.exit_code, 0) << end.err;
    std::string sizes;
    for (const std::string& line : lines_of(read_file(table_path()))) {
      if (!line.ends_with("\tdigest of all sets")) sizes += line + "\n";
    }
    return sizes;
  }
};

struct ClosureWithResolvers : Closure, testing::WithParamInterface<int> {};

TEST_P(ClosureWithResolvers, TheTableIsTheOracles) {
  expect_oracles_table({"--set", "resolvers=" + std::to_string(GetParam())});
}

INSTANTIATE_TEST_SUITE_P(Counts, ClosureWithResolvers, testing::Values(1, 2, 3, 8));

TEST_F(Closure, LanesThatAreFullAllAroundTheCycleChangeNothing) {
  expect_oracles_table(tight_lanes);
}

TEST_F(Closure, LanesThatAreFullBetweenManyResolversChangeNothing) {
  expect_oracles_table(tight_lanes + arguments{"--set", "resolvers=6"});
}

struct ClosureWithSeed : Closure, testing::WithParamInterface<int> {};

TEST_P(ClosureWithSeed, KilledWorkersLoseAndDoubleNothing) {
  std::string divisor;
  run_with_kills(1, [&](int size) {
    divisor = std::to_string(std::max(1, every / size));
    const std::string chaos = kill_every(sanitized ? 5 : 2) + ",seed=" + std::to_string(GetParam());
    return search(excerpt(), tight_lanes + arguments{"--set", "root_every=" + divisor, "--json",
                                                     "--chaos", chaos});
  });
  EXPECT_TRUE(same_table(read_file(table_path()), oracles_table(excerpt(), {divisor})));
}

INSTANTIATE_TEST_SUITE_P(Seeds, ClosureWithSeed, testing::Values(1, 2, 3));

TEST_F(Closure, ACycleIsWalkedOnce) {
  EXPECT_EQ(sizes_of("Package: a\nDepends: b\n\nPackage: b\nDepends: c, b\n\n"
                     "Package: c\nPre-Depends: a\n\nPackage: d\nDepends: a\n"),
            "4\td\n3\ta\n3\tb\n3\tc\n");
}

TEST_F(Closure, OfAlternativesTheFirstThatIsThereIsTaken) {
  EXPECT_EQ(sizes_of("Package: a\nDepends: gone | b (>= 1) | c\n\nPackage: b\n\nPackage: c\n"
                     "Depends: b:any\n"),
            "2\ta\n2\tc\n1\tb\n");
}

// Also before a real one that stands behind it; of several the first by name.
TEST_F(Closure, WhatIsProvidedIsThere) {
  EXPECT_EQ(sizes_of("Package: a\nDepends: mail | b\n\nPackage: b\n\n"
                     "Package: z\nProvides: mail (= 1), post\n\n"
                     "Package: y\nProvides: mail\nDepends: b, post\n"),
            "4\ta\n3\ty\n1\tb\n1\tz\n");
}

TEST_F(Closure, WhatNobodyProvidesIsToldOnceForEachRoot) {
  EXPECT_EQ(sizes_of("Package: a\nDepends: b, x | y\n\nPackage: b\nDepends: x|y, z\n"),
            "2\ta\n2\tnobody provides x|y\n2\tnobody provides z\n1\tb\n");
}

TEST_F(Closure, RootsMayBeNamed) {
  const std::string index =
      "Package: a\nDepends: b\n\nPackage: b\n\nPackage: c\nProvides: d\nDepends: a\n";
  EXPECT_EQ(sizes_of(index, {"--set", "roots=a d  gone a"}),
            "3\td\n2\ta\n1\tnobody provides gone\n");
  EXPECT_TRUE(
      same_table(read_file(table_path()), oracles_table(in_dir("index"), {"1", "a", "d", "gone"})));
}

// More groups than a turn can send in such a lane.
TEST_F(Closure, APackageMayNeedMoreThanATurnCanSend) {
  std::string index = "Package: all\nDepends: p0";
  for (int i = 1; i < 400; ++i) index += ", p" + std::to_string(i);
  for (int i = 0; i < 400; ++i) index += "\n\nPackage: p" + std::to_string(i) + "\nDepends: all";
  EXPECT_EQ(sizes_of(index, tight_lanes + arguments{"--set", "roots=all p7"}),
            "401\tall\n401\tp7\n");
}

// Small indexes at random, dense with cycles, alternatives and names that are only provided.
TEST_F(Closure, AnyGraphGivesTheOraclesTable) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  const auto name = [&] { return "n" + std::to_string(random() % 60); };
  for (int round = 0; round < 5; ++round) {
    std::string index;
    for (int stanza = 0; stanza < 50; ++stanza) {
      index += "Package: " + name() + "\n";
      for (const char* field : {"Depends:", "Provides:", "pre-depends:", "Depends:"}) {
        if (random() % 2 == 0) continue;
        index += field;
        for (auto groups = random() % 4; groups > 0; --groups) {
          index += (random() % 8 == 0 ? "\n " : " ") + name();
          for (auto more = random() % 3; more > 0; --more) index += " (>= 1)|" + name();
          index += ",";
        }
        index += "\n";
      }
      index += random() % 8 == 0 ? " \t\n" : "\n";
    }
    const arguments few = {"--set", "root_every=2", "--set",
                           "resolvers=" + std::to_string(1 + random() % 4)};
    write_file(in_dir("index"), index);
    const outcome end = cyto(search(in_dir("index"), few + tight_lanes));
    ASSERT_EQ(end.exit_code, 0) << end.err;
    EXPECT_TRUE(same_table(read_file(table_path()), oracles_table(in_dir("index"), {"2"})));
  }
}

TEST_F(Closure, WhatCannotBeDoneIsRefused) {
  const auto refused = [&](const fs::path& index, const arguments& more, const std::string& why) {
    const outcome end = cyto(search(index, more));
    EXPECT_EQ(end.exit_code, 2);
    EXPECT_EQ(lines_of(end.err).size(), 1u) << end.err;
    EXPECT_NE(end.err.find(why), end.err.npos) << end.err;
  };
  refused(excerpt(), {"--set", "root_every=0"}, "root_every is '0'");
  refused(excerpt(), {"--set", "root_every=1x"}, "root_every is '1x'");
  refused(source_dir / "README.md", {}, "is not a package index");
  refused(excerpt(), {"--set", "stanza_lane_bytes=32KiB"}, "stanza_lane_bytes");
}

}  // namespace
}  // namespace cyto::test
