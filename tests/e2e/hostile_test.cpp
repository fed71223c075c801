// A worker goes mad in a system that the command runs: it writes over its own lanes, control block
// and cells. The command says so once and ends; in a system that does not end, the rest goes on.
#include "e2e/job.hpp"

namespace cyto::test {
namespace {

class HostileWorker : public job_test {
 protected:
  // Two sources: one by way of the mad worker, one straight to the sink.
  arguments system(int seed, const std::string& good_count) const {
    const std::string program = "program = \"" + (bin_dir / "hostile_worker").string() + "\"\n";
    const auto worker = [&](const std::string& name, const std::string& settings) {
      return "[[worker]]\nname = \"" + name + "\"\n" + program + "settings = { " + settings +
             " }\n";
    };
    const auto lane = [](const std::string& from, const std::string& to) {
      return "[[lane]]\nfrom = \"" + from + "\"\nto = \"" + to + "\"\nlane_bytes = \"64KiB\"\n";
    };
    const std::string source = "role = \"source\", ";
    write_file(in_dir("hostile.toml"),
               "name = \"hostile\"\n" +
                   worker("feeder", source + "to = \"mad\", count = \"100000\"") +
                   "source = true\n" +
                   worker("good", source + "to = \"sink\", count = \"" + good_count + "\"") +
                   "source = true\n" +
                   worker("mad", "role = \"mad\", seed = \"" + std::to_string(seed) + "\"") +
                   worker("sink", "role = \"sink\"") + lane("feeder", "mad") + lane("mad", "sink") +
                   lane("good", "sink") + "[table]\nof = \"sink\"\n");
    return {"run", in_dir("hostile.toml"), "--name", name(), "--output", table_path()};
  }
  static const json& lane_of(const json& status, const std::string& lane_name) {
    for (const json& lane : status.at("lanes")) {
      if (lane.at("name") == lane_name) return lane;
    }
    throw std::runtime_error("no lane " + lane_name);
  }
};

TEST_F(HostileWorker, FailsAJobOnceInWordsAndWritesNoTable) {
  for (int seed = 1; seed <= 4; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const outcome end = cyto(system(seed, "20000"));
    // What was scribbled may look like a message of a type that nobody handles.
    EXPECT_TRUE(end.exit_code == 1 || end.exit_code == 2) << end.exit_code << end.err;
    EXPECT_EQ(lines_of(end.err).size(), 1U) << end.err;
    EXPECT_NE(end.err.find("mad/0"), std::string::npos) << end.err;
    EXPECT_FALSE(std::filesystem::exists(table_path()));
    expect_nothing_left();
  }
}

TEST_F(HostileWorker, DoesNotKeepTheRestFromGoingOn) {
  for (const int seed : {1, 2, 3, 4}) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    process job = start(system(seed, "1000000000000"));
    const std::string lost_lane = "mad/0 -> sink/0";
    const json lost = wait_for_status(job, [&](const json& now) {
      const json& lane = lane_of(now, lost_lane);
      return lane.at("fenced").get<bool>() || !lane.at("balanced").get<bool>() ||
             now.at("workers").at(2).at("state") == "failed";
    });
    const auto taken = [](const json& now) {
      return lane_of(now, "good/0 -> sink/0").at("delivered").get<std::uint64_t>();
    };
    const std::uint64_t before = taken(lost);
    wait_for_status(job, [&](const json& now) { return taken(now) > before + 1000; });
    // Tools neither crash nor hang on it.
    const outcome seen = cyto({"status", name()});
    EXPECT_EQ(seen.exit_code, 0) << seen.err;
    EXPECT_LE(static_cast<unsigned>(cyto({"audit", name(), "--json"}).exit_code), 1U);
    EXPECT_EQ(cyto({"ps"}).out, name() + "\n");
    EXPECT_EQ(cyto({"stop", name()}).exit_code, 0);
    const outcome end = job.wait();
    EXPECT_TRUE(end.exit_code == 1 || end.exit_code == 2 || end.exit_code == 4)
        << end.exit_code << end.err;
    EXPECT_EQ(lines_of(end.err).size(), 1U) << end.err;
    expect_nothing_left();
  }
}

}  // namespace
}  // namespace cyto::test
