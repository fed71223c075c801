// cyto/port.hpp
//
// What: a place for a thread of any program in a running system, whose topology has a port for it.
//       auto desk = cyto::join("exchange", "desk");
//       desk.send<Order>(desk.to("matcher").by_key(key), [](auto& fbb) { return ...; });
//       for (const auto& m : desk.wait(1s)) if (const Trade* t = m.as<Trade>()) use(*t);
//
// Who: each object is used by one thread at a time of one process. A forked child has none of its
//   parent's: its copy of the object answers `closed`, or throws where setup may, and the parent
//   goes on. Nothing here starts a thread or handles a signal.
//
// Layout: `slot` is private state over the pages that segment.hpp describes. A port is a slot that
//   no process is started for.
//
// Ordering: each send() is a turn. Messages come in causal order (mailbox.hpp).
//   J1 A port says in `handling` that it is in a turn, passes a full fence, and looks at its order;
//      the supervisor changes the order, passes a full fence, and looks at `handling`. So what a
//      port has committed before a system ends is delivered, and nothing comes after that.
//
// Death: a port killed leaves what it has committed; the rest never was, and whoever joins next
//   goes on from there.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cyto/cell.hpp"
#include "cyto/doorbell.hpp"
#include "cyto/error.hpp"
#include "cyto/mailbox.hpp"
#include "cyto/message.hpp"
#include "cyto/quarantine.hpp"
#include "cyto/segment.hpp"
#include "cyto/turn.hpp"

namespace cyto {

// The holder's side of a slot: lock, recovery, lanes, turn, mailbox, cells, doorbell.
class slot {
 public:
  // Takes the slot's lock, recovers, maps. Throws already_running when another process holds it.
  slot(const segment& from, std::uint32_t index);
  slot(const slot&) = delete;
  slot& operator=(const slot&) = delete;
  // Says goodbye: the state becomes `stopped`, the neighbours are woken.
  ~slot();

  [[nodiscard]] turn& the_turn() noexcept { return *turn_; }
  [[nodiscard]] mailbox& incoming() noexcept { return *mailbox_; }
  [[nodiscard]] cell_store& cells() noexcept { return *cells_; }
  [[nodiscard]] quarantine& held() noexcept { return *held_; }
  [[nodiscard]] doorbell& bell() noexcept { return *bell_; }
  [[nodiscard]] control& own() noexcept { return *own_; }
  [[nodiscard]] const segment& where() const noexcept { return *segment_; }
  [[nodiscard]] std::uint32_t index() const noexcept { return index_; }
  [[nodiscard]] const slot_entry& entry() const noexcept { return segment_->slot(index_); }
  // No process that is forked from this one gets its pages.
  void keep_from_children() const noexcept;
  [[nodiscard]] int lock_fd() const noexcept { return lock_.fd(); }
  // The lanes to a group of workers; throws, naming the groups there are, if there is none.
  // The lanes to a group; those of control, or the others. Throws when there are none.
  [[nodiscard]] output to(std::string_view group, bool is_control = false) const;
  void set_state(slot_state state) noexcept;
  // Whether somebody's share of keys has changed since follow_moves(), as far as this slot sends to
  // such a group or is of one.
  [[nodiscard]] bool has_to_follow() const noexcept {
    return follows_ && segment_->the_board().moves.observe() != own_->followed.own();
  }
  // From now on by_key() goes by the shares as they are by now. REQUIRES: between two turns.
  void follow_moves() noexcept;
  // Has every page mapped that its turns use: its own, its lanes, and what it reads of others.
  // Throws when the kernel will not.
  void prefault() const;
  // Leaves words in the slot for whoever supervises it: why a lane was shut, or, with the state,
  // why nobody shall take the slot again.
  void leave_reason(error_code code, std::string_view text) noexcept;
  void leave_failure(error_code code, std::string_view text) noexcept;
  // The same of an end that a restart may mend.
  void leave_words(std::string_view text) noexcept;

 private:
  const segment* segment_;
  std::uint32_t index_;
  slot_lock lock_;
  mapping own_pages_;
  mapping arena_;
  mapping bells_;
  mapping trace_;
  std::vector<mapping> rings_;
  bool follows_ = false;
  control* own_ = nullptr;
  std::unique_ptr<doorbell> bell_;
  std::unique_ptr<turn> turn_;
  std::unique_ptr<mailbox> mailbox_;
  std::unique_ptr<cell_store> cells_;
  std::unique_ptr<quarantine> held_;
};

namespace detail {

// A port without message types.
class port_end {
 public:
  port_end(const std::string& system, std::string_view port);
  port_end(port_end&&) noexcept;
  ~port_end();

  // False: the system takes nothing more. Else end_turn() or undo_turn() follows.
  [[nodiscard]] bool begin_turn() noexcept;
  status end_turn() noexcept;
  void undo_turn() noexcept;
  // Of a turn that has committed: what its message was answered.
  status answered(turn_output& to, status sent) noexcept;
  // Gives back what was handed out; waits until there is more or time is up.
  void wait(time_limit at_most) noexcept;
  bool next(message_view& out) noexcept;
  // Sleeps until there is room for what was answered `full` last, at most that long.
  void wait_for_room(time_limit at_most) noexcept;
  // Waits until all that was sent is taken: ok, full (not yet), closed (the system has ended).
  status drain(time_limit at_most) noexcept;
  [[nodiscard]] bool is_open() const noexcept;
  [[nodiscard]] int fd();
  [[nodiscard]] slot& place() noexcept;
  // The same for setup: throws in a forked child.
  [[nodiscard]] slot& checked_place();
  // Commits a cell that was made outside of a turn; throws if there was no room.
  void keep_cells();

 private:
  struct state;
  [[nodiscard]] system_phase order() const noexcept;
  void commit() noexcept;
  void tell_supervisor() noexcept;
  void arm(system_phase order_seen) noexcept;
  template <class Done>
  void sleep_until(time_limit at_most, const Done& done) noexcept;
  std::unique_ptr<state> state_;
};

}  // namespace detail

// A message where it lies in its lane. Valid until the next wait() or poll() of its port.
class received {
 public:
  explicit received(const message_view& view) noexcept : view_(view) {}
  // The message; nullptr if it is of another type, or no sound T.
  template <class T>
  [[nodiscard]] const T* as() const noexcept {
    return view_.kind == message_kind<T>() ? open_message<T>(view_) : nullptr;
  }
  // Its bytes, whatever they are, and the number of its type.
  [[nodiscard]] std::span<const std::byte> bytes() const noexcept {
    return {view_.data, view_.size};
  }
  [[nodiscard]] std::uint32_t kind() const noexcept { return view_.kind; }

 private:
  message_view view_;
};

// A thread's place in a running system. See join().
class port {
 public:
  // What wait() and poll() hand out. To go on to the next message says that the last one is done:
  // whatever the port does next, a send() within the loop as well, commits all that have been
  // handed out, the one in hand included, together with what it does itself. To be gone through
  // once.
  class batch {
   public:
    struct sentinel {};
    class iterator {
     public:
      explicit iterator(detail::port_end& of) noexcept : of_(&of) { ++*this; }
      received operator*() const noexcept { return received(view_); }
      iterator& operator++() noexcept {
        is_there_ = of_->next(view_);
        return *this;
      }
      bool operator==(sentinel) const noexcept { return !is_there_; }

     private:
      detail::port_end* of_;
      message_view view_;
      bool is_there_ = false;
    };
    explicit batch(detail::port_end& of) noexcept : of_(&of) {}
    [[nodiscard]] iterator begin() const noexcept { return iterator(*of_); }
    [[nodiscard]] static sentinel end() noexcept { return {}; }

   private:
    detail::port_end* of_;
  };

  explicit port(detail::port_end end) noexcept : end_(std::move(end)) {}

  // "desk/0"
  [[nodiscard]] std::string name() { return end_.checked_place().entry().name; }
  // The system's memory, read-only, for as long as the port: for snapshot.hpp, and observe.hpp.
  [[nodiscard]] const segment& where() { return end_.checked_place().where(); }
  // The lanes to a group of workers or ports. Throws when the topology has none.
  [[nodiscard]] output to(std::string_view group) { return end_.checked_place().to(group); }
  [[nodiscard]] output control_of(std::string_view group) {
    return end_.checked_place().to(group, true);
  }
  // The cell of that name, found or made. It is the port's own, and outlives it: whoever joins next
  // finds it. Throws when there is no room. Within turn(), as within a handler of a worker.
  template <class Kind>
  [[nodiscard]] Kind cell(std::string_view cell_name) {
    Kind out = end_.checked_place().cells().template cell<Kind>(cell_name);
    end_.keep_cells();
    return out;
  }

  // One turn: f(turn&) sends and changes cells, and all of it becomes visible or nothing. Never
  // waits: full (some reader is behind; read what has come meanwhile, and try again), too_big (it
  // can never fit: a lane, the cells, or 4096 changes of cells), closed (the system drains, has
  // ended, or this is a forked child; f did not run). Of the port itself f uses nothing. What f
  // throws undoes the turn.
  template <class F>
  [[nodiscard]] status turn(F&& f) {
    if (!end_.begin_turn()) [[unlikely]]
      return status::closed;
    try {
      std::forward<F>(f)(end_.place().the_turn());
    } catch (...) {
      end_.undo_turn();
      throw;
    }
    return end_.end_turn();
  }
  // A turn of one message, built as turn::send() has it. Answers besides what its lane's policy
  // says: full (refused), dropped.
  template <class T, class Build>
  [[nodiscard]] status send(turn_output& to, Build&& build) {
    status sent = status::ok;
    const status whole =
        turn([&](cyto::turn& in) { sent = in.send<T>(to, std::forward<Build>(build)); });
    return whole == status::ok ? end_.answered(to, sent) : whole;
  }
  template <class T>
  [[nodiscard]] status send(turn_output& to, const prebuilt<T>& message) {
    status sent = status::ok;
    const status whole = turn([&](cyto::turn& in) { sent = in.send(to, message); });
    return whole == status::ok ? end_.answered(to, sent) : whole;
  }

  // The messages there are, and that come meanwhile, of all lanes in causal order: at most
  // batch_max, and from each lane not much more than a quarter of it, since their space is given
  // back by the next call. wait() sleeps until there is one, time is up, or the system has ended.
  batch poll() noexcept { return wait(time_limit()); }
  batch wait(time_limit at_most) noexcept {
    end_.wait(at_most);
    return batch(end_);
  }
  // Waits until all that this port has sent is taken, by turns that have committed: ok; full: not
  // yet; closed: the system has ended. A snapshot (snapshot.hpp) that is taken after `ok` has what
  // those turns did with it, unless a worker in a cycle has deferred it (worker.hpp, W4).
  [[nodiscard]] status drain(time_limit at_most) noexcept { return end_.drain(at_most); }
  // Whether anything can still be sent or come: a port that is sent to is open, while the system
  // drains, until the rest has come. A system whose supervisor and workers have been killed is
  // open: `cyto run` goes on with it.
  [[nodiscard]] bool is_open() const noexcept { return end_.is_open(); }

  // For an event loop of the program's own: a descriptor to wait on with epoll, poll, select or
  // io_uring, the same one each time, closed by the destructor. It is readable until poll() or
  // wait() has found nothing, and again once a message has come, or there is room for what was
  // answered `full` last, or the system begins to drain or ends, or a second is over. So one poll()
  // each time that it is readable is enough. Nothing is to be read from it. Throws cyto::error when
  // descriptors run out, and in a forked child.
  [[nodiscard]] int fd() { return end_.fd(); }

  static constexpr std::size_t batch_max = 256;

 private:
  detail::port_end end_;
};

// Joins a running system, started by `cyto run`, at one of its ports: "desk" for any free member of
// the group, "desk/1" for that one. The port is left when the object goes; what was handed out last
// counts as taken then, unless an exception throws its reader out.
// Throws cyto::error: no such system, or one about to end; no port of that name; all taken, and by
// which processes; another version of cyto.
inline port join(const std::string& system, std::string_view port_name) {
  return port(detail::port_end(system, port_name));
}

}  // namespace cyto
