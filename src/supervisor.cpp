#include "cyto/supervisor.hpp"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <deque>
#include <string_view>
#include <system_error>

#include "cyto/doorbell.hpp"
#include "cyto/observe.hpp"
#include "cyto/worker.hpp"
#include "handover.hpp"
#include "process.hpp"
#include "rendezvous.hpp"
#include "spawn.hpp"
#include "verbs.hpp"

namespace cyto {
namespace {

using clock = std::chrono::steady_clock;

static_assert(kept_input_path[sizeof "/proc/self/fd/" - 1] - '0' == input_fd);

constexpr std::size_t clients_max = 64;
constexpr auto backoff_first = std::chrono::milliseconds(10);
constexpr auto backoff_last = std::chrono::milliseconds(1000);

// What an epoll event is about: slots are 0 to 255.
enum event_source : std::uint64_t {
  event_listener = 1 << 10,
  event_nudge,
  event_timer,
  event_client = 1 << 12  // Plus the descriptor.
};

// Whether a descriptor's link under /proc begins like that.
bool leads_to(const std::string& path, std::string_view beginning) {
  std::array<char, 64> target{};
  const ssize_t length = readlink(path.c_str(), target.data(), target.size());
  return length > 0 &&
         std::string_view(target.data(), static_cast<std::size_t>(length)).starts_with(beginning);
}

std::string exit_text(int status) {
  if (WIFSIGNALED(status)) {
    const char* name = sigabbrev_np(WTERMSIG(status));
    return "killed by signal " + std::to_string(WTERMSIG(status)) +
           (name != nullptr ? std::string(" (SIG") + name + ")" : std::string());
  }
  return "exit code " + std::to_string(WEXITSTATUS(status));
}

}  // namespace

struct supervisor::state {
  struct child {
    pid_t pid = 0;
    file process;  // pidfd; open while it lives.
    bool chaos_killed = false;
    bool due = false;  // To be started at start_at.
    clock::time_point start_at{};
    std::chrono::milliseconds backoff = backoff_first;
    std::deque<clock::time_point> deaths;
  };

  topology of;
  std::unique_ptr<segment> where;
  slot_lock lock;
  mapping board_pages;
  mapping bells;
  file listener;
  file events;
  file nudge;
  file timer;
  file input;
  file spare;  // Given up for a moment when there are no more descriptors.
  std::vector<child> children;
  std::vector<const worker_spec*> specs;  // By slot.
  std::vector<file> clients;
  bool adopted = false;
  std::string failure;
  error_code code = error_code::failed;
  clock::time_point kill_at = clock::time_point::max();

  board& the_board() { return *reinterpret_cast<board*>(board_pages.data()); }
  board_slot& board_of(std::size_t slot) {
    return reinterpret_cast<board_slot*>(&the_board() + 1)[slot];
  }
  system_phase phase() { return static_cast<system_phase>(the_board().phase.own()); }

  void watch(int fd, std::uint64_t what) const {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = what;
    if (epoll_ctl(events.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
      throw_errno(errno, error_code::failed, "system " + of.name, "cannot watch a descriptor");
    }
  }

  void open_system(const supervisor_options& options);
  bool adopt(const segment_plan& plan);
  void adopt_children();
  void start(std::size_t slot);
  void died(std::size_t slot);
  void mend(std::size_t slot, const std::string& how);
  void fail(error_code with, const std::string& text);
  void set_phase(system_phase next);
  void serve(int fd);
  void look_at_lanes();
  static void kill_group(const child& which);
  void kill_all();
  void accept_client();
  void arm_timer();
  void due();
  [[nodiscard]] bool anybody_left() const {
    return std::any_of(children.begin(), children.end(),
                       [](const child& each) { return bool(each.process); });
  }
};

void supervisor::state::open_system(const supervisor_options& options) {
  check(of);
  listener = listen_at(of.name);
  if (!listener) {
    throw error(error_code::already_running, "system " + of.name, "runs already", {},
                "see `cyto status " + of.name + "`, or choose another --name");
  }
  segment_plan plan = plan_of(of);
  plan.memfd_tag = memfd_tag(of.name);
  for (const worker_spec& spec : of.workers) specs.insert(specs.end(), spec.count, &spec);
  children.resize(specs.size());
  events = file(epoll_create1(EPOLL_CLOEXEC));
  timer = file(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  if (!events || !timer)
    throw_errno(errno, error_code::failed, "system " + of.name, "no epoll or timer");
  spare = file(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  adopted = adopt(plan);
  if (!adopted) {
    where = std::make_unique<segment>(segment::create(plan));
    lock = slot_lock(*where, slot_lock::supervisor);
    std::array<int, 2> ends{};
    if (pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK) != 0) {
      throw_errno(errno, error_code::failed, "system " + of.name, "no pipe");
    }
    const file reading(ends[0]);
    const file writing(ends[1]);
    // One descriptor for both ways: it never sees the end of the pipe, and gets no SIGPIPE.
    const std::string path = "/proc/self/fd/" + std::to_string(reading.get());
    nudge = file(::open(path.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC));
    if (!nudge)
      throw_errno(errno, error_code::failed, "system " + of.name, "no pipe", "mount /proc");
    if (options.input >= 0) input = file(fcntl(options.input, F_DUPFD_CLOEXEC, 16));
  }
  board_pages = where->map_board();
  bells = where->map_doorbells();
  watch(listener.get(), event_listener);
  watch(nudge.get(), event_nudge);
  watch(timer.get(), event_timer);
  the_board().supervisor_pid.publish(static_cast<std::uint32_t>(getpid()));
  if (adopted) {
    the_board().adoptions.publish(the_board().adoptions.own() + 1);
    the_board().watched.publish(0);
    adopt_children();
    set_phase(system_phase::running);
  } else {
    the_board().started_ns.publish(
        static_cast<std::uint64_t>(clock::now().time_since_epoch() / std::chrono::nanoseconds(1)));
  }
  for (std::size_t i = 0; i < children.size(); ++i) {
    if (!children[i].process) start(i);
  }
}

// The system that an earlier supervisor of this name has left behind, if a worker of it lives.
bool supervisor::state::adopt(const segment_plan& plan) {
  for (const memfd_holder& holder : find_memfd_holders(plan.memfd_tag)) {
    const std::string folder = "/proc/" + std::to_string(holder.pid) + "/fd/";
    const std::string nudge_path = folder + std::to_string(nudge_fd);
    const std::string input_path = folder + std::to_string(input_fd);
    // A worker, from its first instruction on, has the memory and the pipe at their numbers; a tool
    // that looks at the system has not.
    if (holder.path != folder + std::to_string(segment_fd) || !leads_to(nudge_path, "pipe:[")) {
      continue;
    }
    file kept_nudge(::open(nudge_path.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC));
    const int fd = ::open(holder.path.c_str(), O_RDWR | O_CLOEXEC);
    if (fd < 0 || !kept_nudge) continue;
    segment found = segment::attach(fd);
    if (found.header().fingerprint != plan.fingerprint) {
      throw error(
          error_code::bad_input, "system " + of.name,
          "its workers still run, with another topology, input or settings", {},
          "use the same command line to adopt them, or end them with `cyto stop " + of.name + "`");
    }
    // This process holds the name's socket, so nobody else is about to supervise: a lock that is
    // still held after its supervisor's end is held by a child that is just being started.
    const auto before = static_cast<pid_t>(found.the_board().supervisor_pid.observe());
    slot_lock claim(found, slot_lock::supervisor, !process_lives(before));
    if (!claim.held()) {
      throw error(error_code::already_running, "system " + of.name, "runs already",
                  "its supervisor is process " +
                      std::to_string(found.the_board().supervisor_pid.observe()));
    }
    file kept_input;
    if (leads_to(input_path, "/memfd:cyto-input")) {
      kept_input = file(::open(input_path.c_str(), O_RDONLY | O_CLOEXEC));
    }
    if (kept_input) input = std::move(kept_input);
    where = std::make_unique<segment>(std::move(found));
    lock = std::move(claim);
    nudge = std::move(kept_nudge);
    return true;
  }
  return false;
}

void supervisor::state::adopt_children() {
  for (std::size_t i = 0; i < children.size(); ++i) {
    const auto slot = static_cast<std::uint32_t>(i);
    const control& own = where->control_of(slot);
    const std::array<std::pair<std::uint32_t, std::uint64_t>, 2> known{
        {{own.pid.observe(), own.start_time.observe()},
         {board_of(i).spawned_pid.own(), board_of(i).spawned_start_time.own()}}};
    for (const auto& [pid, start_time] : known) {
      if (pid == 0) continue;
      file process = open_process(static_cast<pid_t>(pid));
      // Asked after the pidfd is open: the number cannot have passed to another process since.
      if (!process || process_start_time(static_cast<pid_t>(pid)) != start_time) continue;
      children[i].pid = static_cast<pid_t>(pid);
      children[i].process = std::move(process);
      watch(children[i].process.get(), i);
      break;
    }
  }
}

void supervisor::state::start(std::size_t slot) {
  child& it = children[slot];
  it.due = false;
  it.chaos_killed = false;
  const pid_t pid =
      spawn({specs[slot]->program, specs[slot]->arguments, static_cast<std::uint32_t>(slot),
             where->fd(), nudge.get(), input.get()});
  if (pid < 0) {
    fail(errno == ENOENT || errno == EACCES ? error_code::bad_input : error_code::failed,
         "worker " + std::string(where->slot(static_cast<std::uint32_t>(slot)).name) +
             ": program " + specs[slot]->program + " cannot be started; " +
             std::generic_category().message(errno));
    return;
  }
  it.pid = pid;
  it.process = open_process(pid);
  board_of(slot).spawned_pid.publish(static_cast<std::uint32_t>(pid));
  board_of(slot).spawned_start_time.publish(process_start_time(pid));
  if (!it.process) {
    fail(error_code::failed,
         "system " + of.name + ": no pidfd; " + std::generic_category().message(errno));
    return;
  }
  watch(it.process.get(), slot);
}

// The kernel says that the process is gone.
void supervisor::state::died(std::size_t slot) {
  child& it = children[slot];
  int status = 0;
  const bool ours =
      waitpid(it.pid, &status, WNOHANG) == it.pid;  // An adopted one is not our child.
  epoll_ctl(events.get(), EPOLL_CTL_DEL, it.process.get(), nullptr);
  it.process = file();
  const auto index = static_cast<std::uint32_t>(slot);
  const control& own = where->control_of(index);
  if (phase() == system_phase::stopping) return;
  if (ours && WIFEXITED(status) && WEXITSTATUS(status) == exit_slot_taken) {
    // An incarnation that a supervisor before us has started was quicker; it is the worker.
    const pid_t pid = static_cast<pid_t>(own.pid.observe());
    it.process = open_process(pid);
    it.pid = pid;
    if (it.process && slot_lock::is_held(*where, index)) {
      watch(it.process.get(), slot);
    } else {
      it.process = file();
      mend(slot, "lost its slot");
    }
    return;
  }
  if (ours) board_of(slot).last_exit.publish(static_cast<std::uint32_t>(status));
  const bool left_failure = own.state.observe() == static_cast<std::uint32_t>(slot_state::failed) &&
                            own.pid.observe() == static_cast<std::uint32_t>(it.pid);
  if (left_failure) {
    const std::uint32_t bytes =
        std::min<std::uint32_t>(own.failure_bytes.observe(), failure_bytes_max);
    const auto with = static_cast<error_code>(own.failure_code.observe());
    fail(with == error_code::bad_input ? with : error_code::failed,
         std::string(own.failure_text, bytes));
    return;
  }
  if (ours && WIFEXITED(status) && WEXITSTATUS(status) == exit_refused) {
    fail(error_code::failed, "worker " + std::string(where->slot(index).name) +
                                 ": refused to start (exit code 65); see what " +
                                 specs[slot]->program + " says");
    return;
  }
  if (it.chaos_killed) {
    start(slot);
    board_of(slot).restarts.publish(board_of(slot).restarts.own() + 1);
    return;
  }
  mend(slot, ours ? exit_text(status) : "its end was not seen");
}

// A death that was not meant: restart with back-off, unless there were too many.
void supervisor::state::mend(std::size_t slot, const std::string& how) {
  child& it = children[slot];
  const auto now = clock::now();
  board_of(slot).deaths.publish(board_of(slot).deaths.own() + 1);
  it.deaths.push_back(now);
  while (!it.deaths.empty() && now - it.deaths.front() > std::chrono::milliseconds(of.period_ms)) {
    it.deaths.pop_front();
  }
  if (it.deaths.size() == 1) it.backoff = backoff_first;
  if (it.deaths.size() > of.intensity) {
    fail(error_code::failed,
         "worker " + std::string(where->slot(static_cast<std::uint32_t>(slot)).name) + ": died " +
             std::to_string(it.deaths.size()) + " times within " + std::to_string(of.period_ms) +
             " ms, at most " + std::to_string(of.intensity) + " are mended; the last time: " + how +
             "; see what " + specs[slot]->program + " says, or raise intensity");
    return;
  }
  board_of(slot).restarts.publish(board_of(slot).restarts.own() + 1);
  it.due = true;
  it.start_at = now + it.backoff;
  it.backoff = std::min(it.backoff * 2, backoff_last);
  arm_timer();
}

void supervisor::state::fail(error_code with, const std::string& text) {
  if (failure.empty()) {
    failure = text;
    code = with;
  }
  set_phase(system_phase::stopping);
}

void supervisor::state::kill_group(const child& which) {
  // Through the pidfd first: only if the process is still there is the group's number its own.
  if (syscall(SYS_pidfd_send_signal, which.process.get(), SIGKILL, nullptr, 0) == 0) {
    kill(-which.pid, SIGKILL);
  }
}

void supervisor::state::kill_all() {
  for (const child& each : children) {
    if (!each.process) continue;
    kill_group(each);
    siginfo_t info{};
    waitid(P_PID, static_cast<id_t>(each.pid), &info, WEXITED);
  }
}

void supervisor::state::look_at_lanes() {
  for (std::uint32_t i = 0; failure.empty() && i < where->lane_count(); ++i) {
    const lane_entry& lane = where->lane(i);
    if (where->input_of(lane).fenced.observe() == 0) continue;
    fail(error_code::failed,
         "lane " + std::string(where->slot(lane.writer_slot).name) + " -> " +
             where->slot(lane.reader_slot).name +
             ": a record in it makes no sense; its writer's memory was overwritten; the lane is "
             "fenced off, stop the system and start it again");
  }
}

void supervisor::state::set_phase(system_phase next) {
  the_board().phase.publish(static_cast<std::uint32_t>(next));
  full_fence();
  auto* bell = reinterpret_cast<doorbell_line*>(bells.data());
  for (std::size_t i = 0; i < children.size(); ++i) wake(bell[i]);
  if (next == system_phase::stopping && kill_at == clock::time_point::max()) {
    kill_at = clock::now() + std::chrono::milliseconds(of.shutdown_ms);
    for (child& each : children) each.due = false;
    arm_timer();
  }
}

void supervisor::state::arm_timer() {
  auto next = anybody_left() ? kill_at : clock::time_point::max();
  for (const child& each : children) {
    if (each.due) next = std::min(next, each.start_at);
  }
  itimerspec when{};
  if (next != clock::time_point::max()) {
    const auto left = std::max<std::int64_t>(
        1, std::chrono::duration_cast<std::chrono::nanoseconds>(next - clock::now()).count());
    when.it_value = {left / 1'000'000'000, left % 1'000'000'000};
  }
  timerfd_settime(timer.get(), 0, &when, nullptr);
}

void supervisor::state::due() {
  const auto now = clock::now();
  for (std::size_t i = 0; i < children.size(); ++i) {
    if (children[i].due && children[i].start_at <= now) start(i);
  }
  if (kill_at <= now) {
    for (const child& each : children) {
      if (each.process) kill_group(each);  // What a worker has started goes with it.
    }
    kill_at = clock::time_point::max();
  }
  arm_timer();
}

void supervisor::state::accept_client() {
  file client = accept_from(listener.get());
  if (!client && (errno == EMFILE || errno == ENFILE)) {
    // Out of descriptors: let the caller in and out again, or it would stand at the door for ever.
    spare = file();
    client = accept_from(listener.get());
    client = file();
    spare = file(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  }
  if (!client) return;
  // The oldest goes: somebody who connects and says nothing must not keep others out.
  if (clients.size() == clients_max) clients.erase(clients.begin());
  watch(client.get(), event_client + static_cast<std::uint64_t>(client.get()));
  clients.push_back(std::move(client));
}

void supervisor::state::serve(int fd) {
  packet request{};
  std::vector<file> unwanted;
  const bool sound = receive_packet(fd, request, unwanted, 0);
  if (sound && request.verb == verb_attach) {
    const std::string path = "/proc/self/fd/" + std::to_string(where->fd());
    const file read_only(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    send_packet(fd, {verb_attach, 0}, {read_only.get()});
  } else if (sound && request.verb == verb_stop) {
    send_packet(fd, {verb_stop, static_cast<std::int32_t>(getpid())}, {});
    if (phase() == system_phase::running) set_phase(system_phase::draining);
  } else {
    send_packet(fd, {verb_refused, 0}, {});
  }
  std::erase_if(clients, [fd](const file& each) { return each.get() == fd; });
}

supervisor::supervisor(topology of, const supervisor_options& options)
    : state_(std::make_unique<state>()) {
  state_->of = std::move(of);
  const std::string name = state_->of.name;
  try {
    state_->open_system(options);
  } catch (...) {
    if (!state_->adopted) state_->kill_all();
    if (state_->listener) forget_socket(name);
    throw;
  }
}

supervisor::~supervisor() {
  state_->kill_all();
  forget_socket(state_->of.name);
}

int supervisor::poll_fd() const noexcept { return state_->events.get(); }

void supervisor::step() {
  std::array<epoll_event, 64> ready{};
  const int count =
      epoll_wait(state_->events.get(), ready.data(), static_cast<int>(ready.size()), 0);
  for (int i = 0; i < count; ++i) {
    const std::uint64_t what = ready[static_cast<std::size_t>(i)].data.u64;
    std::array<char, 256> bytes{};
    if (what < event_listener) {
      if (state_->children[what].process) state_->died(what);
    } else if (what == event_nudge) {
      while (read(state_->nudge.get(), bytes.data(), bytes.size()) > 0) continue;
      state_->look_at_lanes();
    } else if (what == event_timer) {
      if (read(state_->timer.get(), bytes.data(), 8) == 8) state_->due();
    } else if (what == event_listener) {
      state_->accept_client();
    } else {
      const int fd = static_cast<int>(what - event_client);
      const bool known = std::any_of(state_->clients.begin(), state_->clients.end(),
                                     [fd](const file& each) { return each.get() == fd; });
      if (known) state_->serve(fd);
    }
  }
}

const segment& supervisor::where() const noexcept { return *state_->where; }
bool supervisor::was_adopted() const noexcept { return state_->adopted; }

bool supervisor::is_ready() const {
  for (std::uint32_t i = 0; i < where().slot_count(); ++i) {
    if (where().control_of(i).state.observe() != static_cast<std::uint32_t>(slot_state::ready))
      return false;
  }
  return true;
}

bool supervisor::is_quiet() const {
  bool any_source = false;
  for (const worker_spec* each : state_->specs) any_source = any_source || each->is_source;
  if ((!any_source && !is_draining()) || !sources_have_ended(where())) return false;
  state_->the_board().watched.publish(1);
  full_fence();  // V2
  return cyto::is_quiet(where());
}

bool supervisor::has_ended() const noexcept { return !state_->anybody_left(); }
const std::string& supervisor::failure() const noexcept { return state_->failure; }
error_code supervisor::failure_code() const noexcept { return state_->code; }

void supervisor::drain() {
  if (state_->phase() == system_phase::running) state_->set_phase(system_phase::draining);
}
bool supervisor::is_draining() const noexcept { return state_->phase() == system_phase::draining; }
void supervisor::stop() { state_->set_phase(system_phase::stopping); }

bool supervisor::kill_one(std::uint64_t random) {
  std::vector<state::child*> living;
  for (state::child& each : state_->children) {
    if (each.process && !each.chaos_killed) living.push_back(&each);
  }
  if (living.empty()) return false;
  state::child& chosen = *living[random % living.size()];
  if (syscall(SYS_pidfd_send_signal, chosen.process.get(), SIGKILL, nullptr, 0) != 0) return false;
  chosen.chaos_killed = true;
  board_slot& board = state_->board_of(static_cast<std::size_t>(&chosen - state_->children.data()));
  board.kills.publish(board.kills.own() + 1);
  return true;
}

std::uint64_t supervisor::kills() const noexcept {
  std::uint64_t sum = 0;
  for (std::uint32_t i = 0; i < where().slot_count(); ++i)
    sum += where().board_of(i).kills.observe();
  return sum;
}

std::uint64_t supervisor::restarts() const noexcept {
  std::uint64_t sum = 0;
  for (std::uint32_t i = 0; i < where().slot_count(); ++i)
    sum += where().board_of(i).restarts.observe();
  return sum;
}

}  // namespace cyto
