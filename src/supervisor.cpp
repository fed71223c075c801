#include "cyto/supervisor.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>

#include "cyto/observe.hpp"
#include "supervisor_state.hpp"

namespace cyto {
namespace {

constexpr instant one_ms = 1'000'000;
// Between looks for memory that was overwritten, of which nobody would tell. They become rare
// where nothing moves.
constexpr instant inspect_first = 1'000 * one_ms;
constexpr instant inspect_last = 32'000 * one_ms;
constexpr instant settle_every = 5 * one_ms;

}  // namespace

void supervisor::state::watch(int fd, std::uint64_t what) const {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = what;
  if (epoll_ctl(events.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
    throw_errno(errno, error_code::failed, "system " + of.name, "cannot watch a descriptor");
  }
}

bool supervisor::state::anybody_left() const {
  return std::any_of(children.begin(), children.end(),
                     [](const child& each) { return bool(each.process); });
}

void supervisor::state::fail(error_code with, const std::string& text) {
  if (failure.empty()) {
    failure = text;
    code = with;
  }
  tree->give_up(text, now_ns());
}

// After every event: what the tree has come to.
void supervisor::state::settle() {
  // A program without cyto is ready once it runs. The next one may have waited for it.
  for (bool changed = true; changed;) {
    changed = false;
    for (std::uint32_t i = 0; i < children.size(); ++i) {
      if (!is_plain(i) || !children[i].process || tree->is_ready(i)) continue;
      tree->became_ready(i, now_ns());
      changed = tree->is_ready(i) || changed;
    }
  }
  if (failure.empty() && !tree->failure().empty()) {
    failure = tree->failure() + "; see what it says, or raise intensity";
  }
  look_at_ports();
  move_shares();
  see_off_the_leaving(now_ns());
  if (tree->is_stopping() && phase() != system_phase::stopping) {
    the_board().phase.publish(static_cast<std::uint32_t>(system_phase::stopping));
    end_ports();
  }
  answer_askers();
  errands->answer_all();
  arm_timer();
}

void supervisor::state::set_phase(system_phase next) {
  the_board().phase.publish(static_cast<std::uint32_t>(next));
  for (std::uint32_t i = 0; i < children.size(); ++i) give_order(i, next);
}

void supervisor::state::stop(instant now) {
  tree->stop(now);
  settle();
}

// Something in the memory may have changed: a worker has written into the pipe.
void supervisor::state::look_around() {
  const instant now = now_ns();
  for (std::uint32_t i = 0; i < children.size(); ++i) {
    const control& own = where->control_of(i);
    const bool says_ready = own.state.observe() == static_cast<std::uint32_t>(slot_state::ready);
    if (says_ready) children[i].been_ready = true;
    if (children[i].process && !is_plain(i) && says_ready &&
        own.pid.observe() == static_cast<std::uint32_t>(children[i].pid)) {
      tree->became_ready(i, now);
    }
  }
  if (inspection::any_fenced(*where) && inspector.loss().empty()) inspect_at = now;
  inspect(now);
}

// What a worker has spoiled of its own is lost, and the rest goes on: a job for as long as it can,
// which then fails with these words. Status names the lane from the moment on that it is shut.
void supervisor::state::inspect(instant now) {
  if (inspect_at > now) return;
  inspect_at = never;
  if (!failure.empty() || tree->is_stopping()) return;
  inspector.look(*where);
  if (inspector.is_over()) fail(inspector.loss_code(), inspector.loss());
  const bool is_calm = inspector.loss().empty() && !inspector.has_moved();
  inspect_every =
      is_calm ? std::clamp(2 * inspect_every, inspect_first, inspect_last) : inspect_first;
  inspect_at = now + inspect_every;
}

// Time makes somebody stalled, and only the topology's word makes that a reason to kill.
void supervisor::state::look_at_progress(instant now) {
  if (look_at > now) return;
  look_at = never;
  for (const worker_spec* each : specs) {
    if (each->stall_ms != 0) look_at = std::min(look_at, now + each->stall_ms * one_ms / 2);
  }
  for (std::uint32_t i = 0; i < children.size(); ++i) {
    child& it = children[i];
    if (specs[i]->stall_ms == 0 || !it.process || tree->is_stopping()) continue;
    const control& own = where->control_of(i);
    const std::uint64_t work = own.turns.observe() + own.aborts.observe();
    // One that is starting has ready_ms for that.
    const bool has_to_move =
        tree->is_ready(i) && has_work(*where, i) && bell_of(i).parked.observe() == 0;
    if (work != it.work_seen || !has_to_move) {
      it.work_seen = work;
      it.moved_at = now;
      if (board_of(i).stalled.own() != 0) board_of(i).stalled.publish(0);
      continue;
    }
    if (now - it.moved_at < specs[i]->stall_ms * one_ms || board_of(i).stalled.own() != 0) continue;
    board_of(i).stalled.publish(1);
    // What somebody has stopped, to look at it perhaps, is left alone.
    if (specs[i]->on_stall == stall_policy::tell || process_is_stopped(it.pid)) continue;
    it.hung = true;
    tree->blame(i,
                "has had work and ended no turn for " + std::to_string(specs[i]->stall_ms) + " ms");
  }
}

void supervisor::state::arm_timer() {
  const instant now = now_ns();
  instant next = tree->next_deadline(now);
  next = std::min({next, look_at, inspect_at});
  // Nobody tells of the last message that was taken, of those that were sent before.
  if (the_board().settled.own() != the_board().moves.own())
    next = std::min(next, now + settle_every);
  itimerspec when{};
  if (next != never) {
    const instant left = std::max<instant>(1, next - now);
    when.it_value = {left / 1'000'000'000, left % 1'000'000'000};
  }
  timerfd_settime(timer.get(), 0, &when, nullptr);
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
  std::vector<file> given;
  const bool sound = receive_packet(fd, request, given, 0);
  if (sound && request.verb == verb_port) {
    send_packet(fd, {verb_port, 0}, {where->fd()});
  } else if (sound && request.verb == verb_attach) {
    const std::string path = "/proc/self/fd/" + std::to_string(where->fd());
    const file read_only(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    send_packet(fd, {verb_attach, 0}, {read_only.get()});
  } else if (sound && request.verb == verb_stop) {
    send_packet(fd, {verb_stop, static_cast<std::int32_t>(getpid())}, {});
    if (phase() == system_phase::running) set_phase(system_phase::draining);
  } else if (sound && (request.verb == verb_retry || request.verb == verb_drop)) {
    // It keeps the connection under another number, so epoll would not forget this one by itself.
    epoll_ctl(events.get(), EPOLL_CTL_DEL, fd, nullptr);
    if (!errands->take(fd, request)) send_packet(fd, {verb_refused, 0}, {});
  } else if (sound && request.verb == verb_trace && begin_tracing(fd)) {
    return;
  } else if (sound && take_order(request, given)) {
    const auto found = std::find_if(clients.begin(), clients.end(),
                                    [fd](const file& each) { return each.get() == fd; });
    epoll_ctl(events.get(), EPOLL_CTL_DEL, fd, nullptr);
    askers.back().connection = std::move(*found);
    clients.erase(found);
    answer_askers();
    return;
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
    state_->spare = file();  // To take the socket away takes a descriptor.
    if (state_->listener) forget_socket(name);
    throw;
  }
}

supervisor::~supervisor() {
  state_->kill_all();
  state_->the_board().phase.publish(static_cast<std::uint32_t>(system_phase::stopping));
  state_->end_ports();
  state_->spare = file();
  forget_socket(state_->of.name);
}

int supervisor::poll_fd() const noexcept { return state_->events.get(); }

void supervisor::step() {
  std::array<epoll_event, 64> ready{};
  const int count =
      epoll_wait(state_->events.get(), ready.data(), static_cast<int>(ready.size()), 0);
  for (int i = 0; i < count; ++i) {
    const std::uint64_t what = ready[static_cast<std::size_t>(i)].data.u64;
    std::array<char, 4096> bytes{};
    if (what < event_listener) {
      if (state_->children[what].process) state_->died(static_cast<std::uint32_t>(what));
    } else if (what == event_nudge) {
      // Once: what a worker writes without end must not keep others waiting.
      static_cast<void>(read(state_->nudge.get(), bytes.data(), bytes.size()));
      state_->look_around();
    } else if (what == event_timer) {
      if (read(state_->timer.get(), bytes.data(), 8) != 8) continue;
      state_->look_at_progress(now_ns());
      state_->inspect(now_ns());
      state_->tree->time_passed(now_ns());
    } else if (what == event_listener) {
      state_->accept_client();
    } else if (what == event_tracer) {
      state_->look_at_tracers();
    } else if (what < event_client) {
      state_->forget_holder(static_cast<std::uint32_t>(what - event_port));
    } else {
      const int fd = static_cast<int>(what - event_client);
      const bool known = std::any_of(state_->clients.begin(), state_->clients.end(),
                                     [fd](const file& each) { return each.get() == fd; });
      if (known) state_->serve(fd);
    }
  }
  state_->settle();
}

const segment& supervisor::where() const noexcept { return *state_->where; }
bool supervisor::was_adopted() const noexcept { return state_->adopted; }

bool supervisor::is_ready() const {
  for (std::uint32_t i = 0; i < where().slot_count(); ++i) {
    if (state_->tree->is_wanted(i) && !state_->tree->is_ready(i)) return false;
  }
  return true;
}

bool supervisor::is_quiet() const {
  bool any_source = false;
  for (const worker_spec* each : state_->specs) any_source = any_source || each->is_source;
  if ((!any_source && !is_draining()) || !sources_have_ended(where())) return false;
  if (inspection::any_fenced(where())) return false;
  // The cells that setup makes belong to the result, even if nobody sent their worker anything.
  // Once is enough: under many kills there may be no moment at which all are ready.
  for (std::uint32_t i = 0; i < state_->children.size(); ++i) {
    const bool been = state_->children[i].been_ready || state_->tree->is_ready(i);
    if (!been && state_->tree->is_wanted(i)) return false;
  }
  if (!state_->ports_let_it_end()) return false;
  state_->the_board().watched.publish(1);
  full_fence();                                  // V2
  if (state_->has_to_hand_over()) return false;  // Before the lanes are looked at.
  if (state_->errands->is_busy() || !cyto::is_quiet(where())) return false;
  // What a port has committed just before it was closed still counts.
  return state_->close_ports() && cyto::is_quiet(where());
}

bool supervisor::has_ended() const noexcept { return !state_->anybody_left(); }
const std::string& supervisor::failure() const noexcept { return state_->failure; }
error_code supervisor::failure_code() const noexcept { return state_->code; }

void supervisor::drain() {
  if (state_->phase() == system_phase::running) state_->set_phase(system_phase::draining);
}
bool supervisor::is_draining() const noexcept { return state_->phase() == system_phase::draining; }
void supervisor::stop() { state_->stop(now_ns()); }

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
