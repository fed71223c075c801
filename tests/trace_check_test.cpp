// The judge of traces: told what is right it finds nothing, told what is wrong it names it.
#include "trace_check.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <random>
#include <set>
#include <sstream>

#include "support/refusal.hpp"

namespace cyto::tools {
namespace {

using test::refusal;
using testing::AllOf;
using testing::HasSubstr;

// "A send 1 BC; A commit; B deliver A#1": node, event, message, targets.
std::string jsonl(const std::string& story) {
  std::ostringstream out;
  std::istringstream events(story);
  std::uint64_t i = 0;
  for (std::string each; std::getline(events, each, ';');) {
    std::istringstream words(each);
    std::string node, event, message, targets;
    words >> node >> event >> message >> targets;
    if (node.empty()) continue;
    out << R"({"node":")" << node << R"(","i":)" << ++i << R"(,"event":")" << event << '"';
    if (!message.empty()) out << R"(,"msg":")" << message << '"';
    for (std::size_t at = 0; at < targets.size(); ++at) {
      out << (at == 0 ? R"(,"to":[")" : R"(",")") << targets[at];
    }
    out << (targets.empty() ? "}\n" : "\"]}\n");
  }
  return out.str();
}

trace_verdict judge_text(const std::string& text, bool is_window = false) {
  std::istringstream from(text);
  return check_trace(read_trace(from, "test"), is_window);
}
trace_verdict judge(const std::string& story, bool is_window = false) {
  return judge_text(jsonl(story), is_window);
}
std::string findings(const trace_verdict& of) {
  std::string out;
  for (const trace_finding& each : of.first) out += each.law + ": " + each.text + "\n";
  return out;
}

TEST(TraceCheck, NothingIsFoundInWhatIsRight) {
  const trace_verdict all = judge(
      "A send A#1 BC; A send A#2 B; A commit; B deliver A#1; B send B#1 C; B commit;"
      "B deliver A#2; B commit; C deliver A#1; C deliver B#1; C commit");
  EXPECT_EQ(findings(all), "");
  EXPECT_EQ(all.sent, 3U);
  EXPECT_EQ(all.delivered, 4U);
  EXPECT_EQ(all.turns, 4U);
  EXPECT_EQ(all.undone, 0U);
}

TEST(TraceCheck, TheOrderOfLinesOfDifferentNodesDoesNotMatter) {
  EXPECT_EQ(findings(judge("C deliver A#1; C deliver B#1; C commit; B deliver A#1; B send B#1 C;"
                           "B commit; A send A#1 BC; A commit")),
            "");
}

TEST(TraceCheck, MessagesOfOneSenderOutOfOrder) {
  EXPECT_EQ(findings(judge("A send A#1 B; A commit; A send A#2 B; A commit;"
                           "B deliver A#2; B deliver A#1; B commit")),
            "fifo: B was handed A#2 before A#1, which A had sent earlier\n");
}

TEST(TraceCheck, AnEffectBeforeItsCause) {
  EXPECT_EQ(findings(judge("A send A#1 C; A commit; A send A#2 B; A commit;"
                           "B deliver A#2; B send B#1 C; B commit;"
                           "C deliver B#1; C deliver A#1; C commit")),
            "causal: C was handed B#1 before A#1, on which it depends\n");
}

TEST(TraceCheck, AnEffectBeforeTheCauseOfItsCauseThreeNodesAway) {
  EXPECT_THAT(findings(judge("A send A#1 D; A commit; A send A#2 B; A commit;"
                             "B deliver A#2; B send B#1 C; B commit;"
                             "C deliver B#1; C send C#1 D; C commit;"
                             "D deliver C#1; D commit; D deliver A#1; D commit")),
              HasSubstr("causal: D was handed C#1 before A#1"));
}

TEST(TraceCheck, ConcurrentMessagesComeInAnyOrder) {
  const std::string sent = "A send A#1 C; A commit; B send B#1 C; B commit;";
  EXPECT_EQ(findings(judge(sent + "C deliver A#1; C deliver B#1; C commit")), "");
  EXPECT_EQ(findings(judge(sent + "C deliver B#1; C deliver A#1; C commit")), "");
}

// What a turn sends becomes visible at once: also what it sent after the cause.
TEST(TraceCheck, ATurnIsOneEvent) {
  const std::string sent =
      "A send A#1 B; A send A#2 C; A commit; B deliver A#1; B send B#1 C; B commit;";
  EXPECT_EQ(findings(judge(sent + "C deliver A#2; C deliver B#1; C commit")), "");
  EXPECT_THAT(findings(judge(sent + "C deliver B#1; C deliver A#2; C commit")),
              HasSubstr("causal: C was handed B#1 before A#2"));
  // It depends on all that it was handed, also on what came after it had sent.
  EXPECT_THAT(findings(judge("A send A#1 BC; A commit; B send B#1 C; B deliver A#1; B commit;"
                             "C deliver B#1; C deliver A#1; C commit")),
              HasSubstr("causal: C was handed B#1 before A#1"));
}

TEST(TraceCheck, AMessageToOneselfIsOrderedToo) {
  const std::string sent = "B send B#1 A; B commit; A deliver B#1; A send A#1 A; A commit;";
  EXPECT_EQ(findings(judge(sent + "A deliver A#1; A commit")), "");
  EXPECT_THAT(findings(judge("B send B#1 A; B send B#2 A; B commit; A deliver B#1; A send A#1 A;"
                             "A commit; A deliver A#1; A deliver B#2; A commit")),
              HasSubstr("causal: A was handed A#1 before B#2"));
}

TEST(TraceCheck, WhatIsMissingOrDoubledOrComesFromNowhere) {
  EXPECT_EQ(findings(judge("A send A#1 BC; A commit; B deliver A#1; B commit")),
            "missing: A#1 was sent to C and never handed to it\n");
  EXPECT_EQ(findings(judge("A send A#1 B; A commit; B deliver A#1; B commit; B deliver A#1;"
                           "B commit")),
            "doubled: B was handed A#1 twice\n");
  EXPECT_EQ(findings(judge("A send A#1 B; A commit; A send A#1 B; A commit; B deliver A#1;"
                           "B commit")),
            "doubled: A#1 was sent twice, by A\n");
  EXPECT_EQ(findings(judge("B deliver A#1; B commit")),
            "phantom: B was handed A#1, which nobody has sent\n");
  EXPECT_THAT(findings(judge("A send A#1 C; A commit; B deliver A#1; B commit; C deliver A#1;"
                             "C commit")),
              HasSubstr("phantom: B was handed A#1, which was sent to others"));
}

TEST(TraceCheck, WhatNoCommitHasEndedDidNotHappen) {
  const trace_verdict all = judge(
      "A send A#1 B; A crash; A send A#1 B; A commit; B deliver A#1; B send B#1 A; B crash;"
      "B deliver A#1; B commit; B deliver A#9");
  EXPECT_EQ(findings(all), "");
  EXPECT_EQ(all.undone, 4U);
  EXPECT_EQ(findings(judge("A send A#1 B; A crash; B deliver A#1; B commit")),
            "phantom: B was handed A#1, which nobody has sent\n");
  EXPECT_EQ(findings(judge("A send A#1 B; A commit; B deliver A#1; B crash")),
            "missing: A#1 was sent to B and never handed to it\n");
}

TEST(TraceCheck, NobodyWaitsForWhatWasDropped) {
  EXPECT_EQ(findings(judge("A send A#1 B; A drop A#1 B; A commit; A send A#2 B; A commit;"
                           "B deliver A#2; B commit")),
            "");
  const trace_verdict by_receiver = judge(
      "A send A#1 B; A send A#2 B; A commit; B drop A#1; B deliver A#2; B commit;"
      "A send A#3 B; A commit; B deliver A#3; B commit");
  EXPECT_EQ(by_receiver.dropped, 1U);
  EXPECT_THAT(findings(judge("A send A#1 B; A commit; B deliver A#1; B commit; B drop A#1;"
                             "B commit")),
              HasSubstr("doubled: A#1 was dropped for B after"));
}

TEST(TraceCheck, ACircleOfMessagesThatWaitForEachOtherIsNoHistory) {
  EXPECT_THAT(findings(judge("A deliver B#1; A send A#1 B; A commit;"
                             "B deliver A#1; B send B#1 A; B commit")),
              HasSubstr("could send it"));
}

TEST(TraceCheck, AWindowMayBeginAndEndWhileMessagesAreUnderWay) {
  const std::string story =
      "B deliver A#1; B commit; A send A#2 B; A commit; B deliver A#2; B commit; A send A#3 B;"
      "A commit";
  EXPECT_EQ(findings(judge(story, true)), "");
  EXPECT_EQ(judge(story).findings, 2U);
  EXPECT_THAT(
      findings(judge("A send A#2 B; A send A#3 B; A commit; B deliver A#3; B commit", true)),
      HasSubstr("fifo"));
}

TEST(TraceCheck, LinesThatAreNoEventsAreRefusedWithTheirNumber) {
  for (const auto& [line, why] : std::initializer_list<std::pair<const char*, const char*>>{
           {"[1]", "is no JSON object"},
           {"{\"node\":", "is no JSON object"},
           {R"({"i":1,"event":"commit"})", "has no text 'node'"},
           {R"({"node":"A","event":"commit"})", "has no number 'i'"},
           {R"({"node":"A","i":-1,"event":"commit"})", "has no number 'i'"},
           {R"({"node":"A","i":1,"event":"eat"})", "event 'eat'"},
           {R"({"node":"A","i":1,"event":"deliver"})", "has no text 'msg'"},
           {R"({"node":"A","i":1,"event":"send","msg":"A#1"})", "has no list 'to'"},
           {R"({"node":"A","i":1,"event":"send","msg":"A#1","to":[]})", "has no list 'to'"},
           {R"({"node":"A","i":1,"event":"send","msg":"A#1","to":[1]})", "is no text"}}) {
    EXPECT_THAT(refusal([&] { judge_text(std::string("\n") + line + "\n"); }),
                AllOf(HasSubstr("test:2"), HasSubstr(why)))
        << line;
  }
  const char* same = "{\"node\":\"A\",\"i\":1,\"event\":\"commit\"}\n";
  EXPECT_THAT(refusal([&] { judge_text(std::string(same) + same); }),
              HasSubstr("two events of number 1"));
}

// ---- histories at random ----

enum class delivery { least_stamp, any_sender, any_message };

// A system in which all is visible at once; who delivers the least stamp first is causal.
std::string history(unsigned seed, delivery how, unsigned nodes = 5, int steps = 1500) {
  struct message {
    std::string name;
    std::uint64_t stamp;
  };
  std::mt19937 engine(seed);
  const auto random = [&engine] { return static_cast<unsigned>(engine()); };
  std::vector<std::vector<std::deque<message>>> lanes(nodes,
                                                      std::vector<std::deque<message>>(nodes));
  std::vector<std::uint64_t> clock(nodes), events(nodes), sent(nodes);
  std::ostringstream out;
  const auto tell = [&](unsigned node, const char* event, const std::string& more = "") {
    out << R"({"node":"n)" << node << R"(","i":)" << events[node]++ << R"(,"event":")" << event
        << '"' << more << "}\n";
  };
  // The front to take: sender and place in its lane; {nodes, 0} if there is none.
  const auto choose = [&](unsigned node) {
    std::pair<unsigned, std::size_t> best{nodes, 0};
    for (unsigned i = 0; i < nodes; ++i) {
      const unsigned from = how == delivery::least_stamp ? i : (i + random()) % nodes;
      const auto& lane = lanes[node][from];
      if (lane.empty()) continue;
      if (how == delivery::any_message && lane.size() > 1)
        return std::pair<unsigned, std::size_t>{from, random() % 2};
      const bool is_less = best.first == nodes || lane[0].stamp < lanes[node][best.first][0].stamp;
      if (how == delivery::least_stamp ? is_less : best.first == nodes) best = {from, 0};
    }
    return best;
  };
  const auto turn = [&](unsigned node, bool may_send) {
    std::vector<std::pair<unsigned, message>> taken;
    for (unsigned left = 1 + random() % 3; left > 0; --left) {
      const auto [from, place] = choose(node);
      if (from == nodes) break;
      auto& lane = lanes[node][from];
      const auto at = lane.begin() + static_cast<std::ptrdiff_t>(place);
      taken.emplace_back(from, *at);
      tell(node, "deliver", R"(,"msg":")" + at->name + '"');
      lane.erase(at);
    }
    std::uint64_t stamp = clock[node];
    for (const auto& each : taken) stamp = std::max(stamp, each.second.stamp);
    ++stamp;
    std::vector<std::pair<std::string, std::set<unsigned>>> sends;
    const std::uint64_t sent_before = sent[node];
    for (unsigned left = may_send ? random() % 3 : 0; left > 0; --left) {
      std::set<unsigned> to;
      for (unsigned targets = 1 + random() % 3; targets > 0; --targets) to.insert(random() % nodes);
      const std::string name = "n" + std::to_string(node) + "#" + std::to_string(++sent[node]);
      std::string list;
      for (const unsigned each : to) {
        list += (list.empty() ? "\"n" : ",\"n") + std::to_string(each) + '"';
      }
      tell(node, "send", R"(,"msg":")" + name + R"(","to":[)" + list + "]");
      sends.emplace_back(name, to);
    }
    if (how == delivery::least_stamp && random() % 20 == 0) {
      tell(node, "crash");
      sent[node] = sent_before;
      for (auto each = taken.rbegin(); each != taken.rend(); ++each) {
        lanes[node][each->first].push_front(each->second);
      }
      return;
    }
    tell(node, "commit");
    clock[node] = stamp;
    for (const auto& [name, to] : sends) {
      for (const unsigned each : to) lanes[each][node].push_back({name, stamp});
    }
  };
  for (int i = 0; i < steps; ++i) turn(random() % nodes, true);
  const auto is_quiet = [&] {
    for (const auto& to : lanes) {
      for (const auto& lane : to) {
        if (!lane.empty()) return false;
      }
    }
    return true;
  };
  while (!is_quiet()) turn(random() % nodes, false);
  return out.str();
}

TEST(TraceCheck, HistoriesOfACausalSystemAreGood) {
  for (unsigned seed = 1; seed <= 20; ++seed) {
    const trace_verdict verdict = judge_text(history(seed, delivery::least_stamp));
    EXPECT_EQ(findings(verdict), "") << "seed " << seed;
    EXPECT_GT(verdict.delivered, 1000U);
    EXPECT_GT(verdict.undone, 10U);
  }
}

TEST(TraceCheck, HistoriesOfASystemThatHandsOverAnySendersFirstAreCaught) {
  for (unsigned seed = 1; seed <= 20; ++seed) {
    const trace_verdict verdict = judge_text(history(seed, delivery::any_sender));
    EXPECT_GT(verdict.findings, 0U) << "seed " << seed;
    EXPECT_THAT(findings(verdict), testing::Not(HasSubstr("fifo"))) << "seed " << seed;
    EXPECT_THAT(findings(judge_text(history(seed, delivery::any_message))), HasSubstr("fifo"));
  }
}

}  // namespace
}  // namespace cyto::tools
