// Threads of other programs in a running system: they join at a port, send and receive, fork and
// leave. Their system has no workers, so that nobody hides what they do.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "cyto/cyto.hpp"
#include "support/actor.hpp"
#include "support/allocations.hpp"
#include "support/files.hpp"
#include "support/ported.hpp"
#include "support/residue.hpp"
#include "support/watchdog.hpp"
#include "update_generated.h"

namespace cyto::test {
namespace {

using namespace std::chrono_literals;
using tree::Node;
using numbers = std::vector<std::uint64_t>;

class Port : public testing::Test {
 protected:
  Port() : guard_(100s, "Port") {
    ::setenv("XDG_RUNTIME_DIR", runtime_.path().c_str(), 1);
    name_ = "join-" + std::to_string(::getpid());
  }
  ~Port() override { ::unsetenv("XDG_RUNTIME_DIR"); }

  // Lets the system end, which it does when nobody has anything to do any more, and looks for what
  // it leaves.
  void expect_end(ported_system& system) const {
    system.drain();
    EXPECT_EQ(system.end(), 0);
    EXPECT_EQ(runtime_.leftovers(), std::vector<std::string>{});
    EXPECT_TRUE(holders_of(name_).empty());
  }
  void expect_refused(const std::string& system, const char* at, error_code code,
                      const std::string& words) const {
    try {
      const port refused = join(system, at);
      ADD_FAILURE() << at << " lets this program in";
    } catch (const error& failure) {
      EXPECT_EQ(failure.code(), code) << failure.what();
      EXPECT_NE(std::string(failure.what()).find(words), std::string::npos) << failure.what();
    }
  }
  [[nodiscard]] lane_status lane_now(std::uint32_t index = 0) const {
    return lanes_of(find_system(name_)).at(index);
  }
  [[nodiscard]] worker_status port_now(std::uint32_t index) const {
    return workers_of(find_system(name_)).at(index);
  }

  watchdog guard_;
  runtime_dir runtime_;
  std::string name_;
};

TEST_F(Port, MessagesPassFromOnePortToTheOther) {
  ported_system system(name_, {{"desk"}, {"clerk"}}, {{"desk", "clerk"}});
  {
    port desk = join(name_, "desk");
    port clerk = join(name_, "clerk");
    EXPECT_EQ(desk.name(), "desk/0");
    const output clerks = desk.to("clerk");
    EXPECT_EQ(clerks.size(), 1U);
    EXPECT_EQ(numbers_in(clerk.poll()), numbers{});
    for (std::uint64_t i = 1; i <= 3; ++i) {
      EXPECT_EQ(send_number(desk, clerks.member(0), i), status::ok);
    }
    EXPECT_EQ(numbers_in(clerk.wait(10s)), (numbers{1, 2, 3}));
    EXPECT_EQ(numbers_in(clerk.poll()), numbers{});
    EXPECT_EQ(port_now(0).state, "joined");
    EXPECT_EQ(port_now(0).pid, static_cast<std::uint32_t>(::getpid()));
  }
  EXPECT_EQ(port_now(0).state, "free");
  expect_end(system);
}

TEST_F(Port, ASleeperIsWokenByWhatComes) {
  ported_system system(name_, {{"desk"}, {"clerk"}}, {{"desk", "clerk"}, {"clerk", "desk"}});
  {
    actor answers([&](const line& to_test) {
      port clerk = join(name_, "clerk");
      const output desks = clerk.to("desk");
      to_test.say(1);
      for (std::uint64_t expected = 1; expected <= 100;) {
        for (const received& each : clerk.wait(100s)) {
          if (each.as<Node>()->number() != expected++) throw std::runtime_error("out of order");
          if (send_number(clerk, desks.member(0), each.as<Node>()->number()) != status::ok) {
            throw std::runtime_error("no room");
          }
        }
      }
    });
    ASSERT_EQ(answers.hear(), 1U);
    port desk = join(name_, "desk");
    const output clerks = desk.to("clerk");
    for (std::uint64_t i = 1; i <= 100; ++i) {
      EXPECT_EQ(send_number(desk, clerks.member(0), i), status::ok);
      EXPECT_EQ(numbers_in(desk.wait(100s)), numbers{i});
    }
    EXPECT_EQ(answers.end(), 0);
  }
  expect_end(system);
}

TEST_F(Port, MembersAreTakenInTurnUntilNoneIsFree) {
  ported_system system(name_, {{"desk", 2}, {"clerk"}}, {{"desk", "clerk"}});
  {
    std::optional<port> first(join(name_, "desk"));
    port second = join(name_, "desk");
    EXPECT_EQ(first->name(), "desk/0");
    EXPECT_EQ(second.name(), "desk/1");
    const std::string me = std::to_string(::getpid());
    expect_refused(name_, "desk", error_code::already_running,
                   "desk/0 by process " + me + ", desk/1 by process " + me);
    first.reset();
    expect_refused(name_, "desk/1", error_code::already_running, "desk/1 by process " + me);
    EXPECT_EQ(join(name_, "desk/0").name(), "desk/0");
    EXPECT_EQ(join(name_, "desk").name(), "desk/0");
  }
  expect_end(system);
}

TEST_F(Port, NamesThatLeadNowhereAreRefusedInWords) {
  expect_refused(name_, "desk", error_code::no_such_system, "does not run");
  expect_refused("a b", "desk", error_code::bad_input, "is no name");
  ported_system system(name_, {{"desk"}, {"clerk"}}, {{"desk", "clerk"}});
  expect_refused(name_, "dusk", error_code::bad_input, "it has: desk/0 clerk/0");
  expect_refused(name_, "desk/1", error_code::bad_input, "it has: desk/0 clerk/0");
  {
    port clerk = join(name_, "clerk");
    try {
      static_cast<void>(clerk.to("desk"));
      ADD_FAILURE() << "a lane from nowhere";
    } catch (const error& failure) {
      EXPECT_NE(std::string(failure.what()).find("port clerk/0: has no lane to 'desk'"),
                std::string::npos)
          << failure.what();
    }
  }
  expect_end(system);
}

TEST_F(Port, APairIsNoSystem) {
  auto feed = open(name_).sender<Node>();
  expect_refused(name_, "sender", error_code::bad_input, "is a pair of programs");
}

// Whoever listens there hands out memory of a version to come.
TEST_F(Port, ASystemOfAnotherVersionIsRefusedInWords) {
  segment_plan plan;
  plan.name = name_;
  plan.memfd_tag = memfd_tag(name_);
  plan.slots = {{"desk/0", "desk", 0, slot_is_port, 0, {}}};
  const segment made = segment::create(plan);
  const mapping all = made.map(0, page_bytes);
  auto* header = reinterpret_cast<segment_header*>(all.data());
  header->ready.publish(layout_magic + 1);
  expect_refused(name_, "desk", error_code::bad_input,
                 "its layout is version " + std::to_string(layout_version + 1));
  actor listens([&](const line& to_test) {
    const file listener = listen_at(name_);
    to_test.say(1);
    pollfd door{listener.get(), POLLIN, 0};
    ::poll(&door, 1, -1);
    const file client = accept_from(listener.get());
    send_packet(client.get(), {verb_port, 0}, {made.fd()});
    forget_socket(name_);
  });
  ASSERT_EQ(listens.hear(), 1U);
  expect_refused(name_, "desk", error_code::bad_input,
                 "its layout is version " + std::to_string(layout_version + 1));
  EXPECT_EQ(listens.end(), 0);
}

TEST_F(Port, ATurnIsAllOrNothing) {
  ported_system system(name_, {{"desk"}, {"clerk", 2}}, {{"desk", "clerk", 4096}});
  {
    port desk = join(name_, "desk");
    port clerk = join(name_, "clerk/0");
    const output clerks = desk.to("clerk");
    const auto total = desk.cell<counter>("total");
    const auto send_both = [&](std::size_t bytes) {
      return desk.turn([&](turn& in) {
        total.add(in, 1);
        in.send<Node>(clerks.member(0), numbered(7));
        in.send<Node>(clerks.member(1), numbered(8, bytes));
      });
    };
    EXPECT_EQ(send_both(10), status::ok);
    EXPECT_EQ(send_both(4000), status::too_big);
    EXPECT_EQ(send_both(3930), status::full);
    EXPECT_THROW(static_cast<void>(desk.turn([&](turn& in) {
                   total.add(in, 1);
                   in.send<Node>(clerks.member(0), numbered(9));
                   throw std::runtime_error("no");
                 })),
                 std::runtime_error);
    EXPECT_EQ(total.value(), 1U);
    EXPECT_EQ(numbers_in(clerk.poll()), numbers{7});
    EXPECT_EQ(lane_now(1).accepted, 1U);
    EXPECT_EQ(send_both(10), status::ok);
    EXPECT_EQ(numbers_in(clerk.poll()), numbers{7});
    port other = join(name_, "clerk/1");
    EXPECT_EQ(numbers_in(other.poll()), (numbers{8, 8}));
    EXPECT_EQ(send_both(3930), status::full);  // They are given back by the next call.
    static_cast<void>(other.poll());
    EXPECT_EQ(send_both(3930), status::ok);
    EXPECT_EQ(total.value(), 3U);
    EXPECT_EQ(numbers_in(clerk.poll()), numbers{7});
    EXPECT_EQ(numbers_in(other.poll()), numbers{8});
    static_cast<void>(clerk.poll());
    // One turn that sends more than a lane holds will never go.
    EXPECT_EQ(desk.turn([&](turn& in) {
      for (int i = 0; i < 100; ++i) in.send<Node>(clerks.member(0), numbered(9, 100));
    }),
              status::too_big);
  }
  expect_end(system);
}

TEST_F(Port, CellsArePassedOnToWhoeverJoinsNext) {
  ported_system system(name_, {{"desk"}, {"clerk"}}, {{"desk", "clerk"}});
  for (std::uint64_t i = 0; i < 3; ++i) {
    port desk = join(name_, "desk");
    const auto position = desk.cell<last_writer>("position");
    EXPECT_EQ(position.value(), i);
    EXPECT_EQ(desk.turn([&](turn& in) { position.set(in, i + 1); }), status::ok);
  }
  {
    port desk = join(name_, "desk");
    try {
      for (std::uint64_t i = 0;; ++i) static_cast<void>(desk.cell<counter>(std::to_string(i)));
    } catch (const error& failure) {
      EXPECT_NE(std::string(failure.what()).find("raise cells_bytes"), std::string::npos);
    }
    EXPECT_EQ(desk.cell<last_writer>("position").value(), 3U);
  }
  expect_end(system);
}

// Three have been handed out, the answer to the third was sent: these are taken. Two are not.
TEST_F(Port, AnAnswerCommitsWhatIsInHandAndNoMore) {
  ported_system system(name_, {{"desk"}, {"clerk"}}, {{"desk", "clerk"}, {"clerk", "desk"}});
  {
    port desk = join(name_, "desk");
    const output clerks = desk.to("clerk");
    for (std::uint64_t i = 1; i <= 5; ++i) {
      ASSERT_EQ(send_number(desk, clerks.member(0), i), status::ok);
    }
    actor dies([&](const line& to_test) {
      port clerk = join(name_, "clerk");
      const output desks = clerk.to("desk");
      for (const received& each : clerk.wait(10s)) {
        if (each.as<Node>()->number() == 3) {
          static_cast<void>(send_number(clerk, desks.member(0), 30));
        }
        if (each.as<Node>()->number() == 4) to_test.say(to_test.hear());
      }
    });
    EXPECT_EQ(numbers_in(desk.wait(100s)), numbers{30});
    dies.kill();
    EXPECT_EQ(port_now(1).state, "dead");
    EXPECT_EQ(lane_now().delivered, 3U);
    port clerk = join(name_, "clerk");
    EXPECT_EQ(numbers_in(clerk.poll()), (numbers{4, 5}));
  }
  expect_end(system);
}

TEST_F(Port, AnAnswerThatFindsNoRoomLeavesInHandWhatIsInHand) {
  ported_system system(name_, {{"desk"}, {"clerk"}, {"sink"}},
                       {{"desk", "clerk"}, {"clerk", "sink", 4096}});
  {
    port desk = join(name_, "desk");
    port clerk = join(name_, "clerk");
    const output clerks = desk.to("clerk");
    const output sinks = clerk.to("sink");
    for (std::uint64_t i = 1; i <= 4; ++i) {
      ASSERT_EQ(send_number(desk, clerks.member(0), i), status::ok);
    }
    ASSERT_EQ(send_number(clerk, sinks.member(0), 1, 3800), status::ok);
    numbers seen;
    for (const received& each : clerk.poll()) {
      seen.push_back(each.as<Node>()->number());
      EXPECT_EQ(send_number(clerk, sinks.member(0), 2, 1000), status::full);
      EXPECT_EQ(each.as<Node>()->number(), seen.back());
      EXPECT_EQ(lane_now().delivered, 0U);
    }
    EXPECT_EQ(seen, (numbers{1, 2, 3, 4}));
    EXPECT_EQ(numbers_in(clerk.poll()), numbers{});
    EXPECT_EQ(lane_now().delivered, 4U);
    EXPECT_EQ(numbers_in(join(name_, "sink").poll()), numbers{1});
  }
  expect_end(system);
}

// What was committed by an answer is still being read: its sender gets the space later.
TEST_F(Port, MessagesStayWhereTheyLieUntilTheNextWait) {
  ported_system system(name_, {{"desk"}, {"clerk"}}, {{"desk", "clerk", 4096}, {"clerk", "desk"}});
  {
    port desk = join(name_, "desk");
    port clerk = join(name_, "clerk");
    const output clerks = desk.to("clerk");
    const output desks = clerk.to("desk");
    ASSERT_EQ(send_number(desk, clerks.member(0), 1, 3000), status::ok);
    for (const received& each : clerk.poll()) {
      EXPECT_EQ(send_number(clerk, desks.member(0), 10), status::ok);
      EXPECT_EQ(lane_now().delivered, 1U);
      EXPECT_EQ(send_number(desk, clerks.member(0), 2, 3000), status::full);
      EXPECT_EQ(each.as<Node>()->number(), 1U);
      EXPECT_EQ(each.as<Node>()->text()->size(), 3000U);
    }
    EXPECT_EQ(numbers_in(clerk.poll()), numbers{});
    EXPECT_EQ(send_number(desk, clerks.member(0), 2, 3000), status::ok);
    EXPECT_EQ(numbers_in(desk.poll()), numbers{10});
    EXPECT_EQ(numbers_in(clerk.poll()), numbers{2});
  }
  expect_end(system);
}

TEST_F(Port, WhoeverLeavesGivesBackTheSpaceOfWhatItHasTaken) {
  ported_system system(name_, {{"desk"}, {"clerk"}}, {{"desk", "clerk", 4096}});
  {
    port desk = join(name_, "desk");
    const output clerks = desk.to("clerk");
    ASSERT_EQ(send_number(desk, clerks.member(0), 1, 3000), status::ok);
    EXPECT_EQ(numbers_in(join(name_, "clerk").poll()), numbers{1});
    EXPECT_EQ(send_number(desk, clerks.member(0), 2, 3000), status::ok);
    // One that an exception throws out takes nothing, and gives nothing back.
    try {
      port clerk = join(name_, "clerk");
      EXPECT_EQ(numbers_in(clerk.poll()), numbers{2});
      throw std::runtime_error("out");
    } catch (const std::runtime_error&) {
    }
    EXPECT_EQ(send_number(desk, clerks.member(0), 3, 3000), status::full);
    EXPECT_EQ(numbers_in(join(name_, "clerk").poll()), numbers{2});
  }
  expect_end(system);
}

// Whoever is answered within the loop sends on at once; what is in the loop keeps its space.
TEST_F(Port, ABatchEndsWhileThereIsRoomForMore) {
  ported_system system(name_, {{"desk"}, {"clerk"}}, {{"desk", "clerk", 4096}});
  {
    port desk = join(name_, "desk");
    port clerk = join(name_, "clerk");
    const output clerks = desk.to("clerk");
    ASSERT_EQ(send_number(desk, clerks.member(0), 0), status::ok);
    std::uint64_t seen = 0;
    while (seen < 1000) {
      for (const received& each : clerk.poll()) {
        ASSERT_EQ(each.as<Node>()->number(), seen);
        ASSERT_EQ(send_number(desk, clerks.member(0), ++seen), status::ok);
      }
    }
    EXPECT_EQ(numbers_in(clerk.poll()), numbers{seen});
  }
  expect_end(system);
}

TEST_F(Port, ABatchHasABoundAndTheRestComesNext) {
  ported_system system(name_, {{"desk"}, {"clerk"}}, {{"desk", "clerk", 1U << 20}});
  {
    port desk = join(name_, "desk");
    port clerk = join(name_, "clerk");
    const output clerks = desk.to("clerk");
    for (std::uint64_t i = 0; i < port::batch_max + 10; ++i) {
      ASSERT_EQ(send_number(desk, clerks.member(0), i), status::ok);
    }
    EXPECT_EQ(numbers_in(clerk.poll()).size(), port::batch_max);
    EXPECT_EQ(numbers_in(clerk.poll()).size(), 10U);
  }
  expect_end(system);
}

TEST_F(Port, AMessageOfAnotherTypeIsSeenAsSuch) {
  ported_system system(name_, {{"desk"}, {"clerk"}}, {{"desk", "clerk"}});
  {
    port desk = join(name_, "desk");
    port clerk = join(name_, "clerk");
    const output clerks = desk.to("clerk");
    ASSERT_EQ(desk.send<Update>(clerks.member(0),
                                [](auto& fbb) {
                                  const std::uint8_t byte = 1;
                                  const auto cell = fbb.CreateVector(&byte, 1);
                                  return CreateUpdate(fbb, cell, fbb.CreateVector(&byte, 1));
                                }),
              status::ok);
    prebuilt<Node> ready(numbered(5));
    ASSERT_EQ(desk.send(clerks.member(0), ready), status::ok);
    int seen = 0;
    for (const received& each : clerk.poll()) {
      EXPECT_EQ(each.as<Update>() != nullptr, seen == 0);
      EXPECT_EQ(each.as<Node>() != nullptr, seen == 1);
      EXPECT_FALSE(each.bytes().empty());
      ++seen;
    }
    EXPECT_EQ(seen, 2);
  }
  expect_end(system);
}

TEST_F(Port, NothingIsAllocatedOnceItHasJoined) {
  ported_system system(name_, {{"desk"}, {"clerk"}},
                       {{"desk", "clerk", 16384}, {"clerk", "desk", 4096}});
  {
    port desk = join(name_, "desk");
    port clerk = join(name_, "clerk");
    const output clerks = desk.to("clerk");
    const output desks = clerk.to("desk");
    const auto total = desk.cell<counter>("total");
    prebuilt<Node> ready(numbered(5));
    static_cast<void>(numbered(1));  // Its letters are made once.
    const auto everything = [&] {
      std::uint64_t good = 0;
      const auto count = [&](status answer, status expected) {
        good += answer == expected ? 1 : 0;
      };
      count(send_number(desk, clerks.member(0), 1), status::ok);
      count(send_number(desk, clerks.member(0), 2, 3000), status::ok);
      count(desk.send(clerks.any(), ready), status::ok);
      count(desk.turn([&](turn& in) {
        total.add(in, 1);
        in.send<Node>(clerks.by_key(3), numbered(3));
      }),
            status::ok);
      for (const received& each : clerk.wait(1ms)) {
        good += each.as<Node>() != nullptr ? 1U : 0U;
        count(send_number(clerk, desks.member(0), 4), status::ok);
      }
      for (const received& each : desk.poll()) good += each.as<Node>() != nullptr ? 1U : 0U;
      good += desk.is_open() ? 1U : 0U;
      return good;
    };
    const std::uint64_t expected = everything();
    EXPECT_EQ(expected, 4U + 4 + 4 + 4 + 1);
    const std::uint64_t before = allocations();
    for (int i = 0; i < 100; ++i) {
      if (everything() != expected) FAIL() << "round " << i;
      static_cast<void>(clerk.wait(1ms));  // Sleeps.
    }
    if (allocations_are_counted) {
      EXPECT_EQ(allocations(), before);
    }
    // Also not where there is no room: all of it is refused at the end, when its size is known.
    const auto fill = [&] { return send_number(clerk, desks.member(0), 4, 1500); };
    while (fill() == status::ok) {
    }
    const std::uint64_t before_full = allocations();
    for (int i = 0; i < 100; ++i) ASSERT_EQ(fill(), status::full);
    if (allocations_are_counted) {
      EXPECT_EQ(allocations(), before_full);
    }
  }
  expect_end(system);
}

TEST_F(Port, DrainingAnswersClosedAndWhatWasCommittedIsTaken) {
  ported_system system(name_, {{"desk"}, {"clerk"}}, {{"desk", "clerk"}});
  {
    port desk = join(name_, "desk");
    port clerk = join(name_, "clerk");
    const output clerks = desk.to("clerk");
    ASSERT_EQ(send_number(desk, clerks.member(0), 1), status::ok);
    system.drain();
    EXPECT_EQ(send_number(desk, clerks.member(0), 2), status::closed);
    EXPECT_EQ(desk.turn([](turn&) { FAIL() << "a turn of a system that drains"; }), status::closed);
    EXPECT_FALSE(desk.is_open());
    EXPECT_TRUE(clerk.is_open());
    expect_refused(name_, "desk", error_code::failed, "is about to end");
    numbers seen;
    while (clerk.is_open()) {
      for (const std::uint64_t each : numbers_in(clerk.wait(100s))) seen.push_back(each);
    }
    EXPECT_EQ(seen, numbers{1});
  }
  EXPECT_EQ(system.end(), 0);
  EXPECT_TRUE(holders_of(name_).empty());
}

// They are told of the end, and do not take it from it.
TEST_F(Port, WhatIsStillJoinedWhenItHasEndedDoesNotHoldTheName) {
  std::optional<ported_system> system;
  system.emplace(name_, std::vector<port_group>{{"desk"}, {"clerk"}},
                 std::vector<port_lane>{{"desk", "clerk"}});
  port desk = join(name_, "desk");
  system->drain();
  EXPECT_EQ(system->end(), 0);
  EXPECT_EQ(system_names(), std::vector<std::string>{});
  EXPECT_FALSE(desk.is_open());
  expect_refused(name_, "desk", error_code::no_such_system, "does not run");
  system.emplace(name_, std::vector<port_group>{{"desk"}, {"clerk"}, {"another"}},
                 std::vector<port_lane>{{"desk", "clerk"}});
  EXPECT_FALSE(desk.is_open());
  EXPECT_EQ(join(name_, "desk").name(), "desk/0");
  system->drain();
  EXPECT_EQ(system->end(), 0);
  EXPECT_EQ(runtime_.leftovers(), std::vector<std::string>{});
}

TEST_F(Port, ASuccessorOfTheSupervisorGoesOnWithWhatOnlyAPortStillHolds) {
  const std::vector<port_group> groups{{"desk"}, {"clerk"}};
  const std::vector<port_lane> lanes{{"desk", "clerk"}};
  std::optional<ported_system> system;
  system.emplace(name_, groups, lanes);
  {
    port desk = join(name_, "desk");
    const output clerks = desk.to("clerk");
    ASSERT_EQ(send_number(desk, clerks.member(0), 1), status::ok);
    system->kill();
    EXPECT_TRUE(desk.is_open());
    ASSERT_EQ(send_number(desk, clerks.member(0), 2), status::ok);
    {
      port clerk = join(name_, "clerk");  // Through /proc.
      EXPECT_EQ(numbers_in(clerk.poll()), (numbers{1, 2}));
    }
    system.emplace(name_, groups, lanes);
    ASSERT_EQ(send_number(desk, clerks.member(0), 3), status::ok);
    port clerk = join(name_, "clerk");
    EXPECT_EQ(numbers_in(clerk.poll()), numbers{3});
  }
  expect_end(*system);
}

// ---- fork ----

bool is_held_by(const std::string& name, pid_t pid) {
  for (const memory_holder& each : holders_of(name)) {
    if (each.pid == pid) return true;
  }
  return false;
}

TEST_F(Port, AForkedChildHasNothingOfItsParentsPort) {
  ported_system system(name_, {{"desk"}, {"clerk"}}, {{"desk", "clerk"}, {"clerk", "desk"}});
  {
    std::optional<port> desk(join(name_, "desk"));
    port clerk = join(name_, "clerk");
    const output clerks = desk->to("clerk");
    const output desks = clerk.to("desk");
    ASSERT_EQ(send_number(*desk, clerks.member(0), 1), status::ok);
    ASSERT_EQ(send_number(clerk, desks.member(0), 1), status::ok);
    actor child([&](const line& to_test) {
      to_test.say(is_held_by(name_, ::getpid()) ? 0U : 1U);
      to_test.say(send_number(*desk, clerks.member(0), 2) == status::closed ? 1U : 0U);
      to_test.say(desk->is_open() ? 0U : 1U);
      to_test.say(numbers_in(desk->wait(10s)).empty() ? 1U : 0U);
      try {
        static_cast<void>(desk->to("clerk"));
        to_test.say(0);
      } catch (const error& failure) {
        const std::string words = failure.what();
        to_test.say(words.find("forked") != words.npos ? 1U : 0U);
      }
      // A descriptor that has the number of one of its parent's by now, and pages too.
      const int other = ::open("/dev/null", O_RDONLY);
      desk.reset();
      to_test.say(::fcntl(other, F_GETFD) >= 0 ? 1U : 0U);
    });
    for (int i = 0; i < 6; ++i) EXPECT_EQ(child.hear(), 1U) << "answer " << i;
    EXPECT_EQ(child.end(), 0);
    ASSERT_EQ(send_number(*desk, clerks.member(0), 2), status::ok);
    EXPECT_EQ(numbers_in(clerk.poll()), (numbers{1, 2}));
    EXPECT_EQ(numbers_in(desk->poll()), numbers{1});
    EXPECT_EQ(port_now(0).state, "joined");
  }
  expect_end(system);
}

// The child goes on living. `hold` is what the parent does before it forks.
template <class Hold>
auto parent_of_a_child(Hold hold) {
  return [hold](const line& to_test) {
    const auto held = hold();
    const pid_t child = ::fork();
    if (child == 0) {
      for (;;) ::pause();
    }
    to_test.say(static_cast<std::uint64_t>(child));
    static_cast<void>(to_test.hear());
  };
}

class orphan {
 public:
  explicit orphan(std::uint64_t pid) : pid_(static_cast<pid_t>(pid)) {}
  orphan(const orphan&) = delete;
  orphan& operator=(const orphan&) = delete;
  ~orphan() { ::kill(pid_, SIGKILL); }
  [[nodiscard]] bool lives() const { return ::kill(pid_, 0) == 0; }

 private:
  pid_t pid_;
};

TEST_F(Port, APortIsFreeWhenItsProcessIsKilledAlthoughAChildOfItLives) {
  ported_system system(name_, {{"desk"}, {"clerk"}}, {{"desk", "clerk"}});
  {
    actor parent(parent_of_a_child([&] { return join(name_, "desk"); }));
    const orphan child(parent.hear());
    parent.kill();
    EXPECT_EQ(join(name_, "desk").name(), "desk/0");
    EXPECT_TRUE(child.lives());
  }
  expect_end(system);
}

TEST_F(Port, AnEndOfAPairIsFreeWhenItsProcessIsKilledAlthoughAChildOfItLives) {
  {
    auto in = open(name_).receiver<Node>();
    actor parent(parent_of_a_child([&] { return open(name_).sender<Node>(); }));
    while (in.wait(1ms).size() == 0 && holders_of(name_).size() < 2) {
    }
    const orphan child(parent.hear());
    parent.kill();
    actor successor([&](const line&) {
      auto feed = open(name_).sender<Node>();
      if (feed.send(numbered(1)) != status::ok) throw std::runtime_error("not sent");
    });
    std::size_t seen = 0;
    while (seen == 0) seen = in.wait(100ms).size();
    EXPECT_EQ(successor.end(), 0);
    EXPECT_TRUE(child.lives());
  }
  EXPECT_EQ(runtime_.leftovers(), std::vector<std::string>{});
}

TEST_F(Port, AForkedChildOfAPairsEndIsToldSo) {
  auto feed = open(name_).sender<Node>();
  ASSERT_EQ(feed.send(numbered(1)), status::ok);
  actor child([&](const line& to_test) {
    to_test.say(feed.send(numbered(2)) == status::closed ? 1U : 0U);
    to_test.say(is_held_by(name_, ::getpid()) ? 0U : 1U);
  });
  EXPECT_EQ(child.hear(), 1U);
  EXPECT_EQ(child.hear(), 1U);
  EXPECT_EQ(child.end(), 0);
  auto in = open(name_).receiver<Node>();
  EXPECT_EQ(in.poll().size(), 1U);
  ASSERT_EQ(feed.send(numbered(2)), status::ok);
  EXPECT_EQ(in.poll().size(), 1U);
}

}  // namespace
}  // namespace cyto::test
