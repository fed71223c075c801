// Two programs that share a lane by name. Whoever opens the name first makes the memory and
// listens; each side hands memory and listener to whoever connects, when it comes by here anyway:
// no thread of ours runs in the host.
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <exception>

#include "cyto/port.hpp"
#include "process.hpp"
#include "rendezvous.hpp"
#include "verbs.hpp"

namespace cyto::detail {
namespace {

using clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr std::uint32_t sender_slot = 0;
constexpr std::uint32_t receiver_slot = 1;
constexpr int answer_ms = 200;
constexpr int request_ms = 10;  // It was sent with the connection.
constexpr auto join_at_most = std::chrono::seconds(10);
// Between looks at who else is there; also how late a vanished peer is noticed.
constexpr auto look_around = milliseconds(50);

struct found {
  segment where;
  file listener;
};

// Memory of that name in any process of this user's.
bool from_holder(const std::string& name, std::vector<found>& out, file& listener) {
  for (const memfd_holder& holder : find_memfd_holders(memfd_tag(name))) {
    const int fd = ::open(holder.path.c_str(), O_RDWR | O_CLOEXEC);
    if (fd < 0) continue;
    out.push_back({segment::attach(fd), std::move(listener)});
    return true;
  }
  return false;
}

found meet(const std::string& name, const pair_options& options) {
  std::vector<found> out;
  const auto deadline = clock::now() + join_at_most;
  while (clock::now() < deadline) {
    file listener = listen_at(name);
    if (listener) {
      if (from_holder(name, out, listener)) return std::move(out.front());
      segment_plan plan;
      plan.name = name;
      plan.memfd_tag = memfd_tag(name);
      plan.slots = {{"sender", "sender", 0, slot_is_port, 0, {}},
                    {"receiver", "receiver", 0, slot_is_port, 0, {}}};
      plan.lanes = {{sender_slot, receiver_slot, options.lane_bytes}};
      try {
        return {segment::create(plan), std::move(listener)};
      } catch (...) {
        forget_socket(name);
        throw;
      }
    }
    const file connection = connect_to(name);
    const bool somebody_listens = connection || errno == EAGAIN;
    packet reply{};
    std::vector<file> fds;
    if (connection && send_packet(connection.get(), {verb_join, 0}, {}) &&
        receive_packet(connection.get(), reply, fds, answer_ms)) {
      if (reply.verb != verb_join || fds.size() != 2) {
        throw error(error_code::already_running, "pair " + name,
                    "is the name of a supervised system", {}, "choose another name");
      }
      return {segment::attach(fds[0].release()), std::move(fds[1])};
    }
    // Nobody came by to answer; the memory is the same in whichever process it is found.
    file none;
    if (somebody_listens && from_holder(name, out, none)) return std::move(out.front());
  }
  throw error(error_code::failed, "pair " + name, "nobody lets this program in for 10 seconds",
              "its other end neither sends, nor waits, nor may be looked at", "see that it runs");
}

}  // namespace

struct pair_end::state {
  std::string name;
  found met;
  std::unique_ptr<slot> place;
  std::uint32_t mine;
  bool gave_out = false;                     // A batch was handed out that is not committed yet.
  std::unique_ptr<bell_descriptor> wakeups;  // Once fd() was called.

  [[nodiscard]] const control& peer() const { return met.where.control_of(1 - mine); }
  [[nodiscard]] bool peer_has_left() const {
    return peer().state.observe() == static_cast<std::uint32_t>(slot_state::stopped);
  }
};

pair_end::pair_end(std::string name, const pair_options& options, std::uint32_t slot_index) {
  found met = meet(name, options);
  if (met.where.slot_count() != 2 || met.where.find_slot("receiver") != receiver_slot) {
    throw error(error_code::already_running, "pair " + name, "is the name of a supervised system",
                {}, "choose another name");
  }
  state_ = std::make_unique<state>(
      state{std::move(name), std::move(met), nullptr, slot_index, false, nullptr});
  state_->place = std::make_unique<slot>(state_->met.where, slot_index);
  state_->place->set_state(slot_state::ready);
}

pair_end::pair_end(pair_end&&) noexcept = default;

pair_end::~pair_end() {
  if (!state_) return;
  // What was handed out last is taken, unless its reader is being thrown out of its loop.
  if (state_->gave_out && std::uncaught_exceptions() == 0) state_->place->the_turn().commit();
  state_->wakeups.reset();
  // One leaves at a time, or each of two would leave the socket to the other.
  try {
    const file claim = claim_folder();
    state_->place.reset();
    if (!slot_lock::is_held(state_->met.where, 1 - state_->mine)) {
      state_->met.listener = file();
      forget_stale_socket(state_->name);
    }
  } catch (const error&) {
    state_->place.reset();  // The folder has gone, and the socket with it.
  }
}

slot& pair_end::place() noexcept { return *state_->place; }
turn_output& pair_end::lane() noexcept { return *state_->place->the_turn().outputs()[0]; }

void pair_end::admit() noexcept {
  if (!state_->met.listener) return;
  while (const file client = accept_from(state_->met.listener.get())) {
    // The request is read, or closing would throw the answer away (ECONNRESET).
    packet request{};
    std::vector<file> unwanted;
    if (!receive_packet(client.get(), request, unwanted, request_ms)) continue;
    send_packet(client.get(), {verb_join, 0}, {state_->met.where.fd(), state_->met.listener.get()});
  }
}

int pair_end::fd() {
  if (!state_->wakeups) {
    // Who knocks shall be let in, so the listener makes it readable too.
    state_->wakeups =
        std::make_unique<bell_descriptor>(state_->place->bell(), state_->met.listener.get());
  }
  return state_->wakeups->fd();
}

// Its owner looks for itself from here on.
void pair_end::stay_readable() noexcept {
  if (state_->wakeups) state_->wakeups->signal();
}

template <class Found>
void pair_end::arm(Found has_come) noexcept {
  if (!state_->wakeups) return;
  state_->wakeups->arm();
  // The peer rings before it lets go of its slot, and is_open() asks for both.
  const bool is_leaving = state_->peer_has_left() && peer_is_here();
  if (is_leaving || has_come()) state_->wakeups->signal();
}

bool pair_end::peer_is_here() const {
  return slot_lock::is_held(state_->met.where, 1 - state_->mine);
}

bool pair_end::peer_is_gone() const { return state_->peer_has_left() && !peer_is_here(); }

status pair_end::send_raw(status staged) {
  turn& in = state_->place->the_turn();
  if (staged == status::ok) [[likely]] {
    in.commit();
    stay_readable();
    // While the receiver is behind it may be gone, and its successor at the door.
    if (lane().lane.room_seen() * 2 < lane().lane.capacity_bytes()) [[unlikely]]
      admit();
    return status::ok;
  }
  const std::uint64_t wanted = in.fault_ring_bytes();
  in.abort();
  admit();
  if (staged != status::full) return staged;
  arm([&] { return lane().lane.room() >= wanted; });
  return state_->peer_has_left() ? status::closed : staged;
}

void pair_end::sleep(milliseconds at_most) {
  if (!peer_is_here() && state_->met.listener) {
    pollfd door{state_->met.listener.get(), POLLIN, 0};
    poll(&door, 1, static_cast<int>(at_most.count()));
  } else {
    state_->place->bell().wait(static_cast<std::uint64_t>(at_most.count()) * 1'000'000);
  }
  admit();
}

bool pair_end::drain(milliseconds at_most) {
  const auto deadline = clock::now() + at_most;
  stay_readable();
  for (;;) {
    if (lane().lane.was_empty()) return true;
    const auto left = std::chrono::duration_cast<milliseconds>(deadline - clock::now());
    if (left.count() <= 0 || peer_is_gone()) {
      admit();
      arm([&] { return lane().lane.was_empty(); });
      return false;
    }
    state_->place->bell().prepare();
    if (!lane().lane.was_empty()) sleep(std::min<milliseconds>(left, look_around));
    state_->place->bell().cancel();
  }
}

void pair_end::wait_for_room(milliseconds at_most) {
  lane_writer& to = lane().lane;
  state_->place->bell().prepare();
  if (to.room() < to.room_wanted()) sleep(std::min<milliseconds>(at_most, look_around));
  state_->place->bell().cancel();
}

bool pair_end::next_batch(milliseconds at_most) {
  turn& in = state_->place->the_turn();
  mailbox& incoming = state_->place->incoming();
  if (state_->gave_out) in.commit();
  state_->gave_out = false;
  const auto deadline = clock::now() + at_most;
  stay_readable();
  while (!incoming.has_any()) {
    in.ring_writers();
    const auto left = std::chrono::duration_cast<milliseconds>(deadline - clock::now());
    if (left.count() <= 0 || state_->peer_has_left()) {
      admit();
      arm([&] { return incoming.has_any(); });
      return false;
    }
    state_->place->bell().prepare();
    if (!incoming.has_any()) sleep(std::min<milliseconds>(left, look_around));
    state_->place->bell().cancel();
  }
  state_->gave_out = true;
  return true;
}

bool pair_end::is_open() {
  // The state first: what a sender has sent before it left is in sight afterwards.
  if (!state_->peer_has_left()) return true;
  return state_->place->incoming().has_any() || peer_is_here();
}

}  // namespace cyto::detail
