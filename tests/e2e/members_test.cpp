// Members that come and go while a group works: `cyto add`, `cyto remove`.
#include "e2e/job.hpp"

namespace cyto::test {
namespace {

class Members : public job_test {
 protected:
  // The main job, with room for more members.
  arguments growing_job(const std::filesystem::path& input, const std::string& parsers,
                        const std::string& counters = "count = 2\n") const {
    std::string topology = read_file(revdeps_topology);
    const auto replace = [&](const std::string& group, const std::string& by) {
      const std::string before = "count = \"${" + group + "}\"\n";
      topology.replace(topology.find(before), before.size(), by);
    };
    replace("parsers", parsers);
    replace("counters", counters);
    write_file(in_dir("t.toml"), topology);
    return arguments{"run",        in_dir("t.toml"), "--input", input,   "--output",
                     table_path(), "--name",         name(),    "--json"} +
           tiny_lanes;
  }
  static json worker_in(const json& document, const std::string& worker) {
    for (const json& each : document.at("workers")) {
      if (each.at("name") == worker) return each;
    }
    return {};
  }
  static std::string state_in(const json& document, const std::string& worker) {
    return worker_in(document, worker).at("state").get<std::string>();
  }
  static std::uint64_t delivered_in(const json& document, const std::string& lane) {
    for (const json& each : document.at("lanes")) {
      if (each.at("name") == lane) return each.at("delivered").get<std::uint64_t>();
    }
    return 0;
  }
  json wait_for_state(process& system, const std::string& worker, const std::string& state) const {
    return wait_for_status(
        system, [&](const json& document) { return state_in(document, worker) == state; });
  }
  process_ref ready_process(process& system, const std::string& worker) const {
    const json document = wait_for_state(system, worker, "ready");
    return process_ref(worker_in(document, worker).at("pid").get<pid_t>());
  }
  // The growing job while it stands.
  held_job start_growing(const std::string& parsers) const {
    return start_held([&](const auto& input) { return growing_job(input, parsers); });
  }
  // Something waits for the parser, which stands. Where the parsers have been stopped, their source
  // may wait for another one's room and send nothing more: then they go on for a moment.
  void wait_for_backlog(process& system, const worker_pids& workers,
                        const std::string& lane) const {
    const std::vector<process_ref> parsers = parsers_in(workers);
    int looks = 0;
    wait_for_status(system, [&](const json& document) {
      for (const json& each : document.at("lanes")) {
        if (each.at("name") == lane && each.at("in_flight").get<int>() > 0) return true;
      }
      if (++looks % 20 == 0) {
        signal_all(parsers, SIGCONT);
        signal_all(parsers, SIGSTOP);
      }
      return false;
    });
  }
  json expect_job_done(process& system, const std::filesystem::path& input) const {
    const outcome end = system.wait();
    EXPECT_EQ(end.exit_code, 0) << end.err;
    const json report = last_line(end.out);
    expect_balance(report.at("audit"));
    for (const json& lane : report.at("audit").at("lanes")) {
      EXPECT_EQ(lane.at("in_flight").get<int>(), 0) << lane;
    }
    expect_table_of(input);
    return report;
  }
  void expect_refused(const arguments& order, const std::string& words) const {
    const outcome end = cyto(order);
    EXPECT_EQ(end.exit_code, 2) << end.err;
    EXPECT_EQ(lines_of(end.err).size(), 1U) << end.err;
    EXPECT_NE(end.err.find(words), std::string::npos) << end.err;
  }
};

TEST_F(Members, AddedOneTakesPartAtOnce) {
  held_job held = start_growing("count = 1\ncount_max = 3\n");
  process& system = held.system;
  // What is parsed from now on, others have parsed.
  const process_ref first = ready_process(system, "parser/0");
  EXPECT_EQ(state_in(*status(), "parser/1"), "absent");
  const outcome added = cyto({"add", "parser", name()});
  EXPECT_EQ(added.exit_code, 0) << added.err;
  EXPECT_TRUE(added.out.starts_with("parser/1 ready, process ")) << added.out;
  wait_for_status(system, [&](const json& document) {
    return delivered_in(document, "source/0 -> parser/1") > 0;
  });
  EXPECT_EQ(state_in(*status(), "parser/2"), "absent");
  first.send_signal(SIGCONT);
  expect_job_done(system, held.input);
}

TEST_F(Members, RemovedOneFirstHandlesWhatWasSentToIt) {
  held_job held = start_growing("count = 2\n");
  process& system = held.system;
  const process_ref counter = ready_process(system, "counter/0");
  counter.send_signal(SIGSTOP);  // So that there is no end.
  const process_ref parser = ready_process(system, "parser/1");
  wait_for_backlog(system, held.workers, "source/0 -> parser/1");
  process remove = start({"remove", "parser", name()});
  wait_for_state(system, "parser/1", "leaving");
  EXPECT_FALSE(remove.wait_for(100ms));
  counter.send_signal(SIGCONT);
  signal_all(parsers_in(held.workers), SIGCONT);
  const outcome removed = remove.wait();
  EXPECT_EQ(removed.exit_code, 0) << removed.err;
  EXPECT_EQ(removed.out, "parser/1 removed\n");
  EXPECT_TRUE(parser.wait_for_end(0ms));
  expect_job_done(system, held.input);
}

TEST_F(Members, RemovedOneThatIsStillSentToComesBackForThat) {
  held_job held = start_growing("count = 2\n");
  process& system = held.system;
  const process_ref source = ready_process(system, "source/0");
  source.send_signal(SIGSTOP);  // While it is sent to without end it does not come to its own.
  signal_all(parsers_in(held.workers), SIGCONT);
  const outcome removed = cyto({"remove", "counter/1", name()});
  EXPECT_EQ(removed.exit_code, 0) << removed.err;
  // Names are counted where their hash says: the other counter cannot take its part.
  source.send_signal(SIGCONT);
  const json report = expect_job_done(system, held.input);
  EXPECT_GT(report.at("restarts").get<int>(), 0);
}

TEST_F(Members, KilledWhileItLeavesItComesBackAndLeaves) {
  held_job held = start_growing("count = 2\n");
  process& system = held.system;
  const process_ref counter = ready_process(system, "counter/0");
  counter.send_signal(SIGSTOP);
  const process_ref parser = ready_process(system, "parser/1");
  wait_for_backlog(system, held.workers, "source/0 -> parser/1");
  process remove = start({"remove", "parser/1", name()});
  wait_for_state(system, "parser/1", "leaving");
  parser.send_signal(SIGKILL);
  counter.send_signal(SIGCONT);
  process_ref(held.workers.at("parser/0")).send_signal(SIGCONT);
  EXPECT_EQ(remove.wait().exit_code, 0);
  expect_job_done(system, held.input);
}

TEST_F(Members, NextSupervisorKnowsWhoIsThereAndWhoLeaves) {
  const std::string parsers = "count = 2\ncount_max = 4\n";
  held_job held = start_growing(parsers);
  std::optional<process> system(std::move(held.system));
  const process_ref leaving = ready_process(*system, "parser/1");
  wait_for_backlog(*system, held.workers, "source/0 -> parser/1");
  const process_ref source = ready_process(*system, "source/0");
  source.send_signal(SIGSTOP);  // So that there is no end.
  process_ref(held.workers.at("parser/0")).send_signal(SIGCONT);
  EXPECT_EQ(cyto({"add", "parser", name()}).exit_code, 0);
  EXPECT_EQ(cyto({"remove", "parser/0", name()}).exit_code, 0);
  process remove = start({"remove", "parser/1", name()});
  wait_for_state(*system, "parser/1", "leaving");

  system->send_signal(SIGKILL);
  system->wait();
  EXPECT_NE(remove.wait().exit_code, 0);
  system.emplace(start(growing_job(held.input, parsers)));
  const json document =
      wait_for_status(*system, [&](const json& each) { return is_supervised_by(*system, each); });
  EXPECT_EQ(state_in(document, "parser/0"), "absent");
  EXPECT_EQ(state_in(document, "parser/1"), "leaving");
  EXPECT_EQ(state_in(document, "parser/2"), "ready");
  EXPECT_EQ(state_in(document, "parser/3"), "absent");
  leaving.send_signal(SIGCONT);
  wait_for_state(*system, "parser/1", "absent");
  source.send_signal(SIGCONT);
  expect_job_done(*system, held.input);
}

TEST_F(Members, ComeAndGoUnderChaosAndTheTableIsTheSame) {
  int orders = 0;
  // A job may be over before the first order comes; then a longer one is taken.
  for (int copies = long_copies; orders == 0 && !HasFailure(); copies *= 2) {
    const auto input = long_input(copies);
    process system = start(growing_job(input, "count = 1\ncount_max = 4\n") +
                           arguments{"--chaos", kill_every(20) + ",seed=3"});
    while (!status() && !system.wait_for(2ms)) continue;
    while (!system.wait_for(0ms)) {
      const outcome end = cyto({orders % 3 == 2 ? "remove" : "add", "parser", name()});
      if (end.exit_code == 3 || end.exit_code == 1) break;  // The job has come to its end.
      ++orders;
    }
    expect_job_done(system, input);
  }
}

TEST_F(Members, WhatCannotBeIsRefusedInWords) {
  held_job held = start_growing("count = 2\ncount_max = 3\n");
  process& system = held.system;
  expect_refused({"remove", "source", name()}, "is a source");
  expect_refused({"add", "counter", name()}, "all its members are there");
  expect_refused({"add", "counter/0", name()}, "is there");
  expect_refused({"add", "parser/2", name()}, "name the group: parser");
  expect_refused({"start", "parser/2", name()}, "is absent");
  expect_refused({"remove", "parser/2", name()}, "is absent");
  expect_refused({"add", "nobody", name()}, "has no worker 'nobody'");
  signal_all(parsers_in(held.workers), SIGCONT);
  expect_job_done(system, held.input);
  const auto refused_topology = [&](const std::string& counts, const std::string& words) {
    expect_refused(growing_job(held.input, counts), words);
  };
  refused_topology("count = 3\ncount_max = 2\n", "count is 3 already");
  refused_topology("count = 0\n", "count");
  refused_topology("count_max = 257\n", "count_max");
}

TEST_F(Members, GroupOfPlainProgramsMayBeginEmpty) {
  write_file(in_dir("t.toml"),
             "[[worker]]\nname = \"shell\"\nprogram = \"/bin/sleep\"\nplain = true\n"
             "arguments = [\"1000\"]\ncount = 0\ncount_max = 2\n"
             "[[worker]]\nname = \"other\"\nprogram = \"/bin/sleep\"\nplain = true\n"
             "arguments = [\"1000\"]\n");
  process system = start({"run", in_dir("t.toml"), "--name", name()});
  ready_process(system, "other/0");
  EXPECT_EQ(state_in(*status(), "shell/0"), "absent");
  EXPECT_EQ(cyto({"add", "shell", name()}).exit_code, 0);
  EXPECT_EQ(cyto({"add", "shell", name()}).exit_code, 0);
  expect_refused({"add", "shell", name()}, "all its members are there");
  EXPECT_EQ(cyto({"remove", "shell/0", name()}).exit_code, 0);
  EXPECT_EQ(state_in(*status(), "shell/0"), "absent");
  EXPECT_EQ(state_in(*status(), "shell/1"), "ready");
  EXPECT_EQ(cyto({"stop", name()}).exit_code, 0);
  EXPECT_EQ(system.wait().exit_code, 0);
}

}  // namespace
}  // namespace cyto::test
