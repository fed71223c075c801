// Workers replaced by other programs while their job runs: what fits takes over, what does not is
// refused in one line before the old one is told anything, and nothing is left of it.
#include "e2e/job.hpp"

namespace cyto::test {
namespace {

class Exec : public job_test {
 protected:
  static constexpr int count = 3000;

  process start_job() {
    write_file(in_dir("hold"), "");
    std::filesystem::create_directory(in_dir("notes"));
    const std::string program =
        "program = \"" + use("exec_program", "first") + "\"\narguments = [\"argument\"]\n";
    std::string text = "[[worker]]\nname = \"source\"\nsource = true\n" + program +
                       "settings = { count = \"" + std::to_string(count) + "\", hold = \"" +
                       in_dir("hold").string() + "\" }\n";
    text += "[[worker]]\nname = \"worker\"\n" + program + "settings = { notes = \"" +
            in_dir("notes").string() + "/\" }\n";
    text += "[[worker]]\nname = \"sink\"\ncells_bytes = \"16MiB\"\n" + program;
    for (const auto& [from, to] : {std::pair{"source", "worker"}, std::pair{"worker", "sink"}}) {
      text += std::string("[[lane]]\nfrom = \"") + from + "\"\nto = \"" + to +
              "\"\nlane_bytes = \"4KiB\"\n";
    }
    text += "[table]\nof = \"sink\"\n";
    write_file(in_dir("t.toml"), text);
    return start({"run", in_dir("t.toml"), "--name", name(), "--output", table_path(), "--json"});
  }
  // All have made their cells.
  worker_pids wait_until_ready(process& job) const {
    return pids_of(wait_for_status(job, [](const json& document) {
      const auto is_ready = [](const json& each) { return each.at("state") == "ready"; };
      const json& workers = document.at("workers");
      return !workers.empty() && std::all_of(workers.begin(), workers.end(), is_ready);
    }));
  }
  // The built program under another name, which it goes by.
  std::string use(const std::string& built, const std::string& called) const {
    const auto path = in_dir(called);
    std::filesystem::remove(path);
    std::filesystem::copy_file(bin_dir / built, path);
    return path;
  }
  outcome restart(const arguments& more = {}) const {
    return cyto(arguments{"restart", "worker", name()} + more);
  }
  // The job goes on to its end, and each message has been counted once.
  void expect_end_of(process& job) {
    std::filesystem::remove(in_dir("hold"));
    const outcome end = job.wait();
    EXPECT_EQ(end.exit_code, 0) << end.err;
    expect_balance(last_line(end.out).at("audit"));
    std::set<std::string> rows;
    for (const std::string& line : lines_of(read_file(table_path()))) {
      EXPECT_TRUE(line.starts_with("1\tm")) << line;
      rows.insert(line);
    }
    EXPECT_EQ(rows.size(), static_cast<std::size_t>(count));
  }
  // How many workers have run their setup in earnest.
  std::size_t setups() const {
    using iterator = std::filesystem::directory_iterator;
    return static_cast<std::size_t>(std::distance(iterator(in_dir("notes")), iterator()));
  }
  // Processes that run a file of this test, beside those of the job.
  std::vector<std::string> strangers(const worker_pids& workers) const {
    std::vector<std::string> out;
    std::error_code error;
    for (const auto& each : std::filesystem::directory_iterator("/proc", error)) {
      const auto exe = std::filesystem::read_symlink(each.path() / "exe", error);
      if (error || !exe.string().starts_with(in_dir("").string())) continue;
      const auto is_it = [&](const auto& worker) {
        return each.path().filename() == std::to_string(worker.second);
      };
      if (std::any_of(workers.begin(), workers.end(), is_it)) continue;
      if (is_left(std::stoi(each.path().filename()))) out.push_back(exe);
    }
    return out;
  }
  void expect_refused(const arguments& order, const std::vector<std::string>& words) {
    process job = start_job();
    const worker_pids before = wait_until_ready(job);
    const outcome end = restart(order);
    EXPECT_EQ(end.exit_code, 2);
    EXPECT_EQ(end.out, "");
    EXPECT_EQ(lines_of(end.err).size(), 1U) << end.err;
    for (const std::string& each : words) {
      EXPECT_NE(end.err.find(each), std::string::npos) << each << " is not in: " << end.err;
    }
    EXPECT_EQ(wait_until_ready(job), before);
    EXPECT_EQ(strangers(before), std::vector<std::string>{});
    EXPECT_EQ(setups(), 1U);
    // Its memory is held by nobody beside them: the rehearsal's has the name of the system too.
    EXPECT_EQ(holders_left_of(name()).size(), before.size() + 1);
    expect_end_of(job);
  }
};

TEST_F(Exec, ProgramWithAFieldMoreTakesOverAndTheOldOneTakesOverAgain) {
  process job = start_job();
  const worker_pids before = wait_until_ready(job);
  const outcome there = restart({"--exec", use("exec_appended", "second")});
  EXPECT_EQ(there.exit_code, 0) << there.err;
  const worker_pids between = wait_until_ready(job);
  EXPECT_NE(between.at("worker/0"), before.at("worker/0"));
  EXPECT_EQ(between.at("sink/0"), before.at("sink/0"));
  const outcome back = restart({"--exec", use("exec_program", "third")});
  EXPECT_EQ(back.exit_code, 0) << back.err;
  EXPECT_EQ(setups(), 3U);
  expect_end_of(job);
}

TEST_F(Exec, ReplacedFileIsRehearsedByAPlainRestart) {
  process job = start_job();
  const worker_pids before = wait_until_ready(job);
  use("exec_changed", "first");
  const outcome refused = restart();
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_NE(refused.err.find("exec.Task.origins.spot"), std::string::npos) << refused.err;
  EXPECT_EQ(wait_until_ready(job), before);
  use("exec_appended", "first");
  const outcome taken = restart();
  EXPECT_EQ(taken.exit_code, 0) << taken.err;
  EXPECT_NE(wait_until_ready(job).at("worker/0"), before.at("worker/0"));
  expect_end_of(job);
}

TEST_F(Exec, WorkerThatIsStoppedIsReplacedWithoutAComparison) {
  process job = start_job();
  wait_until_ready(job);
  EXPECT_EQ(cyto({"stop", name(), "--worker", "worker"}).exit_code, 0);
  EXPECT_EQ(restart({"--exec", use("exec_program", "throws")}).exit_code, 2);
  const outcome refused = restart({"--exec", use("exec_appended", "second")});
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_NE(refused.err.find("without its arguments"), std::string::npos) << refused.err;
  const outcome taken = restart({"--exec", use("exec_appended", "alone")});
  EXPECT_EQ(taken.exit_code, 0) << taken.err;
  expect_end_of(job);
}

TEST_F(Exec, FieldOfAnotherTypeIsRefused) {
  expect_refused({"--exec", use("exec_changed", "changed")},
                 {"reads messages otherwise", "exec.Task.origins.spot", "struct of 16 bytes",
                  "struct of 8 bytes"});
}

TEST_F(Exec, MissingHandlerIsRefused) {
  expect_refused({"--exec", use("exec_program", "deaf")},
                 {"does not handle exec.Task, which the one that runs does"});
}

TEST_F(Exec, CellOfAnotherKindIsRefused) {
  expect_refused({"--exec", use("exec_program", "kind")}, {"its setup refuses", "cell 'passed'"});
}

TEST_F(Exec, SetupThatRefusesIsRefusedInItsOwnWords) {
  expect_refused({"--exec", use("exec_program", "refuses")}, {"has no setting 'port'"});
}

TEST_F(Exec, SetupThatThrowsIsRefused) {
  expect_refused({"--exec", use("exec_program", "throws")}, {"its setup throws", "no such port"});
}

TEST_F(Exec, SetupThatHangsIsKilledWithWhatItHasStarted) {
  // Time enough for a busy machine to come as far as the setup.
  expect_refused({"--exec", use("exec_program", "hangs"), "--rehearsal-ms", "5000"},
                 {"its setup does not return", "5000 ms"});
}

TEST_F(Exec, SetupThatCrashesIsRefused) {
  expect_refused({"--exec", use("exec_program", "aborts")},
                 {"its setup ends the process", "SIGABRT"});
}

TEST_F(Exec, SetupThatEndsTheProcessIsRefused) {
  expect_refused({"--exec", use("exec_program", "exits")},
                 {"its setup ends the process", "exit code 0"});
}

TEST_F(Exec, ProgramThatIsNoWorkerIsRefused) {
  expect_refused({"--exec", "/bin/true"}, {"/bin/true", "is no worker of cyto's", "exit code 0"});
}

TEST_F(Exec, ProgramThatTalksAndDoesNotEndIsRefused) {
  expect_refused({"--exec", "/usr/bin/yes", "--rehearsal-ms", "1500"},
                 {"is no worker of cyto's", "1500 ms"});
}

}  // namespace
}  // namespace cyto::test
