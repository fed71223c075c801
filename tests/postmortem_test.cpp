// What a dead worker leaves: the flight recorder and the note of its fault.
#include "cyto/postmortem.hpp"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <functional>
#include <thread>

#include "fault_guard.hpp"
#include "support/process.hpp"
#include "support/system.hpp"

namespace cyto::test {
namespace {

struct ring {
  flight_event events[flight_events]{};
};

TEST(FlightRecorder, KeepsTheLastEventsInTheirOrder) {
  ring memory;
  {
    recorder first(memory.events);
    for (std::uint64_t i = 1; i <= 100; ++i) first.note(flight::sent, 3, 7, i, 2 * i);
  }
  // A successor goes on where the dead one stopped.
  recorder second(memory.events);
  for (std::uint64_t i = 101; i <= 300; ++i) second.note(flight::taken, 300, 9, i);
  const auto all = flight_of(memory.events);
  ASSERT_EQ(all.size(), flight_events);
  for (std::size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ(all[i].number, 300 - flight_events + 1 + i);
    EXPECT_EQ(all[i].first, all[i].number);
    EXPECT_EQ(all[i].what, flight::taken);
    EXPECT_EQ(all[i].lane, 300U);
  }
}

TEST(FlightRecorder, AnEventThatIsBeingWrittenIsLeftOut) {
  ring memory;
  recorder writer(memory.events);
  for (int i = 0; i < 5; ++i) writer.note(flight::committed, 0, 0, 1);
  memory.events[3].number.stage(0);
  const auto all = flight_of(memory.events);
  ASSERT_EQ(all.size(), 4U);
  EXPECT_EQ(all[2].number, 4U);
}

// F1
TEST(FlightRecorder, AReaderBesideTheWriterSeesWholeEvents) {
  ring memory;
  std::atomic<bool> over = false;
  std::thread writer([&] {
    recorder mine(memory.events);
    for (std::uint64_t i = 1; !over; ++i) {
      mine.note(flight::sent, static_cast<std::uint32_t>(i & 0xff), static_cast<std::uint32_t>(i),
                i, ~i);
    }
  });
  std::size_t seen = 0;
  std::size_t torn = 0;
  while (seen < 20'000) {
    for (const flight_entry& each : flight_of(memory.events)) {
      ++seen;
      const bool whole = each.first == each.number && each.second == ~each.number &&
                         each.detail == static_cast<std::uint32_t>(each.number) &&
                         each.lane == (each.number & 0xff);
      torn += whole ? 0 : 1;
    }
  }
  over = true;
  writer.join();
  EXPECT_EQ(torn, 0U);
}

TEST(FlightRecorder, ATurnTellsWhatItDid) {
  small_system system({"feeder", "worker", "sink"}, {{0, 1}, {1, 2}});
  slot feeder(system.where, 0);
  slot worker(system.where, 1);
  send(feeder, 0, "hello");
  std::string payload;
  ASSERT_TRUE(take_one(worker, payload));
  stage(worker, 0, payload);
  const control& own = system.where.control_of(1);
  EXPECT_EQ(own.handling.observe(), handling_of(0, 0));
  worker.the_turn().commit();
  EXPECT_EQ(own.handling.observe(), 0U);
  worker.the_turn().abort();
  auto all = flight_of(own.events);
  ASSERT_EQ(all.size(), 6U);
  EXPECT_EQ(all[0].what, flight::recovered);
  EXPECT_EQ(all[0].first, 0U);
  all.erase(all.begin());
  EXPECT_EQ(all[0].what, flight::started);
  EXPECT_EQ(all[0].first, static_cast<std::uint64_t>(getpid()));
  EXPECT_EQ(all[1].what, flight::taken);
  EXPECT_EQ(all[1].detail, raw_kind);
  EXPECT_EQ(all[2].what, flight::sent);
  EXPECT_EQ(all[2].first, payload.size());
  EXPECT_EQ(all[2].second, 0U) << "its position";
  EXPECT_EQ(all[3].what, flight::committed);
  EXPECT_EQ(all[3].first, own.commit.observe());
  EXPECT_EQ(all[4].what, flight::aborted);
}

TEST(Handling, HoldsEveryLaneAndPosition) {
  for (const std::uint32_t input : {0U, 1U, 255U}) {
    for (const std::uint64_t position : {std::uint64_t{0}, std::uint64_t{1} << 60}) {
      const std::uint64_t word = handling_of(input, position);
      EXPECT_EQ(word >> handling_shift, input + 1);
      EXPECT_EQ((word & ((std::uint64_t{1} << handling_shift) - 1)) * line_bytes, position);
    }
  }
}

// A process that arms the guard and dies; its wait status, and what it has noted in `own`.
int die(control& own, const std::function<void()>& how) {
  const pid_t pid = fork();
  if (pid == 0) {
    const fault_guard guard(own);
    how();
    _exit(0);
  }
  int status = 0;
  waitpid(pid, &status, 0);
  EXPECT_TRUE(own.fault.sender.observe() == 0 ||
              own.fault.sender.observe() == static_cast<std::uint32_t>(pid));
  return status;
}

class FaultGuard : public testing::Test {
 protected:
  void SetUp() override {
    if (sanitized) GTEST_SKIP() << "the sanitizer handles these signals itself";
    own_ = static_cast<control*>(
        mmap(nullptr, sizeof(control), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    ASSERT_NE(own_, MAP_FAILED);
  }
  void TearDown() override {
    if (own_ != nullptr) munmap(own_, sizeof(control));
  }
  control* own_ = nullptr;
};

TEST_F(FaultGuard, NotesTheAddressAndLetsTheDefaultActionGoOn) {
  const int status =
      die(*own_, [] { *reinterpret_cast<volatile int*>(std::uintptr_t{0x123450}) = 1; });
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), SIGSEGV);
  EXPECT_EQ(own_->fault.signal.observe(), static_cast<std::uint32_t>(SIGSEGV));
  EXPECT_EQ(own_->fault.address.observe(), 0x123450U);
  EXPECT_EQ(own_->fault.sender.observe(), 0U);
}

TEST_F(FaultGuard, NotesWhoHasSentTheSignal) {
  const int status = die(*own_, [] { std::abort(); });
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), SIGABRT);
  EXPECT_EQ(own_->fault.signal.observe(), static_cast<std::uint32_t>(SIGABRT));
  EXPECT_LE(static_cast<std::int32_t>(own_->fault.code.observe()), 0);
  EXPECT_NE(own_->fault.sender.observe(), 0U);
}

// Deeper than any stack.
unsigned dig(unsigned levels) {
  volatile unsigned char here[4096];
  here[0] = static_cast<unsigned char>(levels);
  return levels == 0 ? 0 : dig(levels - 1) + here[0];
}

TEST_F(FaultGuard, NotesAStackThatIsUsedUp) {
  const int status = die(*own_, [] { static_cast<void>(dig(1U << 30)); });
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), SIGSEGV);
  EXPECT_EQ(own_->fault.signal.observe(), static_cast<std::uint32_t>(SIGSEGV));
}

TEST_F(FaultGuard, LeavesHandlersOfOthersAlone) {
  const pid_t pid = fork();
  if (pid == 0) {
    std::signal(SIGFPE, [](int) { _exit(5); });
    const fault_guard guard(*own_);
    static_cast<void>(std::raise(SIGFPE));
    _exit(0);
  }
  int status = 0;
  waitpid(pid, &status, 0);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 5);
  EXPECT_EQ(own_->fault.signal.observe(), 0U);
}

}  // namespace
}  // namespace cyto::test
