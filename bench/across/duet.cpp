#include "across/duet.hpp"

#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <exception>
#include <new>
#include <span>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "cyto/doorbell.hpp"

namespace cyto::bench {
namespace {

using clock = std::chrono::steady_clock;

constexpr std::size_t far_max = 8;

struct stage {
  std::atomic<std::size_t> arrived{0};
  std::size_t far_count = 1;
  tally near;
  std::array<tally, far_max> far;
};

class shared_stage {
 public:
  shared_stage()
      : at_(mmap(nullptr, sizeof(stage), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
                 0)) {
    if (at_ == MAP_FAILED) throw std::runtime_error("no memory for the results of a benchmark");
    new (at_) stage;
  }
  shared_stage(const shared_stage&) = delete;
  shared_stage& operator=(const shared_stage&) = delete;
  ~shared_stage() { munmap(at_, sizeof(stage)); }
  stage& operator*() const noexcept { return *static_cast<stage*>(at_); }

 private:
  void* at_;
};

double cpu_seconds(const rusage& used) {
  const auto seconds = [](const timeval& at) {
    return static_cast<double>(at.tv_sec) + 1e-6 * static_cast<double>(at.tv_usec);
  };
  return seconds(used.ru_utime) + seconds(used.ru_stime);
}

void pin(int core) {
  if (core < 0) return;
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<std::size_t>(core), &set);
  sched_setaffinity(0, sizeof set, &set);
}

// Does a part, as a process or as a thread: `whose` use of the core is counted.
bool act(int core, const part& what, tally& result, stage& on, __rusage_who whose) {
  pin(core);
  try {
    rusage before{};
    what(result, [&] {
      getrusage(whose, &before);
      on.arrived.fetch_add(1);
      // Threads of a library that share this core may have to do something for the other part.
      while (on.arrived.load() < 1 + on.far_count) sched_yield();
    });
    rusage after{};
    getrusage(whose, &after);
    result.cpu_s = cpu_seconds(after) - cpu_seconds(before);
    result.switches = static_cast<std::uint64_t>(after.ru_nvcsw - before.ru_nvcsw +
                                                 after.ru_nivcsw - before.ru_nivcsw);
    return true;
  } catch (const std::exception& failure) {
    std::snprintf(result.failure, sizeof result.failure, "%s", failure.what());
    return false;
  }
}

class player {
 public:
  player(const stage& on, const std::function<bool()>& what) : on_(&on) {
    std::fflush(nullptr);
    pid_ = fork();
    if (pid_ < 0) throw std::runtime_error("cannot start a process for a benchmark");
    if (pid_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      _exit(what() ? 0 : 1);
    }
    pidfd_ = static_cast<int>(syscall(SYS_pidfd_open, pid_, 0));
  }
  player(const player&) = delete;
  player& operator=(const player&) = delete;
  ~player() {
    if (pid_ > 0) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
    }
    if (pidfd_ >= 0) close(pidfd_);
  }
  [[nodiscard]] int pidfd() const noexcept { return pid_ > 0 ? pidfd_ : -1; }
  void reap() {
    int status = 0;
    waitpid(pid_, &status, 0);
    pid_ = -1;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return;
    if (on_->near.failure[0] != 0) throw std::runtime_error(on_->near.failure);
    for (const tally& each : on_->far) {
      if (each.failure[0] != 0) throw std::runtime_error(each.failure);
    }
    throw std::runtime_error("a process of the benchmark died: wait status " +
                             std::to_string(status));
  }

 private:
  const stage* on_;
  pid_t pid_ = -1;
  int pidfd_ = -1;
};

void wait_for(std::span<player* const> all, double limit_s) {
  const auto until = clock::now() + std::chrono::duration<double>(limit_s);
  for (std::size_t running = all.size(); running > 0;) {
    std::vector<pollfd> ends;
    for (const player* each : all) ends.push_back({each->pidfd(), POLLIN, 0});
    const auto rest =
        std::chrono::duration_cast<std::chrono::milliseconds>(until - clock::now()).count();
    if (rest <= 0 || poll(ends.data(), ends.size(), static_cast<int>(rest)) < 0) {
      throw std::runtime_error("a benchmark stood still and was ended after " +
                               std::to_string(static_cast<int>(limit_s)) + " s");
    }
    for (std::size_t i = 0; i < ends.size(); ++i) {
      if ((ends[i].revents & POLLIN) == 0) continue;
      all[i]->reap();
      --running;
    }
  }
}

}  // namespace

duet_result play(cores where, const part& near, const part& far, double limit_s) {
  return play_with_many(where, near, {far}, limit_s);
}

duet_result play_with_many(cores where, const part& near, const std::vector<part>& far,
                           double limit_s) {
  if (far.empty() || far.size() > far_max) throw std::runtime_error("too many far parts");
  const shared_stage memory;
  stage& on = *memory;
  on.far_count = far.size();
  {
    std::vector<std::unique_ptr<player>> players;
    const int far_core = far.size() == 1 ? where.far : -1;
    for (std::size_t i = 0; i < far.size(); ++i) {
      players.push_back(std::make_unique<player>(
          on, [&, i] { return act(far_core, far[i], on.far[i], on, RUSAGE_SELF); }));
    }
    players.push_back(std::make_unique<player>(
        on, [&] { return act(where.near, near, on.near, on, RUSAGE_SELF); }));
    std::vector<player*> all;
    for (const auto& each : players) all.push_back(each.get());
    wait_for(all, limit_s);
  }
  duet_result out = {std::make_unique<tally>(on.near), std::make_unique<tally>(on.far[0])};
  for (std::size_t i = 1; i < far.size(); ++i) {
    const tally& more = on.far[i];
    out.far->times.add(more.times);
    out.far->count += more.count;
    out.far->lost += more.lost;
    out.far->cpu_s += more.cpu_s;
    out.far->switches += more.switches;
  }
  return out;
}

duet_result play_threads(cores where, const part& near, const part& far, double limit_s) {
  const shared_stage memory;
  stage& on = *memory;
  {
    player both(on, [&] {
      // One that failed ends the process, since the other one would wait for it.
      std::thread second([&] {
        if (!act(where.far, far, on.far[0], on, RUSAGE_THREAD)) _exit(1);
      });
      if (!act(where.near, near, on.near, on, RUSAGE_THREAD)) _exit(1);
      second.join();
      return true;
    });
    wait_for(std::array{&both}, limit_s);
  }
  return {std::make_unique<tally>(on.near), std::make_unique<tally>(on.far[0])};
}

}  // namespace cyto::bench
