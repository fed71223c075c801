// The replay of dpkg's log gives the oracle's table, however the work is spread, whoever is killed
// and however damaged the log is; and what of it was not understood is told.
#include "e2e/job.hpp"

#include <fstream>
#include <random>

namespace cyto::test {
namespace {

namespace fs = std::filesystem;

const arguments small_lanes = {"--set", "event_lane_bytes=4KiB", "--set", "count_lane_bytes=4KiB"};

class Journal : public job_test {
 protected:
  arguments replay(const fs::path& log, const arguments& more = {}) const {
    return arguments{"run",      source_dir / "examples/journal/journal.toml",
                     "--name",   name(),
                     "--input",  log,
                     "--output", table_path()} +
           more;
  }

  static std::string oracles_table_of(const fs::path& log) {
    const outcome end = run({bin_dir / "journal_oracle", log});
    EXPECT_EQ(end.exit_code, 0) << end.err;
    return end.out;
  }

  void expect_oracles_table(const fs::path& log, const arguments& more = {}) const {
    const outcome end = cyto(replay(log, more));
    ASSERT_EQ(end.exit_code, 0) << end.err;
    EXPECT_TRUE(same_table(read_file(table_path()), oracles_table_of(log)));
    EXPECT_EQ(row("out of order"), 0);
  }

  void expect_refused(const fs::path& log, const std::string& why) const {
    const outcome end = cyto(replay(log));
    EXPECT_EQ(end.exit_code, 2);
    ASSERT_EQ(lines_of(end.err).size(), 1u) << end.err;
    EXPECT_NE(end.err.find(log), end.err.npos) << end.err;
    EXPECT_NE(end.err.find(why), end.err.npos) << end.err;
    EXPECT_FALSE(fs::exists(table_path()));
  }

  // The value of a row of the table; -1 if there is none.
  std::int64_t row(const std::string& wanted) const {
    for (const std::string& line : lines_of(read_file(table_path()))) {
      const auto tab = line.find('\t');
      if (line.substr(tab + 1) == wanted) return std::stoll(line.substr(0, tab));
    }
    return -1;
  }

  fs::path generated(int seed, int lines, int packages) const {
    auto path = in_dir("log-" + std::to_string(seed));
    const outcome end = run({bin_dir / "journal_generate", std::to_string(seed),
                             std::to_string(lines), std::to_string(packages)},
                            {.stdout_path = path});
    EXPECT_EQ(end.exit_code, 0) << end.err;
    return path;
  }

  fs::path long_input(int copies) const override { return generated(6, copies * 25'000, 300); }
  std::string holding_role() const override { return "keeper"; }

  // Has something done to the log while its source is in the middle of it, and the source killed:
  // its successor opens the log anew.
  template <class Do>
  outcome run_and_meanwhile(Do action) const {
    held_job held = start_held([this](const fs::path& log) { return replay(log, small_lanes); });
    action(held.input);
    EXPECT_TRUE(process_ref(held.workers.at("source/0")).send_signal(SIGKILL)) << "it was over";
    signal_all(parsers_in(held.workers), SIGCONT);
    return held.system.wait();
  }

  const fs::path excerpt_ = source_dir / "tests/data/dpkg.log";
};

struct JournalWithKeepers : Journal, testing::WithParamInterface<int> {};

TEST_P(JournalWithKeepers, TheTableIsTheOracles) {
  expect_oracles_table(excerpt_, {"--set", "keepers=" + std::to_string(GetParam())});
}

INSTANTIATE_TEST_SUITE_P(Counts, JournalWithKeepers, testing::Values(1, 2, 3, 16));

// By eye: what the log itself says last, and how often.
TEST_F(Journal, PackagesStandWhereTheLogLeavesThem) {
  const outcome end = cyto(replay(excerpt_));
  ASSERT_EQ(end.exit_code, 0) << end.err;
  EXPECT_EQ(row("package tea:all not-installed <none>"), 30);
  EXPECT_EQ(row("package mug:all not-installed <none>"), 8);
  EXPECT_EQ(row("package teapot:all installed 1.0"), 6);
  EXPECT_EQ(row("conffile keep"), 1);
  EXPECT_EQ(row("disappear"), 1);
  EXPECT_EQ(row("config-files -> config-files"), 1);
  EXPECT_EQ(row("lines not understood"), -1);
}

TEST_F(Journal, TinyLanesChangeNothing) {
  expect_oracles_table(generated(1, 20'000, 200), small_lanes);
}

TEST_F(Journal, ManyKeepersOfFewPackagesChangeNothing) {
  expect_oracles_table(generated(2, 20'000, 5), small_lanes + arguments{"--set", "keepers=9"});
}

struct JournalWithSeed : Journal, testing::WithParamInterface<int> {};

TEST_P(JournalWithSeed, KilledWorkersLoseDoubleAndReorderNothing) {
  fs::path log;
  run_with_kills(40'000, [&](int lines) {
    log = generated(GetParam(), lines, 300);
    const std::string chaos =
        kill_every(sanitized ? 10 : 2) + ",seed=" + std::to_string(GetParam());
    return replay(log, small_lanes + arguments{"--json", "--chaos", chaos});
  });
  EXPECT_TRUE(same_table(read_file(table_path()), oracles_table_of(log)));
}

INSTANTIATE_TEST_SUITE_P(Seeds, JournalWithSeed, testing::Values(1, 2, 3));

TEST_F(Journal, KeepersComeAndGoAndPackagesGoWithThem) {
  std::string topology = read_file(source_dir / "examples/journal/journal.toml");
  const std::string count = "count = \"${keepers}\"\n";
  topology.replace(topology.find(count), count.size(), "count = 1\ncount_max = 4\n");
  for (std::string::size_type at = 0; (at = topology.find("\"journal_", at)) != topology.npos;) {
    topology.insert(at + 1, bin_dir.string() + "/");
    at += bin_dir.string().size();
  }
  write_file(in_dir("t.toml"), topology);
  int orders = 0;
  for (int lines = 100'000; orders < 4 && !HasFailure(); lines *= 2) {
    orders = 0;
    const auto log = generated(7, lines, 300);
    arguments command = replay(log, small_lanes + arguments{"--chaos", kill_every(20) + ",seed=7"});
    command[1] = in_dir("t.toml");
    process system = start(command);
    while (!status() && !system.wait_for(2ms)) continue;
    while (!system.wait_for(0ms)) {
      const outcome end = cyto({orders % 3 == 2 ? "remove" : "add", "keeper", name()});
      if (end.exit_code == 3 || end.exit_code == 1) break;
      ++orders;
    }
    const outcome end = system.wait();
    ASSERT_EQ(end.exit_code, 0) << end.err;
    EXPECT_TRUE(same_table(read_file(table_path()), oracles_table_of(log)));
    EXPECT_EQ(row("out of order"), 0);
  }
}

TEST_F(Journal, ALogMayComeThroughAPipe) {
  const auto log = generated(4, 20'000, 100);
  pipe_ends pipe = make_pipe();
  process feeder({"cat", log}, {.stdout_fd = pipe.write.get()});
  pipe.write.close();
  const outcome end =
      cyto(replay("-", {"--chaos", kill_every(5) + ",seed=4"}), {.stdin_fd = pipe.read.get()});
  ASSERT_EQ(end.exit_code, 0) << end.err;
  EXPECT_TRUE(same_table(read_file(table_path()), oracles_table_of(log)));
}

TEST_F(Journal, ALastLineThatWasCutShortIsToldAndNotBelieved) {
  write_file(in_dir("log"),
             "2026-01-01 12:00:00 status installed a:amd64 1.2-3\n"
             "2026-01-01 12:00:00 status half-installed a:amd64 1.2-4");
  expect_oracles_table(in_dir("log"));
  EXPECT_EQ(row("lines cut short at the end"), 1);
  EXPECT_EQ(row("package a:amd64 installed 1.2-3"), 1);
  EXPECT_EQ(row("lines not understood"), -1);
}

TEST_F(Journal, WhatIsNotUnderstoodIsCountedAndTheFirstIsNamed) {
  const std::string good = "2026-01-01 12:00:00 status installed a:amd64 1.2-3\n";
  const std::string time = "2026-01-01 12:00:00 ";
  std::string log = good;
  const std::vector<std::string> bad_lines = {
      std::string(),
      std::string(10, '\0'),
      time,
      time + "status gone a 1",
      time + "status installed a 1 2",
      time + "status installed a",
      time + "install a 1",
      time + "installs a 1 2",
      time + "startup archives",
      time + "conffile  keep",
      time + "conffile /etc/a ask",
      "2026-01-01 12:00 status installed a 1",
      "x026-01-01 12:00:00 status installed a 1",
      time + "status installed a  1",
      time + "status installed a 1\r",
      time + "status installed \xc3\xa4 1",
      time + "status installed " + std::string(256, 'a') + " 1",
      time + "conffile " + std::string(8200, 'a') + " keep",
      time + std::string(40'000, 'a'),
      time + std::string(1'000'000, 'a')};
  for (const std::string& bad : bad_lines) {
    log += bad + "\n";
  }
  log += good + time + "conffile /a b c keep\n" + std::string(100'000, 'b');
  write_file(in_dir("log"), log);
  expect_oracles_table(in_dir("log"));
  EXPECT_EQ(row("lines not understood"), 20);
  EXPECT_EQ(row("first line not understood"), 2);
  EXPECT_EQ(row("lines cut short at the end"), 1);
  EXPECT_EQ(row("package a:amd64 installed 1.2-3"), 2);
  EXPECT_EQ(row("conffile keep"), 1);
}

// Bytes of a real log changed, doubled and left out anywhere.
TEST_F(Journal, ADamagedLogGivesTheOraclesTable) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  const std::string bytes(" \n\0\t:-1a~\x7f\x80", 11);
  for (int round = 0; round < 5; ++round) {
    std::string text = read_file(excerpt_);
    for (int left = 300; left > 0; --left) {
      const std::size_t at = random() % text.size();
      const char byte = bytes[random() % bytes.size()];
      switch (random() % 3) {
        case 0:
          text[at] = byte;
          break;
        case 1:
          text.insert(at, 1, byte);
          break;
        default:
          text.erase(at, 1);
      }
    }
    write_file(in_dir("damaged"), text);
    expect_oracles_table(in_dir("damaged"), small_lanes);
  }
}

TEST_F(Journal, WhatIsNoLogIsRefused) {
  write_file(in_dir("empty"), "");
  expect_refused(in_dir("empty"), "is empty");
  expect_refused(source_dir / "README.md", "is no log of dpkg's");
  write_file(in_dir("line"), std::string(1 << 20, 'x'));
  expect_refused(in_dir("line"), "is no log of dpkg's");
  expect_refused(in_dir("missing"), "cannot be read");
}

TEST_F(Journal, OfALogThatGrowsWhatWasThereAtTheBeginningCounts) {
  std::string expected;
  const outcome end = run_and_meanwhile([&](const fs::path& log) {
    expected = oracles_table_of(log);
    std::ofstream(log, std::ios::app) << "\n2026-02-01 12:00:00 startup archives unpack\n";
  });
  ASSERT_EQ(end.exit_code, 0) << end.err;
  EXPECT_TRUE(same_table(read_file(table_path()), expected));
}

TEST_F(Journal, ALogThatIsReplacedOrGetsShorterMeanwhileIsRefused) {
  const outcome replaced = run_and_meanwhile([&](const fs::path& log) {
    fs::copy(log, in_dir("copy"));
    fs::rename(in_dir("copy"), log);
  });
  EXPECT_EQ(replaced.exit_code, 2);
  EXPECT_NE(replaced.err.find("was replaced while it was read"), std::string::npos) << replaced.err;
  const outcome shorter =
      run_and_meanwhile([](const fs::path& log) { fs::resize_file(log, 1000); });
  EXPECT_EQ(shorter.exit_code, 2);
  EXPECT_NE(shorter.err.find("was cut short while it was read"), std::string::npos) << shorter.err;
}

}  // namespace
}  // namespace cyto::test
