// Many threads before one port. The two ends of a pair are processes of their own; the sending one
// has the threads.
#include "cyto/shared_port.hpp"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <array>
#include <atomic>
#include <barrier>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <functional>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "support/actor.hpp"
#include "support/allocations.hpp"
#include "support/files.hpp"
#include "support/must.hpp"
#include "support/residue.hpp"
#include "support/watchdog.hpp"
#include "trees_generated.h"

namespace cyto::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using tree::Node;

constexpr std::uint64_t number_of(std::uint64_t thread, std::uint64_t count) {
  return thread << 32 | count;
}
// Depends on the number, so that another's bytes are seen.
constexpr std::size_t text_bytes(std::uint64_t number) { return number * 37 % 300; }

struct node_of {
  std::uint64_t number;
  std::size_t bytes = text_bytes(number);
  auto operator()(flatbuffers::FlatBufferBuilder& fbb) const {
    static const std::string text(1U << 20, 'x');
    return tree::CreateNode(fbb, number, fbb.CreateString(text.data(), bytes));
  }
};

// Sends until it is accepted; waits as a program would.
void send_surely(producer<Node>& to, std::uint64_t number) {
  for (;;) {
    const status sent = to.send(node_of{number});
    if (sent == status::ok) return;
    must(sent == status::full, "neither ok nor full");
    static_cast<void>(to.flush(milliseconds(10)));
  }
}

// What a receiver has seen: of each thread, how many, which were 0, 1, 2, ...
class book {
 public:
  void add(const Node& node) {
    const std::uint64_t thread = node.number() >> 32;
    must((node.number() & 0xffffffffU) == next_[thread]++, "lost, doubled or out of order");
    must(node.text()->size() == text_bytes(node.number()), "another's bytes");
    ++total_;
  }
  [[nodiscard]] std::uint64_t of(std::uint64_t thread) const {
    const auto found = next_.find(thread);
    return found == next_.end() ? 0 : found->second;
  }
  [[nodiscard]] std::uint64_t total() const { return total_; }

 private:
  std::map<std::uint64_t, std::uint64_t> next_;
  std::uint64_t total_ = 0;
};

// Words that outlive whoever writes them.
class shared_words {
 public:
  shared_words() {
    void* place =
        ::mmap(nullptr, page_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (place == MAP_FAILED) throw std::bad_alloc();
    words_ = new (place) word<std::uint64_t>[8];
  }
  shared_words(const shared_words&) = delete;
  shared_words& operator=(const shared_words&) = delete;
  ~shared_words() { ::munmap(words_, page_bytes); }
  word<std::uint64_t>& operator[](std::size_t index) const { return words_[index]; }

 private:
  word<std::uint64_t>* words_;
};

class SharedPort : public testing::Test {
 protected:
  SharedPort() : guard_(seconds(200), "SharedPort") {
    ::setenv("XDG_RUNTIME_DIR", runtime_.path().c_str(), 1);
    name_ = "shared-test-" + std::to_string(::getpid());
  }
  ~SharedPort() override { ::unsetenv("XDG_RUNTIME_DIR"); }
  void expect_nothing_left() const {
    EXPECT_EQ(runtime_.leftovers(), std::vector<std::string>{});
    EXPECT_TRUE(holders_of(name_).empty());
  }
  // Reads until the sender has left; tells how many there were.
  [[nodiscard]] std::function<void(const line&)> receiver_of_all() const {
    return [name = name_](const line& test) {
      auto feed = open(name).receiver<Node>();
      test.say(1);
      book seen;
      while (feed.is_open()) {
        for (const Node& node : feed.wait(seconds(1))) seen.add(node);
      }
      must(feed.refused() == 0, "a message was refused");
      test.say(seen.total());
    };
  }

  watchdog guard_;
  runtime_dir runtime_;
  std::string name_;
};

TEST_F(SharedPort, EightThreadsLoseNothingAndEachOfThemStaysInOrder) {
  constexpr std::uint64_t thread_count = 8;
  constexpr std::uint64_t count = sanitized ? 3'000 : 100'000;
  actor receives(receiver_of_all());
  EXPECT_EQ(receives.hear(), 1U);
  actor sends([&](const line&) {
    auto feed = open(name_).shared_sender<Node>();
    {
      std::vector<std::jthread> threads;
      for (std::uint64_t thread = 0; thread < thread_count; ++thread) {
        threads.emplace_back([mine = feed.producer(), thread]() mutable {
          for (std::uint64_t i = 0; i < count; ++i) send_surely(mine, number_of(thread, i));
          must(mine.flush(seconds(60)), "not all was committed");
        });
      }
    }
    must(feed.drain(seconds(60)), "not all was taken");
  });
  EXPECT_EQ(receives.hear(), thread_count * count);
  EXPECT_EQ(sends.end(), 0);
  EXPECT_EQ(receives.end(), 0);
  expect_nothing_left();
}

// A lane that is nearly always full: turns are undone and done over all the time.
TEST_F(SharedPort, LaneOfAFewMessagesIsAsGoodButSlower) {
  constexpr std::uint64_t count = sanitized ? 500 : 5'000;
  actor receives(receiver_of_all());
  EXPECT_EQ(receives.hear(), 1U);
  actor sends([&](const line&) {
    auto feed = open(name_, {.lane_bytes = 4096}).shared_sender<Node>({.waiting_max = 8});
    std::vector<std::jthread> threads;
    for (std::uint64_t thread = 0; thread < 4; ++thread) {
      threads.emplace_back([mine = feed.producer(), thread]() mutable {
        for (std::uint64_t i = 0; i < count; ++i) send_surely(mine, number_of(thread, i));
        must(mine.flush(seconds(60)), "not all was committed");
      });
    }
  });
  EXPECT_EQ(sends.end(), 0);
  EXPECT_EQ(receives.hear(), 4 * count);
  EXPECT_EQ(receives.end(), 0);
}

TEST_F(SharedPort, FullLaneKeepsWhatIsQueuedAndAStoppedReceiverLosesNothing) {
  actor receives([&](const line& test) {
    auto feed = open(name_, {.lane_bytes = 4096}).receiver<Node>();
    test.say(1);
    static_cast<void>(test.hear());
    book seen;
    while (feed.is_open()) {
      for (const Node& node : feed.wait(seconds(1))) seen.add(node);
    }
    test.say(seen.of(0));
    test.say(seen.of(1));
  });
  EXPECT_EQ(receives.hear(), 1U);
  ASSERT_EQ(::kill(receives.pid(), SIGSTOP), 0);
  actor sends([&](const line& test) {
    auto feed = open(name_).shared_sender<Node>({.waiting_max = 10});
    auto first = feed.producer();
    auto second = feed.producer();
    std::uint64_t sent = 0;
    while (first.send(node_of{number_of(0, sent)}) == status::ok) ++sent;
    must(sent > 20, "the lane and the queue took few");
    must(first.send(node_of{number_of(0, sent)}) == status::full, "not full");
    must(!first.flush(milliseconds(20)), "committed into a full lane");
    // One that waits does not take the other's place.
    std::uint64_t others = 0;
    while (second.send(node_of{number_of(1, others)}) == status::ok) ++others;
    must(others == 10, "waiting_max is 10");
    test.say(sent);
    must(first.flush(seconds(60)), "not committed");
    must(second.flush(seconds(60)), "not committed");
    must(feed.drain(seconds(60)), "not taken");
  });
  const std::uint64_t sent = sends.hear();
  ASSERT_EQ(::kill(receives.pid(), SIGCONT), 0);
  receives.say(1);
  EXPECT_EQ(receives.hear(), sent);
  EXPECT_EQ(receives.hear(), 10U);
  EXPECT_EQ(sends.end(), 0);
  EXPECT_EQ(receives.end(), 0);
  expect_nothing_left();
}

TEST_F(SharedPort, ThreadsMayComeAndGoAndLeaveTheirMessagesQueued) {
  constexpr std::uint64_t generations = sanitized ? 30 : 300;
  constexpr std::uint64_t count = 50;
  actor receives(receiver_of_all());
  EXPECT_EQ(receives.hear(), 1U);
  actor sends([&](const line&) {
    auto feed = open(name_, {.lane_bytes = 8192}).shared_sender<Node>();
    for (std::uint64_t generation = 0; generation < generations; ++generation) {
      std::vector<std::jthread> threads;
      for (std::uint64_t i = 0; i < 4; ++i) {
        threads.emplace_back([&feed, thread = generation * 4 + i] {
          auto mine = feed.producer();
          for (std::uint64_t k = 0; k < count; ++k) send_surely(mine, number_of(thread, k));
        });
      }
    }
    must(feed.drain(seconds(60)), "not all was taken");
  });
  EXPECT_EQ(receives.hear(), generations * 4 * count);
  EXPECT_EQ(sends.end(), 0);
  EXPECT_EQ(receives.end(), 0);
  expect_nothing_left();
}

TEST_F(SharedPort, LastProducerKeepsThePortOpenAndCommitsWhatFits) {
  actor receives(receiver_of_all());
  EXPECT_EQ(receives.hear(), 1U);
  actor sends([&](const line&) {
    auto mine = open(name_).shared_sender<Node>().producer();
    auto moved = std::move(mine);
    for (std::uint64_t i = 0; i < 100; ++i) {
      must(moved.send(node_of{number_of(0, i)}) == status::ok, "not accepted");
    }
  });
  EXPECT_EQ(sends.end(), 0);
  EXPECT_EQ(receives.hear(), 100U);
  EXPECT_EQ(receives.end(), 0);
  expect_nothing_left();
}

TEST_F(SharedPort, WhatWasFlushedIsThereWhenTheProcessIsKilled) {
  constexpr std::uint64_t thread_count = 4;
  for (int life = 0; life < (sanitized ? 5 : 25); ++life) {
    const shared_words flushed;
    const shared_words asked;
    actor receives([&](const line& test) {
      auto feed = open(name_, {.lane_bytes = 1U << 16}).receiver<Node>();
      test.say(1);
      book seen;
      const auto read = [&] {
        const auto batch = feed.wait(milliseconds(20));
        for (const Node& node : batch) seen.add(node);
        return batch.size();
      };
      while (asked[0].observe() == 0) read();
      // The sender is dead: what there is, is there.
      while (read() != 0) {
      }
      for (std::uint64_t thread = 0; thread < thread_count; ++thread) test.say(seen.of(thread));
    });
    EXPECT_EQ(receives.hear(), 1U);
    actor sends([&](const line& test) {
      auto feed = open(name_).shared_sender<Node>();
      std::vector<std::jthread> threads;
      for (std::uint64_t thread = 0; thread < thread_count; ++thread) {
        threads.emplace_back([&, mine = feed.producer(), thread]() mutable {
          for (std::uint64_t i = 0;; ++i) {
            send_surely(mine, number_of(thread, i));
            if (i % 7 == 0 && mine.flush(seconds(60))) flushed[thread].publish(i + 1);
          }
        });
      }
      test.say(1);
    });
    EXPECT_EQ(sends.hear(), 1U);
    // Killed as the first thread gets somewhere, which differs each time; the others are anywhere.
    while (flushed[0].observe() < static_cast<std::uint64_t>(life) * 40 + 1) {
      std::this_thread::yield();
    }
    sends.kill();
    std::array<std::uint64_t, thread_count> least{};
    for (std::size_t i = 0; i < thread_count; ++i) least[i] = flushed[i].observe();
    asked[0].publish(1);
    for (std::size_t i = 0; i < thread_count; ++i) EXPECT_GE(receives.hear(), least[i]) << life;
    EXPECT_EQ(receives.end(), 0);
    ASSERT_FALSE(HasFailure());
  }
}

// Warm is who has once had as many messages under way as it may have: all blocks of the size are
// there then, and all cells of the queue, wherever in a block of them it begins.
TEST_F(SharedPort, NothingIsAllocatedOnceItIsWarm) {
  if (!allocations_are_counted) GTEST_SKIP() << "the sanitizer has operators of its own";
  constexpr std::uint64_t thread_count = 3;
  constexpr std::uint64_t count = 20'000;
  const shared_words gate;
  actor receives([&](const line& test) {
    auto feed = open(name_, {.lane_bytes = 1U << 15}).receiver<Node>();
    test.say(1);
    while (feed.is_open()) {
      while (gate[0].observe() != 0) std::this_thread::yield();
      for (const Node& node : feed.wait(milliseconds(1))) must(node.text()->size() == 100, "bytes");
    }
  });
  EXPECT_EQ(receives.hear(), 1U);
  actor sends([&](const line& test) {
    auto feed = open(name_).shared_sender<Node>({.waiting_max = 64});
    std::barrier<> together(thread_count);
    std::array<std::atomic<std::uint64_t>, thread_count> calls{};
    std::vector<std::jthread> threads;
    for (std::uint64_t thread = 0; thread < thread_count; ++thread) {
      threads.emplace_back([&, mine = feed.producer(), thread]() mutable {
        const auto send_one = [&] { return mine.send(node_of{thread, 100}); };
        for (std::uint64_t round = 1; round <= 4; ++round) {
          if (thread == 0) gate[0].publish(1);
          together.arrive_and_wait();
          while (send_one() == status::ok) {
          }
          together.arrive_and_wait();
          if (thread == 0) gate[0].publish(0);
          must(mine.flush(seconds(60)), "not committed");
          for (std::uint64_t i = 0; i < 7 * round; ++i) {
            while (send_one() != status::ok) relax();
          }
          must(mine.flush(seconds(60)), "not committed");
          together.arrive_and_wait();
        }
        const std::uint64_t before = allocations();
        for (std::uint64_t i = 0; i < count; ++i) {
          while (send_one() != status::ok) relax();
        }
        calls[thread] = allocations() - before;
        must(mine.flush(seconds(60)), "not committed");
      });
    }
    threads.clear();
    for (const auto& each : calls) test.say(each);
  });
  for (std::uint64_t i = 0; i < thread_count; ++i) EXPECT_EQ(sends.hear(), 0U);
  EXPECT_EQ(sends.end(), 0);
  EXPECT_EQ(receives.end(), 0);
}

TEST_F(SharedPort, BulkLeavesInOrderAndSaysHowFarItCame) {
  actor receives(receiver_of_all());
  EXPECT_EQ(receives.hear(), 1U);
  actor sends([&](const line&) {
    auto feed = open(name_).shared_sender<Node>({.waiting_max = 1000});
    auto mine = feed.producer();
    std::vector<std::uint64_t> numbers(500);
    for (std::uint64_t i = 0; i < numbers.size(); ++i) numbers[i] = number_of(0, i);
    const auto build = [](flatbuffers::FlatBufferBuilder& fbb, std::uint64_t number) {
      return node_of{number}(fbb);
    };
    const bulk_result all = mine.send_bulk(numbers, build);
    must(all.count == 500 && all.last == status::ok, "not all was accepted");
    // One that cannot ever fit stands in the middle of the next.
    const auto build_third_too_big = [&](flatbuffers::FlatBufferBuilder& fbb, std::uint64_t of) {
      return of == number_of(0, 503) ? node_of{of, 1U << 20}(fbb) : node_of{of}(fbb);
    };
    for (std::uint64_t i = 0; i < numbers.size(); ++i) numbers[i] = number_of(0, 500 + i);
    const bulk_result some = mine.send_bulk(numbers, build_third_too_big);
    must(some.count == 3 && some.last == status::too_big, "not three");
    must(mine.flush(seconds(60)), "not committed");
  });
  EXPECT_EQ(sends.end(), 0);
  EXPECT_EQ(receives.hear(), 503U);
  EXPECT_EQ(receives.end(), 0);
}

TEST_F(SharedPort, MessageThatCanNeverFitIsRefusedAtOnceAndTheLargestIsNot) {
  actor sends([&](const line&) {
    auto feed = open(name_, {.lane_bytes = 4096}).shared_sender<Node>();
    auto mine = feed.producer();
    // As a sender without threads decides it, to the byte.
    std::size_t largest = 0;
    while (mine.send(node_of{0, largest + 1}) != status::too_big && largest < 5000) ++largest;
    must(largest > 3800 && largest < 4096, "another bound than the lane's");
    must(mine.send(node_of{0, 5000}) == status::too_big, "5000 bytes were accepted");
  });
  EXPECT_EQ(sends.end(), 0);
  expect_nothing_left();
}

TEST_F(SharedPort, LargestMessageGoesThrough) {
  constexpr std::uint64_t lane_bytes = 1U << 16;
  actor receives([&](const line& test) {
    auto feed = open(name_, {.lane_bytes = lane_bytes}).receiver<Node>();
    test.say(1);
    while (feed.is_open()) {
      for (const Node& node : feed.wait(seconds(1))) test.say(node.text()->size());
    }
  });
  EXPECT_EQ(receives.hear(), 1U);
  constexpr std::size_t bytes = lane_bytes - 256;
  actor sends([&](const line&) {
    auto feed = open(name_).shared_sender<Node>();
    auto mine = feed.producer();
    for (std::uint64_t i = 0; i < 5; ++i) {
      must(mine.send(node_of{i, bytes}) == status::ok, "not accepted");
    }
    must(mine.flush(seconds(60)), "not committed");
  });
  for (int i = 0; i < 5; ++i) EXPECT_EQ(receives.hear(), bytes);
  EXPECT_EQ(sends.end(), 0);
  EXPECT_EQ(receives.end(), 0);
}

TEST_F(SharedPort, SendersAreToldThatTheReceiverHasLeft) {
  actor receives([&](const line& test) {
    auto feed = open(name_, {.lane_bytes = 4096}).receiver<Node>();
    test.say(feed.wait(seconds(60)).size());
  });
  actor sends([&](const line& test) {
    auto feed = open(name_, {.lane_bytes = 4096}).shared_sender<Node>({.waiting_max = 4});
    auto mine = feed.producer();
    must(mine.send(node_of{0}) == status::ok, "not accepted");
    static_cast<void>(test.hear());
    status last = status::ok;
    for (int i = 0; i < 1000 && last == status::ok; ++i) last = mine.send(node_of{1});
    must(last == status::closed, "not closed");
    must(!mine.flush(seconds(60)), "committed to nobody");
    must(!feed.drain(seconds(60)), "taken by nobody");
    test.say(1);
  });
  EXPECT_EQ(receives.hear(), 1U);
  EXPECT_EQ(receives.end(), 0);
  sends.say(1);
  EXPECT_EQ(sends.hear(), 1U);
  EXPECT_EQ(sends.end(), 0);
  expect_nothing_left();
}

TEST_F(SharedPort, ChildOfAForkMayNotUseIt) {
  actor sends([&](const line&) {
    auto feed = open(name_).shared_sender<Node>();
    auto mine = feed.producer();
    actor child([&](const line& parent) {
      must(!mine.flush(seconds(60)), "the child flushed");
      must(!feed.drain(seconds(60)), "the child drained");
      try {
        static_cast<void>(feed.producer());
      } catch (const error& failure) {
        parent.say(static_cast<std::uint64_t>(failure.code()));
      }
    });
    must(child.hear() == static_cast<std::uint64_t>(error_code::failed), "the child joined");
    must(child.end() == 0, "the child failed");
  });
  EXPECT_EQ(sends.end(), 0);
}

TEST_F(SharedPort, WaitingMaxThatIsNoneIsRefused) {
  for (const std::uint32_t count : {0U, (1U << 20) + 1}) {
    actor opens([&](const line& test) {
      try {
        auto feed = open(name_).shared_sender<Node>({.waiting_max = count});
      } catch (const error& failure) {
        must(std::string(failure.what()).find(std::to_string(count)) != std::string::npos,
             "does not name the value");
        test.say(static_cast<std::uint64_t>(failure.code()));
      }
    });
    EXPECT_EQ(opens.hear(), static_cast<std::uint64_t>(error_code::bad_input));
    EXPECT_EQ(opens.end(), 0);
    expect_nothing_left();
  }
}

// ---- another outlet: a slot with several lanes, a target for each message ----

class slot_outlet final : public outlet {
 public:
  slot_outlet(const segment& from, std::uint32_t index) : place_(from, index) {}
  [[nodiscard]] bool fits(std::uint32_t target, std::uint32_t bytes,
                          std::size_t alignment) const noexcept override {
    return target < 2 &&
           record_bytes(bytes, header_bytes_of(bytes, alignment)) + line_bytes <= page_bytes;
  }
  status stage(std::uint32_t target, const void* data, std::uint32_t bytes, std::uint32_t kind,
               std::size_t alignment) noexcept override {
    turn& in = place_.the_turn();
    return in.send_bytes(*in.outputs()[target], data, bytes, kind, alignment);
  }
  void commit() noexcept override { place_.the_turn().commit(); }
  status abort() noexcept override {
    place_.the_turn().abort();
    return status::full;
  }
  void wait_for_room(time_limit at_most) override {
    place_.bell().prepare();
    place_.bell().wait(static_cast<std::uint64_t>(std::min<std::int64_t>(at_most.ms(), 5)) *
                       1'000'000);
    place_.bell().cancel();
  }
  status drain(time_limit) override { return status::ok; }

 private:
  slot place_;
};

TEST_F(SharedPort, TargetOfEachMessageMayBeAnother) {
  segment_plan plan;
  plan.name = "shared-port-test";
  plan.memfd_tag = "cyto:shared-port-test";
  plan.slots = {{"from", "from", 0, slot_is_port, 0, {}},
                {"even", "even", 0, slot_is_port, 0, {}},
                {"odd", "odd", 0, slot_is_port, 0, {}}};
  plan.lanes = {{0, 1, page_bytes}, {0, 2, page_bytes}};
  const segment where = segment::create(plan);
  constexpr std::uint64_t thread_count = 3;
  constexpr std::uint64_t count = sanitized ? 500 : 20'000;

  const auto reader_of = [&](std::uint32_t index) {
    return [&, index](const line& test) {
      slot place(where, index);
      std::array<std::uint64_t, thread_count> next{};
      next.fill(index - 1);
      for (std::uint64_t total = 0; total < thread_count * count / 2;) {
        message_view view;
        turn_input* from = place.incoming().next(view);
        if (from == nullptr) {
          place.the_turn().ring_writers();
          std::this_thread::yield();
          continue;
        }
        std::uint64_t number = 0;
        std::memcpy(&number, view.data, sizeof number);
        std::uint64_t& expected = next[number >> 32];
        must((number & 0xffffffffU) == expected, "lost, doubled or out of order");
        expected += 2;
        place.the_turn().take(*from, view);
        turn::consume(*from, view);
        place.incoming().taken(*from);
        place.the_turn().commit();
        ++total;
      }
      test.say(1);
    };
  };
  actor even(reader_of(1));
  actor odd(reader_of(2));
  actor sends([&](const line& test) {
    const shared_port port(std::make_unique<slot_outlet>(where, 0), {.waiting_max = 100});
    {
      std::vector<std::jthread> threads;
      for (std::uint64_t thread = 0; thread < thread_count; ++thread) {
        threads.emplace_back([mine = port.join(), thread]() mutable {
          for (std::uint64_t i = 0; i < count; ++i) {
            const std::uint64_t number = number_of(thread, i);
            while (mine.send(i % 2, &number, sizeof number, 1) != status::ok) {
              static_cast<void>(mine.flush(milliseconds(5)));
            }
          }
          must(mine.flush(seconds(60)), "not committed");
          must(mine.send(2, &thread, sizeof thread, 1) == status::too_big, "no such target");
        });
      }
    }
    test.say(1);
  });
  EXPECT_EQ(even.hear(), 1U);
  EXPECT_EQ(odd.hear(), 1U);
  EXPECT_EQ(sends.hear(), 1U);
  EXPECT_EQ(sends.end(), 0);
  EXPECT_EQ(even.end(), 0);
  EXPECT_EQ(odd.end(), 0);
}

// ---- who is responsible ----

// Counts what is committed; always has room.
class counting_outlet final : public outlet {
 public:
  explicit counting_outlet(std::atomic<std::uint64_t>& committed) : committed_(&committed) {}
  [[nodiscard]] bool fits(std::uint32_t, std::uint32_t, std::size_t) const noexcept override {
    return true;
  }
  status stage(std::uint32_t, const void*, std::uint32_t, std::uint32_t,
               std::size_t) noexcept override {
    ++staged_;
    return status::ok;
  }
  void commit() noexcept override { *committed_ += std::exchange(staged_, 0); }
  status abort() noexcept override { return status::full; }
  void wait_for_room(time_limit) override {}
  status drain(time_limit) override { return status::ok; }

 private:
  std::atomic<std::uint64_t>* committed_;
  std::uint64_t staged_ = 0;
};

// Two send at about the same moment. When both have returned, all is committed, though nobody comes
// by after them. As often as two seconds allow: it depends on what else runs here.
TEST_F(SharedPort, WhatIsQueuedHasSomebodyWhoCommitsIt) {
  std::atomic<std::uint64_t> committed = 0;
  const shared_port port(std::make_unique<counting_outlet>(committed));
  std::array<std::atomic<std::uint64_t>, 2> accepted{};
  std::array<std::atomic<std::uint64_t>, 2> round{};
  std::atomic<bool> enough = false;
  std::uint64_t left_behind = 0;
  const auto meet = [&](std::size_t own, std::uint64_t at) {
    round[own] = at;
    for (int looks = 0; round[1 - own] < at; ++looks) {
      if (looks % 1000 == 999) std::this_thread::yield();
    }
  };
  const auto play = [&](shared_port::producer mine, std::size_t own) {
    const auto until = std::chrono::steady_clock::now() + seconds(2);
    std::uint64_t dice = own + 1;
    for (std::uint64_t i = 1;; ++i) {
      meet(own, 3 * i);
      if (enough) return;
      dice = dice * 6364136223846793005U + 1442695040888963407U;
      for (std::uint64_t count = 1 + (dice >> 62); count != 0; --count) {
        if (mine.send(0, &i, sizeof i, 1) == status::ok) ++accepted[own];
      }
      meet(own, 3 * i + 1);
      if (own == 0) {
        const std::uint64_t all = accepted[0] + accepted[1];
        left_behind += all - committed.load();
        enough = std::chrono::steady_clock::now() > until || i == 2'000'000 || left_behind != 0;
      }
      meet(own, 3 * i + 2);
    }
  };
  {
    const std::jthread one(play, port.join(), 0U);
    const std::jthread other(play, port.join(), 1U);
  }
  EXPECT_EQ(left_behind, 0U);
}

// Runs an act of somebody else's at a moment when the flag is taken.
class interrupted_outlet final : public outlet {
 public:
  struct script {
    std::uint64_t room = 0;
    std::uint64_t committed = 0;
    std::function<void()> while_waiting = [] {};
    std::function<void()> while_draining = [] {};
  };
  explicit interrupted_outlet(script& by) : by_(&by) {}
  [[nodiscard]] bool fits(std::uint32_t, std::uint32_t, std::size_t) const noexcept override {
    return true;
  }
  status stage(std::uint32_t, const void*, std::uint32_t, std::uint32_t,
               std::size_t) noexcept override {
    if (staged_ == by_->room) return status::full;
    ++staged_;
    return status::ok;
  }
  void commit() noexcept override {
    by_->room -= staged_;
    by_->committed += std::exchange(staged_, 0);
  }
  status abort() noexcept override {
    staged_ = 0;
    return status::full;
  }
  void wait_for_room(time_limit) override { by_->while_waiting(); }
  status drain(time_limit) override {
    by_->while_draining();
    return status::ok;
  }

 private:
  script* by_;
  std::uint64_t staged_ = 0;
};

TEST_F(SharedPort, WhoWaitsForTheLaneSendsForThoseWhoCameByMeanwhile) {
  interrupted_outlet::script script;
  const shared_port port(std::make_unique<interrupted_outlet>(script));
  auto mine = port.join();
  auto others = port.join();
  const auto other_sends = [&] {
    const std::jthread other([&] { EXPECT_EQ(others.send(0, "x", 1, 1), status::ok); });
  };
  EXPECT_EQ(mine.send(0, "x", 1, 1), status::ok);
  EXPECT_EQ(script.committed, 0U);
  script.while_waiting = [&] {
    other_sends();
    EXPECT_EQ(script.committed, 0U);
    script.room = 10;
  };
  EXPECT_TRUE(mine.flush(seconds(60)));
  EXPECT_EQ(script.committed, 2U);
  script.while_draining = [&] {
    other_sends();
    EXPECT_EQ(script.committed, 2U);
  };
  EXPECT_TRUE(port.drain(seconds(60)));
  EXPECT_EQ(script.committed, 3U);
  // No room again: time is up, and what was queued is still there.
  script.room = 0;
  script.while_waiting = other_sends;
  EXPECT_EQ(mine.send(0, "x", 1, 1), status::ok);
  EXPECT_FALSE(mine.flush(milliseconds(1)));
  script.room = 1000;
  EXPECT_TRUE(mine.flush(seconds(60)));
  EXPECT_GE(script.committed, 5U);
}

}  // namespace
}  // namespace cyto::test
