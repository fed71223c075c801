// cyto/turn.hpp
//
// What: one atomic step of a worker. Messages taken, cells changed and messages sent become visible
//   by one store, or not at all.
//       turn.send<Invoice>(billing.by_key(id), [&](auto& fbb) { return CreateInvoice(fbb, id); });
//
// Who: handlers use send(), again() and their cells; the loop that owns the slot uses the
//   rest. One thread.
//
// Layout: private, but for the list of touched cells in `control`: before a turn changes a word of
//   the cells that a committed reader may reach, it lists where, so that recovery looks at those
//   only.
//
// Ordering:
//   U1 commit(): touched cells, read positions and staged records get the turn's stamp; then
//      `control.commit = stamp` with release. That store is the turn. Everything before it in
//      program order is seen by whoever observes the commit word, or a ready word with the
//      committed bit.
//   U2 After it, as hints only and nothing before them: the committed bit of each lane's first
//      record; then the space given back. One full fence, then the bells of whoever sleeps.
//   U3 abort() leaves nothing that a later turn, which may bear the same stamp, could make visible.
//   U4 What is not sent because of its lane's policy, or because it has made too many hops, is
//      counted by the same commit, the latter by kind as well; of these the newest lie in a lane of
//      the slot to itself, in pairs of a dead_letter and the message.
//      Where the policy is to nack, the sender of the message in hand is told by the same commit,
//      as far as the control lane to it has room.
//   U5 defer() moves a message as it is, with its hops, from its lane into the slot's own: by one
//      commit, so it is in one of the two.
//   U6 What finds no room in a lane that drops its oldest is put into a lane of the slot to itself,
//      and all that follows it along that lane behind it; move_held() moves it on, in order, with
//      its hops. It counts as sent by the turn that moves it, and has its stamp; what is held is in
//      one of the two, or counted as dropped, by one commit.
//
// Death: killed before the store: recover() of the next incarnation wipes the tags above the commit
//   word and cuts the lanes; the turn never happened, its messages are handed out again. Killed
//   after it: the turn happened; recovery gives the space back and wakes the neighbours. Killed in
//   recovery: it is idempotent and runs again.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "cyto/doorbell.hpp"
#include "cyto/lane.hpp"
#include "cyto/message.hpp"
#include "cyto/segment.hpp"
#include "cyto/stamp.hpp"

namespace cyto {

struct turn_input;

// A lane as its writer's turn knows it.
struct turn_output {
  // Whether its reader is meant to take messages now.
  [[nodiscard]] bool is_open() const noexcept {
    return reader_standing->observe() == static_cast<std::uint32_t>(membership::member);
  }

  lane_writer lane;
  doorbell_line* reader_bell;
  const word<std::uint32_t>* reader_standing;
  std::uint32_t reader_slot;
  std::uint32_t index;  // Which output of its turn.
  lane_losses losses;
  account merged{};  // Of output_line.
  lane_purpose purpose = lane_purpose::updates;
  full_policy policy = full_policy::defer;
  std::uint32_t lane_hops_max = hops_unlimited;
  std::uint32_t hops_max = hops_unlimited;  // The least that any kind of message has here.
  bool has_share = true;                    // Its reader owns keys of its group's.
  bool touched = false;
  turn_output* holds_in = nullptr;  // Both ends of the lane for what finds no room here (U6).
  turn_input* held = nullptr;
};

class turn;

struct turn_input {
  lane_reader lane;
  turn* of;
  doorbell_line* writer_bell;
  std::uint32_t writer_slot;
  std::uint32_t index;  // Which input of its turn.
  lane_purpose purpose = lane_purpose::updates;
  bool in_cycle = false;               // Its writer may wait for this worker's messages.
  std::uint64_t given_back_bytes = 0;  // Since the writer's bell was last looked at.
  bool touched = false;
};

// The lanes to the members of one group of workers, in the order of the members.
class output {
 public:
  output() = default;
  explicit output(std::vector<turn_output*> members) : members_(std::move(members)) {}

  [[nodiscard]] std::size_t size() const noexcept { return members_.size(); }
  [[nodiscard]] turn_output& member(std::size_t index) const noexcept { return *members_[index]; }
  // For turn::send() to all of them; valid as long as this is.
  [[nodiscard]] std::span<turn_output* const> all() const noexcept {
    return {members_.data(), members_.size()};
  }
  // The member that owns the key, by rendezvous hashing; the same in every process. Those who have
  // a part in it are all members there can be, whoever is absent; of a partitioned group those who
  // have a share of the keys as of this turn. `hash` is any number that tells keys apart.
  [[nodiscard]] turn_output& by_key(std::uint64_t hash) const noexcept {
    return *members_[owner_of_key(
        hash, members_.size(), [this](std::size_t member) { return members_[member]->has_share; })];
  }
  [[nodiscard]] turn_output& by_key(std::string_view key) const noexcept {
    return by_key(hash_bytes(key));
  }
  // The member with most room, as far as is known without looking at the readers' lines; looks if
  // even that one has less than half of its lane. One that is stopped, leaving or absent only if
  // all are.
  [[nodiscard]] turn_output& any() const noexcept;
  // Bytes of the smallest lane.
  [[nodiscard]] std::uint64_t lane_bytes_min() const noexcept;

 private:
  std::vector<turn_output*> members_;
};

// What stands before each message among the dead letters, as a record of its own.
struct dead_letter {
  std::uint32_t reader_slot;  // To whom it was not sent.
  std::uint32_t kind;
  std::uint32_t hops;
  std::uint32_t size;   // Of its payload, which follows if it is at most dead_letter_bytes_max.
  std::uint64_t stamp;  // Of the message it came of; 0: of none.
};
static_assert(sizeof(dead_letter) == 24);

inline constexpr std::uint32_t dead_letter_kind = 2;
inline constexpr std::uint32_t dead_letter_bytes_max = 4096;

// What the sender of a message is told when another, sent because of it, found no room.
struct nack {
  std::uint32_t reader_slot;  // To whom there is none.
  std::uint32_t hops;         // That what was dropped would have made.
  std::uint64_t stamp;        // Of the message that was being handled.
};
static_assert(sizeof(nack) == 16);

inline constexpr std::uint32_t nack_kind = 3;

// The word of the root that says from which lane a message is to come again: its number + 1.
inline constexpr std::size_t root_pending = 6;

// Why a turn cannot commit as it stands.
enum class turn_fault : std::uint8_t {
  none,
  lane_full,          // Waits for its reader.
  lane_too_big,       // Cannot ever fit.
  cells_full,         // The worker's arena is used up.
  list_full,          // More changed cells than the list holds: try fewer messages a turn.
  too_many_sends,     // One message led to more than sends_max others.
  in_flight_too_big,  // What the turn sends alone is more than in_flight_bytes_max.
};

class turn {
 public:
  using root_values = versioned<7>::values;

  // REQUIRES: recover() has run for this slot in this incarnation.
  turn(control& own, std::byte* arena, std::uint64_t arena_bytes, std::uint32_t slot_index = 0);
  turn(const turn&) = delete;
  turn& operator=(const turn&) = delete;
  ~turn();

  // --- for handlers -------------------------------------------------------------------------
  // Builds a T in place and stages it on one lane. `build` gets the FlatBufferBuilder and returns
  // the root's offset. On a lane that defers, as lanes do unless the topology says otherwise,
  // anything but ok dooms the turn: it will be aborted and, if the lane was full, tried again when
  // there is room. A handler need not look at the answer. On one that refuses, drops or nacks,
  // `full` and `dropped` leave the turn as it was. `dropped`, too, if it would have made more than
  // hops_max hops.
  template <class T, class Build>
  status send(turn_output& to, Build&& build) {
    if (fault_ != turn_fault::none) return status::full;
    flatbuffers::FlatBufferBuilder& fbb = builder_->begin(to.lane);
    fbb.Finish(std::forward<Build>(build)(fbb));
    return send_built(to, message_kind<T>());
  }
  // Builds one T and stages it on each of these lanes; with this turn all of them get it. Answers
  // ok if all have taken it, else the last answer that was another. The lanes are of this turn.
  //     turn.send<Price>(desks.all(), [&](auto& fbb) { return CreatePrice(fbb, 7); });
  template <class T, class Build>
  status send(std::span<turn_output* const> to, Build&& build) {
    if (to.empty()) return status::ok;
    status out = send<T>(*to[0], std::forward<Build>(build));
    // What was built stays where it is until the next begin(); also in the ring of the first.
    for (turn_output* each : to.subspan(1)) {
      const status sent = send_copy(*each, builder_->data(), builder_->size(), message_kind<T>(),
                                    builder_->alignment());
      if (sent != status::ok) out = sent;
    }
    return out;
  }
  // Stages a copy of a message that was built before.
  template <class T>
  status send(turn_output& to, const prebuilt<T>& message) {
    return send_copy(to, message.data(), message.size(), message_kind<T>(), message.alignment());
  }
  // Stages a copy of raw bytes, of which some are aligned to `alignment`.
  status send_bytes(turn_output& to, const void* data, std::uint32_t size, std::uint32_t kind,
                    std::size_t alignment = 1) {
    return send_copy(to, data, size, kind & 0xffffffU, alignment);
  }

  // Stages a copy of a message as it came, with its hops: it has found the wrong one.
  status forward(turn_output& to, const message_view& message) noexcept;

  // The message in hand is handed in again in the next turn; what was done so far commits.
  void again() noexcept { again_ = true; }
  // How many turns of workers lie between the message in hand and one that came of no message; 0 in
  // a source's turn. Counts to 255.
  [[nodiscard]] std::uint32_t hops() const noexcept { return hops_; }
  // Stamp of the message in hand; 0 in a source's turn.
  [[nodiscard]] std::uint64_t message_stamp() const noexcept { return message_stamp_; }
  // The stamp that this turn would get if nothing more were taken.
  [[nodiscard]] std::uint64_t stamp() const noexcept { return clock_.next(); }
  // Which slot's turn it is.
  [[nodiscard]] std::uint32_t slot_index() const noexcept { return slot_index_; }
  // Something of another worker was read that was written at `stamp`.
  void see(std::uint64_t stamp) noexcept { clock_.see(stamp); }

  // --- for cells ----------------------------------------------------------------------------
  [[nodiscard]] std::uint64_t commit_word() const noexcept { return clock_.commit(); }
  [[nodiscard]] std::byte* arena() const noexcept { return arena_; }
  [[nodiscard]] std::uint64_t arena_bytes() const noexcept { return arena_bytes_; }
  // The account of the arena as this turn sees it. value[0] is the end of what is used.
  [[nodiscard]] const root_values& root() const noexcept { return root_; }
  void set_root(const root_values& value) noexcept {
    root_ = value;
    root_changed_ = true;
  }
  // Lists a cell, or an index word, before it is changed. False: the turn is doomed.
  [[nodiscard]] bool touch_cell(std::uint64_t arena_offset) noexcept { return list(arena_offset); }
  [[nodiscard]] bool touch_index(std::uint64_t arena_offset) noexcept {
    return list(arena_offset | index_mark);
  }
  void refuse_cells() noexcept {
    if (fault_ == turn_fault::none) fault_ = turn_fault::cells_full;
  }

  // --- for the quarantine -------------------------------------------------------------------
  // Its account as this turn sees it; the words are quarantine.hpp's.
  [[nodiscard]] const root_values& quarantine() const noexcept { return quarantine_; }
  void set_quarantine(const root_values& value) noexcept {
    quarantine_ = value;
    quarantine_changed_ = true;
  }
  // The message in hand comes out of the quarantine.
  void take_again(const message_view& message, std::uint64_t number) noexcept {
    begin(message, handling_special(handling_quarantine, number));
    recorder_.note(flight::retrying, 0, message.kind, number);
  }
  [[nodiscard]] recorder& the_recorder() noexcept { return recorder_; }
  // This turn may change the account of that lane.
  void touch(turn_input& from) noexcept {
    if (from.touched) return;
    from.touched = true;
    touched_inputs_.push_back(&from);
  }

  // --- for the loop -------------------------------------------------------------------------
  // What its lanes write their records by.
  [[nodiscard]] shape_book& shapes() noexcept { return shapes_; }
  turn_output& add_output(lane_writer lane, const lane_losses& losses, doorbell_line& reader_bell,
                          const word<std::uint32_t>& reader_standing, std::uint32_t reader_slot);
  turn_input& add_input(lane_reader lane, doorbell_line& writer_bell, std::uint32_t writer_slot);
  // A lane to this slot itself, by its purpose; of what is held, for the output of that index.
  // REQUIRES: both ends were added last.
  void add_own(lane_purpose purpose, std::uint32_t beside = 0);
  // Messages of that kind make at most so many hops, whatever their lane says; 255: any number.
  void limit_hops(std::uint32_t kind, std::uint32_t hops_max);
  [[nodiscard]] std::span<const std::unique_ptr<turn_input>> inputs() const noexcept {
    return {inputs_.data(), inputs_.size()};
  }
  [[nodiscard]] std::span<const std::unique_ptr<turn_output>> outputs() const noexcept {
    return {outputs_.data(), outputs_.size()};
  }

  // A message from `from` is part of the turn: its handler runs next.
  void take(turn_input& from, const message_view& message) noexcept {
    const std::uint64_t position = from.lane.position();
    begin(message, handling_of(from.index, position));
    recorder_.note(flight::taken, from.index, message.kind, position, message.stamp);
  }
  // The handler has run and the message shall not come again.
  static void consume(turn_input& from, const message_view& message) noexcept {
    from.of->touch(from);
    from.lane.take(message);
  }
  // One message leads to so many others at most, copies to several lanes counted each; and so many
  // bytes of what this slot has sent lie in its lanes at most, those of control left out.
  void limit_sends(std::uint32_t sends_max) noexcept {
    sends_max_ = sends_max;
    is_limited_ = true;
  }
  void limit_in_flight(std::uint64_t bytes) noexcept {
    in_flight_max_ = bytes;
    is_limited_ = true;
  }
  // A lane coalesces (update.hpp).
  void keep_behind_waiting() noexcept { is_limited_ = true; }
  // Changes a record that is part of the turn; of an output, or of the slot.
  void set(account& which, const account::values& to) noexcept {
    if (!which.has_changed()) changed_accounts_.push_back(&which);
    which.set(to);
  }
  // Whether a message of that kind, sent now, would have made too many hops.
  [[nodiscard]] bool is_too_far(const turn_output& to, std::uint32_t kind) const noexcept {
    return hops_ > to.hops_max && is_over(to, kind);
  }
  // While it lives, what is sent was accepted before: it has made the hops it had then, and is
  // not of those that the message in hand leads to.
  class resending {
   public:
    resending(turn& of, std::uint8_t hops) noexcept : of_(&of), hops_(of.hops_) {
      of.hops_ = hops;
      of.is_resending_ = true;
    }
    resending(const resending&) = delete;
    resending& operator=(const resending&) = delete;
    ~resending() {
      of_->hops_ = hops_;
      of_->is_resending_ = false;
    }

   private:
    turn* of_;
    std::uint8_t hops_;
  };
  // Whether the message in hand may lead to another one of so many bytes, which it counts; 0: of
  // none for now.
  status admit(turn_output& to, std::uint64_t bytes) noexcept;

  // The slot's lane for what it defers, if it has one; and the oldest message there.
  [[nodiscard]] turn_input* deferred() const noexcept { return deferred_; }
  [[nodiscard]] turn_input* deferred_front(message_view& out) noexcept {
    if (deferred_ == nullptr) [[likely]]
      return nullptr;
    return deferred_->lane.peek(out) == look::message ? deferred_ : nullptr;
  }
  // Takes the front of `from`, which stands in `message`, and puts it behind what is deferred;
  // false if there is no room (U5).
  [[nodiscard]] bool defer(turn_input& from, const message_view& message) noexcept;
  // Whether any lane has one for what finds no room; whether some of that can be moved on now; a
  // turn that moves what can be, if there is any, and commits (U6).
  // REQUIRES, of the last: nothing is staged.
  [[nodiscard]] bool may_hold() const noexcept { return !holders_.empty(); }
  [[nodiscard]] bool can_move_held() noexcept;
  bool move_held() noexcept;
  // A turn that drops the oldest of what is held in `lane` until there are so many bytes of room,
  // and commits. REQUIRES: nothing is staged.
  void give_up_oldest(turn_output& lane, std::uint64_t ring_bytes) noexcept;
  // The turn takes no message (T4 of stamp.hpp).
  void begin_source() noexcept {
    own_->handling.publish(handling_special(handling_produce, 0));
    recorder_.note(flight::producing, 0, 0, 0);
    clock_.see(monotonic_ns() / clock_tick_ns);
    message_stamp_ = 0;
    hops_ = 0;
    sends_ = 0;
    again_ = false;
    is_too_fast_ = false;
  }
  // Whether a source's turn has found a lane full that nacks.
  [[nodiscard]] bool is_too_fast() const noexcept { return is_too_fast_; }
  // What is sent from here on has made no hop: it comes from outside, by way of a port.
  void restart_hops() noexcept { hops_ = 0; }
  // What is sent from here on goes on from a message that has made so many.
  void continue_hops(std::uint8_t hops) noexcept { hops_ = hops; }
  [[nodiscard]] bool wants_again() const noexcept { return again_; }
  // The lane whose front comes again before anything else is looked at, part of the committed turn;
  // nullptr if there is none.
  [[nodiscard]] turn_input* pending() const noexcept {
    const std::uint64_t index = root_[root_pending];
    return index == 0 || index > inputs_.size() ? nullptr : inputs_[index - 1].get();
  }
  void set_pending(const turn_input* input) noexcept;

  [[nodiscard]] turn_fault fault() const noexcept { return fault_; }
  // Where it happened, the message's payload bytes, and the bytes of the lane that the turn would
  // need up to and with that message.
  [[nodiscard]] turn_output* fault_lane() const noexcept { return fault_lane_; }
  [[nodiscard]] std::uint64_t fault_bytes() const noexcept { return fault_bytes_; }
  [[nodiscard]] std::uint64_t fault_ring_bytes() const noexcept { return fault_ring_bytes_; }
  // Whether a lane used in this turn, or the list, has little left: a good moment to commit.
  [[nodiscard]] bool is_nearly_full() const noexcept;
  [[nodiscard]] bool is_empty() const noexcept;

  // REQUIRES: fault() == none.
  void commit() noexcept;
  // From now on commit() leaves the messages it takes where they lie, and give_back() frees their
  // space. REQUIRES, of the latter: nothing has been taken since the last commit.
  void keep_space() noexcept { keeps_space_ = true; }
  void give_back() noexcept;
  void abort() noexcept;
  // Rings whoever sleeps and may wait for room that this worker has given back and not told of;
  // called before it sleeps itself.
  void ring_writers() noexcept;

  static constexpr std::uint64_t index_mark = std::uint64_t{1} << 63;

 private:
  void begin(const message_view& message, std::uint64_t handling) noexcept {
    own_->handling.publish(handling);
    clock_.see(message.stamp);
    message_stamp_ = message.stamp;
    hops_ = static_cast<std::uint8_t>(message.hops + (message.hops != 255 ? 1 : 0));
    sends_ = 0;
    again_ = false;
  }
  void touch(turn_output& to) {
    to.touched = true;
    touched_outputs_.push_back(&to);
  }
  // Stages what the builder has finished.
  status send_built(turn_output& to, std::uint32_t kind) noexcept {
    if (hops_ > to.hops_max && is_over(to, kind)) [[unlikely]] {
      return bury(to, builder_->data(), builder_->size(), kind);
    }
    if (is_limited_) [[unlikely]] {
      if (const status may = admit(to, builder_->size()); may != status::ok) return may;
    }
    const std::uint64_t position = to.lane.position();
    const status sent = has_held(to) ? status::full : builder_->end(kind, hops_);
    if (sent != status::ok) [[unlikely]] {
      return refuse(to, sent, {builder_->data(), builder_->size(), kind, builder_->alignment()});
    }
    recorder_.note(flight::sent, to.index, kind, builder_->size(), position);
    if (!to.touched) touch(to);
    return sent;
  }
  void forget_touched() noexcept;
  static void tell_writer(turn_input& from) noexcept;
  status send_copy(turn_output& to, const void* data, std::uint32_t size, std::uint32_t kind,
                   std::size_t alignment);
  struct unsent {
    const void* data;
    std::uint32_t size;
    std::uint32_t kind;
    std::size_t alignment;
  };
  status refuse(turn_output& to, status why, const unsent& message) noexcept;
  // Whether something waits for that lane's room already: what is sent later goes behind it.
  [[nodiscard]] static bool has_held(const turn_output& to) noexcept {
    return to.held != nullptr && to.held->lane.position() != to.holds_in->lane.position();
  }
  status hold(turn_output& to, const unsent& message) noexcept;
  void drop_held(turn_output& to, std::uint64_t ring_bytes) noexcept;
  status push_back(turn_output& to) noexcept;
  status admit_in_flight(turn_output& to, std::uint64_t length) noexcept;
  void count_dead(const turn_output& to, std::uint32_t kind) noexcept;
  [[nodiscard]] bool is_over(const turn_output& to, std::uint32_t kind) const noexcept;
  status bury(turn_output& to, const void* data, std::uint32_t size, std::uint32_t kind) noexcept;
  void make_room_for_dead_letters() noexcept;
  void lose(turn_output& to, lane_loss why) noexcept;
  bool list(std::uint64_t entry) noexcept {
    if (fault_ != turn_fault::none) return false;
    if (listed_ == touched_max) [[unlikely]] {
      fault_ = turn_fault::list_full;
      return false;
    }
    // Entry, count, and only then the change itself: see wipe_touched().
    own_->touched[listed_].stage(entry);
    own_->touched_count.publish(++listed_);
    hold_back_compiler();
    return true;
  }

  control* own_;
  std::byte* arena_;
  std::uint64_t arena_bytes_;
  std::uint32_t slot_index_;
  stamp_clock clock_;
  std::vector<std::unique_ptr<turn_output>> outputs_;
  std::vector<std::unique_ptr<turn_input>> inputs_;
  std::vector<turn_output*> touched_outputs_;  // Reserved for all outputs: never allocates.
  std::vector<turn_input*> touched_inputs_;    // The same of inputs.
  // Where messages were lost in this turn. Reserved for all outputs.
  std::vector<turn_output*> lossy_outputs_;
  std::vector<account*> changed_accounts_;  // Reserved for all there are.
  std::array<account, dead_kinds_max> dead_kinds_;
  turn_input* deferred_ = nullptr;
  turn_output* defers_to_ = nullptr;
  turn_input* dead_ = nullptr;
  turn_output* buries_in_ = nullptr;
  std::vector<turn_output*> holders_;  // Outputs with a lane for what finds no room.
  struct hop_limit {
    std::uint32_t kind;
    std::uint32_t hops_max;
  };
  std::vector<hop_limit> hop_limits_;
  std::unique_ptr<message_builder> builder_;
  recorder recorder_;
  shape_book shapes_;
  root_values root_{};
  root_values quarantine_{};
  bool root_changed_ = false;
  bool quarantine_changed_ = false;
  bool again_ = false;
  bool keeps_space_ = false;
  bool is_too_fast_ = false;
  bool is_limited_ = false;  // Whether admit() has something to say.
  bool is_resending_ = false;
  std::uint64_t listed_ = 0;
  std::uint64_t message_stamp_ = 0;
  std::uint8_t hops_ = 0;
  std::uint32_t sends_ = 0;  // What the message in hand has led to, if that is limited.
  std::uint32_t sends_max_ = ~std::uint32_t{0};
  std::uint64_t in_flight_max_ = ~std::uint64_t{0};
  turn_fault fault_ = turn_fault::none;
  turn_output* fault_lane_ = nullptr;
  std::uint64_t fault_bytes_ = 0;
  std::uint64_t fault_ring_bytes_ = 0;
};

// The first act of an incarnation, under its slot's lock: makes the memory of slot `slot_index`
// what the last committed turn left, and wakes its neighbours. `own` is the slot's control block,
// writable. Throws cyto::error when what stands there contradicts itself.
void recover(const segment& from, std::uint32_t slot_index, std::byte* own_pages, std::byte* arena);

}  // namespace cyto
