// cyto/worker.hpp
//
// What: a supervised process that runs turns.
//       int main(int argc, char** argv) {
//         return cyto::worker_main(argc, argv, [](cyto::worker& self) {
//           auto total = self.cell<cyto::counter>("total");
//           auto billing = self.to("billing");
//           self.on<Order>([=](const Order& order, cyto::turn& turn) {
//             total.add(turn, order.amount());
//             turn.send<Invoice>(billing.member(0), [&](auto& fbb) { return CreateInvoice(fbb); });
//           });
//         });
//       }
//
// Who: worker_main() once, by the main thread of a program that a supervisor starts. The setup
//   function and the handlers run on that thread; nothing else may touch the worker.
//   Setup runs more often than the worker starts: before a program takes over from a running worker
//   it is rehearsed, its setup run in a process of its own against a copy of the slot (observe.hpp,
//   check_successor()). Handlers and sources do not run then. A setup that does something outside
//   of cyto (opens a port, writes a file) asks is_rehearsal() first.
//
// Layout: private. What outlives the process is in its slot.
//
// Ordering:
//   W1 Handlers are called in causal order (mailbox.hpp), each inside a turn; a turn may hold
//      several messages. A handler may be called again for a message whose turn did not commit, so
//      it changes nothing but cells and lanes, and takes nothing that a second call would not find.
//   W2 A turn that finds a lane full is aborted and tried again when there is room, unless the
//      lane's policy is to refuse or to drop.
//   W3 A message that a predecessor has died of is handled in a turn of its own.
//   W4 While a worker that is part of a cycle waits for room, it takes messages off its lanes in
//      the order of W1, into a lane to itself, as long as one of them comes out of a cycle; so
//      whoever waits for it in a circle gets room. They are handled before all others. A worker
//      whose own lane is full says in `waits_for` which room it waits for; a circle of such
//      workers stands still for good, and the last of them to sleep, which sees it, fails. Model:
//      tests/model/cycle.pml, POLICY 7.
//   W5 A lane whose policy is to nack makes whoever is too fast slower. A source that finds it full
//      keeps its message and lowers its rate; any other worker drops the message and tells the one
//      whose message it handles, along its control lane to it. That one lowers the rate of its
//      source, if it has limited it, and calls on_nack().
//   W6 What is asked for with when_room() holds up the end of the job: `asks_for` is published
//      before the commit of the turn that asks, and taken back after that of the turn that is
//      called; so whoever has seen that all was taken, and `asks_for` after it, sees what was sent.
//   W7 Members of a partitioned group own keys, and the cells of these (worker::keyed()). When a
//      member is added or removed, keys move with their cells, each by one turn, and the messages
//      about a key are handled in causal order, by whoever owns it: a new owner handles none
//      before the old ones have said that it has all they had. What comes to one who is not the
//      owner any more is sent on; towards what is not about its key it has no order then.
//
//   Each message is verified before its handler sees it, unless the topology says that this worker
//   believes its senders (`verify`). What comes out of a port is another program's, and is always
//   verified.
//   A message that is no sound T, or that no handler is there for, shuts its lane (M3 of
//   mailbox.hpp): its reader goes on with the others. The reason is left in the slot.
//
// Death: at any instruction: turn.hpp. A handler that throws cyto::error ends the worker for good;
//   the text is left in the slot for the supervisor. Any other exception is a crash: the worker is
//   restarted and the message handed in again, until it has killed too often and is set aside
//   (quarantine.hpp).
//   worker_main() catches SIGSEGV, SIGBUS, SIGILL, SIGFPE and SIGABRT where nobody else does: the
//   one exception to the rule that the library installs no signal handlers. The kernel tells the
//   faulting address to a handler and to nobody else; a program whose main function is
//   worker_main() has no other host that could be in the way. The handler stores four words and
//   lets the default action go on, so exit status and core dump are what they would be.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cyto/port.hpp"
#include "cyto/rate_control.hpp"
#include "cyto/schema.hpp"
#include "cyto/update.hpp"

namespace cyto {

class shares;

// How a worker process ends; the supervisor reads it.
enum worker_exit : int {
  exit_done = 0,        // Told to stop.
  exit_refused = 65,    // A failure that a restart would not mend; its text is in the slot.
  exit_spoiled = 66,    // What the slot's last holder left was overwritten; its text is there too.
  exit_crashed = 70,    // An exception escaped a handler.
  exit_slot_taken = 75  // Another incarnation still holds the slot.
};

// What a source's turn has to say.
enum class produced : std::uint8_t {
  more,
  finished,
  later  // More, once something that was asked for with when_room() has been called.
};

class worker {
 public:
  explicit worker(slot& place, bool is_rehearsal = false) noexcept;
  worker(const worker&) = delete;
  worker& operator=(const worker&) = delete;
  ~worker();

  [[nodiscard]] std::string_view name() const noexcept { return slot_->entry().name; }
  // Whether setup only runs so that the program can be judged. What it does to cells and lanes
  // is done to a copy; what it would do elsewhere it leaves.
  [[nodiscard]] bool is_rehearsal() const noexcept { return is_rehearsal_; }
  // A value from the topology's settings of this worker. The first form throws if there is none.
  [[nodiscard]] std::string setting(std::string_view key) const;
  [[nodiscard]] std::string setting(std::string_view key, std::string_view otherwise) const;

  // The cell of that name, found or made. Also possible inside a handler.
  template <class Kind>
  Kind cell(std::string_view cell_name) {
    return slot_->cells().cell<Kind>(cell_name);
  }
  // The cells of a key, which move with it where the group is partitioned; `key` must outlive the
  // answer. A handle to one of them is good within one call of a handler.
  [[nodiscard]] key_cells keyed(std::string_view key) { return {slot_->cells(), key}; }
  // The system's memory, read-only: for snapshot.hpp, and all of observe.hpp.
  [[nodiscard]] const segment& where() const noexcept { return slot_->where(); }
  // The lanes to a group of workers. Throws when the topology has none.
  [[nodiscard]] output to(std::string_view group) const { return slot_->to(group); }
  // Its control lanes: what goes there is handled before all that it does not depend on.
  [[nodiscard]] output control_of(std::string_view group) const { return slot_->to(group, true); }

  // Registers f(const T&, turn&) for messages of type T. Throws if two types have one number.
  template <class T, class F>
  void on(F handler) {
    add_handler(
        message_kind<T>(), T::GetFullyQualifiedName(), message_schema<T>,
        [](const message_view& view) { return open_message<T>(view) != nullptr; },
        [handler = std::move(handler)](const message_view& view, turn& in,
                                       bool is_verified) mutable {
          const T* message = open_message<T>(view, is_verified);
          if (message != nullptr) handler(*message, in);
          return message != nullptr;
        });
  }
  // From now on this worker applies the updates that it is sent (update.hpp), each in its turn. One
  // that it refuses is set aside, as what has killed is: `cyto quarantine` shows it, with the
  // reason. Valid as long as the worker.
  accepted_updates& accept_updates();
  // The same of messages that are about a key: key_of(const T&) is the text or the number that
  // their senders give to by_key(). A message whose key is another member's by now goes on to that
  // one (W7).
  template <class T, class KeyOf, class F>
  void on(KeyOf key_of, F handler) {
    on<T>([this, key_of = std::move(key_of), handler = std::move(handler)](const T& message,
                                                                           turn& in) mutable {
      if (!passes_on(key_number(key_of(message)), in)) handler(message, in);
    });
  }
  // Messages of type T that this worker sends have made at most so many hops, whatever their lane
  // says (hops_max of the topology); 255: any number. See turn::hops().
  template <class T>
  void limit_hops(std::uint32_t hops_max) {
    slot_->the_turn().limit_hops(message_kind<T>(), hops_max);
  }
  // Registers produce(turn&), called whenever there is room until it answers `finished`. Its
  // position belongs into a cell: the turn is called again if it did not commit.
  void source(std::function<produced(turn&)> produce) { produce_ = std::move(produce); }
  // The source produces at most so often. Where lanes nack it is slower than that by as much as it
  // has to be (W5), and sleeps meanwhile. Throws cyto::error for limits that cannot be.
  void limit_rate(const rate_limits& by);
  // Turns a second that the source may make now; 0: it is not limited.
  [[nodiscard]] double rate() const noexcept { return rate_.turns_per_s(); }
  // Called when one that this worker has sent to could not pass on what followed from it (W5).
  // Without it only the rate falls.
  void on_nack(std::function<void(const nack&, turn&)> handler) { on_nack_ = std::move(handler); }
  // Calls f(turn&) once, in a turn of its own, when that lane has room for a message of so many
  // bytes, or its reader is stopped or absent (`to.is_open()` tells); the worker goes on meanwhile,
  // and sleeps if it has nothing else to do. Several that are asked for are called as there is room
  // for each, in the order of asking where there is room for both. It is called again if its turn
  // did not commit. What f sends has made as many hops as what the turn that asks sends.
  // In a handler or a source: part of the turn, and forgotten with it. In setup: at once.
  // Private memory: a successor's setup asks anew. Until then, and until f was called, the worker
  // counts as busy: the job does not end (W6), unless the lane leads to a port that nobody holds.
  // Throws if such a message can never fit. May allocate.
  void when_room(turn_output& to, std::uint64_t payload_bytes, std::function<void(turn&)> f);
  // Shown by status and by the progress line. Units are the worker's own.
  void progress(std::uint64_t done, std::uint64_t total) noexcept;
  // Messages a turn takes at most; 1 to 4096 (256). The first turn takes one, and each later one
  // up to twice as many as the one before.
  void batch(std::size_t messages_max);

  // What is wrong with what setup has asked for, if anything, is thrown.
  void check_setup();
  // The message types that this worker handles, as a text: schema.hpp.
  [[nodiscard]] std::string description() const;
  // Runs turns until the supervisor says stop. `nudge` is a descriptor that wakes the supervisor.
  void run(int nudge);

 private:
  // Handles the message, verified or not; false if it is no sound one.
  using call_function = std::function<bool(const message_view&, turn&, bool is_verified)>;
  using sound_function = bool (*)(const message_view&);
  struct handler_entry {
    std::uint32_t kind;
    const char* type_name;
    std::string (*schema)();
    sound_function is_sound;
    call_function call;
    std::vector<bool> was_sound{};  // By input: a message of this type was verified.
  };
  void add_handler(std::uint32_t kind, const char* type_name, std::string (*schema)(),
                   sound_function is_sound, call_function call);
  static std::uint64_t key_number(std::uint64_t key) noexcept { return key; }
  static std::uint64_t key_number(std::string_view key) noexcept { return hash_bytes(key); }
  // Sends the message in hand to the owner of its key; false if that is this worker.
  bool passes_on(std::uint64_t hash, turn& in) noexcept;
  void follow_moves();
  bool hand_over();
  // Asks the old owners if what stands in that lane has to wait for them.
  bool asks_before(const turn_input& from);
  [[nodiscard]] bool has_any() noexcept;
  // `from` is nullptr for a message out of the quarantine.
  bool handle(const message_view& view, const turn_input* from);
  bool handle_believing(handler_entry& by, const message_view& view, const turn_input* from);
  void shut(turn_input& lane, const message_view& view);
  bool run_turn();
  void set_aside(turn_input& from, const message_view& view,
                 update_refusal why = update_refusal::none);
  void refuse_update(turn_input& from, const message_view& view, std::size_t handled);
  [[nodiscard]] bool may_send_waiting() const noexcept;
  bool send_waiting();
  bool run_errand();
  void retry(std::uint64_t number);
  bool produce_turn();
  void say_end(source_end end) noexcept;
  bool take_nack(const message_view& view);
  [[nodiscard]] bool is_sound_nack(const message_view& view) const noexcept;
  [[nodiscard]] bool is_ahead_of_its_rate() noexcept;
  [[nodiscard]] std::uint64_t sleep_ns() const noexcept;
  bool resolve_fault(std::size_t handled);
  void wait_for_room(turn_output& to, std::uint64_t bytes);
  struct room_request {
    turn_output* to;
    std::uint64_t bytes;  // Of the ring.
    std::uint8_t hops;
    std::function<void(turn&)> call;
  };
  static bool is_due(const room_request& asked) noexcept;
  [[nodiscard]] bool has_due() const noexcept;
  bool call_due();
  void say_what_is_asked() noexcept;
  // Of a lane, among all there are, from 1 on.
  [[nodiscard]] std::uint64_t number_of(const turn_output& to) const noexcept;
  void commit_turn();
  void abort_turn() noexcept;
  bool put_off();
  [[nodiscard]] bool is_handled(const message_view& view) const;
  void refuse_standstill(const turn_output& to, std::uint64_t bytes);
  void settle();
  void rank_lanes();
  [[nodiscard]] bool look_on() noexcept;
  void sleep();
  [[nodiscard]] bool has_sent_to_closed() const noexcept;
  [[nodiscard]] system_phase phase() const noexcept;
  void tell_supervisor() const noexcept;

  slot* slot_;
  std::unique_ptr<shares> shares_;         // Of a member of a partitioned group.
  const message_view* in_hand_ = nullptr;  // While a handler runs.
  std::vector<handler_entry> handlers_;
  std::function<produced(turn&)> produce_;
  std::function<void(const nack&, turn&)> on_nack_;
  rate_control rate_;
  std::uint64_t wake_at_ns_ = 0;       // When the source is due; 0: it does not wait for a time.
  std::vector<room_request> asked_;    // By the turn in progress.
  std::vector<room_request> waiting_;  // By turns that have committed.
  bool source_waits_ = false;          // For one of these to be called.
  std::unique_ptr<accepted_updates> updates_;
  update_refusal refused_ = update_refusal::none;  // What the handler of updates has said.
  std::vector<turn_output*> coalescing_;
  std::size_t batch_max_ = 256;
  // Of the next turn: one message at first, so that a successor is soon seen to go on; twice as
  // many after each turn, fewer after one that was too large.
  std::size_t limit_ = 1;
  std::uint64_t turns_told_ = ~std::uint64_t{0};
  system_phase phase_seen_ = system_phase::running;
  std::uint64_t standings_seen_ = 0;
  int nudge_ = -1;
  std::uint64_t spin_ns_ = 0;  // Looks on so long before it sleeps.
  bool never_sleeps_ = false;
  verification verify_ = verification::always;
  bool is_rehearsal_;
};

// The body of a worker program's main(): takes the slot that the supervisor names, recovers it,
// calls `setup`, runs turns; or, in a rehearsal, tells what it handles. Returns the exit code.
int worker_main(int argc, char** argv, const std::function<void(worker&)>& setup);

}  // namespace cyto
