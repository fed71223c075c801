// A member's share of the keys of its group, and how it changes hands.
//
// The supervisor gives or takes one share at a time (moves.cpp). A member that has lost keys sends
// their cells to the new owners, before it handles another message: each cell is there or here, by
// the turn that sends it. Messages about these keys that still come to it, from senders that do not
// know yet, it sends on behind the cells. A member that has gained keys may hear of them from one
// sender while others' messages about them are on their way round by the old owner. So before it
// handles what was sent by the new shares it asks the old owners, and until all have answered it
// takes nothing but what members send to each other. A question's stamp is above all that stood in
// the lanes of who asks, and what its senders had sent before is visible; so an old owner is handed
// all that before the question (M1), and what it sends on stands before the answer.
//
// A question covers what stood in the lanes then. It is the last one if all senders went by the new
// shares already; else there is another for what comes later.
//
// Nothing of this outlives the process but cells and messages: a successor that has lost keys looks
// for cells that are not its own any more, one that has gained some asks again, and an answer names
// its question, so one to a predecessor is passed over.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "cyto/port.hpp"

namespace cyto {

// Messages of members to each other. Types have larger numbers, as good as always.
enum share_kind : std::uint32_t {
  share_cell = 16,  // A cell, without the members of a set.
  share_member,     // A member of a set.
  share_question,   // Is all on its way that you had?
  share_answer      // It is.
};

class shares {
 public:
  // REQUIRES: the slot is of a partitioned group, and outlives this.
  explicit shares(slot& of);

  // Goes by the shares by which the slot goes by now. REQUIRES: between two turns.
  void follow();
  // Whether keys have to be handed over before anything else is done.
  [[nodiscard]] bool has_lost() const noexcept { return has_lost_; }
  // Stages as much of that as one turn should hold. REQUIRES: a turn has begun.
  void hand_over(turn& in);
  // That turn has committed.
  void handed_over() noexcept;

  // To whom the key belongs; nullptr: to this member.
  [[nodiscard]] turn_output* owner_of(std::uint64_t hash) const noexcept;

  // Whether what stands at the front of that lane has to wait until the old owners were asked.
  [[nodiscard]] bool has_to_ask(const turn_input& from) const noexcept;
  // Stages the questions. The turn is to commit then, and asked() be called.
  void ask(turn& in);
  void asked(std::uint64_t stamp) noexcept;
  [[nodiscard]] bool is_waiting() const noexcept { return question_ != 0; }
  // While it waits: the next message of another member, and whether there is one.
  turn_input* next(mailbox& incoming, message_view& out) noexcept;
  [[nodiscard]] bool has_any(mailbox& incoming) noexcept;

  static bool is_of_members(std::uint32_t kind) noexcept {
    return kind >= share_cell && kind <= share_answer;
  }
  // Does what the message says; false if it makes no sense. Answers count once the turn committed.
  bool take(const message_view& message, const turn_input* from, turn& in);
  void begin_turn() noexcept { answers_now_.clear(); }
  void committed() noexcept;

 private:
  struct member {
    std::uint32_t slot_index = 0;
    turn_output* to = nullptr;  // Of this worker itself there is neither.
    turn_input* from = nullptr;
    bool has_share = false;
    bool was_owner = false;  // Of keys that this member has gained.
    bool has_answered = false;
  };
  struct sender {
    const lane_entry* lane = nullptr;  // nullptr: another member's, or this worker's own.
    std::uint64_t covered = 0;         // What stands below was asked about.
  };

  [[nodiscard]] bool all_have_followed() const noexcept;
  bool send_cell(std::uint64_t cell, turn_output& to, turn& in);
  bool send_members(std::uint64_t cell, turn_output& to, turn& in);
  bool take_cell(const message_view& message);
  bool take_member(const message_view& message, turn& in);

  slot* slot_;
  std::uint32_t mine_ = 0;         // Which of `members_`.
  std::vector<member> members_;    // By number.
  std::vector<sender> senders_;    // By input.
  std::uint32_t moves_ = 0;        // By which it goes.
  std::uint32_t group_moves_ = 0;  // The last move of this group up to that.
  bool has_lost_ = false;
  bool has_gained_ = false;     // And some message may have to wait for the old owners.
  bool asks_last_ = false;      // All senders had followed when the question was asked.
  std::uint64_t question_ = 0;  // Stamp of the one that is not answered yet by all; 0: none.
  std::vector<std::uint32_t> answers_now_;  // Members that have answered, of this turn.
  // Where handing over goes on: the last cell that is done with, and of the next one, a set, how
  // many members. As of the last commit, and as the turn in progress leaves it.
  struct place {
    std::uint64_t cell = 0;
    std::uint64_t set_members = 0;
    bool is_end = false;
  };
  place done_;
  place done_now_;
  std::string text_;
};

}  // namespace cyto
