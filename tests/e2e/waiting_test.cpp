// How workers wait, and on which core: the topology's choice.
#include "cyto/doorbell.hpp"
#include "e2e/job.hpp"

namespace cyto::test {
namespace {

class Waiting : public job_test {
 protected:
  // The main job with more lines in its parsers' entry.
  arguments job_with(const std::string& lines, const std::filesystem::path& input) const {
    std::string topology = read_file(revdeps_topology);
    const std::string before = "program = \"revdeps_parser\"\n";
    topology.insert(topology.find(before) + before.size(), lines);
    write_file(in_dir("t.toml"), topology);
    return {"run",        in_dir("t.toml"), "--input", input,   "--output",
            table_path(), "--name",         name(),    "--json"};
  }
  void expect_refusal(const std::string& lines, const std::string& words) const {
    const outcome end = cyto(job_with(lines, excerpt()));
    EXPECT_EQ(end.exit_code, 2) << end.err;
    EXPECT_NE(end.err.find(words), end.err.npos) << end.err;
    EXPECT_EQ(lines_of(end.err).size(), 1U) << end.err;
  }
};

struct WaitingBy : Waiting, testing::WithParamInterface<const char*> {};

TEST_P(WaitingBy, DoesTheSame) {
  const auto input = excerpt();
  const outcome end = cyto(job_with(GetParam(), input) + tiny_lanes);
  ASSERT_EQ(end.exit_code, 0) << end.err;
  expect_table_of(input);
}

INSTANTIATE_TEST_SUITE_P(Strategies, WaitingBy,
                         testing::Values("wait = \"park\"\n", "wait = \"spin\"\n", "spin_us = 0\n",
                                         "spin_us = 1000\n", "cpus = [0]\n",
                                         "wait = \"spin\"\ncpus = [0]\n"),
                         [](const auto& each) { return "Number" + std::to_string(each.index); });

std::uint64_t parks_of(const json& document, const std::string& worker) {
  for (const json& each : document.at("workers")) {
    if (each.at("name") == worker) return each.at("parks").get<std::uint64_t>();
  }
  return 0;
}

TEST_F(Waiting, OneThatSpinsNeverSleepsUnlessThereIsOneCore) {
  held_job held = start_held(
      [this](const auto& input) { return job_with("wait = \"spin\"\n", input) + tiny_lanes; });
  signal_all(parsers_in(held.workers), SIGCONT);
  std::uint64_t parks = 0;
  while (!held.system.wait_for(5ms)) {
    if (const auto document = status()) parks = parks_of(*document, "parser/0");
  }
  expect_table_of(held.input);
  if (usable_cores() > 1) {
    EXPECT_EQ(parks, 0U);
  }
}

// It has work and ends no turn, but neither hangs nor sleeps.
TEST_F(Waiting, OneThatSpinsForRoomIsNotStalled) {
  held_job held = start_held([this](const auto& input) {
    return job_with("wait = \"spin\"\nstall_ms = 300\non_stall = \"restart\"\n", input) +
           tiny_lanes;
  });
  std::vector<process_ref> counters;
  for (const auto& [worker, pid] : held.workers) {
    if (worker.find("counter") != worker.npos) counters.emplace_back(pid);
  }
  signal_all(counters, SIGSTOP);
  signal_all(parsers_in(held.workers), SIGCONT);
  for (const process_ref& each : parsers_in(held.workers)) EXPECT_FALSE(each.wait_for_end(1500ms));
  signal_all(counters, SIGCONT);
  const outcome end = held.system.wait();
  EXPECT_EQ(end.exit_code, 0) << end.err;
  EXPECT_EQ(last_line(end.out).at("restarts").get<int>(), 0);
  expect_table_of(held.input);
}

TEST_F(Waiting, MembersArePinnedInTurn) {
  held_job held = start_held(
      [this](const auto& input) { return job_with("cpus = [0]\n", input) + tiny_lanes; });
  for (const char* member : {"parser/0", "parser/1"}) {
    cpu_set_t set;
    CPU_ZERO(&set);
    ASSERT_EQ(sched_getaffinity(held.workers.at(member), sizeof set, &set), 0);
    EXPECT_EQ(CPU_COUNT(&set), 1) << member;
    EXPECT_TRUE(CPU_ISSET(0, &set)) << member;
  }
  signal_all(parsers_in(held.workers), SIGCONT);
  EXPECT_EQ(held.system.wait().exit_code, 0);
}

TEST_F(Waiting, WhatCannotBeIsRefused) {
  expect_refusal("cpus = [1023]\n", "cannot be pinned to core 1023");
  expect_refusal("cpus = [-1]\n", "'cpus' holds what is no core");
  expect_refusal("cpus = 1\n", "'cpus' is not a list");
  expect_refusal("wait = \"sleep\"\n", "wait");
  expect_refusal("spin_us = 2000000\n", "spin_us");
}

}  // namespace
}  // namespace cyto::test
