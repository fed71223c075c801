// `cyto trace` beside the two examples in which order matters, while workers are killed: what it
// records is found good, and a recording that is bent is not.
#include "e2e/job.hpp"

namespace cyto::test {
namespace {

class TraceOfExample : public job_test {
 protected:
  struct recorded {
    outcome job;
    outcome trace;
  };

  // Runs that example, held until somebody traces it, and killed from then on.
  recorded record(const std::string& example, const arguments& more) {
    const auto topology = in_dir("traced.toml");
    // Room for all that can be noted while this test's reader is kept from running.
    write_file(topology, read_file(source_dir / "examples" / example / (example + ".toml")) +
                             "\n[memory]\ntrace_bytes = \"16MiB\"\n");
    held_job held = start_held([&](const auto& input) {
      return arguments{"run",  topology,   "--input",    input,     "--name",
                       name(), "--output", table_path(), "--chaos", kill_every(20) + ",seed=7"} +
             more;
    });
    input_ = held.input;
    process trace = start({"trace", name(), "--seconds", "90"}, {.stdout_path = in_dir("trace")});
    wait_for_status(held.system,
                    [](const json& document) { return document.at("tracing").get<bool>(); });
    // Who was stopped may have been killed already.
    for (const process_ref& each : parsers_in(held.workers)) each.send_signal(SIGCONT);
    recorded out{held.system.wait(), trace.wait()};
    EXPECT_EQ(out.job.exit_code, 0) << out.job.err;
    EXPECT_EQ(out.trace.exit_code, 0) << out.trace.err;
    return out;
  }

  outcome judge(const std::filesystem::path& trace) const {
    return cyto({"trace", "--check", trace, "--window", "--json"});
  }
  void expect_good_and_the_judge_awake() const {
    const outcome end = judge(in_dir("trace"));
    EXPECT_EQ(end.exit_code, 0) << end.out << end.err;
    const json verdict = json::parse(end.out);
    EXPECT_GT(verdict.at("delivered").get<int>(), 1'000);
    EXPECT_GT(verdict.at("undone_events").get<int>() + count("\"event\":\"crash\""), 0);
    const std::string law = law_of_bent();
    EXPECT_EQ(law, "fifo");
  }

  // The same with two deliveries of one sender in each other's place: what the judge says of it.
  std::string law_of_bent() const {
    auto lines = lines_of(read_file(in_dir("trace")));
    std::set<std::string> sent;
    for (const std::string& each : lines) {
      const json event = json::parse(each);
      if (event.at("event") == "send") sent.insert(event.at("msg"));
    }
    struct delivery {
      std::size_t line;
      json event;
    };
    std::vector<delivery> open;            // Of a turn whose end has not come yet.
    std::map<std::string, delivery> last;  // In turns that have committed, by node and lane.
    const auto swapped = [&](delivery& now) {
      const auto message = now.event.at("msg").get<std::string>();
      if (!sent.contains(message)) return false;
      const std::string between =
          now.event.at("node").get<std::string>() + message.substr(0, message.find('.'));
      const auto [before, is_first] = last.try_emplace(between, now);
      if (is_first) return false;
      std::swap(before->second.event.at("msg"), now.event.at("msg"));
      lines[before->second.line] = before->second.event.dump();
      lines[now.line] = now.event.dump();
      return true;
    };
    for (std::size_t i = 0; i < lines.size(); ++i) {
      json now = json::parse(lines[i]);
      if (now.at("event") == "deliver") open.push_back({i, std::move(now)});
      if (now.is_null() || now.at("event") == "send" || now.at("event") == "drop") continue;
      if (now.at("event") == "commit" && std::any_of(open.begin(), open.end(), swapped)) break;
      open.clear();
    }
    std::string text;
    for (const std::string& each : lines) text += each + "\n";
    write_file(in_dir("bent"), text);
    const outcome end = judge(in_dir("bent"));
    EXPECT_EQ(end.exit_code, 1) << end.out << end.err;
    const json verdict = json::parse(end.out);
    return verdict.at("first").empty() ? "none" : verdict.at("first").at(0).at("law");
  }

  int count(const std::string& wanted) const {
    int out = 0;
    for (const std::string& each : lines_of(read_file(in_dir("trace")))) {
      out += each.find(wanted) != each.npos ? 1 : 0;
    }
    return out;
  }

  void expect_table_of_oracle(const std::string& oracle, const arguments& more = {}) const {
    const outcome end = run(arguments{bin_dir / oracle, input_} + more);
    EXPECT_EQ(end.exit_code, 0) << end.err;
    EXPECT_TRUE(same_table(read_file(table_path()), end.out));
  }

  std::filesystem::path input_;
};

class TraceOfJournal : public TraceOfExample {
 protected:
  std::filesystem::path long_input(int copies) const override {
    auto path = in_dir("log");
    const outcome end =
        run({bin_dir / "journal_generate", "6", std::to_string(copies * 6'000), "300"},
            {.stdout_path = path});
    EXPECT_EQ(end.exit_code, 0) << end.err;
    return path;
  }
  std::string holding_role() const override { return "keeper"; }
};

TEST_F(TraceOfJournal, IsFoundGoodWhoeverIsKilled) {
  record("journal", {"--set", "event_lane_bytes=4KiB", "--set", "count_lane_bytes=4KiB"});
  expect_good_and_the_judge_awake();
  expect_table_of_oracle("journal_oracle");
}

class TraceOfClosure : public TraceOfExample {
 protected:
  std::string holding_role() const override { return "resolver"; }
};

TEST_F(TraceOfClosure, IsFoundGoodWhoeverIsKilled) {
  record("closure",
         {"--set", "stanza_lane_bytes=64KiB", "--set", "need_lane_bytes=4KiB", "--set",
          "tally_lane_bytes=4KiB", "--set", "deferred_bytes=4MiB", "--set", "root_every=500"});
  expect_good_and_the_judge_awake();
  expect_table_of_oracle("closure_oracle", {"500"});
}

}  // namespace
}  // namespace cyto::test
