// A doorbell for a program with an event loop of its own: the descriptor is readable when there is
// something to look at, whoever rings, dies or sends junk; and the two ends of a pair that use it.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstring>
#include <deque>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "cyto/doorbell.hpp"
#include "cyto/pair.hpp"
#include "process.hpp"
#include "rendezvous.hpp"
#include "support/actor.hpp"
#include "support/files.hpp"
#include "support/must.hpp"
#include "support/residue.hpp"
#include "support/system.hpp"
#include "support/watchdog.hpp"
#include "trees_generated.h"

namespace cyto::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using tree::Node;

constexpr std::uint64_t for_ever_ns = 1'000'000'000'000;

bool is_readable(int fd, int at_most_ms = 0) {
  pollfd at{fd, POLLIN, 0};
  return ::poll(&at, 1, at_most_ms) == 1;
}

std::size_t open_descriptors() {
  const std::filesystem::directory_iterator all("/proc/self/fd");
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

// An epoll set of one.
class event_loop {
 public:
  explicit event_loop(int fd) : set_(::epoll_create1(EPOLL_CLOEXEC)) {
    epoll_event wanted{EPOLLIN, {.fd = fd}};
    must(::epoll_ctl(set_.get(), EPOLL_CTL_ADD, fd, &wanted) == 0, "no such descriptor");
  }
  void wait() const {
    epoll_event got{};
    while (::epoll_wait(set_.get(), &got, 1, -1) != 1) {
    }
  }

 private:
  file_descriptor set_;
};

// Junk, as anybody may send it to a socket in the abstract namespace. Returns how many were taken
// until its queue was full, or at most that many.
int send_junk(const doorbell_line& to, int at_most) {
  char digits[17];
  std::snprintf(digits, sizeof digits, "%016llx",
                static_cast<unsigned long long>(to.address.observe()));
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  std::memcpy(name.sun_path + 1, "cyto/", 5);
  std::memcpy(name.sun_path + 6, digits, 16);
  const file_descriptor from(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  int sent = 0;
  while (sent < at_most &&
         ::sendto(from.get(), "junk", 4, MSG_DONTWAIT, reinterpret_cast<const sockaddr*>(&name),
                  offsetof(sockaddr_un, sun_path) + 22) == 4) {
    ++sent;
  }
  return sent;
}

TEST(BellDescriptor, IsReadableUnlessItIsArmed) {
  const watchdog guard(seconds(30), "BellDescriptor.IsReadableUnlessItIsArmed");
  doorbell_line line{};
  doorbell bell(line);
  bell_descriptor door(bell, -1, for_ever_ns);
  EXPECT_TRUE(is_readable(door.fd(), -1));
  door.arm();
  EXPECT_FALSE(is_readable(door.fd()));
  EXPECT_TRUE(is_asleep(line));
  door.signal();
  EXPECT_TRUE(is_readable(door.fd(), -1));
  EXPECT_FALSE(is_asleep(line));
  door.arm();
  EXPECT_FALSE(is_readable(door.fd()));
  ring(line);
  EXPECT_TRUE(is_readable(door.fd()));
  EXPECT_FALSE(is_asleep(line));
  door.signal();
  EXPECT_TRUE(is_readable(door.fd())) << "until it is armed again";
  door.arm();
  EXPECT_FALSE(is_readable(door.fd()));
}

TEST(BellDescriptor, WithoutASleeperARingSendsNothing) {
  doorbell_line line{};
  doorbell bell(line);
  bell_descriptor door(bell, -1, for_ever_ns);
  door.arm();
  bell.cancel();
  ring(line);
  EXPECT_FALSE(is_readable(door.fd()));
}

TEST(BellDescriptor, RecoveryReachesASleeperWhoseRingerDiedBetweenClearingAndRinging) {
  doorbell_line line{};
  doorbell bell(line);
  bell_descriptor door(bell, -1, for_ever_ns);
  door.arm();
  line.parked.publish(0);  // And the ringer is gone.
  EXPECT_FALSE(is_readable(door.fd()));
  wake(line);
  EXPECT_TRUE(is_readable(door.fd()));
}

TEST(BellDescriptor, NobodyRingingItIsReadableWhenTimeIsUp) {
  const watchdog guard(seconds(30), "BellDescriptor.NobodyRingingItIsReadableWhenTimeIsUp");
  doorbell_line line{};
  doorbell bell(line);
  bell_descriptor door(bell, -1, 2'000'000);
  const auto start = std::chrono::steady_clock::now();
  door.arm();
  line.parked.publish(0);  // By a ringer that died.
  EXPECT_TRUE(is_readable(door.fd(), -1));
  EXPECT_GE(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(2));
}

TEST(BellDescriptor, WhatSomebodyWroteOverItsAddressIsMendedWhenItIsArmed) {
  doorbell_line line{};
  doorbell bell(line);
  bell_descriptor door(bell, -1, for_ever_ns);
  line.address.publish(line.address.own() + 1);
  door.arm();
  ring(line);
  EXPECT_TRUE(is_readable(door.fd()));
}

TEST(BellDescriptor, AStrangersJunkIsARingAndNoMore) {
  doorbell_line line{};
  doorbell bell(line);
  bell_descriptor door(bell, -1, for_ever_ns);
  door.arm();
  ASSERT_GT(send_junk(line, 1'000'000), 0) << "the queue has no end";
  EXPECT_TRUE(is_readable(door.fd()));
  EXPECT_TRUE(is_asleep(line));
  ring(line);  // Finds no room.
  EXPECT_TRUE(is_readable(door.fd()));
  // It throws away a bounded number at once, so that nobody can keep it busy.
  for (int i = 0; i < 10'000 && is_readable(door.fd()); ++i) door.arm();
  EXPECT_FALSE(is_readable(door.fd()));
  ring(line);
  EXPECT_TRUE(is_readable(door.fd()));
}

// What they have not taken counts against the socket that rings, and in the end that is full.
TEST(BellDescriptor, ThoseThatNeverLookDoNotKeepOthersFromBeingRung) {
  constexpr std::size_t many = 60;
  doorbell_line line{};
  doorbell bell(line);
  bell_descriptor door(bell, -1, for_ever_ns);
  std::vector<doorbell_line> lines(many);
  std::deque<doorbell> bells;
  std::deque<bell_descriptor> deaf;
  for (doorbell_line& each : lines) {
    deaf.emplace_back(bells.emplace_back(each), -1, for_ever_ns);
    for (int i = 0; i < 1'000; ++i) wake(each);
  }
  door.arm();
  ring(line);
  EXPECT_TRUE(is_readable(door.fd()));
}

TEST(BellDescriptor, TheDeadAreRungInVainAndTheirSuccessorsAreNotRungForThem) {
  const watchdog guard(seconds(30), "BellDescriptor.TheDeadAreRungInVain");
  const small_system system({"a", "b"}, {});
  const mapping bells = system.where.map_doorbells();
  auto* line = reinterpret_cast<doorbell_line*>(bells.data());
  {
    actor dies([&](const class line& test) {
      slot place(system.where, 0);
      bell_descriptor door(place.bell(), -1, for_ever_ns);
      door.arm();
      test.say(1);
      static_cast<void>(test.hear());
    });
    EXPECT_EQ(dies.hear(), 1U);
    dies.kill();
  }
  EXPECT_NE(line[0].address.own(), 0U);
  EXPECT_TRUE(is_asleep(line[0]));
  ring(line[0]);
  EXPECT_FALSE(is_asleep(line[0]));
  const slot successor(system.where, 0);
  EXPECT_EQ(line[0].address.own(), 0U);
}

TEST(BellDescriptor, TakesItsDescriptorsAndItsAddressWithIt) {
  doorbell_line line{};
  doorbell bell(line);
  prepare_to_ring();
  const std::size_t before = open_descriptors();
  {
    bell_descriptor door(bell);
    EXPECT_NE(line.address.own(), 0U);
    door.arm();
    ring(line);
    door.arm();
  }
  EXPECT_EQ(open_descriptors(), before);
  EXPECT_EQ(line.address.own(), 0U);
  EXPECT_EQ(line.parked.own(), 0U);
  ring(line);
  wake(line);
  EXPECT_EQ(open_descriptors(), before);
}

// A message to and fro between two processes that sleep in epoll, without the belt: one wake-up
// that is lost hangs the test.
TEST(BellDescriptor, NoWakeUpIsLostInAHundredThousandHandovers) {
  const watchdog guard(seconds(200), "BellDescriptor.NoWakeUpIsLostInAHundredThousandHandovers");
  constexpr std::uint64_t rounds = sanitized ? 3'000 : 100'000;
  const small_system system({"a", "b"}, {{0, 1}, {1, 0}});
  const auto play = [&](std::uint32_t me) {
    slot place(system.where, me);
    bell_descriptor door(place.bell(), -1, for_ever_ns);
    const event_loop loop(door.fd());
    std::uint64_t sleeps = 0;
    for (std::uint64_t round = 0; round < rounds; ++round) {
      if (me == 0) must(send(place, 0, std::to_string(round)) == status::ok, "not sent");
      std::string got;
      while (!take_one(place, got)) {
        door.arm();
        if (place.incoming().has_any()) {
          door.signal();
        } else {
          ++sleeps;
          loop.wait();
        }
      }
      place.the_turn().commit();
      must(got == std::to_string(round), "another message");
      if (me == 1) must(send(place, 0, got) == status::ok, "not sent");
    }
    return sleeps;
  };
  actor other([&](const line& test) { test.say(play(1)); });
  const std::uint64_t sleeps = play(0);
  EXPECT_GT(sleeps, rounds / 2);
  EXPECT_GT(other.hear(), 0U);
  EXPECT_EQ(other.end(), 0);
}

// ---- pairs ----

class PairInAnEventLoop : public testing::Test {
 protected:
  PairInAnEventLoop() : guard_(seconds(100), "PairInAnEventLoop") {
    ::setenv("XDG_RUNTIME_DIR", runtime_.path().c_str(), 1);
    name_ = "loop-test-" + std::to_string(::getpid());
  }
  ~PairInAnEventLoop() override { ::unsetenv("XDG_RUNTIME_DIR"); }
  void expect_nothing_left() const {
    EXPECT_EQ(runtime_.leftovers(), std::vector<std::string>{});
    EXPECT_TRUE(holders_of(name_).empty());
  }

  watchdog guard_;
  runtime_dir runtime_;
  std::string name_;
};

status send_number(sender<Node>& to, std::uint64_t number) {
  return to.send([&](flatbuffers::FlatBufferBuilder& fbb) {
    return tree::CreateNode(fbb, number, fbb.CreateString("a message of some length"));
  });
}

// Sends numbers; waits in its own loop while the lane is full.
std::function<void(const line&)> sender_in_a_loop(const std::string& name, std::uint64_t count) {
  return [=](const line& test) {
    auto feed = open(name, {.lane_bytes = 4096}).sender<Node>();
    const event_loop loop(feed.fd());
    test.say(1);
    std::uint64_t fulls = 0;
    for (std::uint64_t i = 0; i < count;) {
      const status sent = send_number(feed, i);
      if (sent == status::ok) {
        ++i;
      } else {
        must(sent == status::full, "the receiver has left");
        ++fulls;
        loop.wait();
      }
    }
    while (!feed.drain(milliseconds(0))) loop.wait();
    test.say(fulls);
  };
}

// Takes numbers in its own loop, one poll() each time that there may be something.
std::function<void(const line&)> receiver_in_a_loop(const std::string& name) {
  return [=](const line& test) {
    auto feed = open(name, {.lane_bytes = 4096}).receiver<Node>();
    const event_loop loop(feed.fd());
    test.say(1);
    std::uint64_t next = 0;
    while (feed.is_open()) {
      loop.wait();
      for (const Node& node : feed.poll()) must(node.number() == next++, "out of order");
    }
    test.say(next);
  };
}

TEST_F(PairInAnEventLoop, BothEndsWaitInLoopsOfTheirOwnWhoeverComesFirst) {
  constexpr std::uint64_t count = sanitized ? 2'000 : 50'000;
  for (const bool receiver_first : {true, false}) {
    std::optional<actor> receives;
    if (receiver_first) {
      receives.emplace(receiver_in_a_loop(name_));
      EXPECT_EQ(receives->hear(), 1U);
    }
    actor sends(sender_in_a_loop(name_, count));
    EXPECT_EQ(sends.hear(), 1U);
    if (!receiver_first) {
      receives.emplace(receiver_in_a_loop(name_));
      EXPECT_EQ(receives->hear(), 1U);
    }
    EXPECT_GT(sends.hear(), 0U) << "it never waited for room";
    EXPECT_EQ(receives->hear(), count);
    EXPECT_EQ(sends.end(), 0);
    EXPECT_EQ(receives->end(), 0);
  }
  expect_nothing_left();
}

TEST_F(PairInAnEventLoop, TheReceiversDescriptorIsReadableUntilAPollHasFoundNothing) {
  auto feed = open(name_).receiver<Node>();
  auto other = open(name_).sender<Node>();
  EXPECT_TRUE(is_readable(feed.fd(), -1));
  EXPECT_EQ(feed.poll().size(), 0U);
  EXPECT_FALSE(is_readable(feed.fd()));
  ASSERT_EQ(send_number(other, 1), status::ok);
  EXPECT_TRUE(is_readable(feed.fd()));
  EXPECT_EQ(feed.poll().size(), 1U);
  EXPECT_TRUE(is_readable(feed.fd()));
  EXPECT_EQ(feed.poll().size(), 0U);
  EXPECT_FALSE(is_readable(feed.fd()));
  EXPECT_EQ(feed.wait(milliseconds(1)).size(), 0U);
  EXPECT_FALSE(is_readable(feed.fd())) << "wait() that found nothing is as good";
}

// Otherwise it would wait while nobody need ring.
TEST_F(PairInAnEventLoop, APollThatFindsSomethingBeforeItIsToldLeavesItReadable) {
  auto feed = open(name_).receiver<Node>();
  auto other = open(name_).sender<Node>();
  const int fd = feed.fd();
  EXPECT_EQ(feed.poll().size(), 0U);
  EXPECT_EQ(feed.wait(milliseconds(1)).size(), 0U);
  EXPECT_FALSE(is_readable(fd));
  ASSERT_EQ(send_number(other, 1), status::ok);
  EXPECT_EQ(feed.poll().size(), 1U);
  EXPECT_TRUE(is_readable(fd));
  EXPECT_EQ(feed.poll().size(), 0U);
  EXPECT_FALSE(is_readable(fd));
}

TEST_F(PairInAnEventLoop, TheSendersDescriptorIsReadableUnlessTheLaneIsFull) {
  auto in = open(name_, {.lane_bytes = 4096}).receiver<Node>();
  auto feed = open(name_).sender<Node>();
  EXPECT_TRUE(is_readable(feed.fd(), -1));
  std::size_t sent = 0;
  while (send_number(feed, sent) == status::ok) ++sent;
  EXPECT_FALSE(is_readable(feed.fd()));
  EXPECT_EQ(in.poll().size(), sent);
  EXPECT_FALSE(is_readable(feed.fd())) << "nothing is given back yet";
  EXPECT_EQ(in.poll().size(), 0U);
  EXPECT_TRUE(is_readable(feed.fd()));
  EXPECT_EQ(send_number(feed, sent), status::ok);
  EXPECT_TRUE(is_readable(feed.fd()));
  EXPECT_FALSE(feed.drain(milliseconds(0)));
  EXPECT_FALSE(is_readable(feed.fd()));
  EXPECT_EQ(in.poll().size(), 1U);
  EXPECT_EQ(in.poll().size(), 0U);
  EXPECT_TRUE(is_readable(feed.fd()));
  EXPECT_TRUE(feed.drain(milliseconds(0)));
}

TEST_F(PairInAnEventLoop, ASenderThatLeavesIsAWakeUp) {
  auto feed = open(name_).receiver<Node>();
  auto other = std::make_optional(open(name_).sender<Node>());
  const int fd = feed.fd();
  EXPECT_EQ(feed.poll().size(), 0U);
  EXPECT_FALSE(is_readable(fd));
  EXPECT_TRUE(feed.is_open());
  other.reset();
  EXPECT_TRUE(is_readable(fd));
  EXPECT_FALSE(feed.is_open());
}

// It rings before it lets go of its slot, and is_open() answers true until then.
TEST_F(PairInAnEventLoop, ASenderThatIsAboutToLeaveKeepsItReadable) {
  auto feed = open(name_).receiver<Node>();
  const auto other = open(name_).sender<Node>();
  const int fd = feed.fd();
  EXPECT_EQ(feed.poll().size(), 0U);
  EXPECT_FALSE(is_readable(fd));
  const auto holders = find_memfd_holders(memfd_tag(name_));
  ASSERT_FALSE(holders.empty());
  const segment where = segment::attach(::open(holders[0].path.c_str(), O_RDWR | O_CLOEXEC));
  const mapping pages = where.map(where.slot(0).control_offset, where.slot(0).control_bytes);
  auto& state = reinterpret_cast<control*>(pages.data())->state;
  state.publish(static_cast<std::uint32_t>(slot_state::stopped));
  EXPECT_EQ(feed.poll().size(), 0U);
  EXPECT_TRUE(feed.is_open());
  EXPECT_TRUE(is_readable(fd, 500)) << "a timer that was set for now may take a moment";
}

TEST_F(PairInAnEventLoop, LeavesNoDescriptorBehind) {
  const auto use = [&] {
    auto feed = open(name_).receiver<Node>();
    auto other = open(name_).sender<Node>();
    must(feed.fd() == feed.fd() && other.fd() >= 0, "another descriptor each time");
    static_cast<void>(feed.poll());
    must(send_number(other, 1) == status::ok, "not sent");
    must(feed.poll().size() == 1, "nothing came");
  };
  use();  // The process' socket to ring with stays.
  const std::size_t before = open_descriptors();
  for (int i = 0; i < 5; ++i) use();
  EXPECT_EQ(open_descriptors(), before);
}

TEST_F(PairInAnEventLoop, AReceiverThatIsKilledIsFollowedByOneThatIsWoken) {
  actor sends(sender_in_a_loop(name_, 1'000));
  EXPECT_EQ(sends.hear(), 1U);
  {
    actor dies([&](const line& test) {
      auto feed = open(name_).receiver<Node>();
      const event_loop loop(feed.fd());
      while (feed.poll().size() == 0) loop.wait();
      test.say(1);
      static_cast<void>(test.hear());
    });
    EXPECT_EQ(dies.hear(), 1U);
    dies.kill();
  }
  actor receives(receiver_in_a_loop(name_));
  EXPECT_EQ(receives.hear(), 1U);
  EXPECT_EQ(receives.hear(), 1'000U);
  EXPECT_GT(sends.hear(), 0U);
  EXPECT_EQ(sends.end(), 0);
  EXPECT_EQ(receives.end(), 0);
  expect_nothing_left();
}

}  // namespace
}  // namespace cyto::test
