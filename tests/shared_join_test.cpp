// Many threads before one port of a running system.
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "cyto/cyto.hpp"
#include "support/actor.hpp"
#include "support/files.hpp"
#include "support/must.hpp"
#include "support/ported.hpp"
#include "support/watchdog.hpp"

namespace cyto::test {
namespace {

using namespace std::chrono_literals;
using tree::Node;

constexpr std::uint64_t thread_count = 4;
constexpr std::uint64_t count = sanitized ? 1'000 : 20'000;  // Of each thread.

class SharedJoin : public testing::Test {
 protected:
  SharedJoin() : guard_(100s, "SharedJoin") {
    ::setenv("XDG_RUNTIME_DIR", runtime_.path().c_str(), 1);
    name_ = "many-" + std::to_string(::getpid());
  }
  ~SharedJoin() override { ::unsetenv("XDG_RUNTIME_DIR"); }

  watchdog guard_;
  runtime_dir runtime_;
  std::string name_;
};

// Takes what all threads send to that member, and looks whether each one's messages are in order
// and all there.
auto taker(const std::string& name, const std::string& member, std::uint64_t first) {
  return [=](const line& to_test) {
    port clerk = join(name, member);
    to_test.say(1);
    std::array<std::uint64_t, thread_count> next;
    next.fill(first);
    for (std::uint64_t left = thread_count * count / 2; left != 0;) {
      for (const received& each : clerk.wait(1s)) {
        const std::uint64_t number = each.as<Node>()->number();
        must(number / count < thread_count, "of nobody");
        must(number % count == next[number / count], "lost, doubled or out of order");
        next[number / count] += 2;
        --left;
      }
    }
  };
}

TEST_F(SharedJoin, MessagesOfEachThreadComeInOrderAndWhole) {
  ported_system system(name_, {{"desk"}, {"clerk", 2}}, {{"desk", "clerk", 4096}});
  actor even(taker(name_, "clerk/0", 0));
  actor odd(taker(name_, "clerk/1", 1));
  ASSERT_EQ(even.hear(), 1U);
  ASSERT_EQ(odd.hear(), 1U);
  {
    const shared_joined_port desk = join_shared(name_, "desk");
    const output clerks = desk.to("clerk");
    EXPECT_THROW(static_cast<void>(desk.to("nobody")), error);
    {
      std::vector<std::jthread> threads;
      for (std::uint64_t thread = 0; thread < thread_count; ++thread) {
        threads.emplace_back([mine = desk.new_producer(), &clerks, thread]() mutable {
          for (std::uint64_t i = 0; i < count; ++i) {
            const turn_output& to = clerks.member(i % 2);
            while (mine.send<Node>(to, numbered(thread * count + i)) != status::ok) {
              static_cast<void>(mine.flush(5ms));
            }
          }
          EXPECT_TRUE(mine.flush(60s));
        });
      }
    }
    EXPECT_TRUE(desk.drain(60s));
    EXPECT_EQ(even.end(), 0);
    EXPECT_EQ(odd.end(), 0);
    auto mine = desk.new_producer();
    EXPECT_EQ(mine.send<Node>(clerks.member(0), numbered(1, 5000)), status::too_big);
    EXPECT_THROW(join_shared(name_, "desk"), error) << "it is taken";
  }
  system.drain();
  EXPECT_EQ(system.end(), 0);
}

TEST_F(SharedJoin, ASystemThatDrainsIsClosedToAllThreads) {
  ported_system system(name_, {{"desk"}, {"clerk"}}, {{"desk", "clerk", 4096}});
  const shared_joined_port desk = join_shared(name_, "desk", {.waiting_max = 4});
  const output clerks = desk.to("clerk");
  auto mine = desk.new_producer();
  ASSERT_EQ(mine.send<Node>(clerks.member(0), numbered(1)), status::ok);
  EXPECT_FALSE(desk.drain(0ms)) << "nobody has taken it";
  system.drain();
  EXPECT_EQ(system.end(), 0);
  // What is queued now stays so: the first are accepted, and then it is told.
  status told = status::ok;
  for (int i = 0; i < 5 && told == status::ok; ++i) {
    told = mine.send<Node>(clerks.member(0), numbered(2));
  }
  EXPECT_EQ(told, status::closed);
  EXPECT_FALSE(mine.flush(1s));
}

}  // namespace
}  // namespace cyto::test
