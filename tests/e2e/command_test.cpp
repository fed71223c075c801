// The command line as its contract has it: verbs, exit codes, signals.
#include <gmock/gmock.h>

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

TEST_F(Command, PlanSaysWhatATopologyTakesAndStartsNothing) {
  const outcome end = cyto({"plan", revdeps_topology, "--name", name(), "--json", "--set",
                            "parsers=3", "--set", "stanza_lane_bytes=64KiB"});
  ASSERT_EQ(end.exit_code, 0) << end.err;
  const json plan = json::parse(end.out);
  EXPECT_EQ(plan.at("name"), name());
  EXPECT_EQ(plan.at("workers").at(1).at("count").get<int>(), 3);
  EXPECT_EQ(plan.at("lanes").at(0).at("count").get<int>(), 3);
  EXPECT_EQ(plan.at("lanes").at(0).at("lane_bytes").get<int>(), 64 * 1024);
  EXPECT_EQ(plan.at("lanes").at(1).at("count").get<int>(), 6);
  const auto lanes_bytes = 3 * 64 * 1024 + 6 * plan.at("lanes").at(1).at("lane_bytes").get<int>();
  EXPECT_GT(plan.at("memory_bytes").get<int>(), lanes_bytes);
  expect_one_error(cyto({"status", name()}), 3);
  expect_nothing_left();
}

TEST_F(Command, PlanOfWhatIsNotThereSaysNo) {
  const outcome end = cyto(
      {"plan", revdeps_topology, "--json", "--set", "counters=200", "--set", "cells_bytes=16GiB"});
  EXPECT_EQ(end.exit_code, 1) << end.err;
  const json plan = json::parse(end.out);
  EXPECT_FALSE(plan.at("fits").get<bool>());
  EXPECT_GT(plan.at("memory_bytes"), plan.at("memory_available_bytes"));
}

TEST_F(Command, ATraceIsJudgedAndWhatIsNoTraceIsRefused) {
  const std::string file = in_dir("trace");
  const auto judge = [&](const std::string& lines) {
    write_file(file, lines);
    return cyto({"trace", "--check", file});
  };
  const std::string sent =
      R"({"node":"A","i":1,"event":"send","msg":"A#1","to":["B"],"seq":1,"stamp":9})"
      "\n"
      R"({"node":"A","i":2,"event":"commit"})"
      "\n";
  const outcome good =
      judge(sent + R"({"node":"B","i":1,"event":"deliver","msg":"A#1","from":"A"})" + "\n" +
            R"({"node":"B","i":2,"event":"commit"})" + "\n");
  EXPECT_EQ(good.exit_code, 0) << good.out;
  EXPECT_EQ(good.out, "good: 1 messages sent, 1 handed over, 0 dropped, in 2 turns; 0 findings\n");
  const outcome bad = judge(sent);
  EXPECT_EQ(bad.exit_code, 1);
  EXPECT_THAT(bad.out, testing::HasSubstr("missing: A#1 was sent to B and never handed to it\n"));
  EXPECT_EQ(cyto({"trace", "--check", file, "--window"}).exit_code, 0);
  EXPECT_EQ(json::parse(cyto({"trace", "--check", file, "--json"}).out).at("findings"), 1);
  write_file(file, sent + "what is this\n");
  expect_one_error(cyto({"trace", "--check", file}), 2);
  expect_one_error(cyto({"trace", "--check", file + "s"}), 2);
  expect_one_error(cyto({"trace"}), 3);  // Recorded would be a system, and none runs.
}

// The system of these tests is one that has much to do.
class RunningSystem : public Command {
 protected:
  void SetUp() override {
    held_.emplace(start_held([this](const auto& input) { return job(input, tiny_lanes); }));
  }
  // Until then it stands, so that it cannot have come to its end by itself.
  void let_it_go_on() const { signal_all(parsers_in(workers()), SIGCONT); }

  process& supervisor() { return held_->system; }
  const worker_pids& workers() const { return held_->workers; }

 private:
  std::optional<held_job> held_;
};

TEST_F(RunningSystem, IsEndedByStop) {
  process stop = start({"stop", name()});
  wait_for_status(supervisor(), [](const json& document) {
    return document.at("phase").get<std::string>() == "draining";
  });
  let_it_go_on();
  const outcome stopped = stop.wait();
  EXPECT_EQ(stopped.exit_code, 0) << stopped.err;
  const outcome run = supervisor().wait();
  EXPECT_EQ(run.exit_code, 4) << run.err;
  EXPECT_FALSE(std::filesystem::exists(table_path())) << "a part of the table was written";
  expect_nothing_left();
}

TEST_F(RunningSystem, IsEndedByAnInterrupt) {
  supervisor().send_signal(SIGINT);
  let_it_go_on();
  EXPECT_EQ(supervisor().wait().exit_code, 130);
  expect_nothing_left();
}

TEST_F(RunningSystem, IsEndedByTermination) {
  supervisor().send_signal(SIGTERM);
  let_it_go_on();
  EXPECT_EQ(supervisor().wait().exit_code, 143);
  expect_nothing_left();
}

TEST_F(RunningSystem, IsEndedByTerminationWhenAWorkerStandsStill) {
  supervisor().send_signal(SIGTERM);
  EXPECT_EQ(supervisor().wait().exit_code, 143);
  expect_nothing_left();
}

TEST_F(RunningSystem, IsNotStartedTwice) {
  expect_one_error(cyto(job(excerpt())), 100);
  let_it_go_on();
  EXPECT_EQ(supervisor().wait().exit_code, 0);
  expect_table_of(in_dir("long"));
}

TEST_F(RunningSystem, BalancesAtAnyMoment) {
  for (int audits = 0; audits == 0 || !supervisor().wait_for(1ms); ++audits) {
    const outcome audit = cyto({"audit", name(), "--json"});
    if (audits != 0 && audit.exit_code == 3) break;
    ASSERT_EQ(audit.exit_code, 0) << audit.err;
    expect_balance(json::parse(audit.out));
    if (audits == 0) let_it_go_on();
  }
  EXPECT_EQ(supervisor().wait().exit_code, 0);
}

TEST_F(RunningSystem, ShowsItsWorkers) {
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
  EXPECT_TRUE(is_supervised_by(supervisor(), document));
  const outcome plain = cyto({"status", name()});
  EXPECT_EQ(plain.exit_code, 0) << plain.err;
  EXPECT_NE(plain.out.find("parser"), std::string::npos) << plain.out;
  let_it_go_on();
  supervisor().wait();
}

TEST_F(RunningSystem, IsFoundByItsHoldersAlone) {
  std::set<pid_t> holders;
  for (const memory_holder& each : holders_of(name())) holders.insert(each.pid);
  for (const auto& [worker, pid] : workers()) EXPECT_TRUE(holders.contains(pid)) << worker;
  let_it_go_on();
  supervisor().wait();
}

}  // namespace
}  // namespace cyto::test
