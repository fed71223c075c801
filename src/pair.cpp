// Two programs that share a lane by name. Whoever opens the name first makes the memory and
// listens; each side hands memory and listener to whoever connects, when it comes by here anyway:
// no thread of ours runs in the host.
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <exception>

#include "cyto/pair.hpp"
#include "holding.hpp"
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
      plan.pages = options.pages;
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
  state(std::string pair, found of, std::uint32_t slot_index)
      : name(std::move(pair)),
        held(std::move(of.where)),
        listener(std::move(of.listener)),
        mine(slot_index) {
    held.take(mine, listener.get());
  }

  std::string name;
  holding held;
  file listener;
  std::uint32_t mine;
  bool gave_out = false;                     // A batch was handed out that is not committed yet.
  std::unique_ptr<bell_descriptor> wakeups;  // Once fd() was called.

  [[nodiscard]] const control& peer() const { return held.where().control_of(1 - mine); }
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
  state_ = std::make_unique<state>(std::move(name), std::move(met), slot_index);
  if (options.prefault) place().prefault();
}

pair_end::pair_end(pair_end&&) noexcept = default;

pair_end::~pair_end() {
  if (!state_) return;
  if (!is_mine()) {
    static_cast<void>(state_.release());  // The parent's: nothing of it may be touched.
    return;
  }
  // What was handed out last is taken, unless its reader is being thrown out of its loop.
  if (state_->gave_out && std::uncaught_exceptions() == 0) place().the_turn().commit();
  state_->wakeups.reset();
  // One leaves at a time, or each of two would leave the socket to the other.
  try {
    const file claim = claim_folder();
    state_->held.leave();
    if (!peer_is_here()) {
      state_->listener = file();
      forget_stale_socket(state_->name);
    }
  } catch (const error&) {
    state_->held.leave();  // The folder has gone, and the socket with it.
  }
}

bool pair_end::is_mine() const noexcept { return state_->held.is_mine(); }
slot& pair_end::place() noexcept { return state_->held.place(); }
turn_output& pair_end::lane() noexcept { return *place().the_turn().outputs()[0]; }

void pair_end::admit() noexcept {
  if (!state_->listener) return;
  while (const file client = accept_from(state_->listener.get())) {
    // The request is read, or closing would throw the answer away (ECONNRESET).
    packet request{};
    std::vector<file> unwanted;
    if (!receive_packet(client.get(), request, unwanted, request_ms)) continue;
    send_packet(client.get(), {verb_join, 0}, {state_->held.where().fd(), state_->listener.get()});
  }
}

int pair_end::fd() {
  if (!is_mine()) {
    throw error(error_code::failed, "pair " + state_->name, "is its parent's in this process",
                "it was forked", "open it anew");
  }
  if (!state_->wakeups) {
    // Who knocks shall be let in, so the listener makes it readable too.
    state_->wakeups = std::make_unique<bell_descriptor>(place().bell(), state_->listener.get());
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
  return slot_lock::is_held(state_->held.where(), 1 - state_->mine);
}

bool pair_end::peer_is_gone() const { return state_->peer_has_left() && !peer_is_here(); }

status pair_end::send_raw(status staged) {
  turn& in = place().the_turn();
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

void pair_end::sleep(time_limit at_most) {
  if (!peer_is_here() && state_->listener) {
    pollfd door{state_->listener.get(), POLLIN, 0};
    poll(&door, 1, static_cast<int>(at_most.ms()));
  } else {
    place().bell().wait(static_cast<std::uint64_t>(at_most.ms()) * 1'000'000);
  }
  admit();
}

bool pair_end::drain(time_limit at_most) {
  if (!is_mine()) return false;
  const auto deadline = clock::now() + milliseconds(at_most.ms());
  stay_readable();
  for (;;) {
    if (lane().lane.was_empty()) return true;
    const auto left = std::chrono::duration_cast<milliseconds>(deadline - clock::now());
    if (left.count() <= 0 || peer_is_gone()) {
      admit();
      arm([&] { return lane().lane.was_empty(); });
      return false;
    }
    place().bell().prepare();
    if (!lane().lane.was_empty()) sleep(std::min<milliseconds>(left, look_around));
    place().bell().cancel();
  }
}

void pair_end::wait_for_room(time_limit at_most) {
  lane_writer& to = lane().lane;
  place().bell().prepare();
  if (to.room() < to.room_wanted()) sleep(std::min(milliseconds(at_most.ms()), look_around));
  place().bell().cancel();
}

bool pair_end::next_batch(time_limit at_most) {
  if (!is_mine()) return false;
  if (state_->gave_out) place().the_turn().commit();
  stay_readable();
  state_->gave_out = state_->held.await(
      milliseconds(at_most.ms()), [this] { return state_->peer_has_left(); },
      [this](milliseconds left) { sleep(std::min<milliseconds>(left, look_around)); });
  if (!state_->gave_out) {
    admit();
    arm([this] { return place().incoming().has_any(); });
  }
  return state_->gave_out;
}

bool pair_end::is_open() {
  if (!is_mine()) return false;
  // The state first: what a sender has sent before it left is in sight afterwards.
  if (!state_->peer_has_left()) return true;
  return place().incoming().has_any() || peer_is_here();
}

}  // namespace cyto::detail
