// The main job as a user runs it: the command, its table against the oracle's, and nothing left.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "support/files.hpp"
#include "support/process.hpp"
#include "support/residue.hpp"
#include "support/watchdog.hpp"

namespace cyto::test {

using json = nlohmann::json;
using arguments = std::vector<std::string>;
using namespace std::chrono_literals;

inline const std::filesystem::path bin_dir = CYTO_BIN_DIR;
inline const std::filesystem::path source_dir = CYTO_SOURCE_DIR;
inline const std::filesystem::path revdeps_topology = source_dir / "examples/revdeps/revdeps.toml";

// Lanes that hold little more than the excerpt's longest stanza (22 kB), and a few updates.
inline const arguments tiny_lanes = {"--set", "stanza_lane_bytes=64KiB", "--set",
                                     "update_lane_bytes=4KiB"};

inline arguments operator+(arguments left, const arguments& right) {
  left.insert(left.end(), right.begin(), right.end());
  return left;
}

inline std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

// GoogleTest's own comparison of long texts takes quadratic time to say what differs.
inline testing::AssertionResult same_table(const std::string& actual, const std::string& expected) {
  if (actual == expected) return testing::AssertionSuccess();
  const auto left = lines_of(actual);
  const auto right = lines_of(expected);
  std::size_t at = 0;
  while (at < left.size() && at < right.size() && left[at] == right[at]) ++at;
  const auto line = [&](const auto& lines) { return at < lines.size() ? lines[at] : "nothing"; };
  return testing::AssertionFailure()
         << "tables of " << left.size() << " and " << right.size() << " lines differ first in line "
         << at + 1 << ": '" << line(left) << "' where the oracle has '" << line(right) << "'";
}

inline std::string oracle_table(const std::filesystem::path& input) {
  const outcome end = run({bin_dir / "revdeps_oracle", input});
  EXPECT_EQ(end.exit_code, 0) << end.err;
  return end.out;
}

// For --chaos. Who is killed must have the time to start and get on in between, or there is no end;
// that takes longer under a sanitizer.
inline std::string kill_every(int ms) {
  return "kill-every-ms=" + std::to_string(sanitized ? 4 * ms : ms);
}

// The last line of the text as a document.
inline json last_line(const std::string& text) {
  const auto lines = lines_of(text);
  return lines.empty() ? json() : json::parse(lines.back());
}

class job_test : public testing::Test {
 protected:
  explicit job_test(std::chrono::seconds time_limit = 2 * default_deadline) {
    static int count = 0;
    name_ = "e2e-" + std::to_string(::getpid()) + "-" + std::to_string(++count);
    const auto* info = testing::UnitTest::GetInstance()->current_test_info();
    guard_.emplace(time_limit, std::string(info->name()), [this] { kill_holders_of(name_); });
  }

  void TearDown() override {
    expect_nothing_left();
    if (HasFailure()) kill_holders_of(name_);
  }

  void expect_nothing_left() const {
    for (const memory_holder& each : holders_left_of(name_)) {
      ADD_FAILURE() << "process " << each.pid << " is left: " << each.what;
    }
    EXPECT_EQ(runtime_.leftovers(), std::vector<std::string>{});
    // Other programs of this machine may come and go in there; what they leave is not ours.
    for (const std::string& each : shared_memory_names()) {
      const bool ours = each.find("cyto") != each.npos || each.find(name_) != each.npos;
      EXPECT_FALSE(ours && !names_before_.contains(each)) << "/dev/shm/" << each << " is left";
    }
  }

  const std::string& name() const { return name_; }
  std::filesystem::path in_dir(const std::string& file) const { return dir_ / file; }
  std::filesystem::path table_path() const { return in_dir("table.tsv"); }

  process_options with_runtime(process_options options = {}) const {
    options.env.push_back(runtime_.env());
    return options;
  }
  process start(const arguments& more, process_options options = {}) const {
    return process(arguments{bin_dir / "cyto"} + more, with_runtime(std::move(options)));
  }
  outcome cyto(const arguments& more, process_options options = {}) const {
    return start(more, std::move(options)).wait();
  }

  // `cyto run` of the job with the name of this test, its table going to table_path().
  arguments job(const std::filesystem::path& input, const arguments& more = {}) const {
    return job_to_stdout(input, arguments{"--output", table_path()} + more);
  }
  arguments job_to_stdout(const std::filesystem::path& input, const arguments& more = {}) const {
    return arguments{"run", revdeps_topology, "--input", input, "--name", name_} + more;
  }

  void expect_table_of(const std::filesystem::path& input) const {
    EXPECT_TRUE(same_table(read_file(table_path()), oracle_table(input)));
  }

  // The excerpt of a real index, unpacked.
  std::filesystem::path excerpt() const {
    const auto path = in_dir("packages");
    if (!std::filesystem::exists(path)) {
      const outcome end =
          run({"gzip", "-dc", source_dir / "tests/data/packages.gz"}, {.stdout_path = path});
      EXPECT_EQ(end.exit_code, 0) << end.err;
    }
    return path;
  }

  static constexpr int long_copies = sanitized ? 2 : 8;
  // The excerpt several times, each time under other package names: as long as a whole index, so
  // that there is a middle of the run to do something in.
  virtual std::filesystem::path long_input(int copies = long_copies) const {
    const std::string text = read_file(excerpt());
    const std::string field = "\nPackage: ";
    std::string all;
    for (int copy = 0; copy < copies; ++copy) {
      const std::string prefix = "copy" + std::to_string(copy) + "-";
      std::string::size_type from = 0;
      all += '\n';
      for (auto at = text.find(field); at != text.npos; at = text.find(field, from)) {
        all.append(text, from, at + field.size() - from).append(prefix);
        from = at + field.size();
      }
      all.append(text, from);
    }
    write_file(in_dir("long"), all);
    return in_dir("long");
  }

  // What `cyto status --json` says; nothing while there is no such system.
  std::optional<json> status() const {
    const outcome end = cyto({"status", name_, "--json"});
    if (end.exit_code != 0) return std::nullopt;
    return json::parse(end.out);
  }

  // Waits until `holds(status)`. Fails if the job ends first. What a condition sees elsewhere, in a
  // file for example, is newer than its document.
  template <class Condition>
  json wait_for_status(process& job, Condition holds) const {
    for (const auto deadline = std::chrono::steady_clock::now() + default_deadline;
         std::chrono::steady_clock::now() < deadline;) {
      const auto document = status();
      if (document && holds(*document)) return *document;
      if (const auto end = job.wait_for(2ms)) {
        throw std::runtime_error("the job ended too soon: " + end->err);
      }
    }
    throw std::runtime_error("the status did not become what was waited for");
  }

  using worker_pids = std::map<std::string, pid_t>;

  static worker_pids pids_of(const json& document) {
    worker_pids pids;
    for (const json& worker : document.at("workers")) {
      const auto pid = worker.at("pid").is_null() ? 0 : worker.at("pid").get<pid_t>();
      if (pid > 0) pids[worker.at("name").get<std::string>()] = pid;
    }
    return pids;
  }

  // The workers, once all of them run.
  worker_pids wait_for_workers(process& job) const {
    return pids_of(wait_for_status(job, [](const json& document) {
      return !document.at("workers").empty() &&
             pids_of(document).size() == document.at("workers").size();
    }));
  }

  // Whether the document is of a system for which this supervisor speaks.
  static bool is_supervised_by(const process& supervisor, const json& document) {
    return document.at("supervisor_pid").get<pid_t>() == supervisor.pid();
  }

  // Whoever stops holds the job up.
  virtual std::string holding_role() const { return "parser"; }

  std::vector<process_ref> parsers_in(const worker_pids& pids) const {
    std::vector<process_ref> parsers;
    for (const auto& [worker, pid] : pids) {
      if (worker.find(holding_role()) != worker.npos) parsers.emplace_back(pid);
    }
    EXPECT_FALSE(parsers.empty());
    return parsers;
  }

  // Stopped parsers, or whoever has that role, hold the job up for as long as a test needs.
  static void signal_all(const std::vector<process_ref>& processes, int signal) {
    for (const process_ref& each : processes) EXPECT_TRUE(each.send_signal(signal));
  }

  // A job on tiny lanes that cannot come to its end: its parsers are stopped.
  struct held_job {
    process system;
    worker_pids workers;
    std::filesystem::path input;
  };

  // Starts what `command` makes of an input. One that was over, or nearly so, before its parsers
  // stood, as may be if the test gets the core late, is let go, and one with more to do is taken.
  template <class Command>
  held_job start_held(Command command) const {
    for (int copies = long_copies;; copies *= 2) {
      const auto input = long_input(copies);
      process system = start(command(input));
      if (auto workers = hold(system)) return {std::move(system), std::move(*workers), input};
      system.wait();
      std::filesystem::remove(table_path());
    }
  }

  // Stops the parsers once all workers are ready. The workers; nothing if the job is near its end,
  // and then it goes on.
  std::optional<worker_pids> hold(process& job) const {
    for (const auto deadline = std::chrono::steady_clock::now() + default_deadline;
         std::chrono::steady_clock::now() < deadline;) {
      if (job.wait_for(2ms)) return std::nullopt;
      const auto ready = status();
      if (!ready || !is_supervised_by(job, *ready) || !are_ready(*ready)) continue;
      const worker_pids workers = pids_of(*ready);
      for (const process_ref& each : parsers_in(workers)) each.send_signal(SIGSTOP);
      const auto stands = status();
      if (stands && is_far_from_its_end(*stands)) return workers;
      for (const process_ref& each : parsers_in(workers)) each.send_signal(SIGCONT);
      return std::nullopt;
    }
    throw std::runtime_error("the workers did not become ready");
  }

  // Runs what `command` makes of a size, and of twice as much, until workers were killed more than
  // a few times on the way to the end. The report of the last run, whose balance is right.
  template <class Command>
  json run_with_kills(int size, Command command) const {
    for (;; size *= 2) {
      const outcome end = cyto(command(size));
      if (end.exit_code != 0) throw std::runtime_error("the job failed: " + end.err);
      const json report = last_line(end.out);
      expect_balance(report.at("audit"));
      if (report.at("kills").get<int>() > 10) return report;
    }
  }

  // The balance of each lane, as `audit --json` and the report of a run have it.
  static void expect_balance(const json& audit) {
    EXPECT_TRUE(audit.at("ok").get<bool>()) << audit;
    EXPECT_FALSE(audit.at("lanes").empty());
    for (const json& lane : audit.at("lanes")) {
      const auto count = [&](const char* key) { return lane.at(key).get<std::int64_t>(); };
      EXPECT_EQ(count("accepted"), count("delivered") + count("dropped") + count("in_flight"))
          << lane;
    }
  }

 private:
  static bool are_ready(const json& document) {
    const json& workers = document.at("workers");
    return !workers.empty() && std::all_of(workers.begin(), workers.end(), [](const json& each) {
      return each.at("state") == "ready" || each.at("state") == "absent";
    });
  }
  // Its source has read less of the input than all but what tiny lanes would take in, many times
  // over; or nothing yet.
  static bool is_far_from_its_end(const json& document) {
    for (const json& each : document.at("workers")) {
      if (!each.at("source").get<bool>()) continue;
      const auto total = each.at("progress_total").get<std::uint64_t>();
      return total == 0 || each.at("progress_done").get<std::uint64_t>() + (1 << 20) < total;
    }
    return false;
  }

  temp_dir dir_;
  runtime_dir runtime_;
  std::string name_;
  std::set<std::string> names_before_ = shared_memory_names();
  std::optional<watchdog> guard_;
};

}  // namespace cyto::test
