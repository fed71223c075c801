// Messages that kill their worker, from outside: the lane goes on, nothing is lost or doubled, and
// what was set aside can be seen, handled after all, or dropped.
#include "e2e/job.hpp"

#include <random>

namespace cyto::test {
namespace {

class Poison : public job_test {
 protected:
  struct plan {
    int count = 2000;
    std::string poison = {};
    std::string more = {};     // Of the worker group.
    std::string restart = {};  // Lines of [restart].
    std::string lane = "64KiB";
  };

  arguments poison_job(const plan& what, const arguments& more = {}) const {
    const std::string program = "program = \"" + (bin_dir / "poison_program").string() + "\"\n";
    std::string text = "name = \"" + name() + "\"\n[[worker]]\nname = \"source\"\n" + program;
    text += "source = true\nsettings = { count = \"" + std::to_string(what.count) +
            "\", poison = \"" + what.poison + "\", hold = \"" + hold().string() + "\" }\n";
    text += "[[worker]]\nname = \"worker\"\n" + program + "settings = { file = \"" +
            in_dir("bad").string() + "\" }\n" + what.more;
    text += "[[worker]]\nname = \"sink\"\ncells_bytes = \"64MiB\"\n" + program;
    text += "[[lane]]\nfrom = \"source\"\nto = \"worker\"\nlane_bytes = \"" + what.lane + "\"\n";
    text += "[[lane]]\nfrom = \"worker\"\nto = \"sink\"\nlane_bytes = \"" + what.lane + "\"\n";
    text += "[restart]\n" + what.restart + "[table]\nof = \"sink\"\n";
    write_file(in_dir("poison.toml"), text);
    return arguments{"run", in_dir("poison.toml"), "--output", table_path(), "--json"} + more;
  }
  std::filesystem::path hold() const { return in_dir("hold"); }

  // Every message once, but for those that are missing.
  void expect_all_but(int count, const std::set<int>& missing) const {
    std::map<std::string, int> seen;
    for (const std::string& line : lines_of(read_file(table_path()))) {
      const std::size_t tab = line.find('\t');
      seen[line.substr(tab + 1)] = std::stoi(line.substr(0, tab));
    }
    for (int i = 1; i <= count; ++i) {
      const std::string message = "m" + std::to_string(i);
      EXPECT_EQ(seen[message], missing.contains(i) ? 0 : 1) << message;
    }
  }

  // What `cyto quarantine list --json` says, once it lists that many.
  json wait_for_quarantine(process& job, std::size_t many) const {
    for (const auto deadline = std::chrono::steady_clock::now() + default_deadline;
         std::chrono::steady_clock::now() < deadline;) {
      const outcome end = cyto({"quarantine", "list", name(), "--json"});
      if (end.exit_code == 0 && json::parse(end.out).size() == many) return json::parse(end.out);
      if (const auto over = job.wait_for(2ms)) {
        throw std::runtime_error("the job ended too soon: " + over->err);
      }
    }
    throw std::runtime_error("the quarantine did not become what was waited for");
  }
  static json report_of(const outcome& end, int exit_code) {
    EXPECT_EQ(end.exit_code, exit_code) << end.err;
    const json report = last_line(end.out);
    EXPECT_EQ(report.at("ok").get<bool>(), exit_code == 0);
    expect_balance(report.at("audit"));
    return report;
  }
  static std::string bytes_of(const std::string& hex) {
    std::string out;
    for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
      out += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
    }
    return out;
  }
};

struct PoisonThat : Poison, testing::WithParamInterface<const char*> {};

TEST_P(PoisonThat, IsSetAsideAndTheRestIsHandledOnce) {
  const std::string deed = GetParam();
  const outcome end = cyto(poison_job({.poison = "777=" + deed}));
  const json report = report_of(end, 4);
  expect_all_but(2000, {777});
  EXPECT_NE(end.err.find("1 message is set aside"), end.err.npos) << end.err;
  EXPECT_EQ(report.at("restarts").get<int>(), 3);
  ASSERT_EQ(report.at("quarantine").size(), 1U);
  const json& held = report.at("quarantine").at(0);
  EXPECT_EQ(held.at("id"), "worker/0:1");
  EXPECT_EQ(held.at("lane"), "source/0 -> worker/0");
  EXPECT_EQ(held.at("type"), "cyto.Update");
  EXPECT_EQ(held.at("deaths").get<int>(), 3);
  EXPECT_NE(bytes_of(held.at("hex").get<std::string>()).find("m777"), std::string::npos);
  const json& lane = report.at("audit").at("lanes").at(0);
  EXPECT_EQ(lane.at("dropped").get<int>(), 1);
  EXPECT_EQ(lane.at("quarantined").get<int>(), 1);
  EXPECT_EQ(lane.at("delivered").get<int>(), 1999);
}

INSTANTIATE_TEST_SUITE_P(Deeds, PoisonThat, testing::Values("abort", "segfault", "throw", "exit"));

// Long enough that nobody is stalled who only waits for a busy machine.
const std::string stalls = "stall_ms = 1500\n";

TEST_F(Poison, ThatHangsItsWorkerIsSetAsideAndTheRestIsHandledOnce) {
  const outcome end =
      cyto(poison_job({.poison = "777=hang", .more = stalls + "on_stall = \"restart\"\n"}));
  const json report = report_of(end, 4);
  expect_all_but(2000, {777});
  EXPECT_EQ(report.at("restarts").get<int>(), 3);
  ASSERT_EQ(report.at("quarantine").size(), 1U);
  EXPECT_EQ(report.at("quarantine").at(0).at("deaths").get<int>(), 3);
}

TEST_F(Poison, ThatHangsAWorkerThatWasAdoptedCountsAsWell) {
  write_file(hold(), "");
  const arguments command = poison_job({.poison = "777=hang",
                                        .more = stalls + "on_stall = \"restart\"\n",
                                        .restart = "quarantine_after = 1\n"});
  process first = start(command);
  wait_for_status(first, [](const json& document) {
    return document.at("lanes").at(0).at("delivered").get<int>() > 0;
  });
  first.send_signal(SIGKILL);
  first.wait();
  process second = start(command);
  wait_for_quarantine(second, 1);
  std::filesystem::remove(hold());
  const outcome end = second.wait();
  EXPECT_EQ(report_of(end, 4).at("restarts").get<int>(), 1);
  expect_all_but(2000, {777});
}

TEST_F(Poison, ThatHangsItsWorkerIsAStalledWorkerUntilSomebodySaysMore) {
  write_file(hold(), "");
  process job = start(poison_job(
      {.poison = "777=hang", .more = "stall_ms = 100\n", .restart = "shutdown_ms = 200\n"}));
  wait_for_status(job, [](const json& document) {
    return document.at("workers").at(1).at("state") == "stalled";
  });
  EXPECT_EQ(cyto({"stop", name()}).exit_code, 0);
  EXPECT_EQ(job.wait().exit_code, 4);
}

TEST_F(Poison, OftenThanTheIntensityAllowsIsStillMended) {
  const outcome end =
      cyto(poison_job({.poison = "5=abort,6=throw,40=segfault,41=exit,900=abort,2000=throw"}));
  const json report = report_of(end, 4);
  expect_all_but(2000, {5, 6, 40, 41, 900, 2000});
  EXPECT_EQ(report.at("restarts").get<int>(), 18);
  EXPECT_EQ(report.at("quarantined").get<int>(), 6);
}

TEST_F(Poison, KillsAsOftenAsTheTopologySays) {
  const json report =
      report_of(cyto(poison_job({.poison = "1=abort", .restart = "quarantine_after = 5\n"})), 4);
  EXPECT_EQ(report.at("quarantine").at(0).at("deaths").get<int>(), 5);
  EXPECT_EQ(report.at("restarts").get<int>(), 5);
  expect_all_but(2000, {1});
}

// However long a busy machine takes for the deaths that are too many.
const std::string for_long = "period_ms = 100000\n";

TEST_F(Poison, IsNeverSetAsideWhenTheTopologySaysSo) {
  const outcome end = cyto(poison_job(
      {.poison = "9=segfault", .restart = "quarantine_after = 0\nintensity = 2\n" + for_long}));
  EXPECT_EQ(end.exit_code, 1) << end.err;
  EXPECT_NE(end.err.find("at a message of"), end.err.npos) << end.err;
  if (!sanitized) {
    EXPECT_NE(end.err.find("at address 0x80"), end.err.npos) << end.err;
  }
}

TEST_F(Poison, KilledByASignalFromOutsideIsNotToBlame) {
  const outcome end = cyto(poison_job(
      {.poison = "9=kill", .restart = "quarantine_after = 1\nintensity = 4\n" + for_long}));
  EXPECT_EQ(end.exit_code, 1) << end.err;
  EXPECT_NE(end.err.find("death 5 within"), end.err.npos) << end.err;
}

TEST_F(Poison, ACrashingSignalFromOutsideIsNotToBlameEither) {
  if (sanitized) GTEST_SKIP() << "the sanitizer does not tell who has sent it";
  write_file(in_dir("bad"), "");
  process job = start(poison_job({.poison = "9=linger", .restart = "quarantine_after = 1\n"}));
  wait_for_status(job, [this](const json&) { return std::filesystem::exists(in_dir("bad.here")); });
  EXPECT_TRUE(process_ref(wait_for_workers(job).at("worker/0")).send_signal(SIGSEGV));
  wait_for_status(job, [](const json& document) {
    return document.at("workers").at(1).at("restarts").get<int>() == 1;
  });
  const json why = json::parse(cyto({"why", "worker/0", name(), "--json"}).out);
  EXPECT_EQ(why.at("fault").at("sender_pid").get<int>(), getpid());
  EXPECT_EQ(why.at("in_hand").at("deaths").get<int>(), 0);
  std::filesystem::remove(in_dir("bad"));
  report_of(job.wait(), 0);
  expect_all_but(2000, {});
}

TEST_F(Poison, ThatFindsNoRoomEndsTheJobInWords) {
  const outcome end = cyto(poison_job({.poison = "9=abort", .more = "quarantine_bytes = 0\n"}));
  EXPECT_EQ(end.exit_code, 2) << end.err;
  EXPECT_NE(end.err.find("raise quarantine_bytes"), end.err.npos) << end.err;
}

TEST_F(Poison, ThatWasHandledInPartEndsTheJobInWords) {
  const outcome end = cyto(poison_job({.poison = "9=half-abort"}));
  EXPECT_EQ(end.exit_code, 1) << end.err;
  EXPECT_NE(end.err.find("turn::again"), end.err.npos) << end.err;
}

TEST_F(Poison, IsHandledAfterAllByARetryOrDropped) {
  write_file(hold(), "");
  write_file(in_dir("bad"), "");
  process job = start(poison_job({.poison = "7=while-segfault,300=while-throw,1500=abort"}));
  const json list = wait_for_quarantine(job, 3);
  std::map<std::string, std::string> ids;  // By the number of deaths they would show: by text.
  for (const json& each : list) {
    const outcome shown = cyto({"quarantine", "show", name(), each.at("id"), "--json"});
    ASSERT_EQ(shown.exit_code, 0) << shown.err;
    const std::string bytes = bytes_of(json::parse(shown.out).at("hex"));
    for (const char* message : {"m7", "m300", "m1500"}) {
      if (bytes.find(message) != bytes.npos) ids[message] = each.at("id");
    }
  }
  ASSERT_EQ(ids.size(), 3U);
  const outcome shown = cyto({"quarantine", "show", name(), ids["m7"]});
  EXPECT_EQ(shown.exit_code, 0) << shown.err;
  EXPECT_NE(shown.out.find("source/0 -> worker/0"), shown.out.npos) << shown.out;
  EXPECT_NE(shown.out.find("e-segfault"), shown.out.npos) << shown.out;
  const outcome written =
      cyto({"quarantine", "show", name(), ids["m7"], "--output", in_dir("bytes")});
  EXPECT_EQ(written.exit_code, 0) << written.err;
  EXPECT_NE(read_file(in_dir("bytes")).find("while-segfault"), std::string::npos);

  // It still kills: it stays, with one death more.
  const outcome again = cyto({"quarantine", "retry", name(), ids["m7"]});
  EXPECT_EQ(again.exit_code, 1) << again.err;
  EXPECT_NE(again.err.find("killed its worker again"), again.err.npos) << again.err;
  for (const json& each : wait_for_quarantine(job, 3)) {
    EXPECT_EQ(each.at("deaths").get<int>(), each.at("id") == ids["m7"] ? 4 : 3);
  }
  const outcome why = cyto({"why", "worker/0", name(), "--json"});
  ASSERT_EQ(why.exit_code, 0) << why.err;
  EXPECT_EQ(json::parse(why.out).at("in_hand").at("what"), "a message out of its quarantine");

  // Mended.
  std::filesystem::remove(in_dir("bad"));
  for (const char* message : {"m7", "m300"}) {
    const outcome retried = cyto({"quarantine", "retry", name(), ids[message]});
    EXPECT_EQ(retried.exit_code, 0) << retried.err;
  }
  wait_for_quarantine(job, 1);
  const outcome dropped = cyto({"quarantine", "drop", name(), ids["m1500"], "--json"});
  EXPECT_EQ(dropped.exit_code, 0) << dropped.err;
  EXPECT_TRUE(json::parse(dropped.out).at("done").get<bool>());
  wait_for_quarantine(job, 0);
  const outcome absent = cyto({"quarantine", "drop", name(), ids["m1500"]});
  EXPECT_EQ(absent.exit_code, 1) << absent.err;
  EXPECT_EQ(cyto({"audit", name()}).exit_code, 0);
  std::filesystem::remove(hold());
  const json report = report_of(job.wait(), 0);
  expect_all_but(2000, {1500});
  const json& lane = report.at("audit").at("lanes").at(0);
  EXPECT_EQ(lane.at("dropped").get<int>(), 1);
  EXPECT_EQ(lane.at("quarantined").get<int>(), 0);
  EXPECT_EQ(lane.at("delivered").get<int>(), 1999);
}

TEST_F(Poison, WhyTellsHowAWorkerDied) {
  write_file(hold(), "");
  process job = start(poison_job({.poison = "777=segfault"}));
  wait_for_quarantine(job, 1);
  const outcome json_end = cyto({"why", "worker/0", name(), "--json"});
  ASSERT_EQ(json_end.exit_code, 0) << json_end.err;
  const json why = json::parse(json_end.out);
  EXPECT_EQ(why.at("ends").get<int>(), 3);
  if (!sanitized) {
    EXPECT_EQ(why.at("end"), "killed by signal 11 (SIGSEGV)");
    EXPECT_EQ(why.at("fault").at("address"), "0x80");
  }
  EXPECT_EQ(why.at("in_hand").at("deaths").get<int>(), 3);
  EXPECT_TRUE(why.at("in_hand").at("set_aside").get<bool>());
  EXPECT_NE(bytes_of(why.at("in_hand").at("head_hex")).find("m777"), std::string::npos);
  // Its last act was to take that message; before, it had committed one by one.
  const json& last = why.at("events").back();
  EXPECT_EQ(last.at("what"), "taken");
  EXPECT_EQ(last.at("position"), why.at("in_hand").at("position"));
  EXPECT_EQ(last.at("stamp"), why.at("in_hand").at("stamp"));
  const json& before = why.at("events").at(why.at("events").size() - 2);
  EXPECT_EQ(before.at("what"), "started");
  const outcome plain = cyto({"why", "worker/0", name()});
  EXPECT_EQ(plain.exit_code, 0) << plain.err;
  EXPECT_NE(plain.out.find("in hand: a message from source/0"), plain.out.npos) << plain.out;
  EXPECT_EQ(cyto({"why", "sink/0", name()}).exit_code, 1);
  EXPECT_EQ(cyto({"why", "nobody", name()}).exit_code, 2);
  std::filesystem::remove(hold());
  job.wait();
}

TEST_F(Poison, WhyTellsWhatAnExceptionSaid) {
  write_file(hold(), "");
  process job = start(poison_job({.poison = "3=throw"}));
  wait_for_quarantine(job, 1);
  const json why = json::parse(cyto({"why", "worker/0", name(), "--json"}).out);
  EXPECT_EQ(why.at("end"), "exit code 70");
  EXPECT_EQ(why.at("text"), "this message is poison");
  // Standard error of this job is a file.
  EXPECT_NE(why.at("standard_error").get<std::string>().find("this message is poison"),
            std::string::npos);
  std::filesystem::remove(hold());
  job.wait();
}

// Seldom enough for a message to kill first: a sanitizer takes its time to report a death.
std::string every(int ms) { return "kill-every-ms=" + std::to_string(sanitized ? 20 * ms : ms); }

TEST_F(Poison, UnderChaosNoInnocentMessageIsSetAside) {
  for (int seed = 1; seed <= 3; ++seed) {
    const outcome end = cyto(poison_job({.count = 40'000,
                                         .poison = "777=abort,20000=throw,39999=segfault",
                                         .more = "count = 2\n",
                                         .lane = "8KiB"},
                                        {"--chaos", every(15) + ",seed=" + std::to_string(seed)}));
    const json report = report_of(end, 4);
    EXPECT_GT(report.at("kills").get<int>(), 0);
    EXPECT_EQ(report.at("quarantined").get<int>(), 3) << report.at("quarantine");
    expect_all_but(40'000, {777, 20'000, 39'999});
  }
}

TEST_F(Poison, IsSetAsideAcrossTheDeathsOfTheSupervisor) {
  write_file(hold(), "");
  const arguments command = poison_job({.poison = "777=while-abort,1999=throw"});
  write_file(in_dir("bad"), "");
  std::optional<process> supervisor(start(command));
  wait_for_quarantine(*supervisor, 2);
  supervisor->send_signal(SIGKILL);
  supervisor->wait();
  // Looking needs no supervisor, asking does.
  const outcome list = cyto({"quarantine", "list", name(), "--json"});
  EXPECT_EQ(list.exit_code, 0) << list.err;
  ASSERT_EQ(json::parse(list.out).size(), 2U);
  const outcome nobody = cyto({"quarantine", "retry", name(), "worker/0:1"});
  EXPECT_EQ(nobody.exit_code, 1);
  EXPECT_NE(nobody.err.find("supervisor"), nobody.err.npos) << nobody.err;
  EXPECT_EQ(cyto({"why", "worker/0", name()}).exit_code, 0);
  supervisor.emplace(start(command));
  wait_for_quarantine(*supervisor, 2);
  std::filesystem::remove(in_dir("bad"));
  // The name may be left out: this runtime folder has one system.
  const outcome retried = cyto({"quarantine", "retry", "worker/0:1"});
  EXPECT_EQ(retried.exit_code, 0) << retried.err;
  std::filesystem::remove(hold());
  report_of(supervisor->wait(), 4);
  expect_all_but(2000, {1999});
}

// At any moment: while a worker is dying, while it waits to be restarted, while it sets aside.
TEST_F(Poison, IsSetAsideWhenTheSupervisorIsKilledAtAnyMoment) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  std::uniform_int_distribution<int> pause_ms(1, 60);
  const arguments command = poison_job({.count = 20'000,
                                        .poison = "40=abort,3000=throw,19000=segfault",
                                        .restart = "intensity = 20\n",
                                        .lane = "4KiB"},
                                       {"--chaos", every(15)});
  std::optional<process> supervisor(start(command));
  for (int kills = 0; kills < 12; ++kills) {
    if (supervisor->wait_for(std::chrono::milliseconds(pause_ms(random)))) break;
    supervisor->send_signal(SIGKILL);
    supervisor->wait();
    supervisor.emplace(start(command));
  }
  const json report = report_of(supervisor->wait(), 4);
  EXPECT_EQ(report.at("quarantined").get<int>(), 3) << report.at("quarantine");
  expect_all_but(20'000, {40, 3000, 19'000});
}

}  // namespace
}  // namespace cyto::test
