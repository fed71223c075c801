// Keys that move with their cells while members come and go: what was said of a key is handled in
// its order, once, by whoever owns it.
#include "cyto/types.hpp"
#include "e2e/job.hpp"

namespace cyto::test {
namespace {

namespace fs = std::filesystem;

constexpr int keys = 300;
constexpr int sources = 2;

class Partition : public job_test {
 protected:
  fs::path hold() const { return in_dir("hold"); }

  std::string topology(int count, const std::string& keepers, const std::string& lane) const {
    const std::string program = "program = \"" + (bin_dir / "partition_program").string() + "\"\n";
    const auto group = [&](const std::string& group_name, const std::string& more) {
      return "[[worker]]\nname = \"" + group_name + "\"\n" + program + more;
    };
    const auto lane_to = [&](const std::string& from, const std::string& to) {
      return "[[lane]]\nfrom = \"" + from + "\"\nto = \"" + to + "\"\nlane_bytes = \"" + lane +
             "\"\n";
    };
    return "name = \"" + name() + "\"\n" +
           group("source", "source = true\ncount = " + std::to_string(sources) +
                               "\nsettings = { count = \"" + std::to_string(count) +
                               "\", keys = \"" + std::to_string(keys) + "\", hold = \"" +
                               hold().string() + "\" }\n") +
           group("relay", "") +
           group("keeper", "partitioned = true\ncells_bytes = \"64MiB\"\n" + keepers) +
           lane_to("source", "keeper") + lane_to("source", "relay") + lane_to("relay", "keeper") +
           "[table]\nof = \"keeper\"\n";
  }
  arguments partition_job(int count, const std::string& keepers,
                          const std::string& lane = "4KiB") const {
    write_file(in_dir("t.toml"), topology(count, keepers, lane));
    return {"run", in_dir("t.toml"), "--output", table_path(), "--json"};
  }

  // How often each key was spoken of, by all sources and the relay.
  static std::map<std::string, int> expected(int count) {
    std::map<std::string, int> out;
    for (int source = 0; source < sources; ++source) {
      for (int i = 1; i <= count; ++i) {
        const std::uint64_t key =
            hash_bytes(std::to_string(source), static_cast<std::uint64_t>(i)) % keys;
        out["k" + std::to_string(key)] += 2;
      }
    }
    return out;
  }

  // Every key is in the table once, so in the cells of one member, as often as it was spoken of.
  void expect_table(int count) const {
    std::map<std::string, int> seen;
    for (const std::string& line : lines_of(read_file(table_path()))) {
      const std::size_t tab = line.find('\t');
      const std::string row = line.substr(tab + 1);
      if (row == "disorder") {
        EXPECT_EQ(line.substr(0, tab), "0");
      } else if (row.find(' ') == row.npos) {
        EXPECT_TRUE(seen.emplace(row, std::stoi(line.substr(0, tab))).second) << row << " twice";
      }
    }
    const std::map<std::string, int> wanted = expected(count);
    for (const auto& [key, times] : wanted) {
      const auto found = seen.find(key);
      EXPECT_EQ(found == seen.end() ? 0 : found->second, times) << key;
    }
    EXPECT_EQ(seen.size(), wanted.size());
  }
  void expect_done(process& system, int count) const {
    const outcome end = system.wait();
    ASSERT_EQ(end.exit_code, 0) << end.err;
    expect_balance(last_line(end.out).at("audit"));
    expect_table(count);
  }

  // Once all workers are there.
  process start_ready(const arguments& command) const {
    process system = start(command);
    wait_for_status(system, [&](const json& document) {
      const json& workers = document.at("workers");
      return is_supervised_by(system, document) && !workers.empty() &&
             std::all_of(workers.begin(), workers.end(), [](const json& each) {
               return each.at("state") == "ready" || each.at("state") == "absent";
             });
    });
    return system;
  }

  // Who has the cells of which key. Fails where two have.
  std::map<std::string, std::string> owners() const {
    const outcome end = cyto({"cells", name(), "--worker", "keeper", "--limit", "0", "--json"});
    EXPECT_EQ(end.exit_code, 0) << end.err;
    std::map<std::string, std::string> out;
    const json document = json::parse(end.out);
    for (const json& each : document.at("cells")) {
      const auto cell = each.at("cell").get<std::string>();
      if (cell == "disorder" || cell.find(' ') != cell.npos) continue;
      out[cell] += each.at("worker").get<std::string>();
    }
    return out;
  }
  // Waits until each key has its cells with the member that owns it among those.
  std::map<std::string, std::string> wait_for_owners(const std::set<std::size_t>& members) const {
    std::map<std::string, std::string> now;
    for (const auto deadline = std::chrono::steady_clock::now() + default_deadline;
         std::chrono::steady_clock::now() < deadline;) {
      now = owners();
      bool is_so = now.size() == keys;
      for (const auto& [key, owner] : now) {
        const std::size_t member = owner_of_key(
            hash_bytes(key), 4, [&](std::size_t each) { return members.contains(each); });
        is_so = is_so && owner == "keeper/" + std::to_string(member);
      }
      if (is_so) return now;
    }
    ADD_FAILURE() << "keys are not with their owners: " << json(now).dump();
    return now;
  }
};

TEST_F(Partition, EachKeyIsWithItsOwnerAndOnlyTheShareOfWhoComesOrGoesMoves) {
  write_file(hold(), "");
  constexpr int count = 5'000;
  process system = start_ready(partition_job(count, "count = 2\ncount_max = 4\n"));
  const auto two = wait_for_owners({0, 1});
  EXPECT_EQ(cyto({"add", "keeper", name()}).exit_code, 0);
  const auto three = wait_for_owners({0, 1, 2});
  for (const auto& [key, owner] : three) {
    EXPECT_TRUE(owner == two.at(key) || owner == "keeper/2") << key;
  }
  EXPECT_EQ(cyto({"remove", "keeper/0", name()}).exit_code, 0);
  const auto others = wait_for_owners({1, 2});
  for (const auto& [key, owner] : others) {
    EXPECT_TRUE(owner == three.at(key) || three.at(key) == "keeper/0") << key;
  }
  // Back again, with nothing of what was there before.
  EXPECT_EQ(cyto({"add", "keeper", name()}).exit_code, 0);
  wait_for_owners({0, 1, 2});
  fs::remove(hold());
  expect_done(system, count);
}

TEST_F(Partition, NoKeyIsLostDoubledOrOutOfOrderWhileMembersComeAndGo) {
  int orders = 0;
  for (int count = 40'000; orders < 6 && !HasFailure(); count *= 2) {
    orders = 0;
    process system = start(partition_job(count, "count = 1\ncount_max = 4\n"));
    while (!status() && !system.wait_for(2ms)) continue;
    while (!system.wait_for(0ms)) {
      const outcome end = cyto({orders % 3 == 2 ? "remove" : "add", "keeper", name()});
      if (end.exit_code == 3 || end.exit_code == 1) break;
      ++orders;
    }
    expect_done(system, count);
  }
}

struct PartitionWithSeed : Partition, testing::WithParamInterface<int> {};

TEST_P(PartitionWithSeed, NorWhileWorkersAreKilled) {
  int orders = 0;
  for (int count = 20'000; orders < 6 && !HasFailure(); count *= 2) {
    orders = 0;
    const std::string chaos = kill_every(15) + ",seed=" + std::to_string(GetParam());
    process system =
        start(partition_job(count, "count = 1\ncount_max = 4\n") + arguments{"--chaos", chaos});
    while (!status() && !system.wait_for(2ms)) continue;
    while (!system.wait_for(0ms)) {
      const outcome end = cyto({orders % 3 == 2 ? "remove" : "add", "keeper", name()});
      if (end.exit_code == 3 || end.exit_code == 1) break;
      ++orders;
    }
    expect_done(system, count);
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, PartitionWithSeed, testing::Values(1, 2, 3));

TEST_F(Partition, TheEndWaitsForAMemberThatHasKeysToHandOver) {
  write_file(hold(), "");
  constexpr int count = 1'000;
  process system = start_ready(partition_job(count, "count = 1\ncount_max = 2\n"));
  // All is said, repeated and handled; only the hold keeps the job from its end.
  const json before = wait_for_status(system, [](const json& document) {
    int delivered = 0;
    for (const json& lane : document.at("lanes")) delivered += lane.at("delivered").get<int>();
    return delivered == 3 * sources * count;
  });
  const process_ref keeper(pids_of(before).at("keeper/0"));
  keeper.send_signal(SIGSTOP);
  EXPECT_EQ(cyto({"add", "keeper", name()}).exit_code, 0);
  fs::remove(hold());
  wait_for_status(system, [](const json& document) {
    const json& workers = document.at("workers");
    return std::all_of(workers.begin(), workers.end(), [](const json& each) {
      return !each.at("source").get<bool>() || each.at("finished").get<bool>();
    });
  });
  // What the supervisor made of that stands once it has answered another question.
  ASSERT_TRUE(status());
  const auto after = status();
  ASSERT_TRUE(after);
  EXPECT_EQ(after->at("phase"), "running");
  keeper.send_signal(SIGCONT);
  expect_done(system, count);
}

TEST_F(Partition, TheNextSupervisorGoesOnWithAMove) {
  write_file(hold(), "");
  constexpr int count = 20'000;
  const arguments command = partition_job(count, "count = 1\ncount_max = 4\n");
  std::optional<process> system(start_ready(command));
  EXPECT_EQ(cyto({"add", "keeper", name()}).exit_code, 0);
  system->send_signal(SIGKILL);
  system->wait();
  system.emplace(start_ready(command));
  wait_for_owners({0, 1});
  EXPECT_EQ(cyto({"remove", "keeper/0", name()}).exit_code, 0);
  wait_for_owners({1});
  fs::remove(hold());
  expect_done(*system, count);
}

TEST_F(Partition, WhatCannotBeIsRefusedInWords) {
  write_file(hold(), "");
  process system = start_ready(partition_job(100, "count = 1\ncount_max = 2\n"));
  const outcome last = cyto({"remove", "keeper/0", name()});
  EXPECT_EQ(last.exit_code, 2);
  EXPECT_NE(last.err.find("the last member that owns keys"), std::string::npos) << last.err;
  fs::remove(hold());
  expect_done(system, 100);
}

}  // namespace
}  // namespace cyto::test
