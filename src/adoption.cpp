// How a system begins: made anew, or taken over from a supervisor that has died.
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <random>
#include <utility>

#include "handover.hpp"
#include "remains.hpp"
#include "supervisor_state.hpp"

namespace cyto {
namespace {

static_assert(kept_input_path[sizeof "/proc/self/fd/" - 1] - '0' == input_fd);

}  // namespace

void supervisor::state::open_system(const supervisor_options& options) {
  check(of);
  spare = file(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (!spare) throw_errno(errno, error_code::failed, "system " + of.name, "no descriptor is left");
  listener = listen_at(of.name);
  if (!listener) {
    throw error(error_code::already_running, "system " + of.name, "runs already", {},
                "see `cyto status " + of.name + "`, or choose another --name");
  }
  segment_plan plan = plan_of(of);
  plan.memfd_tag = memfd_tag(of.name);
  for (const worker_spec& spec : of.workers) specs.insert(specs.end(), spec.places(), &spec);
  children.resize(specs.size());
  at_ports.resize(specs.size());
  for (std::size_t i = 0; i < children.size(); ++i) children[i].program = specs[i]->program;
  events = file(epoll_create1(EPOLL_CLOEXEC));
  timer = file(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  if (!events || !timer)
    throw_errno(errno, error_code::failed, "system " + of.name, "no epoll or timer");
  adopted = adopt(plan, options.input >= 0) || take_over(options, plan);
  if (!adopted) {
    where = std::make_unique<segment>(segment::create(plan));
    lock = slot_lock(*where, slot_lock::supervisor);
    make_nudge();
    if (options.input >= 0) input = file(fcntl(options.input, F_DUPFD_CLOEXEC, 16));
  }
  board_pages = where->map_board();
  bells = where->map_doorbells();
  deaths.emplace(*where, of.quarantine_after);
  errands.emplace(*where);
  watch(listener.get(), event_listener);
  watch(nudge.get(), event_nudge);
  watch(timer.get(), event_timer);
  begin();
}

void supervisor::state::make_nudge() {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK) != 0) {
    throw_errno(errno, error_code::failed, "system " + of.name, "no pipe");
  }
  const file reading(ends[0]);
  const file writing(ends[1]);
  // One descriptor for both ways: it never sees the end of the pipe, and gets no SIGPIPE.
  const std::string path = "/proc/self/fd/" + std::to_string(reading.get());
  nudge = file(::open(path.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC));
  if (!nudge) throw_errno(errno, error_code::failed, "system " + of.name, "no pipe", "mount /proc");
}

void supervisor::state::begin() {
  const instant now = now_ns();
  tree = std::make_unique<restart_tree>(of, *this, remembered_deaths(), std::random_device()());
  the_board().supervisor_pid.publish(static_cast<std::uint32_t>(getpid()));
  if (adopted) {
    the_board().adoptions.publish(the_board().adoptions.own() + 1);
    the_board().watched.publish(0);
    trace(false);  // Who has asked for it was connected to the one before.
    adopt_children();
    // Whatever the one before was about to do, the workers are to go on.
    set_phase(system_phase::running);
  } else {
    the_board().started_ns.publish(static_cast<std::uint64_t>(now));
    begin_shares();
    for (std::uint32_t i = 0; i < children.size(); ++i) {
      if (!is_port(i) && where->slot(i).member < specs[i]->count) continue;
      stand(i, membership::absent);
      tree->found_down(i);
    }
  }
  tree->begin(now);
  for (std::uint32_t i = 0; i < children.size(); ++i) {
    // It was told to stop by the supervisor before, and has been told to go on by set_phase().
    if (children[i].process && !tree->is_wanted(i)) tree->stop_one(i, now);
  }
  if (adopted) look_around();  // What was ready before does not say so again.
  settle();
}

namespace {

// Whether this process has joined that memory at a port.
bool has_joined(const segment& of, pid_t pid) {
  for (std::uint32_t i = 0; i < of.slot_count(); ++i) {
    const control& own = of.control_of(i);
    const bool is_its = (of.slot(i).flags & slot_is_port) != 0 &&
                        static_cast<pid_t>(own.pid.observe()) == pid &&
                        process_start_time(pid) == own.start_time.observe();
    if (is_its && slot_lock::is_held(of, i)) return true;
  }
  return false;
}

}  // namespace

// The system that an earlier supervisor of this name has left behind, if a worker of it lives.
bool supervisor::state::adopt(const segment_plan& plan, bool needs_input) {
  for (const memfd_holder& holder : find_memfd_holders(plan.memfd_tag)) {
    const std::string folder = "/proc/" + std::to_string(holder.pid) + "/fd/";
    const std::string nudge_path = folder + std::to_string(nudge_fd);
    const std::string input_path = folder + std::to_string(input_fd);
    // A worker, from its first instruction on, has the memory and the pipe at their numbers; a tool
    // that looks at the system has not.
    if (holder.path != folder + std::to_string(segment_fd) ||
        !link_target(nudge_path).starts_with("pipe:[")) {
      continue;
    }
    file kept_nudge(::open(nudge_path.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC));
    const int fd = ::open(holder.path.c_str(), O_RDWR | O_CLOEXEC);
    if (fd < 0 || !kept_nudge) continue;
    file kept_input;
    if (link_target(input_path).starts_with("/memfd:cyto-input")) {
      kept_input = file(::open(input_path.c_str(), O_RDONLY | O_CLOEXEC));
    }
    segment found = segment::attach(fd);
    if (cyto::has_ended(found) || has_joined(found, holder.pid)) continue;
    // It has died since it was found: another one has what was kept, or none is left. One that was
    // given another input is not passed over: take() refuses it.
    const bool is_same = found.header().fingerprint == plan.fingerprint;
    if (is_same && needs_input && !kept_input) continue;
    take(std::move(found), plan, adopt_advice());
    if (kept_input) input = std::move(kept_input);
    nudge = std::move(kept_nudge);
    return true;
  }
  return !needs_input && adopt_from_port(plan);
}

// The same if all workers are dead, and somebody who has joined at a port still holds the memory.
bool supervisor::state::adopt_from_port(const segment_plan& plan) {
  for (const memfd_holder& holder : find_memfd_holders(plan.memfd_tag)) {
    const int fd = ::open(holder.path.c_str(), O_RDWR | O_CLOEXEC);
    if (fd < 0) continue;
    std::optional<segment> found;
    try {
      found.emplace(segment::attach(fd));
    } catch (const error&) {
      continue;  // Of another version: it cannot be gone on with.
    }
    if (cyto::has_ended(*found) || !has_joined(*found, holder.pid)) continue;
    take(std::move(*found), plan, adopt_advice());
    make_nudge();
    return true;
  }
  return false;
}

std::string supervisor::state::adopt_advice() const {
  return "use the same command line to adopt its workers, or end them with `cyto stop " + of.name +
         "`";
}

// The memory that somebody has kept, although nobody lives in it any more.
bool supervisor::state::take_over(const supervisor_options& options, const segment_plan& plan) {
  if (options.memory < 0) return false;
  take(segment::attach(fcntl(options.memory, F_DUPFD_CLOEXEC, 16)), plan,
       "use the same command line to go on with it, or stop the service to forget it");
  make_nudge();
  if (options.input >= 0) input = file(fcntl(options.input, F_DUPFD_CLOEXEC, 16));
  return true;
}

// Under the supervisor's lock.
void supervisor::state::take(segment found, const segment_plan& plan, const std::string& next) {
  if (found.header().fingerprint != plan.fingerprint || found.slot_count() != plan.slots.size() ||
      found.lane_count() != plan.lanes.size()) {
    throw error(error_code::bad_input, "system " + of.name,
                "its memory is that of another topology, input or settings", {}, next);
  }
  // This process holds the name's socket, so nobody else is about to supervise: a lock that is
  // still held after its supervisor's end is held by a child that is just being started.
  const auto before = static_cast<pid_t>(found.the_board().supervisor_pid.observe());
  slot_lock claim(found, slot_lock::supervisor, !process_lives(before));
  if (!claim.held()) {
    throw error(
        error_code::already_running, "system " + of.name, "runs already",
        "its supervisor is process " + std::to_string(found.the_board().supervisor_pid.observe()));
  }
  where = std::make_unique<segment>(std::move(found));
  lock = std::move(claim);
}

void supervisor::state::adopt_children() {
  for (std::uint32_t i = 0; i < children.size(); ++i) {
    if (is_port(i)) {
      tree->found_down(i);
      continue;
    }
    if (auto [pid, process] = living_process(*where, i); process) {
      children[i].pid = pid;
      children[i].process = std::move(process);
      watch(children[i].process.get(), i);
    }
    // An operator has given it another program than the topology's.
    if (board_of(i).other_program.own() != 0 && children[i].process) {
      const std::string program = link_target("/proc/" + std::to_string(children[i].pid) + "/exe");
      if (access(program.c_str(), X_OK) == 0) children[i].program = program;
    }
    const membership standing = standing_of(i);
    const bool is_wanted =
        standing == membership::member || (standing == membership::leaving && children[i].process);
    if (!is_wanted) tree->found_down(i);
    if (children[i].process) {
      tree->found(i, false);
    } else if (!is_plain(i)) {
      deaths->hold_late(i);
    }
  }
}

std::vector<death> supervisor::state::remembered_deaths() const {
  std::vector<death> out;
  const board& from = where->the_board();
  const std::uint64_t count = from.death_count.observe();
  for (std::uint64_t i = count - std::min<std::uint64_t>(count, deaths_max); i < count; ++i) {
    const death_entry& each = from.deaths[i % deaths_max];
    out.push_back({static_cast<instant>(each.at_ns.observe()),
                   static_cast<std::uint32_t>(each.child.observe())});
  }
  return out;
}

}  // namespace cyto
