// A port in an event loop of its program's own: when its descriptor is readable, and that nobody
// who waits there alone is forgotten.
#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <string>
#include <vector>

#include "cyto/cyto.hpp"
#include "support/actor.hpp"
#include "support/files.hpp"
#include "support/must.hpp"
#include "support/ported.hpp"
#include "support/residue.hpp"
#include "support/watchdog.hpp"

namespace cyto::test {
namespace {

using namespace std::chrono_literals;
using numbers = std::vector<std::uint64_t>;

// Waits as long as the guard lets it if `at_most_ms` is negative.
bool is_readable(int fd, int at_most_ms = 0) {
  pollfd what{fd, POLLIN, 0};
  return ::poll(&what, 1, at_most_ms) == 1;
}

class PortInAnEventLoop : public testing::Test {
 protected:
  PortInAnEventLoop() : guard_(100s, "PortInAnEventLoop") {
    ::setenv("XDG_RUNTIME_DIR", runtime_.path().c_str(), 1);
    name_ = "loop-" + std::to_string(::getpid());
  }
  ~PortInAnEventLoop() override { ::unsetenv("XDG_RUNTIME_DIR"); }

  watchdog guard_;
  runtime_dir runtime_;
  std::string name_;
};

TEST_F(PortInAnEventLoop, ItsDescriptorIsReadableUntilAPollHasFoundNothing) {
  const ported_system system(name_, {{"desk"}, {"clerk"}}, {{"desk", "clerk"}});
  port desk = join(name_, "desk");
  port clerk = join(name_, "clerk");
  const output clerks = desk.to("clerk");
  const int fd = clerk.fd();
  EXPECT_EQ(fd, clerk.fd());
  EXPECT_TRUE(is_readable(fd, -1));
  EXPECT_EQ(numbers_in(clerk.poll()), numbers{});
  EXPECT_FALSE(is_readable(fd));
  ASSERT_EQ(send_number(desk, clerks.member(0), 1), status::ok);
  EXPECT_TRUE(is_readable(fd));
  EXPECT_EQ(numbers_in(clerk.poll()), numbers{1});
  EXPECT_TRUE(is_readable(fd, -1));
  EXPECT_EQ(numbers_in(clerk.wait(1ms)), numbers{});
  EXPECT_FALSE(is_readable(fd)) << "wait() that found nothing is as good";
}

TEST_F(PortInAnEventLoop, WhoeverWasAnsweredFullIsToldOfRoom) {
  const ported_system system(name_, {{"desk"}, {"clerk"}}, {{"desk", "clerk", 4096}});
  port desk = join(name_, "desk");
  port clerk = join(name_, "clerk");
  const output clerks = desk.to("clerk");
  const int fd = desk.fd();
  std::uint64_t sent = 0;
  while (send_number(desk, clerks.member(0), sent) == status::ok) ++sent;
  EXPECT_EQ(numbers_in(desk.poll()), numbers{});
  EXPECT_FALSE(is_readable(fd));
  EXPECT_FALSE(numbers_in(clerk.poll()).empty());
  EXPECT_FALSE(is_readable(fd)) << "nothing is given back yet";
  EXPECT_FALSE(numbers_in(clerk.poll()).empty());
  EXPECT_TRUE(is_readable(fd));
  // Room that came between the refusal and the poll is found by that.
  while (send_number(desk, clerks.member(0), sent) == status::ok) ++sent;
  while (!numbers_in(clerk.poll()).empty()) continue;
  EXPECT_EQ(numbers_in(desk.poll()), numbers{});
  EXPECT_TRUE(is_readable(fd, 500)) << "a timer that was set for now may take a moment";
  EXPECT_EQ(send_number(desk, clerks.member(0), sent), status::ok);
}

// What is refused does not undo the turn; its sender is told all the same, and of room later.
TEST_F(PortInAnEventLoop, WhoeverWasRefusedIsToldOfRoomToo) {
  const ported_system system(name_, {{"desk"}, {"clerk"}, {"bin"}},
                             {{"desk", "clerk", 4096, full_policy::refuse},
                              {"desk", "bin", 4096, full_policy::drop_newest}});
  port desk = join(name_, "desk");
  port clerk = join(name_, "clerk");
  turn_output& to = desk.to("clerk").member(0);
  turn_output& bin = desk.to("bin").member(0);
  const int fd = desk.fd();
  std::uint64_t sent = 0;
  status last = status::ok;
  while (last == status::ok) last = send_number(desk, to, sent++);
  EXPECT_EQ(last, status::full);
  EXPECT_EQ(numbers_in(desk.poll()), numbers{});
  EXPECT_FALSE(is_readable(fd));
  while (!numbers_in(clerk.poll()).empty()) continue;
  EXPECT_TRUE(is_readable(fd));
  EXPECT_EQ(send_number(desk, to, sent), status::ok);
  last = status::ok;
  while (last == status::ok) last = send_number(desk, bin, sent);
  EXPECT_EQ(last, status::dropped);
}

TEST_F(PortInAnEventLoop, TheEndOfTheSystemIsAWakeUp) {
  ported_system system(name_, {{"desk"}, {"clerk"}}, {{"desk", "clerk"}});
  port clerk = join(name_, "clerk");
  const int fd = clerk.fd();
  EXPECT_EQ(numbers_in(clerk.poll()), numbers{});
  EXPECT_FALSE(is_readable(fd));
  system.drain();
  EXPECT_TRUE(is_readable(fd));
  EXPECT_EQ(system.end(), 0);
  EXPECT_EQ(numbers_in(clerk.poll()), numbers{});
  EXPECT_FALSE(clerk.is_open());
}

// Each waits in its own loop. A lost wake-up would cost the second of the belt.
TEST_F(PortInAnEventLoop, MessagesGoToAndFroBetweenTwoLoops) {
  constexpr std::uint64_t count = sanitized ? 1'000 : 20'000;
  const ported_system system(name_, {{"desk"}, {"clerk"}},
                             {{"desk", "clerk", 4096}, {"clerk", "desk", 4096}});
  actor answers([&](const line& to_test) {
    port clerk = join(name_, "clerk");
    const output desks = clerk.to("desk");
    to_test.say(1);
    for (std::uint64_t left = count; left != 0;) {
      must(is_readable(clerk.fd(), -1), "not readable");
      for (const received& each : clerk.poll()) {
        const auto number = each.as<tree::Node>()->number();
        must(send_number(clerk, desks.member(0), number) == status::ok, "no room for an answer");
        --left;
      }
    }
  });
  ASSERT_EQ(answers.hear(), 1U);
  port desk = join(name_, "desk");
  const output clerks = desk.to("clerk");
  for (std::uint64_t number = 1; number <= count; ++number) {
    ASSERT_EQ(send_number(desk, clerks.member(0), number), status::ok) << number;
    numbers came;
    while (came.empty()) {
      ASSERT_TRUE(is_readable(desk.fd(), -1));
      came = numbers_in(desk.poll());
    }
    ASSERT_EQ(came, numbers{number});
  }
  EXPECT_EQ(answers.end(), 0);
}

TEST_F(PortInAnEventLoop, AForkedChildHasNone) {
  const ported_system system(name_, {{"desk"}, {"clerk"}}, {{"desk", "clerk"}});
  port desk = join(name_, "desk");
  actor child([&](const line& to_test) {
    try {
      static_cast<void>(desk.fd());
      to_test.say(1);
    } catch (const error&) {
      to_test.say(2);
    }
  });
  EXPECT_EQ(child.hear(), 2U);
  EXPECT_TRUE(is_readable(desk.fd(), -1));
}

}  // namespace
}  // namespace cyto::test
