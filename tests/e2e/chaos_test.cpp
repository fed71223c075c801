// Killing changes nothing: neither workers at random, nor the supervisor, nor both.
#include "e2e/job.hpp"

#include <random>

namespace cyto::test {
namespace {

class Chaos : public job_test {
 protected:
  // The report that `cyto run --json` ends with.
  static json report_of(const outcome& end) {
    EXPECT_EQ(end.exit_code, 0) << end.err;
    EXPECT_EQ(lines_of(end.out).size(), 1u) << end.out;
    const json report = last_line(end.out);
    EXPECT_TRUE(report.at("ok").get<bool>());
    EXPECT_GT(report.at("seconds").get<double>(), 0);
    expect_balance(report.at("audit"));
    for (const json& lane : report.at("audit").at("lanes")) {
      EXPECT_EQ(lane.at("in_flight").get<int>(), 0) << lane;
    }
    return report;
  }

  void expect_chaos_changes_nothing(const std::string& chaos, const arguments& more = {}) {
    const auto input = long_input();
    const outcome end = cyto(job(input, arguments{"--json", "--chaos", chaos} + more));
    const json report = report_of(end);
    EXPECT_GT(report.at("kills").get<int>(), 0);
    EXPECT_GE(report.at("restarts").get<int>(), 0);
    expect_table_of(input);
  }
};

struct ChaosWithSeed : Chaos, testing::WithParamInterface<int> {};

TEST_P(ChaosWithSeed, KilledWorkersLoseAndDoubleNothing) {
  expect_chaos_changes_nothing(kill_every(10) + ",seed=" + std::to_string(GetParam()));
}

INSTANTIATE_TEST_SUITE_P(Seeds, ChaosWithSeed, testing::Values(1, 2, 3));

TEST_F(Chaos, KilledWorkersOnTinyLanesLoseAndDoubleNothing) {
  expect_chaos_changes_nothing(kill_every(20) + ",seed=4", tiny_lanes);
}

TEST_F(Chaos, ManyKilledWorkersLoseAndDoubleNothing) {
  expect_chaos_changes_nothing(kill_every(10) + ",seed=5",
                               {"--set", "parsers=3", "--set", "counters=3"});
}

TEST_F(Chaos, WithoutChaosNobodyIsKilled) {
  const auto input = excerpt();
  const json report = report_of(cyto(job(input, {"--json"})));
  EXPECT_EQ(report.at("kills").get<int>(), 0);
  EXPECT_EQ(report.at("restarts").get<int>(), 0);
  expect_table_of(input);
}

TEST_F(Chaos, AKilledSourceDoesNotLoseWhatCameThroughAPipe) {
  const auto input = long_input();
  pipe_ends pipe = make_pipe();
  process feeder({"cat", input}, {.stdout_fd = pipe.write.get()});
  pipe.write.close();
  const outcome end = cyto(job("-", {"--json", "--chaos", kill_every(10) + ",seed=6"}),
                           {.stdin_fd = pipe.read.get()});
  report_of(end);
  expect_table_of(input);
}

class SupervisorDeath : public Chaos {
 protected:
  static void kill_supervisor(process& supervisor) {
    supervisor.send_signal(SIGKILL);
    // It may have come to its end a moment earlier.
    const outcome end = supervisor.wait();
    EXPECT_TRUE(end.signal == SIGKILL || end.exit_code == 0) << end.exit_code << end.err;
  }

  // The workers, once the new supervisor speaks for them.
  worker_pids wait_for_adoption(process& supervisor) const {
    return pids_of(wait_for_status(
        supervisor, [&](const json& document) { return is_supervised_by(supervisor, document); }));
  }
};

// The job stands while supervisors change, so that it cannot end in between.
TEST_F(SupervisorDeath, TheSameCommandAdoptsTheRunningWorkers) {
  const auto command = [this](const auto& input) {
    return job(input, tiny_lanes + arguments{"--json"});
  };
  held_job held = start_held(command);
  const worker_pids& workers = held.workers;
  const auto parsers = parsers_in(workers);
  std::optional<process> supervisor(std::move(held.system));
  bool is_held = true;
  for (int round = 0; is_held && round < 5; ++round) {
    kill_supervisor(*supervisor);
    for (const auto& [worker, pid] : workers) {
      EXPECT_FALSE(process_ref(pid).wait_for_end(0ms)) << worker << " went with its supervisor";
    }
    supervisor.emplace(start(command(held.input)));
    EXPECT_EQ(wait_for_adoption(*supervisor), workers);
    signal_all(parsers, SIGCONT);
    supervisor->wait_for(20ms);
    is_held = hold(*supervisor).has_value();
  }
  if (is_held) signal_all(parsers, SIGCONT);
  const json report = report_of(supervisor->wait());
  EXPECT_EQ(report.at("restarts").get<int>(), 0);
  expect_table_of(held.input);
}

TEST_F(SupervisorDeath, WorkersFinishWithoutASupervisorAndTheNextOneWritesTheTable) {
  const auto command = [this](const auto& input) {
    return job(input, tiny_lanes + arguments{"--json"});
  };
  held_job held = start_held(command);
  kill_supervisor(held.system);
  signal_all(parsers_in(held.workers), SIGCONT);
  // Nothing tells a stranger that all is quiet; whether it is by then does not matter.
  process_ref(held.workers.begin()->second).wait_for_end(500ms);
  report_of(start(command(held.input)).wait());
  expect_table_of(held.input);
}

// At any moment: before the workers run, in the middle, and while the table is being written.
TEST_F(SupervisorDeath, AtAnyMomentTogetherWithItsWorkersChangesNothing) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  std::uniform_int_distribution<int> pause_ms(1, 120);
  const auto input = long_input();
  const arguments command = job(input, tiny_lanes + arguments{"--json"});
  const arguments with_chaos = command + arguments{"--chaos", kill_every(20)};
  std::optional<process> supervisor(start(with_chaos));
  for (int kills = 0; kills < 6; ++kills) {
    if (supervisor->wait_for(std::chrono::milliseconds(pause_ms(random)))) break;
    kill_supervisor(*supervisor);
    // The last one comes to an end however slow the machine is.
    supervisor.emplace(start(kills < 5 ? with_chaos : command));
  }
  report_of(supervisor->wait());
  expect_table_of(input);
}

}  // namespace
}  // namespace cyto::test
