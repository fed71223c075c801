// From flight recorders to turns, to texts, and to the judge: what a system did is found good, and
// what somebody has bent is not.
#include "trace_turns.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <sstream>

#include "support/files.hpp"
#include "support/refusal.hpp"
#include "support/system.hpp"
#include "topology_file.hpp"
#include "trace_check.hpp"
#include "trace_formats.hpp"

namespace cyto::tools {
namespace {

using json = nlohmann::json;
using test::drain;
using test::send;
using test::stage;
using testing::HasSubstr;

using flights = std::vector<std::vector<flight_entry>>;

trace_verdict judge(const traced_system& of, bool is_window = true) {
  std::istringstream text(jsonl_of(of));
  return check_trace(read_trace(text, "test"), is_window);
}
std::string findings(const trace_verdict& of) {
  std::string out;
  for (const trace_finding& each : of.first) out += each.law + ": " + each.text + "\n";
  return out;
}

// A system of slots in this process that is traced from its first turn on.
struct traced_slots {
  traced_slots(const std::vector<std::string>& names,
               const std::vector<std::pair<unsigned, unsigned>>& lanes,
               std::uint64_t trace_bytes = 1U << 20, const std::vector<unsigned>& deferring = {})
      : where(segment::create([&] {
          segment_plan plan = test::small_plan(names, lanes);
          for (slot_plan& each : plan.slots) each.trace_bytes = trace_bytes;
          for (const unsigned each : deferring) {
            plan.lanes.push_back({each, each, 1U << 16, lane_purpose::deferred});
          }
          return plan;
        }())),
        board_pages(where.map_board()) {
    trace(1);
    for (std::uint32_t i = 0; i < where.slot_count(); ++i) {
      slots.push_back(std::make_unique<slot>(where, i));
      readers.emplace_back(where, i, 1);
    }
    seen.resize(readers.size());
    // The readers were made after the slots, so the next end of a turn is the first they see.
    for (const auto& each : slots) each->the_turn().commit();
  }
  void trace(std::uint32_t period) {
    reinterpret_cast<board*>(board_pages.data())->tracing.publish(period);
  }
  slot& at(std::size_t index) { return *slots[index]; }
  void read() {
    for (std::size_t i = 0; i < readers.size(); ++i) readers[i].read(seen[i]);
  }
  traced_system turns() {
    read();
    return turns_of(where, seen);
  }

  segment where;
  mapping board_pages;
  std::vector<std::unique_ptr<slot>> slots;
  std::vector<flight_reader> readers;
  flights seen;
};

// Takes what is deferred and then what comes; asks for the first message once more.
void handle_all(slot& mine, bool first_comes_again) {
  turn& in = mine.the_turn();
  message_view view;
  for (bool again = first_comes_again;; again = false) {
    turn_input* from = in.pending();
    if (from != nullptr) {
      from = mine.incoming().front_of(*from, view);
    } else {
      from = in.deferred_front(view);
      if (from == nullptr) from = mine.incoming().next(view);
    }
    if (from == nullptr) return;
    in.take(*from, view);
    in.set_pending(again ? from : nullptr);
    if (!again) turn::consume(*from, view);
    if (!again) mine.incoming().taken(*from);
    in.commit();
  }
}

TEST(TraceTurns, WhatIsDeferredIsHandedOverOnceUnderTheNameThatItWasSentBy) {
  traced_slots system({"a", "b"}, {{0, 1}}, 1U << 20, {1});
  slot& b = system.at(1);
  for (const char* each : {"1", "2", "3", "4"}) send(system.at(0), 0, each);
  message_view view;
  const auto defer_next = [&] {
    turn_input* from = b.incoming().next(view);
    ASSERT_TRUE(from != nullptr && b.the_turn().defer(*from, view));
    b.incoming().taken(*from);
  };
  defer_next();
  b.the_turn().abort();  // Has not happened.
  b.incoming().reset();
  defer_next();
  defer_next();
  b.the_turn().commit();
  handle_all(b, true);
  const traced_system seen = system.turns();
  const trace_verdict verdict = judge(seen, false);
  EXPECT_EQ(findings(verdict), "");
  EXPECT_EQ(verdict.sent, 4U);
  EXPECT_EQ(verdict.delivered, 4U);
}

// Random traffic among four, each with a lane to each: turns that take and send, abort now and
// then, and are handed something again.
void run_at_random(traced_slots& system, std::uint64_t seed, int turns, bool is_read = true) {
  std::mt19937_64 random(seed);
  for (int i = 0; i < turns; ++i) {
    const std::size_t who = random() % system.slots.size();
    slot& mine = system.at(who);
    turn& in = mine.the_turn();
    message_view view;
    const std::uint64_t most = random() % 4;
    for (std::uint64_t taken = 0; taken < most; ++taken) {
      turn_input* pending = in.pending();
      turn_input* from = pending != nullptr ? mine.incoming().front_of(*pending, view)
                                            : mine.incoming().next(view);
      if (from == nullptr) break;
      in.take(*from, view);
      const bool comes_again = random() % 16 == 0;
      in.set_pending(comes_again ? from : nullptr);
      if (comes_again) break;
      turn::consume(*from, view);
      mine.incoming().taken(*from);
    }
    const std::uint64_t sends = random() % 3;
    for (std::uint64_t sent = 0; sent < sends; ++sent) {
      const std::string payload(random() % 200, 'x');
      static_cast<void>(stage(mine, random() % in.outputs().size(), payload));
    }
    if (in.fault() != turn_fault::none || random() % 16 == 0) {
      in.abort();
      mine.incoming().reset();
    } else {
      in.commit();
    }
    if (is_read && random() % 8 == 0) system.read();
  }
}

traced_slots four(std::uint64_t trace_bytes = 1U << 20) {
  std::vector<std::pair<unsigned, unsigned>> lanes;
  for (unsigned i = 0; i < 4; ++i) {
    for (unsigned j = 0; j < 4; ++j) {
      if (i != j) lanes.emplace_back(i, j);
    }
  }
  return {{"a", "b", "c", "d"}, lanes, trace_bytes};
}

TEST(TraceTurns, WhatRunsIsFoundGood) {
  for (unsigned seed = 1; seed <= 10; ++seed) {
    traced_slots system = four();
    run_at_random(system, seed, 4'000);
    const trace_verdict verdict = judge(system.turns());
    EXPECT_EQ(findings(verdict), "") << "seed " << seed;
    EXPECT_GT(verdict.delivered, 1'000U);
    for (const traced_worker& each : system.turns().workers) EXPECT_EQ(each.missed, 0U);
  }
}

// Readers that come late, and are lapped, leave out what cannot be told; what is left is good.
TEST(TraceTurns, ARecordingWithGapsIsGoodInWhatIsThere) {
  for (unsigned seed = 1; seed <= 10; ++seed) {
    traced_slots system = four(4096);
    std::mt19937_64 random(seed);
    for (int part = 0; part < 40; ++part) {
      run_at_random(system, random(), 50);
      run_at_random(system, random(), static_cast<int>(random() % 3) * 200, false);
    }
    const traced_system all = system.turns();
    std::uint64_t missed = 0;
    for (const traced_worker& each : all.workers) missed += each.missed;
    EXPECT_GT(missed, 1'000U);
    const trace_verdict verdict = judge(all);
    EXPECT_EQ(findings(verdict), "") << "seed " << seed;
    EXPECT_GT(verdict.delivered, 100U);
  }
}

// The control: two deliveries of one lane change places, and the judge says so.
TEST(TraceTurns, TwoDeliveriesThatChangePlacesAreFound) {
  traced_slots system({"a", "b"}, {{0, 1}});
  for (int i = 0; i < 50; ++i) {
    send(system.at(0), 0, "one");
    send(system.at(0), 0, "two");
    drain(system.at(1));
  }
  traced_system all = system.turns();
  ASSERT_EQ(findings(judge(all)), "");
  auto& steps = all.workers[1].steps;
  ASSERT_EQ(steps.size(), 100U);
  std::swap(steps[40].position, steps[41].position);
  EXPECT_THAT(findings(judge(all)), HasSubstr("fifo: b was handed a#0."));
}

TEST(TraceTurns, AnEffectBeforeItsCauseIsFound) {
  traced_slots system({"a", "b", "c"}, {{0, 1}, {0, 2}, {1, 2}});
  for (int i = 0; i < 20; ++i) {
    stage(system.at(0), 1, "the cause");
    stage(system.at(0), 0, "to b");
    system.at(0).the_turn().commit();
    drain(system.at(1));
    send(system.at(1), 0, "the effect");
    ASSERT_EQ(drain(system.at(2)).size(), 2U);
  }
  traced_system all = system.turns();
  ASSERT_EQ(findings(judge(all)), "");
  auto& steps = all.workers[2].steps;
  ASSERT_GT(steps.size(), 11U);
  std::swap(steps[10], steps[11]);
  std::swap(steps[10].number, steps[11].number);
  EXPECT_THAT(findings(judge(all)), HasSubstr("causal: c was handed b#2."));
}

// ---- stories of events ----

class Story : public testing::Test {
 protected:
  Story() : system_({"a", "b"}, {{0, 1}}), all_(2) {}

  void note(std::size_t slot, flight what, std::uint32_t lane = 0, std::uint32_t detail = 0,
            std::uint64_t first = 0, std::uint64_t second = 0) {
    all_[slot].push_back({++last_, what, lane, detail, first, second});
  }
  traced_system turns() { return turns_of(system_.where, all_); }
  // "send 0; commit; crash": of one worker, with positions.
  static std::string told(const traced_system& of, std::size_t slot) {
    std::istringstream lines(jsonl_of(of));
    std::string out;
    for (std::string line; std::getline(lines, line);) {
      const json each = json::parse(line);
      if (each["node"] != of.workers[slot].name) continue;
      out += (out.empty() ? "" : "; ") + each["event"].get<std::string>();
      if (each.contains("seq")) out += " " + std::to_string(each["seq"].get<unsigned>());
    }
    return out;
  }
  static std::vector<std::uint64_t> ends(const traced_system& of, std::size_t slot) {
    std::vector<std::uint64_t> out;
    for (const traced_turn& each : of.workers[slot].turns) out.push_back(each.ended_ns);
    return out;
  }
  test::small_system system_;
  flights all_;
  std::uint64_t last_ = 0;
};

TEST_F(Story, OfATurnThatWasCommittedAndNotNotedTheSuccessorTells) {
  note(0, flight::committed, 0, 0, 5);
  note(0, flight::sent, 0, 1, 8, 0);
  note(0, flight::recovered, 0, 0, 6, 100);
  note(0, flight::started, 0, 2, 77, 100);
  note(0, flight::sent, 0, 1, 8, 64);
  note(0, flight::committed, 0, 0, 7, 200);
  EXPECT_EQ(told(turns(), 0), "send 0; commit; crash; send 1; commit");
}

TEST_F(Story, OfATurnThatWasNotItTellsThatToo) {
  note(0, flight::committed, 0, 0, 5);
  note(0, flight::sent, 0, 1, 8, 0);
  note(0, flight::recovered, 0, 0, 5, 100);
  note(0, flight::started, 0, 2, 77, 100);
  note(0, flight::sent, 0, 1, 8, 0);
  note(0, flight::committed, 0, 0, 7, 200);
  EXPECT_EQ(told(turns(), 0), "send 0; crash; send 0; commit");
  EXPECT_EQ(judge(turns()).undone, 1U);
}

TEST_F(Story, WhoHasEndedByHimselfHasNotCrashed) {
  note(0, flight::committed, 0, 0, 5);
  note(0, flight::ended);
  note(0, flight::recovered, 0, 0, 5, 100);
  note(0, flight::started, 0, 2, 77, 100);
  note(0, flight::sent, 0, 1, 8, 0);
  note(0, flight::committed, 0, 0, 7, 200);
  EXPECT_EQ(told(turns(), 0), "send 0; commit");
}

TEST_F(Story, AnAbortedTurnIsNotTold) {
  note(0, flight::committed, 0, 0, 5);
  note(0, flight::sent, 0, 1, 8, 0);
  note(0, flight::aborted);
  note(0, flight::sent, 0, 1, 9, 0);
  note(0, flight::committed, 0, 0, 7, 200);
  EXPECT_EQ(told(turns(), 0), "send 0; commit");
}

// The clock is asked for some turns only, while they are quick.
TEST_F(Story, TurnsWithoutATimeEndSoonAfterTheOneBefore) {
  note(0, flight::committed, 0, 0, 5, 1'000);
  for (const std::uint64_t at : {0U, 0U, 0U, 3'000U, 0U, 0U, 0U, 900'000U, 0U}) {
    note(0, flight::committed, 0, 0, 5 + last_, at);
  }
  note(0, flight::sleeping, 0, 0, 900'500);
  note(0, flight::committed, 0, 0, 5 + last_, 950'000);
  EXPECT_THAT(ends(turns(), 0),
              testing::ElementsAre(1'500, 2'000, 2'500, 3'000,    // Evenly;
                                   4'024, 5'048, 6'072, 900'000,  // the pause was after them;
                                   900'250, 950'000));            // before it fell asleep.
  note(0, flight::none, 0, 0, 1'000);
  note(0, flight::committed, 0, 0, 2'000, 0);  // The end of a turn that is not there whole.
  note(0, flight::committed, 0, 0, 2'001, 0);
  note(0, flight::committed, 0, 0, 2'002, 2'000'000);
  const auto after = ends(turns(), 0);
  EXPECT_GT(after[10], 1'990'000U) << "what came after a gap is near what came next";
}

TEST_F(Story, ATurnWithoutATimeEndsAfterWhatItWasHandedWasThere) {
  note(0, flight::committed, 0, 0, 5, 1'000);
  note(0, flight::sent, 0, 1, 8, 0);
  note(0, flight::committed, 0, 0, 6, 500'000);
  note(1, flight::committed, 0, 0, 5, 1'000);
  note(1, flight::taken, 0, 1, 0, 6);
  note(1, flight::committed, 0, 0, 7);
  note(1, flight::committed, 0, 0, 8, 600'000);
  EXPECT_THAT(ends(turns(), 0), testing::ElementsAre(500'000));
  EXPECT_THAT(ends(turns(), 1), testing::ElementsAre(500'000, 600'000));
}

TEST_F(Story, WhatComesAgainIsHandedOverOnce) {
  note(1, flight::committed, 0, 0, 5);
  note(1, flight::taken, 0, 1, 0, 1);
  note(1, flight::committed, 0, 1, 6);
  note(1, flight::taken, 0, 1, 0, 1);
  note(1, flight::taken, 0, 1, 64, 1);
  note(1, flight::committed, 0, 0, 7);
  EXPECT_EQ(told(turns(), 1), "deliver 0; commit; deliver 1; commit");
  // That nobody has announced is another matter.
  all_[1][2].detail = 0;
  EXPECT_EQ(told(turns(), 1), "deliver 0; commit; deliver 0; deliver 1; commit");
}

TEST_F(Story, WhatIsSetAsideIsDropped) {
  note(1, flight::committed, 0, 0, 5);
  note(1, flight::set_aside, 0, 1, 17, 128);
  note(1, flight::committed, 0, 0, 6);
  EXPECT_EQ(told(turns(), 1), "drop 2; commit");
}

// Sent in the part that is recorded, handed over before: left out, or the next would seem early.
TEST_F(Story, WhatWasPassedUnrecordedIsLeftOutOfWhatWasSent) {
  note(0, flight::committed, 0, 0, 5);
  for (const std::uint64_t position : {0U, 64U, 128U, 192U}) {
    note(0, flight::sent, 0, 1, 8, position);
    note(0, flight::committed, 0, 0, 6 + position);
  }
  note(1, flight::taken, 0, 1, 0, 1);  // Of a turn whose beginning is not there.
  note(1, flight::committed, 0, 0, 5);
  note(1, flight::taken, 0, 1, 64, 1);
  note(1, flight::committed, 0, 0, 6);
  EXPECT_EQ(told(turns(), 0), "commit; send 1; commit; send 2; commit; send 3; commit");
  EXPECT_EQ(findings(judge(turns())), "");
  // A gap, in which it was handed the third.
  note(1, flight::none, 0, 0, 3);
  note(1, flight::committed, 0, 0, 7);
  note(1, flight::taken, 0, 1, 192, 1);
  note(1, flight::committed, 0, 0, 8);
  EXPECT_EQ(told(turns(), 0), "commit; send 1; commit; commit; send 3; commit");
  EXPECT_EQ(findings(judge(turns())), "");
  EXPECT_EQ(turns().workers[1].missed, 3U);
}

// Without a gap nothing is left out: one that was passed over is a finding.
TEST_F(Story, AMessageThatWasPassedOverIsFound) {
  note(0, flight::committed, 0, 0, 5);
  for (const std::uint64_t position : {0U, 64U, 128U}) note(0, flight::sent, 0, 1, 8, position);
  note(0, flight::committed, 0, 0, 6);
  note(1, flight::committed, 0, 0, 5);
  note(1, flight::taken, 0, 1, 0, 1);
  note(1, flight::taken, 0, 1, 128, 1);
  note(1, flight::committed, 0, 0, 6);
  EXPECT_THAT(findings(judge(turns())), HasSubstr("b was handed a#0.2 before a#0.1"));
}

TEST_F(Story, LanesThatThereAreNotAreIgnored) {
  note(0, flight::committed, 0, 0, 5);
  note(0, flight::sent, 7, 1, 8, 0);
  note(0, flight::taken, 0, 1, 8, 0);
  note(0, static_cast<flight>(200), 7, 1, 8, 0);
  note(0, flight::committed, 0, 0, 6);
  EXPECT_EQ(told(turns(), 0), "commit");
}

// ---- the memory for it ----

TEST(TraceMemory, IsChosenInTheTopology) {
  const test::temp_dir folder;
  const auto read = [&](const std::string& memory) {
    test::write_file(folder / "t.toml",
                     "name = \"x\"\n[[worker]]\nname = \"a\"\nprogram = \"true\"\n"
                     "[[port]]\nname = \"p\"\n" +
                         memory);
    topology_request request;
    request.path = folder / "t.toml";
    request.programs = "/bin";
    return read_topology(request);
  };
  EXPECT_EQ(plan_of(read("")).slots[0].trace_bytes, 256U << 10);
  const segment_plan large = plan_of(read("[memory]\ntrace_bytes = \"1MiB\"\n"));
  EXPECT_EQ(large.slots[0].trace_bytes, 1U << 20);
  EXPECT_EQ(large.slots[1].trace_bytes, 1U << 20);
  EXPECT_NE(large.fingerprint, plan_of(read("")).fingerprint);
  EXPECT_EQ(plan_of(read("[memory]\ntrace_bytes = 0\n")).slots[0].trace_bytes, 0U);
  for (const char* bad : {"2048", "12288", "\"2GiB\"", "-1", "\"much\""}) {
    EXPECT_THAT(test::refusal([&] { read(std::string("[memory]\ntrace_bytes = ") + bad + "\n"); }),
                HasSubstr("trace_bytes"))
        << bad;
  }
}

// ---- the other formats ----

TEST(TraceChrome, TurnsBeginAndEndAndEachFlowHasBothItsEnds) {
  traced_slots system = four();
  run_at_random(system, 3, 3'000);
  const json all = json::parse(chrome_of(system.turns()));
  std::map<int, int> open;
  std::map<int, double> last;
  std::map<std::string, double> begun;
  std::map<std::string, double> finished;
  std::size_t turns = 0;
  for (const json& each : all.at("traceEvents")) {
    const std::string phase = each.at("ph");
    if (phase == "M") continue;
    const int thread = each.at("tid");
    const double ts = each.at("ts");
    EXPECT_GE(ts, 0);
    EXPECT_GE(ts, last[thread]) << each;
    last[thread] = ts;
    if (phase == "B") {
      EXPECT_EQ(open[thread]++, 0);
      ++turns;
    }
    if (phase == "E") {
      EXPECT_EQ(--open[thread], 0);
    }
    if (phase == "s" || phase == "f") {
      EXPECT_EQ(open[thread], 1) << "a flow binds to the turn around it";
      auto& at = phase == "s" ? begun : finished;
      EXPECT_TRUE(at.emplace(each.at("id"), ts).second) << each;
    }
  }
  for (const auto& [thread, count] : open) EXPECT_EQ(count, 0) << thread;
  EXPECT_GT(turns, 1'000U);
  EXPECT_GT(begun.size(), 500U);
  ASSERT_EQ(begun.size(), finished.size());
  for (const auto& [id, ts] : begun) {
    ASSERT_TRUE(finished.contains(id)) << id;
    EXPECT_LE(ts, finished.at(id)) << "an arrow that leads back in time: " << id;
  }
}

TEST(TraceDot, CountsWhatWasSentAndMarksCycles) {
  traced_slots system({"a", "b", "c"}, {{0, 1}, {1, 0}, {1, 2}});
  for (int i = 0; i < 3; ++i) {
    send(system.at(0), 0, "to b");
    drain(system.at(1));
    send(system.at(1), 1, "to c");
    send(system.at(1), 0, "to a");
    send(system.at(1), 0, "to a");
    drain(system.at(0));
  }
  const std::string dot = dot_of(system.turns());
  EXPECT_THAT(dot, HasSubstr(R"("a" -> "b" [label="3", color=red)"));
  EXPECT_THAT(dot, HasSubstr(R"("b" -> "a" [label="6", color=red)"));
  EXPECT_THAT(dot, HasSubstr(R"("b" -> "c" [label="3"];)"));
}

}  // namespace
}  // namespace cyto::tools
