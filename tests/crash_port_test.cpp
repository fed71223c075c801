// Whoever has joined a running system is killed: at the beginning and at the end of every system
// call of its joining and its leaving, and at instructions in the midst of its turns. What it had
// committed is there, once; whoever joins next goes on from there, and the others never notice.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <optional>
#include <string>
#include <vector>

#include "cyto/cyto.hpp"
#include "support/files.hpp"
#include "support/inquiry.hpp"
#include "support/ported.hpp"
#include "support/residue.hpp"
#include "support/stepped.hpp"
#include "support/watchdog.hpp"

namespace cyto::test {
namespace {

using namespace std::chrono_literals;
using tree::Node;
using numbers = std::vector<std::uint64_t>;

constexpr std::uint64_t sent_in_a_turn = 3;

class CrashPort : public testing::Test {
 protected:
  CrashPort() : guard_(std::chrono::seconds(is_full() ? 1800 : 150), name_of_test()) {
    ::setenv("XDG_RUNTIME_DIR", runtime_.path().c_str(), 1);
    name_ = "crash-port-" + std::to_string(::getpid());
    system_.emplace(name_, std::vector<port_group>{{"desk"}, {"clerk"}},
                    std::vector<port_lane>{{"desk", "clerk"}, {"clerk", "desk"}});
  }
  ~CrashPort() override { ::unsetenv("XDG_RUNTIME_DIR"); }

  void TearDown() override {
    system_->drain();
    EXPECT_EQ(system_->end(), 0);
    EXPECT_EQ(runtime_.leftovers(), std::vector<std::string>{});
    EXPECT_TRUE(holders_of(name_).empty());
  }

  // One turn of three messages, numbered on from what the port's own cell says.
  static void send_some(port& desk) {
    const output clerks = desk.to("clerk");
    const auto total = desk.cell<counter>("total");
    const status sent = desk.turn([&](turn& in) {
      for (std::uint64_t i = 0; i < sent_in_a_turn; ++i) {
        in.send<Node>(clerks.member(0), numbered(total.value(), i == 1 ? 3000 : 10));
        total.add(in, 1);
      }
    });
    if (sent != status::ok) throw std::runtime_error("it does not send");
  }

  // What it leaves is judged by its reader, who has been there all along, and by its successor.
  void judge(port& clerk, std::uint64_t& next) {
    for (const std::uint64_t each : take_all(clerk)) EXPECT_EQ(each, next++);
    EXPECT_EQ(next % sent_in_a_turn, 0U) << "part of a turn";
    port desk = join(name_, "desk");
    EXPECT_EQ(desk.cell<counter>("total").value(), next);
    send_some(desk);
    for (const std::uint64_t each : take_all(clerk)) EXPECT_EQ(each, next++);
    EXPECT_EQ(next % sent_in_a_turn, 0U);
    for (const lane_status& lane : lanes_of(find_system(name_))) EXPECT_TRUE(lane.balanced);
  }
  static numbers take_all(port& clerk) {
    numbers out;
    for (numbers some = numbers_in(clerk.poll()); !some.empty(); some = numbers_in(clerk.poll())) {
      out.insert(out.end(), some.begin(), some.end());
    }
    return out;
  }

  watchdog guard_;
  runtime_dir runtime_;
  std::string name_;
  std::optional<ported_system> system_;
};

TEST_F(CrashPort, KilledAsItJoinsSendsAndLeaves) {
  CYTO_SKIP_UNDER_TSAN();
  port clerk = join(name_, "clerk");
  tally sum;
  std::uint64_t next = 0;
  bool reached = true;
  for (std::uint64_t stop = 1; reached && !HasFailure(); stop += is_full() ? 1U : 3U) {
    SCOPED_TRACE("killed at stop " + std::to_string(stop));
    stepped_child child([] {},
                        [&] {
                          port desk = join(name_, "desk");
                          send_some(desk);
                        });
    for (std::uint64_t i = 0; i < stop && reached; ++i) reached = child.run_to_deed();
    child.kill();
    ++sum.kills;
    judge(clerk, next);
    ++sum.judged;
  }
  EXPECT_GT(sum.judged, is_full() ? 60U : 20U);
  static_cast<void>(clerk.poll());
}

TEST_F(CrashPort, KilledAtAnyInstructionOfATurn) {
  CYTO_SKIP_UNDER_TSAN();
  port clerk = join(name_, "clerk");
  tally sum;
  std::uint64_t next = 0;
  bool reached = true;
  const std::uint64_t pace = is_full() ? 7U : sanitized ? 997U : 211U;
  for (std::uint64_t stop = 1; reached && !HasFailure(); stop += pace) {
    SCOPED_TRACE("killed at instruction " + std::to_string(stop));
    std::optional<port> desk;
    stepped_child child(
        [&] {
          desk.emplace(join(name_, "desk"));
          static_cast<void>(desk->cell<counter>("total"));
        },
        [&] { send_some(*desk); });
    for (std::uint64_t i = 0; i < stop && reached; ++i) {
      reached = child.step();
      ++sum.instructions;
    }
    child.kill();
    ++sum.kills;
    judge(clerk, next);
    ++sum.judged;
  }
  EXPECT_GT(sum.judged, 10U);
}

// It answers in the turn that takes: what was answered was taken, and nothing else was.
TEST_F(CrashPort, KilledAtAnyInstructionAsItTakesAndAnswers) {
  CYTO_SKIP_UNDER_TSAN();
  port clerk = join(name_, "clerk");
  const output desks = clerk.to("desk");
  tally sum;
  std::uint64_t asked = 0;
  std::uint64_t answered = 0;
  bool reached = true;
  const auto answer_all = [](port& desk) {
    const output clerks = desk.to("clerk");
    for (const received& each : desk.poll()) {
      const std::uint64_t number = each.as<Node>()->number();
      if (send_number(desk, clerks.member(0), number) != status::ok) {
        throw std::runtime_error("no room");
      }
    }
    static_cast<void>(desk.poll());
  };
  const auto take_answers = [&] {
    for (const std::uint64_t each : take_all(clerk)) EXPECT_EQ(each, answered++);
  };
  const std::uint64_t pace = is_full() ? 11U : sanitized ? 1999U : 401U;
  for (std::uint64_t stop = 1; reached && !HasFailure(); stop += pace) {
    SCOPED_TRACE("killed at instruction " + std::to_string(stop));
    for (int i = 0; i < 3; ++i) {
      ASSERT_EQ(send_number(clerk, desks.member(0), asked++, 100), status::ok);
    }
    std::optional<port> desk;
    stepped_child child([&] { desk.emplace(join(name_, "desk")); }, [&] { answer_all(*desk); });
    for (std::uint64_t i = 0; i < stop && reached; ++i) {
      reached = child.step();
      ++sum.instructions;
    }
    child.kill();
    ++sum.kills;
    take_answers();
    EXPECT_EQ(lanes_of(find_system(name_)).at(1).delivered, answered);
    port successor = join(name_, "desk");
    answer_all(successor);
    take_answers();
    EXPECT_EQ(answered, asked);
    ++sum.judged;
  }
  EXPECT_GT(sum.judged, 10U);
}

}  // namespace
}  // namespace cyto::test
