// Updates from outside: merged on their way to a slow worker while everybody is killed; set aside
// where they are refused; and where a runaway has come from, as the command shows it.
#include "e2e/job.hpp"

namespace cyto::test {
namespace {

class UpdateJob : public job_test {
 protected:
  static constexpr int cells = 6;

  std::string worker(const std::string& group, const std::string& settings,
                     const std::string& more = {}) const {
    return "[[worker]]\nname = \"" + group + "\"\nprogram = \"" +
           (bin_dir / "update_program").string() + "\"\nsettings = { " + settings + " }\n" + more;
  }
  static std::string lane(const std::string& from, const std::string& to,
                          const std::string& more = {}) {
    return "[[lane]]\nfrom = \"" + from + "\"\nto = \"" + to + "\"\nlane_bytes = \"4KiB\"\n" + more;
  }
  std::string source(int rounds, const std::string& to, const std::string& more = {}) const {
    return worker("source",
                  "cells = \"" + std::to_string(cells) + "\", rounds = \"" +
                      std::to_string(rounds) + "\", to = \"" + to + "\"" + more,
                  "source = true\n");
  }
  arguments merging_job(int rounds, const std::string& wrong, const arguments& more) const {
    const std::string settings = "cells = \"" + std::to_string(cells) + "\"";
    write_file(in_dir("merge.toml"), "name = \"" + name() + "\"\n" +
                                         source(rounds, "desk", ", wrong = \"" + wrong + "\"") +
                                         worker("desk", settings, "count = 2\nsends_max = 2\n") +
                                         worker("stock", settings) + lane("source", "desk") +
                                         lane("desk", "stock", "full = \"coalesce\"\n") +
                                         "[table]\nof = \"stock\"\n");
    return arguments{"run", in_dir("merge.toml"), "--output", table_path(), "--json"} + more;
  }
  // As if the stock had never been behind.
  std::string expected_table(int rounds) const {
    std::string out;
    for (const char* prefix : {"", "most of "}) {
      for (int i = 0; i < cells; ++i) {
        out += std::to_string(rounds) + "\t" + prefix + "cell " + std::to_string(i) + "\n";
      }
    }
    return out;
  }
  static std::uint64_t sum(const json& audit, const char* key) {
    std::uint64_t out = 0;
    for (const json& each : audit.at("lanes")) out += each.at(key).get<std::uint64_t>();
    return out;
  }
};

TEST_F(UpdateJob, MergedUpdatesComeToTheSameWhoeverIsKilled) {
  int rounds = 0;
  const json report = run_with_kills(sanitized ? 100 : 400, [&](int size) {
    rounds = size;
    return merging_job(size, "no", {"--chaos", kill_every(25) + ",seed=7"});
  });
  EXPECT_TRUE(same_table(read_file(table_path()), expected_table(rounds)));
  EXPECT_GT(sum(report.at("audit"), "coalesced"), 0U);
  EXPECT_EQ(sum(report.at("audit"), "waiting"), 0U);
  std::int64_t entered = 0;
  for (const json& each : report.at("audit").at("lanes")) {
    if (each.at("full") != "coalesce") continue;
    entered += each.at("accepted").get<std::int64_t>() + each.at("coalesced").get<std::int64_t>();
  }
  EXPECT_EQ(entered, 2 * rounds * cells);  // Each cell of a desk was changed twice in each round.
}

TEST_F(UpdateJob, UpdateOfACellThatNobodyHasIsSetAsideAndTold) {
  const outcome end = cyto(merging_job(20, "yes", {}));
  EXPECT_EQ(end.exit_code, 4) << end.err;
  EXPECT_NE(end.err.find("1 message is set aside"), end.err.npos) << end.err;
  const json report = last_line(end.out);
  expect_balance(report.at("audit"));
  ASSERT_EQ(report.at("quarantine").size(), 1U);
  EXPECT_EQ(report.at("quarantine").at(0).at("last_end"),
            "refused: an update of a cell that is not there");
  EXPECT_EQ(report.at("restarts").get<int>(), 0);
  EXPECT_TRUE(same_table(read_file(table_path()), expected_table(20)));
}

TEST_F(UpdateJob, RunawayIsToldWithTheWayThatItGoesRound) {
  write_file(in_dir("hold"), "");
  write_file(in_dir("ring.toml"),
             "name = \"" + name() + "\"\n" +
                 source(1, "ring0", ", hold = \"" + in_dir("hold").string() + "\"") +
                 worker("ring0", "") + worker("ring1", "") + worker("ring2", "") +
                 lane("source", "ring0") + lane("ring0", "ring1") + lane("ring1", "ring2") +
                 lane("ring2", "ring0"));
  process job = start({"run", in_dir("ring.toml")});
  wait_for_status(job, [](const json& document) {
    std::uint64_t dead = 0;
    for (const json& each : document.at("lanes")) dead += each.at("over_hops").get<std::uint64_t>();
    return dead == cells;
  });
  const outcome end = cyto({"dead-letters", name(), "--json"});
  EXPECT_EQ(end.exit_code, 0) << end.err;
  const json report = json::parse(end.out);
  ASSERT_EQ(report.at("kinds").size(), 1U);
  EXPECT_EQ(report.at("kinds").at(0).at("from"), "ring1/0");
  EXPECT_EQ(report.at("kinds").at(0).at("to"), "ring2/0");
  EXPECT_EQ(report.at("kinds").at(0).at("count").get<int>(), cells);
  ASSERT_EQ(report.at("kept").size(), static_cast<std::size_t>(cells));
  for (const json& each : report.at("kept")) {
    EXPECT_EQ(each.at("cycle"), "ring2/0 -> ring0/0 -> ring1/0 -> ring2/0");
    EXPECT_EQ(each.at("route").at(0), "source/0");
    EXPECT_EQ(each.at("route").size(), 13U);
  }
  const outcome text = cyto({"dead-letters", name()});
  EXPECT_NE(text.out.find("6 of the newest went round: ring2/0 -> ring0/0 -> ring1/0 -> ring2/0"),
            text.out.npos)
      << text.out;
  EXPECT_NE(text.out.find("6 of kind"), text.out.npos) << text.out;
  std::filesystem::remove(in_dir("hold"));
  EXPECT_EQ(job.wait().exit_code, 0);
}

}  // namespace
}  // namespace cyto::test
