// Supervision with real processes: who comes back, who goes along, what operators ask for.
#include <algorithm>
#include <limits>

#include "e2e/job.hpp"

namespace cyto::test {
namespace {

class Supervision : public job_test {
 protected:
  // A plain program: a line of shell.
  static std::string plain(const std::string& worker, const std::string& shell,
                           const std::string& more = {}) {
    return "[[worker]]\nname = \"" + worker + "\"\nprogram = \"/bin/sh\"\nplain = true\n" +
           "arguments = [\"-c\", '''" + shell + "''']\n" + more + "\n";
  }
  process start_system(const std::string& topology) {
    write_file(in_dir("t.toml"), topology);
    return start({"run", in_dir("t.toml"), "--name", name()});
  }
  std::string log() const {
    const auto path = in_dir("log");
    return std::filesystem::exists(path) ? read_file(path) : std::string();
  }
  std::string say(const std::string& word) const {
    return "echo " + word + " >> " + in_dir("log").string() + "; ";
  }
  static pid_t pid_of(const json& document, const std::string& worker) {
    for (const json& each : document.at("workers")) {
      if (each.at("name") == worker + "/0") return each.at("pid").get<pid_t>();
    }
    return 0;
  }
  static std::string state_of(const json& document, const std::string& worker) {
    for (const json& each : document.at("workers")) {
      if (each.at("name") == worker + "/0") return each.at("state").get<std::string>();
    }
    return {};
  }
  // The worker runs, as another process than before.
  json wait_for_another(process& system, const std::string& worker, pid_t before) {
    return wait_for_status(system, [&](const json& document) {
      return state_of(document, worker) == "ready" && pid_of(document, worker) != before;
    });
  }
  void stop(process& system) {
    EXPECT_EQ(cyto({"stop", name()}).exit_code, 0);
    const outcome end = system.wait();
    EXPECT_EQ(end.exit_code, 0) << end.err;
  }
};

const std::string lives = "exec sleep 1000";

TEST_F(Supervision, PlainProgramThatDiesIsStartedAgain) {
  process system = start_system(plain("a", lives) + plain("b", lives));
  const worker_pids before = wait_for_workers(system);
  process_ref(before.at("a/0")).send_signal(SIGKILL);
  const json after = wait_for_another(system, "a", before.at("a/0"));
  EXPECT_EQ(pid_of(after, "b"), before.at("b/0"));
  stop(system);
  expect_nothing_left();
}

TEST_F(Supervision, WhatAProcessHasStartedGoesWithIt) {
  process system = start_system(plain("a", "sleep 1000 & echo $! > " + in_dir("pid").string() +
                                               ".new; mv " + in_dir("pid").string() + ".new " +
                                               in_dir("pid").string() + "; " + lives));
  const worker_pids before = wait_for_workers(system);
  wait_for_status(system, [&](const json&) { return std::filesystem::exists(in_dir("pid")); });
  const process_ref grandchild(std::stoi(read_file(in_dir("pid"))));
  std::filesystem::remove(in_dir("pid"));
  process_ref(before.at("a/0")).send_signal(SIGKILL);
  EXPECT_TRUE(grandchild.wait_for_end(default_deadline));
  wait_for_another(system, "a", before.at("a/0"));
  wait_for_status(system, [&](const json&) { return std::filesystem::exists(in_dir("pid")); });
  const process_ref next(std::stoi(read_file(in_dir("pid"))));
  stop(system);
  EXPECT_TRUE(next.wait_for_end(default_deadline));
}

// How often the process has given up the core, or was made to.
std::uint64_t switches_of(pid_t pid) {
  std::uint64_t sum = 0;
  for (const std::string& line : lines_of(read_file("/proc/" + std::to_string(pid) + "/status"))) {
    const std::size_t at = line.find("ctxt_switches:");
    if (at != line.npos) sum += std::stoull(line.substr(at + 14));
  }
  return sum;
}

TEST_F(Supervision, SupervisorOfAnIdleSystemSleeps) {
  process system = start_system(plain("a", lives));
  wait_for_workers(system);
  // On a busy machine it may take a while until all that belongs to the start is done.
  std::uint64_t least = std::numeric_limits<std::uint64_t>::max();
  char state = 0;
  for (int window = 0; window < 20 && (least > 5 || state != 'S'); ++window) {
    const std::uint64_t before = switches_of(system.pid());
    EXPECT_FALSE(process_ref(system.pid()).wait_for_end(500ms));
    least = std::min(least, switches_of(system.pid()) - before);
    const std::string stat = read_file("/proc/" + std::to_string(system.pid()) + "/stat");
    state = stat[stat.rfind(')') + 2];
  }
  EXPECT_LE(least, 5U);
  EXPECT_EQ(state, 'S');
  stop(system);
}

TEST_F(Supervision, OneForAllReplacesAll) {
  process system =
      start_system("restart.strategy = \"one_for_all\"\n" + plain("a", lives) + plain("b", lives));
  const worker_pids before = wait_for_workers(system);
  process_ref(before.at("b/0")).send_signal(SIGKILL);
  wait_for_another(system, "b", before.at("b/0"));
  wait_for_another(system, "a", before.at("a/0"));
  stop(system);
}

TEST_F(Supervision, StopsInTheReverseOrderAndKillsWhoDoesNotHear) {
  const std::string waits = "sleep 1000 & wait";
  process system =
      start_system(plain("a", "trap '" + say("a") + "exit 0' TERM; " + say("up") + waits) +
                   plain("deaf", "trap '' TERM; " + say("up") + "while :; do sleep 1000; done",
                         "shutdown_ms = 50") +
                   plain("c", "trap '" + say("c") + "exit 0' TERM; " + say("up") + waits));
  wait_for_status(system, [&](const json&) { return log() == "up\nup\nup\n"; });
  stop(system);
  EXPECT_EQ(log(), "up\nup\nup\nc\na\n");
}

TEST_F(Supervision, TransientOneThatIsDoneStaysDownUntilItIsAskedFor) {
  const std::string topology =
      plain("once", say("once") + "exit 0", "restart = \"transient\"") + plain("b", lives);
  std::optional<process> system(start_system(topology));
  const auto is_done = [&](const json& document) {
    return state_of(document, "once") == "stopped" && state_of(document, "b") == "ready";
  };
  wait_for_status(*system, is_done);
  EXPECT_EQ(log(), "once\n");
  // The next supervisor knows that too.
  system->send_signal(SIGKILL);
  system->wait();
  system.emplace(start_system(topology));
  wait_for_status(*system, [&](const json& document) {
    return is_supervised_by(*system, document) && is_done(document);
  });
  EXPECT_EQ(log(), "once\n");
  process asked = start({"start", "once", name()});
  wait_for_status(
      *system, [&](const json& document) { return log() == "once\nonce\n" && is_done(document); });
  asked.wait();
  stop(*system);
}

TEST_F(Supervision, SystemThatHasEndedIsBegunAnewAlthoughADaemonHoldsItsMemory) {
  const std::string path = in_dir("pid").string();
  // In a session of its own it does not go with the worker.
  const std::string daemon = "[ -e " + path + " ] || { setsid sh -c 'echo $$ > " + path +
                             ".new; mv " + path + ".new " + path + "; exec sleep 1000' & until " +
                             "[ -e " + path + " ]; do sleep 0.01; done; }; ";
  const std::string topology =
      plain("once", daemon + say("once") + "exit 0", "restart = \"transient\"") + plain("b", lives);
  for (const std::string said : {"once\n", "once\nonce\n"}) {
    process system = start_system(topology);
    const json document = wait_for_status(system, [&](const json& now) {
      return is_supervised_by(system, now) && state_of(now, "once") == "stopped" &&
             state_of(now, "b") == "ready";
    });
    EXPECT_EQ(document.at("adoptions").get<int>(), 0);
    EXPECT_EQ(log(), said);
    stop(system);
    EXPECT_EQ(cyto({"status", name()}).exit_code, 3);
  }
  const process_ref left(std::stoi(read_file(path)));
  EXPECT_TRUE(left.send_signal(SIGKILL));
  EXPECT_TRUE(left.wait_for_end(default_deadline));
}

TEST_F(Supervision, SuccessListAndPreventionAreHeeded) {
  process system = start_system("restart.intensity = 0\n" +
                                plain("fine", "exit 7", "restart = \"transient\"\nsuccess = [7]") +
                                plain("never", "kill -USR1 $$", "prevent_restart = [\"SIGUSR1\"]") +
                                plain("b", lives));
  wait_for_status(system, [&](const json& document) {
    return state_of(document, "fine") == "stopped" && state_of(document, "never") == "stopped";
  });
  stop(system);
}

TEST_F(Supervision, TooManyDeathsEndTheSystemInWords) {
  process system = start_system("restart.intensity = 2\nrestart.period_ms = 100000\n" +
                                plain("a", say("a") + "exit 3") + plain("b", lives));
  const outcome end = system.wait();
  EXPECT_EQ(end.exit_code, 1);
  EXPECT_NE(end.err.find("sh): exit code 3; death 3 within 100000 ms, at most 2"),
            std::string::npos)
      << end.err;
  EXPECT_EQ(log(), "a\na\na\n");
  expect_nothing_left();
}

TEST_F(Supervision, InnerSupervisorGivesUpAndIsStartedAgainAsAWhole) {
  process system = start_system(
      "[[supervisor]]\nname = \"inner\"\nintensity = 0\n" + plain("outside", lives) +
      plain("a", lives, "supervisor = \"inner\"") + plain("b", lives, "supervisor = \"inner\""));
  const worker_pids before = wait_for_workers(system);
  process_ref(before.at("a/0")).send_signal(SIGKILL);
  wait_for_another(system, "b", before.at("b/0"));
  const json after = wait_for_another(system, "a", before.at("a/0"));
  EXPECT_EQ(pid_of(after, "outside"), before.at("outside/0"));
  stop(system);
}

TEST_F(Supervision, BadPoliciesAreRefused) {
  for (const auto& [line, word] : std::vector<std::pair<std::string, std::string>>{
           {"restart = \"always\"", "always"},
           {"significant = true", "significant"},
           {"supervisor = \"nobody\"", "nobody"},
           {"success = [300]", "success"},
           {"force_restart = [\"SIGNONE\"]", "force_restart"},
           {"shutdown_ms = \"soon\"", "soon"},
           {"stall_ms = 5", "plain"},
           {"on_stall = \"panic\"", "panic"}}) {
    write_file(in_dir("t.toml"), plain("a", lives, line));
    const outcome end = cyto({"run", in_dir("t.toml"), "--name", name()});
    EXPECT_EQ(end.exit_code, 2) << line;
    EXPECT_EQ(lines_of(end.err).size(), 1U) << end.err;
    EXPECT_NE(end.err.find(word), std::string::npos) << end.err;
  }
}

// ---- with the main job ----

class Replacing : public Supervision {
 protected:
  static void expect_other(const worker_pids& now, const worker_pids& before,
                           const std::string& worker) {
    EXPECT_NE(now.at(worker), before.at(worker)) << worker;
  }
};

TEST_F(Replacing, WorkersAndGroupsAreReplacedWhileTheJobRuns) {
  held_job held = start_held(
      [this](const auto& input) { return job(input, tiny_lanes + arguments{"--json"}); });
  process& system = held.system;
  const auto& input = held.input;
  // The first time it cannot end meanwhile.
  const process_ref counter(held.workers.at("counter/1"));
  counter.send_signal(SIGSTOP);
  signal_all(parsers_in(held.workers), SIGCONT);
  for (int replaced = 0; replaced == 0 || !system.wait_for(0ms); ++replaced) {
    const char* group = replaced % 3 == 0 ? "parser" : replaced % 3 == 1 ? "counter" : "source";
    const outcome end = cyto({"restart", group, name()});
    if (replaced == 0) {
      EXPECT_EQ(end.exit_code, 0) << end.err;
      counter.send_signal(SIGCONT);
    } else if (end.exit_code != 0) {
      break;  // The job has come to its end.
    }
  }
  const outcome end = system.wait();
  EXPECT_EQ(end.exit_code, 0) << end.err;
  expect_balance(last_line(end.out).at("audit"));
  expect_table_of(input);
}

TEST_F(Replacing, ByAnotherProgramThatTheNextSupervisorKeeps) {
  held_job held = start_held([this](const auto& input) { return job(input, tiny_lanes); });
  const auto& input = held.input;
  const arguments command = job(input, tiny_lanes);
  std::optional<process> system(std::move(held.system));
  const worker_pids& before = held.workers;
  process_ref(before.at("counter/1")).send_signal(SIGSTOP);  // So that there is no end.
  signal_all(parsers_in(before), SIGCONT);

  const outcome refused = cyto({"restart", "parser/0", name(), "--exec", "/bin/true"});
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_NE(refused.err.find("/bin/true: is no worker of cyto's"), std::string::npos)
      << refused.err;
  EXPECT_EQ(wait_for_workers(*system).at("parser/0"), before.at("parser/0"));

  const auto copy = in_dir("parser-copy");
  std::filesystem::copy_file(bin_dir / "revdeps_parser", copy);
  const auto exe_of = [](pid_t pid) {
    return std::filesystem::read_symlink("/proc/" + std::to_string(pid) + "/exe");
  };
  EXPECT_EQ(cyto({"restart", "parser/0", name(), "--exec", copy}).exit_code, 0);
  const worker_pids after = wait_for_workers(*system);
  expect_other(after, before, "parser/0");
  EXPECT_EQ(exe_of(after.at("parser/0")), copy);

  system->send_signal(SIGKILL);
  system->wait();
  system.emplace(start(command));
  wait_for_status(*system,
                  [&](const json& document) { return is_supervised_by(*system, document); });
  process_ref(after.at("parser/0")).send_signal(SIGKILL);
  const json last = wait_for_status(*system, [&](const json& document) {
    return pid_of(document, "parser") != after.at("parser/0") &&
           state_of(document, "parser") == "ready";
  });
  EXPECT_EQ(exe_of(pid_of(last, "parser")), copy);
  process_ref(before.at("counter/1")).send_signal(SIGCONT);
  const outcome end = system->wait();
  EXPECT_EQ(end.exit_code, 0) << end.err;
  expect_table_of(input);
}

TEST_F(Replacing, OneThatAnOperatorStoppedHoldsTheJobUpUntilItIsStarted) {
  held_job held = start_held([this](const auto& input) { return job(input, tiny_lanes); });
  process& system = held.system;
  const auto& input = held.input;
  EXPECT_EQ(cyto({"stop", name(), "--worker", "counter/1"}).exit_code, 0);
  signal_all(parsers_in(held.workers), SIGCONT);
  EXPECT_FALSE(system.wait_for(300ms));
  EXPECT_EQ(cyto({"start", "counter/1", name()}).exit_code, 0);
  const outcome end = system.wait();
  EXPECT_EQ(end.exit_code, 0) << end.err;
  expect_table_of(input);
}

TEST_F(Replacing, StoppedProcessIsCalledStalledAndLeftAlone) {
  std::string topology = read_file(revdeps_topology);
  const std::string before = "program = \"revdeps_parser\"\n";
  // Long enough that nobody is stalled who only waits for a busy machine.
  topology.insert(topology.find(before) + before.size(),
                  "stall_ms = 3000\non_stall = \"restart\"\n");
  write_file(in_dir("t.toml"), topology);
  held_job held = start_held([this](const auto& input) {
    return arguments{"run",        in_dir("t.toml"), "--input", input,   "--output",
                     table_path(), "--name",         name(),    "--json"} +
           tiny_lanes;
  });
  process& system = held.system;
  const auto& input = held.input;
  const process_ref parser(held.workers.at("parser/0"));
  wait_for_status(system,
                  [&](const json& document) { return state_of(document, "parser") == "stalled"; });
  EXPECT_FALSE(parser.wait_for_end(700ms));
  signal_all(parsers_in(held.workers), SIGCONT);
  const outcome end = system.wait();
  EXPECT_EQ(end.exit_code, 0) << end.err;
  EXPECT_EQ(last_line(end.out).at("restarts").get<int>(), 0);
  expect_table_of(input);
}

}  // namespace
}  // namespace cyto::test
