// The table is the oracle's, byte for byte, however the work is spread and however odd the input.
#include "e2e/job.hpp"

#include <random>

namespace cyto::test {
namespace {

std::string set_number(const char* key, int value) {
  return std::string(key) + "=" + std::to_string(value);
}

class Revdeps : public job_test {
 protected:
  void expect_oracles_table(const std::filesystem::path& input, const arguments& more = {}) {
    const outcome end = cyto(job(input, more));
    ASSERT_EQ(end.exit_code, 0) << end.err;
    expect_table_of(input);
  }
};

struct RevdepsWithWorkers : Revdeps, testing::WithParamInterface<std::pair<int, int>> {};

TEST_P(RevdepsWithWorkers, TheTableIsTheOracles) {
  const auto [parsers, counters] = GetParam();
  expect_oracles_table(excerpt(), {"--set", set_number("parsers", parsers), "--set",
                                   set_number("counters", counters)});
}

INSTANTIATE_TEST_SUITE_P(Counts, RevdepsWithWorkers,
                         testing::Values(std::pair(1, 1), std::pair(2, 2), std::pair(3, 3),
                                         std::pair(8, 8), std::pair(1, 8), std::pair(8, 1)),
                         [](const auto& each) {
                           return std::to_string(each.param.first) + "Parsers" +
                                  std::to_string(each.param.second) + "Counters";
                         });

TEST_F(Revdeps, TheDefaultsDo) { expect_oracles_table(excerpt()); }

TEST_F(Revdeps, TinyLanesChangeNothing) { expect_oracles_table(excerpt(), tiny_lanes); }

TEST_F(Revdeps, TinyLanesBetweenManyWorkersChangeNothing) {
  expect_oracles_table(excerpt(),
                       tiny_lanes + arguments{"--set", "parsers=3", "--set", "counters=3"});
}

// One parser stands still nine tenths of the time; its lanes fill, and everybody else's with them.
TEST_F(Revdeps, ASlowWorkerChangesNothing) {
  held_job held = start_held([this](const auto& input) { return job(input, tiny_lanes); });
  process& running = held.system;
  const auto parsers = parsers_in(held.workers);
  parsers[1].send_signal(SIGCONT);
  std::optional<outcome> end;
  for (int stops = 0; !end && stops < 100; ++stops) {
    parsers[0].send_signal(SIGSTOP);
    end = running.wait_for(9ms);
    parsers[0].send_signal(SIGCONT);
    if (!end) end = running.wait_for(1ms);
  }
  if (!end) end = running.wait();
  ASSERT_EQ(end->exit_code, 0) << end->err;
  expect_table_of(held.input);
}

TEST_F(Revdeps, InputMayBeAFileOnStdin) {
  const auto input = excerpt();
  const outcome end = cyto(job("-"), {.stdin_path = input});
  ASSERT_EQ(end.exit_code, 0) << end.err;
  expect_table_of(input);
}

TEST_F(Revdeps, InputMayBeAPipeOnStdin) {
  const auto input = excerpt();
  pipe_ends pipe = make_pipe();
  process feeder({"cat", input}, {.stdout_fd = pipe.write.get()});
  pipe.write.close();
  const outcome end = cyto(job("-"), {.stdin_fd = pipe.read.get()});
  ASSERT_EQ(end.exit_code, 0) << end.err;
  expect_table_of(input);
}

TEST_F(Revdeps, WithoutOutputTheTableGoesToStdout) {
  const auto input = excerpt();
  for (const arguments& more : {arguments{}, arguments{"--output", "-"}}) {
    const outcome end = cyto(job_to_stdout(input, more));
    ASSERT_EQ(end.exit_code, 0) << end.err;
    EXPECT_TRUE(same_table(end.out, oracle_table(input)));
  }
}

TEST_F(Revdeps, WithoutATerminalNothingIsSaidOnStderr) {
  const outcome end = cyto(job(excerpt()));
  EXPECT_EQ(end.exit_code, 0);
  EXPECT_EQ(end.err, "");
  EXPECT_EQ(end.out, "");
}

TEST_F(Revdeps, ARunMayBeRepeated) {
  for (int round = 0; round < 3; ++round) {
    std::filesystem::remove(table_path());
    expect_oracles_table(excerpt());
    expect_nothing_left();
  }
}

// Small inputs, each odd in its own way.
TEST_F(Revdeps, TheLastLineMayLackItsNewline) {
  write_file(in_dir("input"), "Package: a\nDepends: b\n\nPackage: c\nDepends: b, libx");
  expect_oracles_table(in_dir("input"));
}

TEST_F(Revdeps, SeparatorsMayHoldBlanks) {
  write_file(in_dir("input"),
             "\n \t\nPackage: a\nDepends: b\n  \nPackage: c\nDepends: b,\n x\n\t\n\n"
             "Package: d\nDepends: b\n ");
  expect_oracles_table(in_dir("input"));
}

TEST_F(Revdeps, StanzasOfNobodyAndRepeatedPackagesAreCountedByTheRule) {
  write_file(in_dir("input"),
             "Depends: x\n\nPackage:\nDepends: x\n\npackage: a\nDEPENDS: b, a | c:any [i386]\n\n"
             "Package: a\nDepends: b\nDepends: d\nPre-Depends: e (>= 1),, f<x>\n\n"
             "Package: a b\nDepends: a\n\nPackage: z\nPackage: y\nDepends:\n a\n\nfoo\n");
  expect_oracles_table(in_dir("input"));
}

TEST_F(Revdeps, CarriageReturnsAreBytesLikeOthers) {
  // No line is empty, so that all of this is one stanza.
  std::string text;
  int lines = 0;
  for (const std::string& line : lines_of(read_file(excerpt()))) {
    if (++lines > 200) break;
    text += line + "\r\n";
  }
  write_file(in_dir("input"), text);
  expect_oracles_table(in_dir("input"));
}

TEST_F(Revdeps, BytesNeedNotBeUtf8) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  std::uniform_int_distribution<int> byte(0, 255);
  std::uniform_int_distribution<int> length(1, 6);
  std::string text;
  const auto append_word = [&] {
    for (int left = length(random); left > 0; --left) {
      const char next = static_cast<char>(byte(random));
      text += next == '\n' ? '\r' : next;
    }
  };
  for (int stanza = 0; stanza < 2000; ++stanza) {
    text += "Package: ";
    append_word();
    text += "\nDepends: ";
    for (int names = 0; names < 10; ++names) {
      append_word();
      text += ", ";
    }
    text += "\n\n";
  }
  write_file(in_dir("input"), text);
  expect_oracles_table(in_dir("input"));
}

TEST_F(Revdeps, AnIndexWithoutDependenciesGivesAnEmptyTable) {
  write_file(in_dir("input"), "Package: a\n\nPackage: b\nDepends: b\n");
  expect_oracles_table(in_dir("input"));
  EXPECT_EQ(read_file(table_path()), "");
}

TEST_F(Revdeps, ANameOfTenThousandCharactersIsANameLikeOthers) {
  const std::string name(10'000, 'n');
  write_file(in_dir("input"), "Package: a\nDepends: " + name + ", b\n\nPackage: " + name +
                                  "\nDepends: b, " + name + "\n");
  expect_oracles_table(in_dir("input"));
}

}  // namespace
}  // namespace cyto::test
