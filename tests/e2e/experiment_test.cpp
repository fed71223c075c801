// `cyto experiment` at a scale at which times mean nothing: what it prints, that laws hold, that
// its verdict follows from its checks, and that nothing is left of it.
#include <gmock/gmock.h>

#include "e2e/job.hpp"

namespace cyto::test {
namespace {

class Experiment : public job_test {
 protected:
  static constexpr const char* scale = sanitized ? "0.01" : "0.02";

  outcome experiment(const arguments& more) const {
    return cyto(arguments{"experiment"} + more + arguments{"--seconds", scale});
  }
  // The document of one of them; its exit code is what its checks say.
  json document_of(const char* number, const arguments& more = {}) const {
    const outcome end = experiment(arguments{number, "--json"} + more);
    EXPECT_EQ(end.err, "");
    const json all = json::parse(end.out);
    EXPECT_EQ(all.at("experiments").size(), 1U);
    const json& one = all.at("experiments").at(0);
    EXPECT_EQ(one.at("number").get<int>(), std::stoi(number));
    EXPECT_FALSE(one.contains("failure")) << one.at("failure");
    EXPECT_FALSE(one.at("rows").empty());
    EXPECT_EQ(one.at("good").get<bool>(), is_good(one.at("checks")));
    EXPECT_EQ(all.at("good"), one.at("good"));
    EXPECT_EQ(end.exit_code, one.at("good").get<bool>() ? 0 : 1);
    EXPECT_TRUE(all.at("machine").contains("unfit_to_quote"));
    expect_laws(one.at("checks"));
    return one;
  }
  static bool is_good(const json& checks) {
    return std::all_of(checks.begin(), checks.end(), [](const json& each) {
      const auto value = each.at("value").get<double>();
      const bool holds = each.contains("at_most") ? value <= each.at("at_most").get<double>()
                                                  : value >= each.at("at_least").get<double>();
      EXPECT_EQ(each.at("ok").get<bool>(), holds) << each;
      return holds || each.at("kind") == "aim";
    });
  }
  // Goals are about time, and this is no place for them.
  static void expect_laws(const json& checks) {
    int laws = 0;
    for (const json& each : checks) {
      if (each.at("kind") != "law") continue;
      ++laws;
      EXPECT_TRUE(each.at("ok").get<bool>()) << each;
    }
    EXPECT_GT(laws, 0);
  }
  static json row_of(const json& document, const char* key, const std::string& value) {
    for (const json& each : document.at("rows")) {
      if (each.at(key) == value) return each;
    }
    throw std::runtime_error("there is no row with " + value);
  }
};

TEST_F(Experiment, PropagationIsMeasuredHopByHopWithAndWithoutARelay) {
  const json found = document_of("1");
  for (const char* path : {"direct", "relay"}) {
    for (int hops = 1; hops <= 8; ++hops) {
      const auto& rows = found.at("rows");
      EXPECT_TRUE(std::any_of(rows.begin(), rows.end(),
                              [&](const json& each) {
                                return each.at("path") == path && each.at("hops") == hops &&
                                       each.at("updates") > 0 && each.at("p50_us") > 0 &&
                                       each.at("p50_us") <= each.at("p999_us");
                              }))
          << path << " " << hops;
    }
  }
}

TEST_F(Experiment, CausalOrderIsJudgedAndAWrongOrderIsCaught) {
  const auto trace = in_dir("trace.jsonl");
  const json found = document_of("2", {"--trace", trace});
  EXPECT_EQ(row_of(found, "run", "calm").at("findings").get<int>(), 0);
  EXPECT_EQ(row_of(found, "run", "kills").at("findings").get<int>(), 0);
  EXPECT_GT(row_of(found, "run", "kills").at("kills").get<int>(), 0);
  EXPECT_GT(row_of(found, "run", "control").at("findings").get<int>(), 0);

  // What is kept of it says the same to whoever judges it again.
  const outcome again = cyto({"trace", "--check", trace, "--json"});
  EXPECT_EQ(again.exit_code, 0) << again.out;
  const auto sum_of = [&](const char* key) {
    return row_of(found, "run", "calm").at(key).get<int>() +
           row_of(found, "run", "kills").at(key).get<int>();
  };
  EXPECT_EQ(json::parse(again.out).at("sent").get<int>(), sum_of("messages"));
  EXPECT_EQ(json::parse(again.out).at("delivered").get<int>(), sum_of("deliveries"));
  EXPECT_EQ(json::parse(again.out).at("turns").get<int>(), sum_of("turns"));
  const outcome control = cyto({"trace", "--check", trace.string() + ".control", "--window"});
  EXPECT_EQ(control.exit_code, 1) << control.out;
}

TEST_F(Experiment, UpdatesThatGoRoundEndByTheirHops) {
  const auto trace = in_dir("trace.jsonl");
  const json found = document_of("3", {"--trace", trace});
  EXPECT_EQ(found.at("rows").size(), 3U);
  for (const json& each : found.at("rows")) {
    EXPECT_EQ(each.at("ended"), each.at("updates")) << each;
    EXPECT_EQ(each.at("hops").get<int>(), 10 * each.at("updates").get<int>()) << each;
    EXPECT_GT(each.at("dead_letters").get<int>(), 0) << each;
    // The eleventh of a, b, c, a...
    EXPECT_EQ(each.at("ended_at"), "b/0 -> c/0") << each;
  }
  EXPECT_GT(found.at("rows").at(2).at("kills").get<int>(), 0);
  EXPECT_EQ(cyto({"trace", "--check", trace}).exit_code, 0);
}

TEST_F(Experiment, ThroughputIsMeasuredWithAndWithoutUpdates) {
  const json found = document_of("4");
  EXPECT_EQ(found.at("rows").at(0).at("updates_per_s").get<double>(), 0);
  for (const json& each : found.at("rows")) EXPECT_GT(each.at("messages_per_s").get<double>(), 0);
}

TEST_F(Experiment, OneSlowWorkerIsMeasuredForEachPolicy) {
  const json found = document_of("5");
  EXPECT_EQ(found.at("rows").size(), 12U);
  for (const char* policy : {"defer", "refuse", "drop_newest", "drop_oldest", "nack", "coalesce"}) {
    EXPECT_EQ(row_of(found, "policy", policy).at("worker"), "as usual");
  }
  for (std::size_t i = 0; i < found.at("rows").size(); i += 2) {
    EXPECT_EQ(found.at("rows").at(i).at("policy"), found.at("rows").at(i + 1).at("policy"));
    EXPECT_EQ(found.at("rows").at(i + 1).at("worker"), "slow");
  }
  for (const json& each : found.at("rows")) EXPECT_GE(each.at("depth_max").get<int>(), 0);
}

TEST_F(Experiment, TheReportIsOnePageWithPlotsThatNeedsNothingBeside) {
  const auto page = in_dir("report.html");
  const outcome end = experiment({"4", "--html", page});
  EXPECT_THAT(end.out, testing::HasSubstr("Verdict:"));
  const std::string text = read_file(page);
  for (const char* part : {"<svg", "<polyline", "Question.", "Method.", "Verdict.", "</html>"}) {
    EXPECT_THAT(text, testing::HasSubstr(part));
  }
  for (const char* other : {"src=", "href=", "@import", "url("}) {
    EXPECT_THAT(text, testing::Not(testing::HasSubstr(other)));
  }
}

TEST_F(Experiment, WrongUseIsRefusedBeforeAnythingStarts) {
  for (const arguments& wrong :
       {arguments{"9"}, arguments{"--seconds", "0"}, arguments{"--no-such-option"},
        arguments{"4", "--html", in_dir("no/such/folder")},
        arguments{"2", "--trace", in_dir("no/such/folder")}}) {
    const outcome end = cyto(arguments{"experiment"} + wrong);
    EXPECT_EQ(end.exit_code, 2) << testing::PrintToString(wrong) << end.err;
    EXPECT_THAT(end.err, testing::StartsWith("cyto: "));
    EXPECT_EQ(end.out, "");
  }
}

TEST_F(Experiment, ASignalEndsItAndItsWorkers) {
  process running = start({"experiment", "4", "--seconds", "60"});
  const auto deadline = std::chrono::steady_clock::now() + default_deadline;
  while (cyto({"ps"}).exit_code != 0 && std::chrono::steady_clock::now() < deadline) {
  }
  running.send_signal(SIGTERM);
  EXPECT_EQ(running.wait().exit_code, 128 + SIGTERM);
  EXPECT_EQ(cyto({"ps"}).exit_code, 3);
}

TEST_F(Experiment, ItsWorkersEndWithItWhenItIsKilled) {
  process running = start({"experiment", "4", "--seconds", "60"});
  const auto deadline = std::chrono::steady_clock::now() + default_deadline;
  outcome listed;
  while ((listed = cyto({"ps", "--json"})).exit_code != 0 &&
         std::chrono::steady_clock::now() < deadline) {
  }
  ASSERT_EQ(listed.exit_code, 0);
  const std::string system = "experiment-" + std::to_string(running.pid()) + "-1";
  worker_pids workers;
  while (workers.size() < 5 && std::chrono::steady_clock::now() < deadline) {
    const outcome status = cyto({"status", system, "--json"});
    if (status.exit_code == 0) workers = pids_of(json::parse(status.out));
  }
  std::vector<process_ref> all;
  for (const auto& [name, pid] : workers) all.emplace_back(pid);
  running.send_signal(SIGKILL);
  running.wait();
  for (const process_ref& each : all) EXPECT_TRUE(each.wait_for_end(default_deadline));
  EXPECT_EQ(cyto({"status", system}).exit_code, 3);
  // A supervisor that was killed leaves its socket's name to the next of that name.
  const std::filesystem::path folder = with_runtime().env.back().second;
  EXPECT_TRUE(std::filesystem::exists(folder / "cyto" / (system + ".sock")));
  std::filesystem::remove_all(folder / "cyto");
}

}  // namespace
}  // namespace cyto::test
