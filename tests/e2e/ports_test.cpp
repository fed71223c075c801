// Programs that join a running system, from outside: the command starts, drains, adopts and ends
// it, and what was sent and received is there once.
#include <cyto/cyto.hpp>

#include "e2e/job.hpp"
#include "support/actor.hpp"
#include "update_generated.h"

namespace cyto::test {
namespace {

using names = std::vector<std::string>;

class Ports : public job_test {
 protected:
  Ports() {
    const auto variable = with_runtime().env.at(0);
    ::setenv(variable.first.c_str(), variable.second.c_str(), 1);
  }
  ~Ports() override { ::unsetenv("XDG_RUNTIME_DIR"); }

  struct plan {
    int source_messages = -1;  // -1: no source.
    bool takes_back = false;   // The sink is a port, and may send too.
    std::string lane = "64KiB";
  };

  // source, desk -> worker -> sink, and what runs it.
  arguments system_of(const plan& what) const {
    const std::string program = "program = \"" + (bin_dir / "poison_program").string() + "\"\n";
    const auto lane = [&](const char* from, const char* to) {
      return std::string("[[lane]]\nfrom = \"") + from + "\"\nto = \"" + to +
             "\"\nlane_bytes = \"" + what.lane + "\"\n";
    };
    std::string text = "name = \"" + name() + "\"\n[[port]]\nname = \"desk\"\ncount = 2\n";
    text += "[[worker]]\nname = \"worker\"\n" + program + lane("desk", "worker");
    text += lane("worker", "sink");
    if (what.source_messages >= 0) {
      text += "[[worker]]\nname = \"source\"\n" + program +
              "source = true\nsettings = { count = \"" + std::to_string(what.source_messages) +
              "\", hold = \"" + hold().string() + "\" }\n" + lane("source", "worker");
    }
    if (what.takes_back) {
      text += "[[port]]\nname = \"sink\"\n" + lane("sink", "worker");
    } else {
      text += "[[worker]]\nname = \"sink\"\ncells_bytes = \"128MiB\"\n" + program +
              "[table]\nof = \"sink\"\n";
    }
    write_file(in_dir("ports.toml"), text);
    arguments out{"run", in_dir("ports.toml"), "--json"};
    return out + arguments{"--output", table_path()};
  }
  // While it is there sources do not end.
  std::filesystem::path hold() const { return in_dir("hold"); }
  void let_sources_end() const { std::filesystem::remove(hold()); }

  process start_ready(const arguments& command) const {
    write_file(hold(), "");
    process system = start(command);
    wait_for_status(system, [&](const json& document) {
      return is_supervised_by(system, document) && state_in(document, "worker/0") == "ready";
    });
    return system;
  }

  static json row_in(const json& document, const std::string& worker) {
    for (const json& each : document.at("workers")) {
      if (each.at("name") == worker) return each;
    }
    return {};
  }
  static std::string state_in(const json& document, const std::string& worker) {
    return row_in(document, worker).at("state").get<std::string>();
  }
  static std::uint64_t accepted_in(const json& audit, const std::string& lane) {
    for (const json& each : audit.at("lanes")) {
      if (each.at("name") == lane) return each.at("accepted").get<std::uint64_t>();
    }
    throw std::runtime_error("no lane " + lane);
  }
  static json report_of(const outcome& end, int exit_code) {
    EXPECT_EQ(end.exit_code, exit_code) << end.err;
    const json report = last_line(end.out);
    EXPECT_EQ(report.at("ok").get<bool>(), exit_code == 0);
    expect_balance(report.at("audit"));
    return report;
  }
  std::map<std::string, int> table() const {
    std::map<std::string, int> out;
    for (const std::string& line : lines_of(read_file(table_path()))) {
      const std::size_t tab = line.find('\t');
      out[line.substr(tab + 1)] = std::stoi(line.substr(0, tab));
    }
    return out;
  }
  void expect_refused(const arguments& order, const std::string& words) const {
    const outcome end = cyto(order);
    EXPECT_EQ(end.exit_code, 2) << end.err;
    EXPECT_EQ(lines_of(end.err).size(), 1U) << end.err;
    EXPECT_NE(end.err.find(words), std::string::npos) << end.err;
  }
};

status send(port& from, turn_output& to, const std::string& text) {
  return from.send<Update>(to, [&](flatbuffers::FlatBufferBuilder& fbb) {
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(text.data());
    const auto cell = fbb.CreateVector(bytes, text.size());
    return CreateUpdate(fbb, cell, fbb.CreateVector(bytes, text.size()));
  });
}

// Waits for room where there is none.
status send_surely(port& from, turn_output& to, const std::string& text) {
  status sent = send(from, to, text);
  for (; sent == status::full; sent = send(from, to, text)) static_cast<void>(from.wait(1ms));
  return sent;
}

names texts_in(const port::batch& batch) {
  names out;
  for (const received& each : batch) {
    const auto* update = each.as<Update>();
    if (update == nullptr) throw std::runtime_error("no update");
    out.emplace_back(reinterpret_cast<const char*>(update->cell()->data()), update->cell()->size());
  }
  return out;
}

TEST_F(Ports, ASystemDoesNotEndWhileSomebodyMaySendAndEndsWhenHeHasLeft) {
  process system = start_ready(system_of({.source_messages = 10}));
  {
    port desk = join(name(), "desk");
    const output workers = desk.to("worker");
    ASSERT_EQ(send(desk, workers.any(), "early"), status::ok);
    let_sources_end();
    const json document = wait_for_status(system, [&](const json& now) {
      return row_in(now, "source/0").at("finished").get<bool>() && now.at("quiet").get<bool>();
    });
    EXPECT_EQ(state_in(document, "desk/0"), "joined");
    EXPECT_EQ(row_in(document, "desk/0").at("pid").get<pid_t>(), ::getpid());
    EXPECT_EQ(state_in(document, "desk/1"), "free");
    EXPECT_FALSE(system.wait_for(300ms));
    for (int i = 0; i < 1000; ++i) {
      ASSERT_EQ(send_surely(desk, workers.any(), "late" + std::to_string(i)), status::ok);
    }
  }
  const json report = report_of(system.wait(), 0);
  EXPECT_EQ(report.at("undelivered"), json::array());
  const auto counts = table();
  EXPECT_EQ(counts.size(), 1011U);
  for (const auto& [text, count] : counts) EXPECT_EQ(count, 1) << text;
  EXPECT_TRUE(counts.contains("early") && counts.contains("late999"));
}

TEST_F(Ports, ADeadPortHoldsNothingUpAndWhatItSentCounts) {
  process system = start_ready(system_of({.source_messages = 10}));
  actor dies([&](const line& to_test) {
    port desk = join(name(), "desk");
    if (send(desk, desk.to("worker").any(), "last words") == status::ok) to_test.say(1);
    static_cast<void>(desk.turn([&](turn&) { static_cast<void>(to_test.hear()); }));
  });
  ASSERT_EQ(dies.hear(), 1U);
  let_sources_end();
  EXPECT_FALSE(system.wait_for(100ms));
  dies.kill();
  report_of(system.wait(), 0);
  EXPECT_EQ(table().at("last words"), 1);
}

TEST_F(Ports, DrainingDeliversAllThatWasAcceptedAndNothingAfterIt) {
  for (int round = 0; round < 5; ++round) {
    process system = start_ready(system_of({}));
    std::vector<std::unique_ptr<actor>> desks;
    for (int i = 0; i < 2; ++i) {
      desks.push_back(std::make_unique<actor>([&](const line& to_test) {
        port desk = join(name(), "desk");
        turn_output& to = desk.to("worker").any();
        std::uint64_t accepted = 0;
        while (send_surely(desk, to, "x") == status::ok) {
          if (++accepted == 100) to_test.say(1);
        }
        to_test.say(accepted);
        to_test.say(desk.is_open() ? 1U : 0U);
      }));
    }
    for (const auto& each : desks) ASSERT_EQ(each->hear(), 1U);
    EXPECT_EQ(cyto({"stop", name()}).exit_code, 0);
    const outcome end = system.wait();
    EXPECT_EQ(end.exit_code, 4) << end.err;  // No table is written.
    const json audit = last_line(end.out).at("audit");
    expect_balance(audit);
    std::uint64_t sum = 0;
    for (const auto& each : desks) {
      sum += each->hear();
      EXPECT_EQ(each->hear(), 0U);
      EXPECT_EQ(each->end(), 0);
    }
    EXPECT_EQ(accepted_in(audit, "desk/0 -> worker/0") + accepted_in(audit, "desk/1 -> worker/0"),
              sum);
    EXPECT_EQ(accepted_in(audit, "worker/0 -> sink/0"), sum);
    for (const json& lane : audit.at("lanes")) EXPECT_EQ(lane.at("in_flight").get<int>(), 0);
  }
}

TEST_F(Ports, APortTakesWhatWorkersSendAndTheRestWhileTheSystemDrains) {
  process system = start_ready(system_of({.takes_back = true}));
  names seen;
  {
    port sink = join(name(), "sink");
    const output workers = sink.to("worker");  // And back from there: no circle of waiting.
    for (int i = 0; i < 100; ++i) {
      const std::string text = "n" + std::to_string(i);
      ASSERT_EQ(send(sink, workers.any(), text), status::ok);
      names some;
      while (some.empty()) some = texts_in(sink.wait(100s));
      EXPECT_EQ(some, names{text});
    }
    for (int i = 0; i < 10; ++i) ASSERT_EQ(send(sink, workers.any(), "rest"), status::ok);
    process stop = start({"stop", name()});
    while (sink.is_open()) {
      for (const std::string& each : texts_in(sink.wait(100s))) seen.push_back(each);
    }
    EXPECT_EQ(stop.wait().exit_code, 0);
  }
  EXPECT_EQ(seen, names(10, "rest"));
  const outcome end = system.wait();
  EXPECT_EQ(end.exit_code, 0) << end.err;
  expect_balance(last_line(end.out).at("audit"));
  EXPECT_EQ(last_line(end.out).at("undelivered"), json::array());
}

TEST_F(Ports, WhatNobodyComesForDoesNotHoldTheEndUpAndIsTold) {
  process system = start(system_of({.source_messages = 7, .takes_back = true}));
  const outcome end = system.wait();
  const json report = report_of(end, 4);
  ASSERT_EQ(report.at("undelivered").size(), 1U) << report;
  EXPECT_EQ(report.at("undelivered")[0].at("lane"), "worker/0 -> sink/0");
  EXPECT_EQ(report.at("undelivered")[0].at("messages"), 7);
  EXPECT_NE(end.err.find("7 messages were for a port and not taken"), std::string::npos) << end.err;
  EXPECT_EQ(lines_of(end.err).size(), 1U) << end.err;
}

// Its senders wait for room, as for a worker; who joins late gets all.
TEST_F(Ports, AFullLaneToAPortHoldsItsSendersUpUntilSomebodyReads) {
  constexpr int many = 2000;
  process system = start(system_of({.source_messages = many, .takes_back = true, .lane = "4KiB"}));
  const json document = wait_for_status(system, [](const json& now) {
    for (const json& lane : now.at("lanes")) {
      if (lane.at("name") == "worker/0 -> sink/0" && lane.at("backlog_bytes").get<int>() > 3900) {
        return true;
      }
    }
    return false;
  });
  EXPECT_EQ(state_in(document, "sink/0"), "free");
  EXPECT_FALSE(system.wait_for(100ms));
  std::map<std::string, int> seen;
  {
    port sink = join(name(), "sink");
    while (seen.size() < many) {
      for (const std::string& each : texts_in(sink.wait(100s))) ++seen[each];
    }
  }
  for (const auto& [text, count] : seen) EXPECT_EQ(count, 1) << text;
  report_of(system.wait(), 0);
}

TEST_F(Ports, APortGoesOnWhileItsSupervisorIsDeadAndIsAdopted) {
  const arguments command = system_of({.source_messages = 10});
  std::optional<process> system(start_ready(command));
  std::optional<port> desk(join(name(), "desk"));
  const output workers = desk->to("worker");
  int sent = 0;
  const auto send_many = [&] {
    for (int i = 0; i < 500; ++i) {
      ASSERT_EQ(send_surely(*desk, workers.any(), "d" + std::to_string(sent++)), status::ok);
    }
  };
  let_sources_end();
  send_many();
  system->send_signal(SIGKILL);
  system->wait();
  send_many();
  {
    port second = join(name(), "desk");  // Nobody answers: through /proc.
    EXPECT_EQ(second.name(), "desk/1");
    ASSERT_EQ(send(second, second.to("worker").any(), "second"), status::ok);
  }
  process next = start_ready(command);
  let_sources_end();
  send_many();
  EXPECT_TRUE(desk->is_open());
  EXPECT_FALSE(next.wait_for(200ms));  // It knows that somebody may still send.
  desk.reset();
  const json report = report_of(next.wait(), 0);
  EXPECT_TRUE(report.at("adopted").get<bool>());
  const auto counts = table();
  EXPECT_EQ(counts.size(), 1511U);
  for (const auto& [text, count] : counts) EXPECT_EQ(count, 1) << text;
}

TEST_F(Ports, ASystemOfWhichOnlyAPortIsLeftIsGoneOnWith) {
  const arguments command = system_of({});
  std::optional<process> system(start_ready(command));
  {
    port desk = join(name(), "desk");
    const output workers = desk.to("worker");
    ASSERT_EQ(send(desk, workers.any(), "before"), status::ok);
    const process_ref worker(pids_of(*status()).at("worker/0"));
    const process_ref sink(pids_of(*status()).at("sink/0"));
    system->send_signal(SIGKILL);
    system->wait();
    for (const process_ref* each : {&worker, &sink}) {
      each->send_signal(SIGKILL);
      ASSERT_TRUE(each->wait_for_end(default_deadline));
    }
    ASSERT_EQ(send(desk, workers.any(), "between"), status::ok);
    process next = start_ready(command);
    ASSERT_EQ(send(desk, workers.any(), "after"), status::ok);
    wait_for_status(next, [](const json& now) { return now.at("quiet").get<bool>(); });
    EXPECT_EQ(cyto({"stop", name()}).exit_code, 0);
    const outcome end = next.wait();
    EXPECT_TRUE(last_line(end.out).at("adopted").get<bool>());
    EXPECT_EQ(accepted_in(last_line(end.out).at("audit"), "worker/0 -> sink/0"), 3U);
  }
}

TEST_F(Ports, StoppingWhatNobodySupervisesLeavesTheProgramsThatHaveJoined) {
  process system = start_ready(system_of({}));
  actor joined([&](const line& to_test) {
    port desk = join(name(), "desk");
    to_test.say(1);
    while (desk.is_open()) static_cast<void>(desk.wait(100s));
    to_test.say(send(desk, desk.to("worker").any(), "x") == status::closed ? 1U : 0U);
    static_cast<void>(to_test.hear());
  });
  ASSERT_EQ(joined.hear(), 1U);
  system.send_signal(SIGKILL);
  system.wait();
  EXPECT_EQ(cyto({"stop", name()}).exit_code, 0);
  EXPECT_EQ(joined.hear(), 1U);  // It was woken, and told.
  EXPECT_EQ(cyto({"status", name()}).exit_code, 3);
  EXPECT_EQ(cyto({"ps"}).exit_code, 3);
  joined.say(1);
  EXPECT_EQ(joined.end(), 0);
}

TEST_F(Ports, AStoppedSupervisorKeepsNobodyOut) {
  process system = start_ready(system_of({.source_messages = 10}));
  port first = join(name(), "desk");
  let_sources_end();
  system.send_signal(SIGSTOP);
  {
    port second = join(name(), "desk");
    EXPECT_EQ(send(second, second.to("worker").any(), "x"), status::ok);
  }
  std::optional<port> third(join(name(), "desk"));
  EXPECT_EQ(third->name(), "desk/1");
  system.send_signal(SIGCONT);
  third.reset();
  EXPECT_FALSE(system.wait_for(100ms));
  { const port leaves = std::move(first); }
  report_of(system.wait(), 0);
  EXPECT_EQ(table().at("x"), 1);
}

TEST_F(Ports, ThereAreNoOrdersForAPort) {
  process system = start_ready(system_of({}));
  const std::string free = "port desk/0: is no worker; nobody has joined it";
  expect_refused({"restart", "desk/0", name()}, free);
  expect_refused({"start", "desk", name()}, free);
  expect_refused({"stop", "--worker", "desk/0", name()}, free);
  expect_refused({"add", "desk", name()}, free);
  expect_refused({"remove", "desk/0", name()}, free);
  expect_refused({"why", "desk/0", name()}, "port desk/0: is no worker");
  {
    const port desk = join(name(), "desk");
    expect_refused({"restart", "desk/0", name()}, "process " + std::to_string(::getpid()));
  }
  const outcome planned = cyto({"plan", in_dir("ports.toml")});
  EXPECT_EQ(planned.exit_code, 0) << planned.err;
  EXPECT_NE(planned.out.find("a port: nothing is started"), std::string::npos) << planned.out;
  EXPECT_EQ(cyto({"stop", name()}).exit_code, 0);
  system.wait();
}

// Whoever is killed, often: workers, and whoever joins. Every message that was accepted is counted
// once, every other not at all.
TEST_F(Ports, PortsAndWorkersMayBeKilledAtAnyTime) {
  process system =
      start_ready(system_of({.source_messages = 0}) + arguments{"--chaos", kill_every(20)});
  std::vector<std::uint64_t> totals;
  for (int round = 0; round < 30; ++round) {
    actor desk([&](const line& to_test) {
      port mine = join(name(), "desk/0");
      const output workers = mine.to("worker");
      const auto total = mine.cell<counter>("total");
      to_test.say(total.value());
      for (;;) {
        const auto sent = mine.turn([&](turn& in) {
          total.add(in, 1);
          in.send<Update>(workers.any(), [&](flatbuffers::FlatBufferBuilder& fbb) {
            const std::string text = "d" + std::to_string(total.value());
            const auto* bytes = reinterpret_cast<const std::uint8_t*>(text.data());
            const auto cell = fbb.CreateVector(bytes, text.size());
            return CreateUpdate(fbb, cell, fbb.CreateVector(bytes, 1));
          });
        });
        if (sent == status::full) static_cast<void>(mine.wait(1ms));
        if (sent == status::closed) return;
      }
    });
    totals.push_back(desk.hear());
    EXPECT_FALSE(system.wait_for(std::chrono::milliseconds(round)));
    desk.kill();
  }
  std::uint64_t sent = 0;
  {
    port last = join(name(), "desk/0");
    sent = last.cell<counter>("total").value();
    EXPECT_GE(sent, totals.back());
    let_sources_end();
  }
  report_of(system.wait(), 0);
  const auto counts = table();
  EXPECT_EQ(counts.size(), sent);
  for (const auto& [text, count] : counts) EXPECT_EQ(count, 1) << text;
}

}  // namespace
}  // namespace cyto::test
