// The two ends of a pair meet through a socket, a folder and the memory of other processes; one of
// them is killed at the beginning and at the end of every system call that does more than look,
// from the first of its joining to the last of its leaving. Whoever comes next under that name
// meets the other end, and the messages that were sent are there, once.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mman.h>

#include <cstdlib>
#include <functional>
#include <new>
#include <string>
#include <vector>

#include "process.hpp"
#include "rendezvous.hpp"
#include "support/actor.hpp"
#include "support/files.hpp"
#include "support/inquiry.hpp"
#include "support/stepped.hpp"
#include "support/system.hpp"
#include "support/watchdog.hpp"
#include "update_generated.h"

namespace cyto::test {
namespace {

using namespace std::chrono_literals;

constexpr const char* pair_of_test = "crash-pair";
constexpr std::uint64_t last_number = 4;

status send_number(sender<Update>& to, std::uint64_t number) {
  return to.send([&](flatbuffers::FlatBufferBuilder& fbb) {
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(&number);
    const auto cell = fbb.CreateVector(bytes, 1);
    return CreateUpdate(fbb, cell, fbb.CreateVector(bytes, sizeof number));
  });
}

void send_first_ones(sender<Update>& to) {
  for (std::uint64_t number = 1; number < last_number; ++number) {
    if (send_number(to, number) != status::ok) throw std::runtime_error("it does not send");
  }
}

std::vector<std::uint64_t> numbers_in(const receiver<Update>::batch& batch) {
  std::vector<std::uint64_t> out;
  for (const Update& each : batch) {
    std::uint64_t number = 0;
    std::memcpy(&number, each.value()->data(), sizeof number);
    out.push_back(number);
  }
  return out;
}

// Seen by a process that was forked meanwhile.
class shared_flag {
 public:
  shared_flag() {
    void* place =
        ::mmap(nullptr, page_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (place == MAP_FAILED) throw std::bad_alloc();
    word_ = new (place) word<std::uint64_t>{};
  }
  shared_flag(const shared_flag&) = delete;
  shared_flag& operator=(const shared_flag&) = delete;
  ~shared_flag() { ::munmap(word_, page_bytes); }
  void raise() const { word_->publish(1); }
  [[nodiscard]] bool is_up() const { return word_->observe() != 0; }

 private:
  word<std::uint64_t>* word_;
};

// All until the last one has come.
std::vector<std::uint64_t> receive_all(receiver<Update>& from) {
  std::vector<std::uint64_t> out;
  while (out.empty() || out.back() != last_number) {
    for (const std::uint64_t each : numbers_in(from.wait(1s))) out.push_back(each);
  }
  return out;
}

// {from, ..., last_number}
std::vector<std::uint64_t> numbers_from(std::uint64_t from) {
  std::vector<std::uint64_t> out;
  for (; from <= last_number; ++from) out.push_back(from);
  return out;
}

// How the lane stands, seen in the memory of whoever holds it.
lane_status lane_now() {
  for (const memfd_holder& holder : find_memfd_holders(memfd_tag(pair_of_test))) {
    const int fd = ::open(holder.path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd >= 0) return lanes_of(segment::attach(fd)).at(0);
  }
  throw std::runtime_error("nobody holds the pair's memory");
}

class CrashPair : public testing::Test {
 protected:
  void SetUp() override { ::setenv("XDG_RUNTIME_DIR", runtime_.path().c_str(), 1); }
  void TearDown() override { ::unsetenv("XDG_RUNTIME_DIR"); }

  // Kills `victim` at one stop after the other, with what is there before it and what comes after
  // it made anew each time.
  void kill_at_each_stop(std::uint64_t pace, const std::function<void()>& victim,
                         const std::function<void(const std::function<void()>& kill)>& around) {
    const watchdog guard(std::chrono::seconds(is_full() ? 1800 : 100), name_of_test());
    tally sum;
    bool reached = true;
    for (std::uint64_t stop = 1; reached && !HasFailure(); stop += is_full()   ? 1
                                                                   : sanitized ? pace * 4
                                                                               : pace) {
      SCOPED_TRACE("killed at stop " + std::to_string(stop));
      around([&] {
        stepped_child child([] {}, victim);
        std::uint64_t stops = 0;
        while (stops < stop && reached) {
          reached = child.run_to_deed();
          ++stops;
        }
        child.kill();
        ++sum.kills;
      });
      ++sum.judged;
      EXPECT_EQ(runtime_.leftovers(), std::vector<std::string>{});
    }
  }

  runtime_dir runtime_;
};

TEST_F(CrashPair, TheFirstToComeDies) {
  CYTO_SKIP_UNDER_TSAN();
  kill_at_each_stop(
      53, [] { static_cast<void>(open(pair_of_test).receiver<Update>().poll()); },
      [](const auto& kill) {
        kill();
        actor other([](const line&) {
          auto to = open(pair_of_test).sender<Update>();
          send_first_ones(to);
          if (send_number(to, last_number) != status::ok || !to.drain(20s)) {
            throw std::runtime_error("not all was taken");
          }
        });
        auto from = open(pair_of_test).receiver<Update>();
        EXPECT_EQ(receive_all(from), numbers_from(1));
        static_cast<void>(from.poll());  // Gives the last batch back.
        EXPECT_EQ(other.end(), 0);
      });
}

TEST_F(CrashPair, AReceiverDiesWhoJoinsASender) {
  CYTO_SKIP_UNDER_TSAN();
  kill_at_each_stop(
      4,
      [] {
        auto from = open(pair_of_test).receiver<Update>();
        std::size_t taken = 0;
        while (taken < last_number - 1) taken += from.wait(1s).size();
      },
      [](const auto& kill) {
        const shared_flag told;
        actor other([&](const line& to_test) {
          auto to = open(pair_of_test).sender<Update>();
          send_first_ones(to);
          to_test.say(1);
          // It lets others in when it comes by.
          while (!told.is_up()) static_cast<void>(to.drain(20ms));
          if (send_number(to, last_number) != status::ok) throw std::runtime_error("no room");
          // It says no at once while the receiver that was killed had said goodbye before.
          while (!to.drain(20s)) ::sched_yield();
        });
        ASSERT_EQ(other.hear(), 1U);
        kill();
        const std::uint64_t delivered = lane_now().delivered;
        told.raise();
        auto from = open(pair_of_test).receiver<Update>();
        EXPECT_EQ(receive_all(from), numbers_from(delivered + 1));
        static_cast<void>(from.poll());
        EXPECT_EQ(other.end(), 0);
      });
}

TEST_F(CrashPair, ASenderDiesWhoJoinsAReceiver) {
  CYTO_SKIP_UNDER_TSAN();
  kill_at_each_stop(
      4,
      [] {
        auto to = open(pair_of_test).sender<Update>();
        send_first_ones(to);
      },
      [](const auto& kill) {
        actor other([](const line& to_test) {
          auto from = open(pair_of_test).receiver<Update>();
          to_test.say(1);
          for (const std::uint64_t each : receive_all(from)) to_test.say(each);
          static_cast<void>(from.poll());
        });
        ASSERT_EQ(other.hear(), 1U);
        kill();
        const std::uint64_t accepted = lane_now().accepted;
        auto to = open(pair_of_test).sender<Update>();
        EXPECT_EQ(send_number(to, last_number), status::ok);
        EXPECT_TRUE(to.drain(20s));
        for (std::uint64_t number = 1; number <= accepted; ++number)
          EXPECT_EQ(other.hear(), number);
        EXPECT_EQ(other.hear(), last_number);
        EXPECT_EQ(other.end(), 0);
      });
}

}  // namespace
}  // namespace cyto::test
