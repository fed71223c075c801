#include "cyto/doorbell.hpp"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "support/process.hpp"
#include "support/system.hpp"
#include "support/watchdog.hpp"

namespace cyto::test {
namespace {

constexpr std::uint64_t for_ever_ns = 100'000'000'000;

std::chrono::nanoseconds time_of(const std::function<void()>& act) {
  const auto start = std::chrono::steady_clock::now();
  act();
  return std::chrono::steady_clock::now() - start;
}

TEST(Doorbell, WaitEndsByItselfWhenTimeIsUp) {
  const watchdog guard(std::chrono::seconds(60), "Doorbell.WaitEndsByItselfWhenTimeIsUp");
  doorbell_line line{};
  doorbell bell(line);
  bell.prepare();
  EXPECT_GE(time_of([&] { bell.wait(2'000'000); }), std::chrono::nanoseconds(2'000'000));
  EXPECT_EQ(line.parked.own(), 1U);
  bell.cancel();
  EXPECT_EQ(line.parked.own(), 0U);
}

TEST(Doorbell, RingBeforeTheSleepIsNotLost) {
  const watchdog guard(std::chrono::seconds(30), "Doorbell.RingBeforeTheSleepIsNotLost");
  doorbell_line line{};
  doorbell bell(line);
  bell.prepare();
  ring(line);
  bell.wait(for_ever_ns);
  bell.cancel();
}

TEST(Doorbell, RingWithoutASleeperChangesNothing) {
  doorbell_line line{};
  ring(line);
  EXPECT_EQ(line.parked.own(), 0U);
}

TEST(Doorbell, WakeReachesASleeperWhoseRingerDiedBetweenClearingAndWaking) {
  const watchdog guard(std::chrono::seconds(30), "Doorbell.WakeReachesASleeper...");
  doorbell_line line{};
  std::atomic<bool> awake = false;
  std::thread sleeper([&] {
    doorbell bell(line);
    bell.prepare();
    bell.wait(for_ever_ns);
    awake = true;
  });
  while (line.parked.observe() == 0) std::this_thread::yield();
  line.parked.publish(0);  // And the ringer is gone.
  while (!awake) {
    wake(line);  // Recovery's, unconditional.
    std::this_thread::yield();
  }
  sleeper.join();
}

TEST(Doorbell, OneThatStaysAwakeIsNotRungAndSaysSoAgainWhenThatWasCleared) {
  doorbell_line line{};
  doorbell bell(line);
  bell.stay_awake();
  EXPECT_EQ(line.parked.own(), parked_awake);
  EXPECT_FALSE(is_asleep(line));
  ring(line);
  EXPECT_EQ(line.parked.own(), parked_awake);
  wake(line);  // As recovery does, unconditionally.
  EXPECT_EQ(line.parked.own(), 0U);
  bell.stay_awake();
  EXPECT_EQ(line.parked.own(), parked_awake);
  bell.cancel();
  EXPECT_EQ(line.parked.own(), 0U);
}

// Two threads hand a number to and fro through parked waits: a lost wake-up hangs the test.
TEST(Doorbell, NoWakeUpIsLostInManyHandovers) {
  const watchdog guard(std::chrono::seconds(100), "Doorbell.NoWakeUpIsLostInManyHandovers");
  constexpr std::uint64_t rounds = sanitized ? 3'000 : 20'000;
  struct {
    doorbell_line bell[2];
    word<std::uint64_t> ball;
  } shared{};
  const auto play = [&](std::uint64_t me) {
    doorbell bell(shared.bell[me]);
    for (std::uint64_t turn = me; turn < rounds; turn += 2) {
      while (shared.ball.observe() != turn) {
        bell.prepare();
        if (shared.ball.observe() != turn) bell.wait(for_ever_ns);
        bell.cancel();
      }
      shared.ball.publish(turn + 1);
      full_fence();
      ring(shared.bell[1 - me]);
    }
  };
  std::thread other([&] { play(1); });
  play(0);
  other.join();
  EXPECT_EQ(shared.ball.own(), rounds);
}

TEST(Doorbell, WakesASleeperInAnotherProcess) {
  const watchdog guard(std::chrono::seconds(30), "Doorbell.WakesASleeperInAnotherProcess");
  const small_system system({"a", "b"}, {});
  const mapping bells = system.where.map_doorbells();
  auto* line = reinterpret_cast<doorbell_line*>(bells.data());
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    // Its own mapping at another address: the futex goes by the memory, not by the address.
    const mapping mine = system.where.map_doorbells();
    doorbell bell(*reinterpret_cast<doorbell_line*>(mine.data()));
    bell.prepare();
    while (reinterpret_cast<doorbell_line*>(mine.data())->parked.observe() != 0) {
      bell.wait(for_ever_ns);
    }
    _exit(7);
  }
  while (line->parked.observe() == 0) std::this_thread::yield();
  ring(*line);
  int state = 0;
  ASSERT_EQ(waitpid(child, &state, 0), child);
  EXPECT_TRUE(WIFEXITED(state) && WEXITSTATUS(state) == 7);
}

}  // namespace
}  // namespace cyto::test
