// The command line as its contract has it: verbs, exit codes, signals.
#include "e2e/job.hpp"

#include <regex>

namespace cyto::test {
namespace {

class Command : public job_test {
 protected:
  // One line that says what is wrong, as all errors of the command do.
  static void expect_one_error(const outcome& end, int exit_code) {
    EXPECT_EQ(end.exit_code, exit_code) << end.err;
    int errors = 0;
    for (const std::string& line : lines_of(end.err)) errors += line.starts_with("cyto: ");
    EXPECT_EQ(errors, 1) << end.err;
  }
};

TEST_F(Command, HelpNamesTheVerbs) {
  const outcome end = cyto({"--help"});
  EXPECT_EQ(end.exit_code, 0);
  for (const char* verb : {"run", "status", "audit", "stop"}) {
    EXPECT_NE(end.out.find(verb), std::string::npos) << verb;
  }
  EXPECT_EQ(cyto({"run", "--help"}).exit_code, 0);
}

TEST_F(Command, VersionIsThreeNumbers) {
  const outcome end = cyto({"--version"});
  EXPECT_EQ(end.exit_code, 0);
  EXPECT_TRUE(std::regex_search(end.out, std::regex("[0-9]+\\.[0-9]+\\.[0-9]+"))) << end.out;
}

TEST_F(Command, WrongUseIsRefused) {
  for (const arguments& wrong :
       {arguments{}, arguments{"no-such-verb"}, arguments{"run"}, arguments{"--no-such-option"},
        arguments{"run", revdeps_topology, "--no-such-option"}, arguments{"stop", "a", "b"}}) {
    const outcome end = cyto(wrong);
    EXPECT_EQ(end.exit_code, 2) << testing::PrintToString(wrong) << end.err;
    EXPECT_NE(end.err, "");
  }
}

TEST_F(Command, WrongSettingsAreRefused) {
  for (const char* wrong : {"no_such_setting=1", "parsers", "parsers=", "parsers=0", "parsers=-1",
                            "parsers=two", "parsers=1000000", "stanza_lane_bytes=many"}) {
    SCOPED_TRACE(wrong);
    expect_one_error(cyto(job(excerpt(), {"--set", wrong})), 2);
    expect_nothing_left();
  }
}

TEST_F(Command, WrongChaosIsRefused) {
  for (const char* wrong : {"kill-every-ms=0", "kill-every-ms=x", "often", "seed=1", ""}) {
    SCOPED_TRACE(wrong);
    expect_one_error(cyto(job(excerpt(), {"--chaos", wrong})), 2);
    expect_nothing_left();
  }
}

TEST_F(Command, ASystemThatDoesNotRunIsSaidNotToRun) {
  for (const char* verb : {"status", "audit", "stop"}) {
    SCOPED_TRACE(verb);
    expect_one_error(cyto({verb, name()}), 3);
    expect_one_error(cyto({verb, name(), "--json"}), 3);
  }
}

// The system of these tests is one that has much to do.
class RunningSystem : public Command {
 protected:
  void SetUp() override {
    supervisor_.emplace(start(job(long_input(), tiny_lanes)));
    workers_ = wait_for_workers(*supervisor_);
  }

  process& supervisor() { return *supervisor_; }
  const worker_pids& workers() const { return workers_; }

 private:
  std::optional<process> supervisor_;
  worker_pids workers_;
};

TEST_F(RunningSystem, IsEndedByStop) {
  // With the parsers stopped it cannot have come to its end by itself.
  const auto parsers = parsers_in(workers());
  signal_all(parsers, SIGSTOP);
  process stop = start({"stop", name()});
  wait_for_status(supervisor(), [](const json& document) {
    return document.at("phase").get<std::string>() == "draining";
  });
  signal_all(parsers, SIGCONT);
  const outcome stopped = stop.wait();
  EXPECT_EQ(stopped.exit_code, 0) << stopped.err;
  const outcome run = supervisor().wait();
  EXPECT_EQ(run.exit_code, 4) << run.err;
  EXPECT_FALSE(std::filesystem::exists(table_path())) << "a part of the table was written";
  expect_nothing_left();
}

TEST_F(RunningSystem, IsEndedByAnInterrupt) {
  supervisor().send_signal(SIGINT);
  EXPECT_EQ(supervisor().wait().exit_code, 130);
  expect_nothing_left();
}

TEST_F(RunningSystem, IsEndedByTermination) {
  supervisor().send_signal(SIGTERM);
  EXPECT_EQ(supervisor().wait().exit_code, 143);
  expect_nothing_left();
}

TEST_F(RunningSystem, IsEndedByTerminationWhenAWorkerStandsStill) {
  signal_all(parsers_in(workers()), SIGSTOP);
  supervisor().send_signal(SIGTERM);
  EXPECT_EQ(supervisor().wait().exit_code, 143);
  expect_nothing_left();
}

TEST_F(RunningSystem, IsNotStartedTwice) {
  const auto parsers = parsers_in(workers());
  signal_all(parsers, SIGSTOP);
  expect_one_error(cyto(job(excerpt())), 100);
  signal_all(parsers, SIGCONT);
  EXPECT_EQ(supervisor().wait().exit_code, 0);
  expect_table_of(in_dir("long"));
}

TEST_F(RunningSystem, BalancesAtAnyMoment) {
  int audits = 0;
  while (!supervisor().wait_for(1ms)) {
    const outcome audit = cyto({"audit", name(), "--json"});
    if (audit.exit_code == 3) break;
    ASSERT_EQ(audit.exit_code, 0) << audit.err;
    expect_balance(json::parse(audit.out));
    ++audits;
  }
  EXPECT_GT(audits, 0);
  EXPECT_EQ(supervisor().wait().exit_code, 0);
}

TEST_F(RunningSystem, ShowsItsWorkers) {
  signal_all(parsers_in(workers()), SIGSTOP);
  const json document = wait_for_status(supervisor(), [](const json&) { return true; });
  std::map<std::string, int> groups;
  for (const json& worker : document.at("workers")) {
    EXPECT_FALSE(worker.at("state").get<std::string>().empty());
    const auto worker_name = worker.at("name").get<std::string>();
    for (const char* group : {"source", "parser", "counter"}) {
      if (worker_name.find(group) != std::string::npos) ++groups[group];
    }
  }
  EXPECT_EQ(groups, (std::map<std::string, int>{{"source", 1}, {"parser", 2}, {"counter", 2}}));
  EXPECT_TRUE(mentions(document, supervisor().pid()));
  const outcome plain = cyto({"status", name()});
  EXPECT_EQ(plain.exit_code, 0) << plain.err;
  EXPECT_NE(plain.out.find("parser"), std::string::npos) << plain.out;
  signal_all(parsers_in(workers()), SIGCONT);
  supervisor().wait();
}

TEST_F(RunningSystem, IsFoundByItsHoldersAlone) {
  std::set<pid_t> holders;
  for (const memory_holder& each : holders_of(name())) holders.insert(each.pid);
  for (const auto& [worker, pid] : workers()) EXPECT_TRUE(holders.contains(pid)) << worker;
  supervisor().wait();
}

}  // namespace
}  // namespace cyto::test
