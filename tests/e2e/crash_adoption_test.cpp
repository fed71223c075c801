// A supervisor is killed at the beginning and at the end of every system call that does more than
// look, and some way into the instructions after it, as it starts a system and as it adopts one
// whose supervisor died. The next one finishes the job with the same table, and the workers that
// lived run on.
#include <fcntl.h>
#include <sys/syscall.h>

#include "e2e/job.hpp"
#include "support/inquiry.hpp"
#include "support/stepped.hpp"

namespace cyto::test {
namespace {

class CrashAdoption : public job_test {
 protected:
  CrashAdoption() : job_test(is_full() ? std::chrono::hours(1) : 2 * default_deadline) {}

  // A supervisor that stands before its first instruction, and is killed with its tracer.
  std::unique_ptr<stepped_child> trace(const arguments& command) const {
    arguments all = arguments{bin_dir / "cyto"} + command;
    const auto variable = with_runtime().env.at(0);
    return std::make_unique<stepped_child>([] {},
                                           [&] {
                                             std::vector<char*> pointers;
                                             for (std::string& each : all)
                                               pointers.push_back(each.data());
                                             pointers.push_back(nullptr);
                                             ::setenv(variable.first.c_str(),
                                                      variable.second.c_str(), 1);
                                             const int nowhere = ::open("/dev/null", O_RDWR);
                                             for (int fd = 0; fd < 3; ++fd) ::dup2(nowhere, fd);
                                             ::execv(pointers[0], pointers.data());
                                           });
  }

  // Whether it has come to wait for what happens: all that it does to start or adopt is done. There
  // are short waits before that, for one thing each.
  static bool has_settled(const stepped_child& of) {
    const auto call = of.beginning();
    if (!call) return false;
    return (call->number == SYS_poll && call->argument[1] > 1) ||
           (call->number == SYS_ppoll && call->argument[1] > 1);
  }

  // Lets it go on for so many stops, counted from the first that another process could notice.
  // Returns false when it has settled, or finished the job.
  static bool run_to_stop(stepped_child& supervisor, std::uint64_t stop) {
    bool counting = false;
    for (std::uint64_t stops = 0; stops < stop;) {
      if (!supervisor.run_to_deed() || has_settled(supervisor)) return false;
      const auto call = supervisor.beginning();
      counting = counting || (call && call->number == SYS_mkdir);
      if (counting) ++stops;
    }
    return true;
  }

  // Kills it after some instructions more.
  static void kill_soon(stepped_child& supervisor, std::uint64_t instructions, tally& sum) {
    while (instructions-- > 0 && !supervisor.next_system_call()) {
      supervisor.step();
      ++sum.instructions;
    }
    supervisor.kill();
    ++sum.kills;
  }

  void expect_job_done(process supervisor, const std::filesystem::path& input) const {
    const outcome end = supervisor.wait();
    ASSERT_EQ(end.exit_code, 0) << end.err;
    const json report = last_line(end.out);
    EXPECT_TRUE(report.at("ok").get<bool>());
    expect_balance(report.at("audit"));
    expect_table_of(input);
  }

  // Whoever that is by now, started by whichever supervisor; nobody, if it is dead already.
  void kill_worker(const std::string& worker) const {
    const auto document = status();
    ASSERT_TRUE(document.has_value());
    const worker_pids pids = pids_of(*document);
    const auto at = pids.find(worker);
    if (at == pids.end()) return;
    const process_ref found(at->second);
    for (const memory_holder& each : holders_of(name())) {
      if (each.pid != found.pid()) continue;
      found.send_signal(SIGKILL);
      ASSERT_TRUE(found.wait_for_end(default_deadline));
    }
  }

  static std::uint64_t pace(std::uint64_t in_selection) {
    return is_full() ? 1 : sanitized ? 4 * in_selection : in_selection;
  }
};

TEST_F(CrashAdoption, ASupervisorKilledAsItAdoptsIsFollowedByAnother) {
  CYTO_SKIP_UNDER_TSAN();
  tally sum;
  const auto command_of = [this](const auto& input) {
    return job(input, tiny_lanes + arguments{"--json"});
  };
  held_job held = start_held(command_of);  // It cannot end while supervisors come and go.
  const arguments command = command_of(held.input);
  const worker_pids& workers = held.workers;
  held.system.send_signal(SIGKILL);
  held.system.wait();
  bool settled = false;
  for (std::uint64_t stop = 1; !settled; stop += pace(31)) {
    const auto supervisor = trace(command);
    settled = !run_to_stop(*supervisor, stop);
    kill_soon(*supervisor, settled ? 0 : stop * 7 % 64, sum);
    for (const auto& [worker, pid] : workers) {
      ASSERT_FALSE(process_ref(pid).wait_for_end(0ms)) << worker << ", killed at stop " << stop;
    }
    ++sum.judged;
  }
  process last = start(command);
  EXPECT_EQ(pids_of(wait_for_status(
                last, [&](const json& document) { return is_supervised_by(last, document); })),
            workers);
  signal_all(parsers_in(workers), SIGCONT);
  expect_job_done(std::move(last), held.input);
}

// It finds a counter dead, so that it starts one while it is killed.
TEST_F(CrashAdoption, ASupervisorKilledAsItMendsWhatItAdoptsIsFollowedByAnother) {
  CYTO_SKIP_UNDER_TSAN();
  tally sum;
  const auto command_of = [this](const auto& input) {
    return job(input,
               tiny_lanes + arguments{"--json", "--set", "parsers=1", "--set", "counters=1"});
  };
  held_job held = start_held(command_of);
  const arguments command = command_of(held.input);
  held.system.send_signal(SIGKILL);
  held.system.wait();
  bool settled = false;
  for (std::uint64_t stop = 1; !settled; stop += pace(31)) {
    kill_worker("counter/0");
    const auto supervisor = trace(command);
    settled = !run_to_stop(*supervisor, stop);
    kill_soon(*supervisor, settled ? 0 : stop * 7 % 64, sum);
    ++sum.judged;
  }
  process last = start(command);
  wait_for_status(last, [&](const json& document) { return is_supervised_by(last, document); });
  signal_all(parsers_in(held.workers), SIGCONT);
  expect_job_done(std::move(last), held.input);
}

TEST_F(CrashAdoption, ASupervisorKilledAsItStartsIsFollowedByAnother) {
  CYTO_SKIP_UNDER_TSAN();
  tally sum;
  write_file(in_dir("input"), "Package: a\nDepends: b, c\n\nPackage: d\nDepends: b | e, f\n");
  const arguments command = job(in_dir("input"), arguments{"--json", "--set", "cells_bytes=64KiB",
                                                           "--set", "update_lane_bytes=4KiB"});
  bool settled = false;
  for (std::uint64_t stop = 1; !settled && !HasFailure(); stop += pace(41)) {
    SCOPED_TRACE("killed at stop " + std::to_string(stop));
    {
      const auto supervisor = trace(command);
      settled = !run_to_stop(*supervisor, stop);
      kill_soon(*supervisor, settled ? 0 : stop * 7 % 64, sum);
    }
    expect_job_done(start(command), in_dir("input"));
    expect_nothing_left();
    ++sum.judged;
  }
}

}  // namespace
}  // namespace cyto::test
