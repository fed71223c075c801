#include "stage.hpp"

#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <stdexcept>
#include <utility>

namespace cyto::experiment {
namespace {

std::string programs;
int signals = -1;

std::uint64_t ns_of(double seconds) { return static_cast<std::uint64_t>(seconds * 1e9); }

// Several may run at once, also of several systems in one process.
std::string unused_name() {
  static unsigned count = 0;
  return "experiment-" + std::to_string(getpid()) + "-" + std::to_string(++count);
}

}  // namespace

void set_programs(const std::string& folder) { programs = folder; }

void catch_signals() {
  sigset_t handled;
  sigemptyset(&handled);
  for (const int each : {SIGINT, SIGTERM, SIGHUP}) {
    struct sigaction now {};
    if (sigaction(each, nullptr, &now) == 0 && now.sa_handler == SIG_IGN) continue;
    sigaddset(&handled, each);
  }
  sigprocmask(SIG_BLOCK, &handled, nullptr);
  signals = signalfd(-1, &handled, SFD_CLOEXEC | SFD_NONBLOCK);
}

worker_spec& cast::add(const std::string& name, const settings& with) {
  worker_spec made;
  made.name = name;
  made.program = programs + "/cyto-experiment-worker";
  made.settings = with;
  made.cells_bytes = std::uint64_t{64} << 10;
  for (const auto& [key, value] : with) {
    if (key == "role" && value == "feed") made.is_source = true;
  }
  of_.workers.push_back(std::move(made));
  return of_.workers.back();
}

lane_spec& cast::lane(const std::string& from, const std::string& to, std::uint64_t lane_bytes) {
  const auto writer = std::find_if(of_.workers.begin(), of_.workers.end(),
                                   [&](const worker_spec& each) { return each.name == from; });
  if (writer == of_.workers.end()) throw std::logic_error("a lane from nobody: " + from);
  auto& with = writer->settings;
  const auto at =
      std::find_if(with.begin(), with.end(), [](const auto& each) { return each.first == "to"; });
  if (at == with.end()) {
    with.emplace_back("to", to);
  } else {
    at->second += "," + to;
  }
  lane_spec made;
  made.from = from;
  made.to = to;
  made.lane_bytes = lane_bytes;
  of_.lanes.push_back(std::move(made));
  return of_.lanes.back();
}

stage::stage(cast of, const stage_options& options)
    : told_(tally::make(static_cast<std::uint32_t>(of.of_.workers.size()), options.log_entries)),
      began_ns_(now_ns()),
      options_(options),
      random_(options.seed) {
  of.of_.name = unused_name();
  supervisor_options with;
  with.input = told_.fd();
  system_ = std::make_unique<supervisor>(std::move(of.of_), with);
  run_until([this] { return system_->is_ready(); });
  began_ns_ = now_ns();
}

void stage::turn_around(int timeout_ms) {
  std::array<pollfd, 2> ready{{{system_->poll_fd(), POLLIN, 0}, {signals, POLLIN, 0}}};
  poll(ready.data(), ready.size(), timeout_ms);
  system_->step();
  if (signalfd_siginfo info{}; signals >= 0 && read(signals, &info, sizeof info) == sizeof info) {
    throw interrupted{static_cast<int>(info.ssi_signo)};
  }
  if (!system_->failure().empty()) throw std::runtime_error(system_->failure());
}

void stage::run_until(const std::function<bool()>& is_done, double asked_s, double every_s,
                      const std::function<void()>& look) {
  const std::uint64_t give_up_at = now_ns() + ns_of(asked_s + options_.limit_s);
  const bool kills = system_->is_ready() && options_.kill_every_s > 0;
  std::uint64_t kill_at = now_ns();
  std::uint64_t look_at = now_ns();
  system_->step();
  while (!is_done()) {
    const std::uint64_t now = now_ns();
    if (now > give_up_at) throw std::runtime_error("it stood still, and was given up");
    if (kills && now >= kill_at && system_->kills() < options_.kills_max) {
      system_->kill_one(random_());
      kill_at = now + ns_of(options_.kill_every_s);
    }
    if (look && now >= look_at) {
      look();
      look_at = std::max(look_at + ns_of(every_s), now);
    }
    turn_around(kills || look ? 1 : 10);
  }
}

void stage::run_for(double seconds, double every_s, const std::function<void()>& look) {
  const std::uint64_t until = now_ns() + ns_of(seconds);
  run_until([&] { return now_ns() >= until; }, seconds, every_s, look);
}

void stage::run_to_end() {
  run_until([this] { return system_->is_quiet(); });
  seconds_ = static_cast<double>(now_ns() - began_ns_) * 1e-9;
}

std::uint64_t stage::unaccounted() const {
  std::uint64_t out = 0;
  for (const lane_status& each : lanes_of(where())) {
    if (each.purpose == lane_purpose::dead_letters) continue;  // Kept, not taken.
    out += apart(each.accepted, each.delivered + each.dropped);
  }
  return out;
}

std::uint64_t stage::delivered() const {
  std::uint64_t out = 0;
  for (const lane_status& each : lanes_of(where())) {
    if (!is_own(each.purpose)) out += each.delivered;
  }
  return out;
}

void stage::finish() {
  pause(false);
  told_.the_orders().stopped.publish(1);
  run_to_end();
}

std::uint32_t stage::slot_of(const std::string& worker) const {
  const std::uint32_t out = where().find_slot(worker + "/0");
  if (out == where().slot_count()) throw std::logic_error("there is no worker " + worker);
  return out;
}

const bench::histogram& stage::times(const std::string& worker, std::uint64_t phase) const {
  return told_.seat_of(slot_of(worker)).times[phase - 1];
}

lane_status stage::lane(const std::string& from, const std::string& to) const {
  const std::uint32_t writer = slot_of(from);
  const std::uint32_t reader = slot_of(to);
  for (std::uint32_t i = 0; i < where().lane_count(); ++i) {
    const lane_entry& each = where().lane(i);
    if (each.writer_slot == writer && each.reader_slot == reader) return lane_of(where(), i);
  }
  throw std::logic_error("there is no lane " + from + " -> " + to);
}

std::uint64_t stage::cell(const std::string& worker, const std::string& name) const {
  std::uint64_t out = 0;
  each_cell(where(), slot_of(worker), [&](const cell_view& each) {
    if (each.name == name) out = each.value[0];
  });
  return out;
}

}  // namespace cyto::experiment
