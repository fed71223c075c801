// cyto/quarantine.hpp
//
// What: where a worker sets aside a message that has killed it too often, with its bytes, so that
//   its lane goes on; and what an operator can do with it there.
//       for (const quarantined& each : quarantine_of(where, slot_index)) print(each.deaths);
//       run_errand("shop", slot_index, number, errand::retry);
//
// Who: the class by the loop that owns the slot, one thread; quarantine_of() by anybody who has the
//   segment; run_errand() by tools.
//
// Layout: two halves of the same size. One holds the messages, each as a quarantined_record, its
//   payload from the next line on, and rounded up to lines; a change writes all of them, as they
//   are to be, into the other. The account in `control` says which half counts:
//       account | bytes used * 2 + half | count | last number | answered | in part | changes |
//   Copying all is dear and rare; in return a change needs no list, leaves no holes, and a reader
//   of the half that counts is disturbed by the second change after it at the earliest.
//
// Ordering:
//   Q1 A message is set aside, taken out or dropped by the turn that writes the account: it is
//      consumed from its lane as `dropped` with the same store that makes it stand here, and is
//      counted as delivered with the store that takes it out.
//   Q2 quarantine_of() copies the half that counts and then reads the account again. Words of a
//      half are stored with release, after the account that let it go, and loaded with acquire: who
//      sees one sees that the account has changed.
//
// Death: killed in a turn that changes it, the account is the old one, and so is the half. The
//   supervisor's mark and the operator's errand still stand, and the successor does it again.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "cyto/segment.hpp"
#include "cyto/turn.hpp"

namespace cyto {

// Names of the words of the account.
enum quarantine_word : std::size_t {
  quarantine_where,     // Bytes used, shifted left by one, and which half.
  quarantine_count,     // Messages in it.
  quarantine_last,      // The number that was given last; the first is 1.
  quarantine_answered,  // Number of the errand answered last << 8 | errand_answer.
  quarantine_in_part,   // The message whose retry has committed something and is not through.
  quarantine_changes,   // Tells two versions of the account apart.
};

enum class errand_answer : std::uint32_t {
  none,
  done,    // Handled, or dropped.
  killed,  // The message has killed its worker again and is still there.
  absent,  // There is no message of that number.
  unknown  // Nobody takes it: no handler, no sound bytes, an update refused; it is still there.
};

struct quarantined_record {
  std::uint64_t number;
  std::uint64_t stamp;
  std::uint64_t position;  // In its lane.
  std::uint64_t at_ns;     // Monotonic clock when it was set aside.
  std::uint32_t size;
  std::uint32_t kind;
  std::uint32_t hops;
  std::uint32_t input;  // Which input lane of the worker.
  std::uint32_t writer_slot;
  std::uint32_t deaths;
  std::uint32_t status;   // Wait status of the last death.
  std::uint32_t refused;  // Not 0: an update_refusal (update.hpp), and not a death.
  char type[64];          // As far as it goes; ends in zero.
};
static_assert(sizeof(quarantined_record) == 2 * line_bytes);

constexpr std::uint64_t quarantined_bytes(std::uint64_t size) noexcept {
  return sizeof(quarantined_record) + round_up(size, line_bytes);
}

// The holder's side.
class quarantine {
 public:
  quarantine(const segment& from, std::uint32_t slot_index, turn& of);

  // --- suspects ------------------------------------------------------------------------------
  // Whether a message that has killed a predecessor is still to come: then a turn takes one
  // message, so that the innocent ones before it commit and it stands at the front alone.
  [[nodiscard]] bool is_careful() noexcept;
  // Whether the front of that lane is to be set aside.
  [[nodiscard]] bool is_due(const turn_input& from) const noexcept;
  // Sets the front of that lane aside, as part of the turn. Throws when there is no room, naming
  // the key to raise; nothing has changed then.
  void set_aside(turn_input& from, const message_view& message, std::string_view type,
                 const std::string& key, std::uint32_t refused = 0);

  // --- errands -------------------------------------------------------------------------------
  [[nodiscard]] bool has_errand() const noexcept {
    return errand_ != nullptr && errand_->number.observe() != answered_;
  }
  struct order {
    errand what;
    std::uint64_t number;  // Of the message.
    bool killed;           // A predecessor has died of this errand.
  };
  [[nodiscard]] order next_errand() const noexcept;
  // The message of that number where it lies; false if there is none.
  bool find(std::uint64_t number, message_view& out) const noexcept;
  // Parts of the turn: the message goes, handled or dropped; it has killed once more; a part of
  // its retry is done; the errand is answered.
  void remove(std::uint64_t number, bool handled);
  void blame(std::uint64_t number);
  void set_in_part(std::uint64_t number) noexcept;
  void answer(errand_answer with) noexcept;
  // After the commit: the errand is over.
  void answered() noexcept;

 private:
  [[nodiscard]] std::byte* half(std::uint64_t which) const noexcept;
  template <class Visit>
  void each(Visit visit) const noexcept;
  template <class Keep>
  void rewrite(Keep keep, const quarantined_record* added, const std::byte* payload);

  const segment* segment_;
  turn* turn_;
  const slot_entry* entry_;
  const control* own_;
  mapping pages_;
  std::vector<const suspect*> suspects_;  // By input.
  const errand_line* errand_ = nullptr;   // nullptr: a pair has no supervisor to bring one.
  std::uint32_t answered_ = 0;
  bool is_careful_ = false;
};

// A message in the quarantine of a slot.
struct quarantined : quarantined_record {
  std::vector<std::byte> bytes;
};
// Oldest first. Throws cyto::error if its lengths make no sense.
std::vector<quarantined> quarantine_of(const segment& from, std::uint32_t slot_index);

// Has the supervisor of system `name` ask the worker, and waits for the answer, at most that long.
// Throws: no supervisor, another errand is under way, no answer in time.
errand_answer run_errand(const std::string& name, std::uint32_t slot_index, std::uint32_t number,
                         errand what, int timeout_ms);

}  // namespace cyto
