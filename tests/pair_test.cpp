// Two programs and a name: every end is a process of its own, and any of them may be killed.
#include "cyto/pair.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <string>
#include <vector>

#include "support/actor.hpp"
#include "support/files.hpp"
#include "support/must.hpp"
#include "support/residue.hpp"
#include "support/watchdog.hpp"
#include "trees_generated.h"
#include "update_generated.h"

namespace cyto::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using tree::Node;

// A folder, and so a name, of each test's own.
class Pair : public testing::Test {
 protected:
  Pair() : guard_(seconds(100), "Pair") {
    ::setenv("XDG_RUNTIME_DIR", runtime_.path().c_str(), 1);
    name_ = "port-test-" + std::to_string(::getpid());
  }
  ~Pair() override { ::unsetenv("XDG_RUNTIME_DIR"); }
  void expect_nothing_left() const {
    EXPECT_EQ(runtime_.leftovers(), std::vector<std::string>{});
    EXPECT_TRUE(holders_of(name_).empty());
  }

  watchdog guard_;
  runtime_dir runtime_;
  std::string name_;
};

status send_number(sender<Node>& to, std::uint64_t number, std::size_t bytes = 10) {
  return to.send([&](flatbuffers::FlatBufferBuilder& fbb) {
    const auto text = fbb.CreateString(std::string(bytes, 'x'));
    return tree::CreateNode(fbb, number, text);
  });
}

// Sends 0, 1, ... `count` - 1, waits until all is taken, leaves.
std::function<void(const line&)> sender_of(const std::string& name, std::uint64_t count) {
  return [=](const line& test) {
    auto feed = open(name).sender<Node>();
    test.say(1);
    for (std::uint64_t i = 0; i < count; ++i) {
      while (send_number(feed, i) == status::full) feed.drain(milliseconds(10));
    }
    must(feed.drain(seconds(60)), "not all was taken");
  };
}

// Takes numbers until the sender has left; tells how many, or that they did not come in order.
std::function<void(const line&)> receiver_of(const std::string& name) {
  return [=](const line& test) {
    auto feed = open(name).receiver<Node>();
    test.say(1);
    std::uint64_t next = 0;
    while (feed.is_open()) {
      for (const Node& node : feed.wait(seconds(1))) must(node.number() == next++, "out of order");
    }
    must(feed.refused() == 0, "a message was refused");
    test.say(next);
  };
}

TEST_F(Pair, SenderMayComeFirst) {
  actor sends(sender_of(name_, 1000));
  EXPECT_EQ(sends.hear(), 1U);
  actor receives(receiver_of(name_));
  EXPECT_EQ(receives.hear(), 1U);
  EXPECT_EQ(receives.hear(), 1000U);
  EXPECT_EQ(sends.end(), 0);
  EXPECT_EQ(receives.end(), 0);
  expect_nothing_left();
}

TEST_F(Pair, ReceiverMayComeFirst) {
  actor receives(receiver_of(name_));
  EXPECT_EQ(receives.hear(), 1U);
  actor sends(sender_of(name_, 1000));
  EXPECT_EQ(sends.hear(), 1U);
  EXPECT_EQ(receives.hear(), 1000U);
  EXPECT_EQ(sends.end(), 0);
  EXPECT_EQ(receives.end(), 0);
  expect_nothing_left();
}

TEST_F(Pair, BothMayComeAtOnce) {
  for (int i = 0; i < 10; ++i) {
    actor receives(receiver_of(name_));
    actor sends(sender_of(name_, 10));
    EXPECT_EQ(receives.hear(), 1U);
    EXPECT_EQ(receives.hear(), 10U);
    EXPECT_EQ(sends.end(), 0);
    EXPECT_EQ(receives.end(), 0);
  }
  expect_nothing_left();
}

TEST_F(Pair, ReceiverKilledWithABatchInHandGetsItAgain) {
  actor sends([&](const line& test) {
    auto feed = open(name_).sender<Node>();
    for (std::uint64_t i = 0; i < 5; ++i) must(send_number(feed, i) == status::ok, "not sent");
    test.say(1);
    must(feed.drain(seconds(60)), "not all was taken");
  });
  EXPECT_EQ(sends.hear(), 1U);
  const auto first_of_batch = [&](const line& test) {
    auto feed = open(name_).receiver<Node>();
    const auto batch = feed.wait(seconds(10));
    test.say(batch.size());
    test.say((*batch.begin()).number());
    static_cast<void>(test.hear());
    static_cast<void>(feed.poll());
  };
  {
    actor dies(first_of_batch);
    EXPECT_EQ(dies.hear(), 5U);
    EXPECT_EQ(dies.hear(), 0U);
    dies.kill();
  }
  actor takes(first_of_batch);
  EXPECT_EQ(takes.hear(), 5U);
  EXPECT_EQ(takes.hear(), 0U);
  takes.say(0);
  EXPECT_EQ(takes.end(), 0);
  EXPECT_EQ(sends.end(), 0);
  expect_nothing_left();
}

TEST_F(Pair, SenderKilledAnywhereLeavesWhatItHasSentAndNothingElse) {
  actor receives([&](const line& test) {
    auto feed = open(name_).receiver<Node>();
    test.say(1);
    std::uint64_t last_life = 0;
    std::uint64_t next = 0;
    std::uint64_t total = 0;
    // Each life of the sender counts from 0 in the low half.
    for (bool open = true; open;) {
      for (const Node& node : feed.wait(seconds(1))) {
        const std::uint64_t life = node.number() >> 32;
        if (life != last_life) next = 0;
        last_life = life;
        must((node.number() & 0xffffffff) == next++, "lost or doubled");
        must(node.text()->size() == node.number() % 3000, "another's bytes");
        ++total;
        open = life != 1000;
      }
    }
    test.say(total);
  });
  EXPECT_EQ(receives.hear(), 1U);
  for (std::uint64_t life = 1; life <= 12; ++life) {
    actor sends([&](const line& test) {
      auto feed = open(name_).sender<Node>();
      test.say(1);
      for (std::uint64_t i = life << 32;; ++i) {
        while (send_number(feed, i, i % 3000) == status::full) feed.drain(milliseconds(1));
      }
    });
    EXPECT_EQ(sends.hear(), 1U);
    // Some time of running, which differs; nothing is expected of how far it gets.
    ::usleep(static_cast<useconds_t>(life * 700));
    sends.kill();
  }
  actor last([&](const line&) {
    auto feed = open(name_).sender<Node>();
    const std::uint64_t number = std::uint64_t{1000} << 32;
    while (send_number(feed, number, number % 3000) == status::full) feed.drain(milliseconds(10));
    must(feed.drain(seconds(60)), "not all was taken");
  });
  EXPECT_GT(receives.hear(), 0U);
  EXPECT_EQ(receives.end(), 0);
  EXPECT_EQ(last.end(), 0);
}

TEST_F(Pair, LaneThatIsFullAndMessageThatIsTooBigAreToldApart) {
  actor sends([&](const line&) {
    auto feed = open(name_, {.lane_bytes = 4096}).sender<Node>();
    must(send_number(feed, 0, 5000) == status::too_big, "5000 bytes were taken");
    std::uint64_t sent = 0;
    while (send_number(feed, sent, 200) == status::ok) ++sent;
    must(sent > 5, "few went in");
    must(send_number(feed, 0, 200) == status::full, "not full");
    must(send_number(feed, 0, 5000) == status::too_big, "5000 bytes were taken");
    must(!feed.drain(milliseconds(1)), "nobody is there to take anything");
  });
  EXPECT_EQ(sends.end(), 0);
  expect_nothing_left();
}

TEST_F(Pair, SenderIsToldThatTheReceiverHasLeft) {
  actor sends([&](const line& test) {
    auto feed = open(name_, {.lane_bytes = 4096}).sender<Node>();
    must(send_number(feed, 0) == status::ok, "not sent");
    test.say(1);
    static_cast<void>(test.hear());
    status last = status::ok;
    for (int i = 0; i < 1000 && last == status::ok; ++i) last = send_number(feed, 0);
    must(last == status::closed, "not closed");
    must(!feed.drain(seconds(10)), "nobody is there to take anything");
    // A later receiver finds what was sent.
    test.say(1);
    static_cast<void>(test.hear());
    while (send_number(feed, 7) != status::ok) feed.drain(milliseconds(10));
  });
  EXPECT_EQ(sends.hear(), 1U);
  const auto take_batch = [&](const line& test) {
    auto feed = open(name_).receiver<Node>();
    test.say(feed.wait(seconds(10)).size());
  };
  actor first(take_batch);
  EXPECT_EQ(first.hear(), 1U);
  EXPECT_EQ(first.end(), 0);
  sends.say(1);
  EXPECT_EQ(sends.hear(), 1U);
  actor second(take_batch);
  EXPECT_GT(second.hear(), 5U);
  EXPECT_EQ(second.end(), 0);
  sends.say(1);
  EXPECT_EQ(sends.end(), 0);
  expect_nothing_left();
}

TEST_F(Pair, SecondSenderIsTurnedAway) {
  actor first([&](const line& test) {
    auto feed = open(name_).sender<Node>();
    test.say(1);
    static_cast<void>(test.hear());
    must(send_number(feed, 0) == status::ok, "the second one has done harm");
  });
  EXPECT_EQ(first.hear(), 1U);
  actor second([&](const line& test) {
    try {
      auto feed = open(name_).sender<Node>();
    } catch (const error& failure) {
      test.say(static_cast<std::uint64_t>(failure.code()));
    }
  });
  EXPECT_EQ(second.hear(), static_cast<std::uint64_t>(error_code::already_running));
  EXPECT_EQ(second.end(), 0);
  first.say(1);
  EXPECT_EQ(first.end(), 0);
  expect_nothing_left();
}

TEST_F(Pair, WaitEndsWhenTimeIsUp) {
  actor receives([&](const line&) {
    auto feed = open(name_).receiver<Node>();
    const auto start = std::chrono::steady_clock::now();
    must(feed.wait(milliseconds(30)).size() == 0, "a message from nowhere");
    must(std::chrono::steady_clock::now() - start >= milliseconds(29), "too early");
    must(feed.poll().size() == 0, "a message from nowhere");
    must(feed.is_open(), "closed before anybody came");
  });
  EXPECT_EQ(receives.end(), 0);
  expect_nothing_left();
}

TEST_F(Pair, MessagesOfAnotherTypeAreCountedAndPassedOver) {
  actor receives([&](const line& test) {
    auto feed = open(name_).receiver<Node>();
    test.say(1);
    std::uint64_t good = 0;
    while (feed.is_open()) good += feed.wait(seconds(1)).size();
    test.say(good * 100 + feed.refused());
  });
  EXPECT_EQ(receives.hear(), 1U);
  actor sends([&](const line&) {
    auto feed = open(name_).sender<Update>();
    for (int i = 0; i < 3; ++i) {
      must(feed.send([](auto& fbb) {
        const std::uint8_t byte = 1;
        return CreateUpdate(fbb, fbb.CreateVector(&byte, 1), fbb.CreateVector(&byte, 1));
      }) == status::ok,
           "not sent");
    }
    must(feed.drain(seconds(10)), "not all was taken");
  });
  EXPECT_EQ(receives.hear(), 3U);
  EXPECT_EQ(receives.end(), 0);
  EXPECT_EQ(sends.end(), 0);
}

TEST_F(Pair, NamesThatAreNoneAreRefusedAndLeaveNothing) {
  for (const std::string& name : {std::string(), std::string("a b"), std::string("../" + name_),
                                  std::string(48, 'x'), std::string("a/b")}) {
    actor opens([&](const line& test) {
      try {
        auto feed = open(name).sender<Node>();
        test.say(0);
      } catch (const error& failure) {
        test.say(static_cast<std::uint64_t>(failure.code()));
      }
    });
    EXPECT_EQ(opens.hear(), static_cast<std::uint64_t>(error_code::bad_input)) << name;
    EXPECT_EQ(opens.end(), 0);
    EXPECT_EQ(runtime_.leftovers(), std::vector<std::string>{}) << name;
  }
}

TEST_F(Pair, LaneSizeThatIsNoneIsRefusedAndLeavesNothing) {
  actor opens([&](const line& test) {
    try {
      auto feed = open(name_, {.lane_bytes = 5000}).sender<Node>();
      test.say(0);
    } catch (const error& failure) {
      test.say(static_cast<std::uint64_t>(failure.code()));
    }
  });
  EXPECT_EQ(opens.hear(), static_cast<std::uint64_t>(error_code::bad_input));
  EXPECT_EQ(opens.end(), 0);
  expect_nothing_left();
}

TEST_F(Pair, PairWhoseBothEndsWereKilledIsGoneAndItsNameIsFree) {
  {
    actor sends([&](const line& test) {
      auto feed = open(name_).sender<Node>();
      must(send_number(feed, 5) == status::ok, "not sent");
      test.say(1);
      static_cast<void>(test.hear());
    });
    EXPECT_EQ(sends.hear(), 1U);
  }
  EXPECT_TRUE(holders_of(name_).empty());
  actor receives([&](const line& test) {
    auto feed = open(name_).receiver<Node>();
    test.say(feed.poll().size());
  });
  EXPECT_EQ(receives.hear(), 0U);
  EXPECT_EQ(receives.end(), 0);
  expect_nothing_left();
}

}  // namespace
}  // namespace cyto::test
