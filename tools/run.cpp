// `cyto run`: starts or adopts a system, shows how far it is, ends when all is quiet.
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/memfd.h>
#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <optional>
#include <random>
#include <set>

#include "report.hpp"
#include "service.hpp"
#include "table.hpp"
#include "topology_file.hpp"
#include "command.hpp"

namespace cyto::tools {
namespace {

using clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr auto progress_every = milliseconds(100);

struct input_source {
  std::string path;  // What ${input} stands for.
  std::string name;
  int fd = -1;  // A memfd with what could be read only once.
};

[[noreturn]] void refuse_input(const std::string& name, int reason) {
  throw_errno(reason, error_code::bad_input, "input " + name, "cannot be read",
              "name a readable file");
}

// A pipe can be read once, a killed source reads again: so it is kept in memory.
int spool(int from, const std::string& name) {
  const int to = memfd_create("cyto-input", MFD_CLOEXEC);
  if (to < 0) refuse_input(name, errno);
  std::uint64_t room = memory_available() / 2;
  std::array<char, 1 << 16> bytes{};
  for (;;) {
    const ssize_t got = read(from, bytes.data(), bytes.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) refuse_input(name, errno);
    if (got == 0) return to;
    if (static_cast<std::uint64_t>(got) > room) {
      throw error(error_code::bad_input, "input " + name, "is more than half of the free memory",
                  "what can be read only once is kept in memory", "put it into a file");
    }
    room -= static_cast<std::uint64_t>(got);
    for (ssize_t done = 0; done < got;) {
      const ssize_t put = write(to, bytes.data() + done, static_cast<std::size_t>(got - done));
      if (put < 0 && errno == EINTR) continue;
      if (put < 0) refuse_input(name, errno);
      done += put;
    }
  }
}

input_source open_input(const std::string& name) {
  if (name.empty()) return {};
  if (name == "-")
    return {kept_input_path, "standard input", spool(STDIN_FILENO, "standard input")};
  const int fd = ::open(name.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat info {};
  if (fd < 0 || fstat(fd, &info) != 0) refuse_input(name, errno);
  if (S_ISDIR(info.st_mode)) refuse_input(name, EISDIR);
  if (!S_ISREG(info.st_mode)) return {kept_input_path, name, spool(fd, name)};
  close(fd);
  std::array<char, PATH_MAX> real{};
  if (realpath(name.c_str(), real.data()) == nullptr) refuse_input(name, errno);
  return {real.data(), name, -1};
}

// A periodic timer; not running at 0.
int make_timer(milliseconds every) {
  const int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  const timespec period{every.count() / 1000, (every.count() % 1000) * 1'000'000};
  const itimerspec when{period, period};
  if (fd >= 0) timerfd_settime(fd, 0, &when, nullptr);
  return fd;
}

bool has_fired(int fd) {
  std::uint64_t count = 0;
  return fd >= 0 && read(fd, &count, sizeof count) == sizeof count;
}

class runner {
 public:
  explicit runner(const run_options& options)
      : options_(options),
        input_(open_input(options.input)),
        output_(options.output),
        random_(options.chaos.seed) {
    sigset_t handled;
    sigemptyset(&handled);
    if (getpid() == 1) sigaddset(&handled, SIGCHLD);
    for (const int each : {SIGINT, SIGTERM, SIGHUP}) {
      // What the caller has chosen to ignore (nohup, a background job) stays ignored.
      struct sigaction now {};
      if (sigaction(each, nullptr, &now) == 0 && now.sa_handler == SIG_IGN) continue;
      sigaddset(&handled, each);
    }
    sigprocmask(SIG_BLOCK, &handled, nullptr);
    signals_ = signalfd(-1, &handled, SFD_CLOEXEC | SFD_NONBLOCK);
    topology_request request;
    request.path = options.topology;
    request.name = options.name;
    request.set = options.set;
    request.input = input_.path;
    request.input_name = input_.name;
    request.programs = options.programs;
    topology_ = read_topology(request);
    service_.emplace(topology_.name);
    system_.emplace(topology_, supervisor_options{input_.fd, service_->memory()});
    service_->store(system_->where().fd());
    if (service_->period().count() != 0) watchdog_timer_ = make_timer(service_->period());
    show_progress_ = isatty(STDERR_FILENO) == 1;
    if (show_progress_) progress_timer_ = make_timer(progress_every);
    if (options.chaos.kill_every_ms != 0) {
      chaos_timer_ = make_timer(milliseconds(options.chaos.kill_every_ms));
      spdlog::info("chaos seed={}", options.chaos.seed);
    }
    spdlog::info("system {} {}", topology_.name, system_->was_adopted() ? "adopted" : "created");
  }

  int run() {
    bool written = false;
    for (;;) {
      system_->step();
      if (getpid() == 1) system_->reap_strangers();
      if (system_->is_ready()) service_->ready();
      if (has_fired(watchdog_timer_)) service_->alive();
      if (has_fired(progress_timer_)) show_progress();
      take_signals();
      tell_losses();
      if (over_) {
        if (system_->has_ended()) break;
      } else if (!system_->failure().empty()) {
        over_ = true;
        continue;
      } else if (system_->is_quiet()) {
        finish(written);
        continue;
      } else if (stop_at_ && clock::now() >= *stop_at_) {
        end_early();
        continue;
      } else if (has_fired(chaos_timer_)) {
        kill_somebody();
      }
      wait_for_events();
    }
    service_->forget();
    clear_progress();
    if (!system_->failure().empty()) throw error(system_->failure_code(), system_->failure());
    if (signal_ != 0) return 128 + signal_;
    const int code = report();
    if (code != 0) return code;
    tell_not_sent();
    if (!undelivered_.empty()) {
      std::uint64_t messages = 0;
      for (const auto& each : undelivered_) messages += each["messages"].get<std::uint64_t>();
      fmt::print(
          stderr,
          "cyto: system {}: {} for a port and not taken; the first: {}; nobody was there who "
          "would; join before the system ends\n",
          topology_.name,
          messages == 1 ? "1 message was" : fmt::format("{} messages were", messages),
          undelivered_[0]["lane"].get<std::string>());
    }
    if (!quarantine_.empty()) {
      fmt::print(stderr,
                 "cyto: system {}: {} set aside and not handled; the first: {} ({} bytes, {} "
                 "deaths); see the program, or take their bytes from --json\n",
                 topology_.name,
                 quarantine_.size() == 1 ? "1 message is"
                                         : fmt::format("{} messages are", quarantine_.size()),
                 quarantine_[0]["id"].get<std::string>(), quarantine_[0]["bytes"].get<unsigned>(),
                 quarantine_[0]["deaths"].get<unsigned>());
    }
    const bool all_done = quarantine_.empty() && undelivered_.empty();
    if (written || topology_.table_of.empty()) return all_done ? 0 : 4;
    fmt::print(stderr, "cyto: system {}: was stopped before its end; no table was written\n",
               topology_.name);
    return 4;
  }

 private:
  void wait_for_events() const {
    std::array<pollfd, 5> ready{{{system_->poll_fd(), POLLIN, 0},
                                 {signals_, POLLIN, 0},
                                 {progress_timer_, POLLIN, 0},
                                 {watchdog_timer_, POLLIN, 0},
                                 {over_ ? -1 : chaos_timer_, POLLIN, 0}}};
    int timeout_ms = -1;
    if (stop_at_ && !over_) {
      const auto left = std::chrono::duration_cast<milliseconds>(*stop_at_ - clock::now()).count();
      timeout_ms = static_cast<int>(std::max<std::int64_t>(0, left + 1));
    }
    poll(ready.data(), ready.size(), timeout_ms);
  }

  // The first signal drains, the second ends at once. `cyto stop` is the first.
  void take_signals() {
    signalfd_siginfo info{};
    while (read(signals_, &info, sizeof info) == sizeof info) {
      if (info.ssi_signo == SIGCHLD) continue;
      service_->stopping();
      if (signal_ != 0) end_early();
      signal_ = static_cast<int>(info.ssi_signo);
      system_->drain();
    }
    if (system_->is_draining() && !stop_at_) {
      stop_at_ = clock::now() + milliseconds(topology_.shutdown_ms);
    }
  }

  // What was overwritten is fenced off, and the rest goes on; each such thing is logged once.
  void tell_losses() {
    const segment& where = system_->where();
    for (std::uint32_t i = 0; i < where.lane_count(); ++i) {
      const lane_entry& lane = where.lane(i);
      if (where.input_of(lane).fenced.observe() == 0) continue;
      const std::string name = fmt::format("lane {} -> {}", where.slot(lane.writer_slot).name,
                                           where.slot(lane.reader_slot).name);
      if (!told_.insert(name).second) continue;
      spdlog::warn("{} is fenced off: what it brought makes no sense; the rest goes on", name);
    }
  }

  void end_early() {
    over_ = true;
    collect();
    system_->stop();
  }

  // Told, and no failure: the topology has asked for it. `refused` is not: its sender was told.
  void tell_not_sent() const {
    std::uint64_t over_hops = 0, no_room = 0;
    for (const auto& lane : audit_["lanes"]) {
      over_hops += lane["over_hops"].get<std::uint64_t>();
      no_room += lane["no_room"].get<std::uint64_t>();
    }
    if (over_hops + no_room == 0) return;
    fmt::print(stderr,
               "cyto: system {}: not sent: {} messages that had made too many hops, {} for which "
               "there was no room; see hops_max and full of its lanes\n",
               topology_.name, over_hops, no_room);
  }

  // What report() tells, while the workers still stand.
  void collect() {
    audit_ = audit_report(system_->where());
    quarantine_ = quarantine_report(system_->where());
    undelivered_ = undelivered_report(system_->where());
    kills_ = system_->kills();
    restarts_ = system_->restarts();
    seconds_ = std::chrono::duration<double>(clock::now().time_since_epoch()).count() -
               static_cast<double>(system_->where().the_board().started_ns.observe()) * 1e-9;
  }

  // Quiet: everything that was accepted is in the cells.
  void finish(bool& written) {
    over_ = true;
    collect();
    if (!stop_at_ && !topology_.table_of.empty()) {
      clear_progress();
      output_.write(table_of(system_->where(), topology_.table_of));
      written = true;
    }
    system_->stop();
  }

  [[nodiscard]] int report() const {
    const bool ok = audit_.value("ok", false);
    if (options_.json) {
      nlohmann::json out{{"ok", ok && !stop_at_ && quarantine_.empty() && undelivered_.empty()},
                         {"name", topology_.name},
                         {"seconds", seconds_},
                         {"kills", kills_},
                         {"restarts", restarts_},
                         {"adopted", system_->was_adopted()},
                         {"chaos_seed", options_.chaos.seed},
                         {"quarantined", quarantine_.size()},
                         {"quarantine", quarantine_},
                         {"undelivered", undelivered_},
                         {"audit", audit_}};
      fmt::print("{}\n", out.dump());
    } else if (show_progress_) {
      fmt::print(stderr, "{}: {} in {:.3f} s, {} kills, {} restarts, audit {}\n", topology_.name,
                 stop_at_ ? "stopped, no table" : "done", seconds_, kills_, restarts_,
                 ok ? "balances" : "BROKEN");
    }
    if (!ok && !told_.empty()) {
      throw error(error_code::failed, *told_.begin(), "is fenced off",
                  "what it brought makes no sense; its writer's memory was overwritten",
                  "start the system again");
    }
    if (!ok) {
      throw error(error_code::failed, "system " + topology_.name,
                  "accepted is not delivered + dropped", audit_.dump(), "please report this");
    }
    if (std::fflush(stdout) == 0) return 0;
    throw_errno(errno, error_code::failed, "standard output", "cannot be written");
  }

  void kill_somebody() {
    const std::uint64_t random = random_();
    const std::string& who = options_.chaos.who;
    if (who == "supervisor" || (who == "any" && random % 8 == 0)) kill(getpid(), SIGKILL);
    system_->kill_one(random >> 8);
  }

  void show_progress() {
    std::uint64_t done = 0;
    std::uint64_t total = 0;
    std::uint64_t turns = 0;
    for (const worker_status& each : workers_of(system_->where())) {
      done += each.progress_done;
      total += each.progress_total;
      turns += each.turns;
    }
    std::uint64_t delivered = 0;
    for (const lane_status& lane : lanes_of(system_->where())) delivered += lane.delivered;
    fmt::print(stderr, "\r\033[K{}: {:3.0f} %  {} messages  {} turns  {} restarts", topology_.name,
               total == 0 ? 0.0 : 100.0 * static_cast<double>(done) / static_cast<double>(total),
               delivered, turns, system_->restarts());
    progress_shown_ = true;
  }

  void clear_progress() {
    if (progress_shown_) fmt::print(stderr, "\r\033[K");
    progress_shown_ = false;
  }

  const run_options& options_;
  input_source input_;
  table_output output_;
  topology topology_;
  std::optional<service> service_;
  std::optional<supervisor> system_;
  std::mt19937_64 random_;
  int signals_ = -1;
  int progress_timer_ = -1;
  int watchdog_timer_ = -1;
  int chaos_timer_ = -1;
  int signal_ = 0;
  bool over_ = false;
  bool show_progress_ = false;
  bool progress_shown_ = false;
  std::optional<clock::time_point> stop_at_;
  nlohmann::json audit_;
  nlohmann::json quarantine_ = nlohmann::json::array();
  nlohmann::json undelivered_ = nlohmann::json::array();
  std::uint64_t kills_ = 0;
  std::uint64_t restarts_ = 0;
  double seconds_ = 0;
  std::set<std::string> told_;
};

}  // namespace

int run(const run_options& options) { return runner(options).run(); }

}  // namespace cyto::tools
