// What cannot be done is refused: one error that says why, a documented exit code, nothing left,
// the input as it was.
#include "e2e/job.hpp"

#include <algorithm>
#include <fstream>
#include <regex>

namespace cyto::test {
namespace {

namespace fs = std::filesystem;

class BadInput : public job_test {
 protected:
  // `facts` are what the error must name: a file, a line, a key, a value, a bound.
  void expect_error(const outcome& end, int exit_code, const arguments& facts) {
    EXPECT_EQ(end.exit_code, exit_code) << end.err;
    std::vector<std::string> errors;
    for (const std::string& line : lines_of(end.err)) {
      if (line.starts_with("cyto: ")) errors.push_back(line);
    }
    ASSERT_EQ(errors.size(), 1u) << end.err;
    for (const std::string& fact : facts) {
      EXPECT_NE(errors[0].find(fact), std::string::npos) << "no '" << fact << "' in: " << errors[0];
    }
    expect_nothing_left();
  }

  void expect_refused(const fs::path& input, int exit_code, const arguments& facts,
                      const arguments& more = {}) {
    const file_state before = state_of(input);
    expect_error(cyto(job(input, more)), exit_code, facts);
    EXPECT_EQ(state_of(input), before) << "the input was touched";
  }

  // The job with a topology of another text.
  void expect_topology_refused(const std::string& text, int exit_code, const arguments& facts) {
    const auto path = in_dir("broken.toml");
    write_file(path, text);
    const auto input = excerpt();
    const file_state before = state_of(input);
    arguments command = job(input);
    command[1] = path;
    expect_error(cyto(command), exit_code, facts);
    EXPECT_EQ(state_of(input), before) << "the input was touched";
  }

  static std::string topology() { return read_file(revdeps_topology); }

  // Replaces, and insists that there was something to replace.
  static std::string replaced(const std::string& text, const char* pattern, const char* by) {
    const std::string changed = std::regex_replace(text, std::regex(pattern), by);
    EXPECT_NE(changed, text) << pattern;
    return changed;
  }
};

TEST_F(BadInput, AMissingFile) {
  expect_error(cyto(job("/no/such/packages")), 2, {"/no/such/packages"});
}

TEST_F(BadInput, AFolder) { expect_refused(in_dir(""), 2, {in_dir("")}); }

TEST_F(BadInput, AFileThatMayNotBeRead) {
  if (::geteuid() == 0) GTEST_SKIP() << "root may read everything";
  const auto input = excerpt();
  fs::permissions(input, fs::perms::none);
  expect_error(cyto(job(input)), 2, {input});
}

TEST_F(BadInput, AnEmptyFile) {
  write_file(in_dir("empty"), "");
  expect_refused(in_dir("empty"), 2, {in_dir("empty")});
}

TEST_F(BadInput, AnEmptyStdin) { expect_error(cyto(job("-")), 2, {}); }

TEST_F(BadInput, NothingButBlankLines) {
  write_file(in_dir("blank"), std::string(100'000, '\n') + " \t\n");
  expect_refused(in_dir("blank"), 2, {in_dir("blank")});
}

TEST_F(BadInput, ATextThatIsNoIndex) {
  expect_refused(source_dir / "tests/e2e/bad_input_test.cpp", 2, {"bad_input_test.cpp"});
}

TEST_F(BadInput, APackedIndex) {
  expect_refused(source_dir / "tests/data/packages.gz", 2, {"packages.gz"});
}

TEST_F(BadInput, ALineOf200Megabytes) {
  const auto input = in_dir("line");
  {
    std::ofstream file(input, std::ios::binary);
    file << "Package: a\n\nPackage: b\nDepends: ";
    const std::string piece(1 << 20, 'x');
    for (int left = 200; left > 0; --left) file << piece;
  }
  expect_refused(input, 2, {input, "stanza"});
}

TEST_F(BadInput, AStanzaLongerThanItsLane) {
  expect_refused(excerpt(), 2, {"stanza_lane_bytes"}, {"--set", "stanza_lane_bytes=16KiB"});
}

TEST_F(BadInput, ANameLongerThanItsLane) {
  write_file(in_dir("input"), "Package: a\nDepends: b, " + std::string(10'000, 'n') + "\n");
  expect_refused(in_dir("input"), 2, {"update_lane_bytes"}, {"--set", "update_lane_bytes=4KiB"});
}

TEST_F(BadInput, SizesBeyondWhatALaneMayHave) {
  expect_refused(excerpt(), 2, {"stanza_lane_bytes"}, {"--set", "stanza_lane_bytes=1TiB"});
  expect_refused(excerpt(), 2, {"stanza_lane_bytes"}, {"--set", "stanza_lane_bytes=1"});
}

TEST_F(BadInput, SizesBeyondTheMemory) {
  expect_refused(excerpt(), 2, {"memory"},
                 {"--set", "parsers=100", "--set", "stanza_lane_bytes=1GiB"});
}

TEST_F(BadInput, AnOutputThatCannotBeWritten) {
  const auto input = excerpt();
  expect_error(cyto(job_to_stdout(input, {"--output", "/no/such/folder/table"})), 1,
               {"/no/such/folder/table"});
  expect_error(cyto(job_to_stdout(input, {"--output", in_dir("")})), 1, {in_dir("")});
}

TEST_F(BadInput, AFullDisk) {
  const auto input = excerpt();
  expect_error(cyto(job_to_stdout(input, {"--output", "/dev/full"})), 1, {"/dev/full", "space"});
  expect_error(cyto(job_to_stdout(input), {.stdout_path = "/dev/full"}), 1, {"space"});
}

TEST_F(BadInput, AReaderOfTheTableThatGoesAway) {
  pipe_ends pipe = make_pipe();
  pipe.read.close();
  const outcome end = cyto(job_to_stdout(excerpt()), {.stdout_fd = pipe.write.get()});
  expect_error(end, 1, {});
}

TEST_F(BadInput, ATopologyThatIsNotThere) {
  arguments command = job(excerpt());
  command[1] = "/no/such/topology.toml";
  expect_error(cyto(command), 2, {"/no/such/topology.toml"});
}

TEST_F(BadInput, ATopologyWithASyntaxError) {
  const std::string text = topology() + "\n[broken\n";
  const auto line = std::count(text.begin(), text.end(), '\n');
  expect_topology_refused(text, 2, {"broken.toml", std::to_string(line)});
}

TEST_F(BadInput, ATopologyThatIsEmpty) { expect_topology_refused("", 2, {"broken.toml"}); }

TEST_F(BadInput, ATopologyWithAnUnknownKey) {
  const std::string text = topology() + "\nno_such_key = 1\n";
  const auto line = std::count(text.begin(), text.end(), '\n');
  expect_topology_refused(text, 2, {"broken.toml", "no_such_key", std::to_string(line)});
}

TEST_F(BadInput, ATopologyWithARouteToNobody) {
  expect_topology_refused(replaced(topology(), "to *= *\"counter\"", "to = \"nobody\""), 2,
                          {"broken.toml", "nobody"});
}

TEST_F(BadInput, ATopologyWithTwoWorkersOfOneName) {
  expect_topology_refused(replaced(topology(), "name *= *\"counter\"", "name = \"parser\""), 2,
                          {"broken.toml", "parser"});
}

TEST_F(BadInput, AProgramThatIsNotThere) {
  expect_topology_refused(
      replaced(topology(), "program *= *\"[^\"]*\"", "program = \"/no/such/program\""), 2,
      {"broken.toml", "/no/such/program"});
}

TEST_F(BadInput, AProgramThatDiesAtOnceForEver) {
  expect_topology_refused(
      replaced(topology(), "program *= *\"[^\"]*parser[^\"]*\"", "program = \"/bin/false\""), 1,
      {"parser", "/bin/false"});
}

}  // namespace
}  // namespace cyto::test
