// Workers that send each other notes at random, and write down what each of them saw and did.
#include <array>
#include <memory>
#include <span>

#include "role.hpp"

namespace cyto::experiment {
namespace {

constexpr std::uint32_t hops_max = 6;
constexpr std::uint32_t turn_notes_max = 16;
constexpr std::size_t to_max = 4;

class gossip {
 public:
  gossip(worker& self, const tally& told)
      : to_(lanes_to(self)),
        quota_(number_setting(self, "quota")),
        seed_(number_setting(self, "seed")),
        filling_bytes_(number_setting(self, "filling_bytes")),
        swaps_(self.setting("swaps", "no") == "yes"),
        forwards_(self.setting("forwards", "no") == "yes"),
        told_(&told),
        entries_(self.cell<counter>("entries")),
        sent_(self.cell<counter>("sent")),
        heard_(self.cell<counter>("heard")),
        ended_(self.cell<counter>("ended")),
        held_(self.cell<last_writer>("held")),
        first_entry_(entries_.value()) {}

  [[nodiscard]] bool is_source() const { return quota_ > 0; }

  produced produce(turn& turn) {
    // Those that fill a lane leave one by one.
    const std::uint32_t most = filling_bytes_ > 0 ? 1 : 1 + random(turn, 0) % turn_notes_max;
    for (std::uint32_t i = 0; i < most && sent_.value() < quota_ && !turn.is_nearly_full(); ++i) {
      send_one(turn, 0);
    }
    return sent_.value() < quota_ ? produced::more : produced::finished;
  }

  void hear(const Note& note, turn& turn) {
    const std::uint64_t message = message_id(note.sender(), note.number());
    heard_.add(turn, 1);
    if (!swaps_) {
      write(turn, happened::deliver, message, 0);
    } else if (held_.value() == 0 && random(turn, 1) % 8 == 0) {
      held_.set(turn, message + 1);  // The next one goes first.
      return;
    } else {
      write(turn, happened::deliver, message, 0);
      if (held_.value() != 0) write(turn, happened::deliver, held_.value() - 1, 0);
      held_.set(turn, 0);
    }
    if (forwards_) return send_one(turn, note.hops() + 1);
    // Fewer than one for each on average, so that it comes to an end.
    if (!to_.empty() && note.hops() < hops_max && random(turn, 2) % 100 < 40) {
      send_one(turn, note.hops() + 1);
    }
  }

 private:
  // The same for the same turn done over: it depends on cells alone.
  [[nodiscard]] std::uint32_t random(const turn& in, std::uint64_t salt) const {
    const std::uint64_t words[] = {seed_, in.slot_index(), sent_.value(), heard_.value(), salt};
    return static_cast<std::uint32_t>(
        hash_bytes({reinterpret_cast<const char*>(words), sizeof words}));
  }

  // To one of them, or to several.
  void send_one(turn& turn, std::uint32_t hops) {
    const std::uint32_t count = random(turn, 3) % 100 < 70 ? 1 : 2 + random(turn, 4) % 3;
    const std::size_t first = random(turn, 5) % to_.size();
    const std::uint64_t number = sent_.value();
    std::array<turn_output*, to_max> to{};
    std::size_t chosen = 0;
    std::uint32_t targets = 0;
    for (std::size_t i = 0; i < std::min<std::size_t>(count, to_.size()); ++i) {
      turn_output& lane = *to_[(first + i * (to_.size() / 2 + 1)) % to_.size()];
      if ((targets >> lane.reader_slot & 1U) != 0) continue;
      targets |= 1U << lane.reader_slot;
      to[chosen++] = &lane;
    }
    const std::span<turn_output* const> all(to.data(), chosen);
    const status sent = turn.send<Note>(all, [&](flatbuffers::FlatBufferBuilder& fbb) {
      const std::vector<std::uint8_t> filling(filling_bytes_);
      const auto at = filling.empty() ? 0 : fbb.CreateVector(filling);
      return CreateNote(fbb, turn.slot_index(), number, hops, at);
    });
    // It has made too many hops; on all of its lanes, since they allow the same.
    if (sent == status::dropped) ended_.add(turn, chosen);
    if (sent != status::ok) return;
    sent_.add(turn, 1);
    write(turn, happened::send, message_id(turn.slot_index(), number), targets);
  }

  void write(turn& turn, happened what, std::uint64_t message, std::uint32_t targets) {
    // First of all that there was a predecessor: again if the turn that said so did not commit.
    if (first_entry_ > 0 && entries_.value() == first_entry_) put(turn, {happened::crash});
    put(turn, {what, message, targets});
  }

  struct event {
    happened what;
    std::uint64_t message = 0;
    std::uint32_t targets = 0;
  };
  void put(turn& turn, const event& of) {
    const std::span<log_entry> log = told_->log_of(turn.slot_index());
    const std::uint64_t at = entries_.value();
    if (at >= log.size()) {
      throw error(error_code::failed, "log of an experiment", "is full", {}, "please report this");
    }
    const std::uint64_t stamp = of.what == happened::deliver ? turn.message_stamp() : 0;
    log[at] = {turn.commit_word(), of.message, stamp, of.targets, of.what, {}};
    entries_.add(turn, 1);
  }

  std::vector<turn_output*> to_;
  std::uint64_t quota_;
  std::uint64_t seed_;
  std::size_t filling_bytes_;  // Of each note.
  bool swaps_;                 // Says of some messages that they came after the one that came next.
  bool forwards_;              // Each note leads to one more.
  const tally* told_;
  counter entries_;
  counter sent_;
  counter heard_;
  counter ended_;
  last_writer held_;
  std::uint64_t first_entry_;  // Of this process.
};

}  // namespace

void become_gossip(worker& self, const tally& told) {
  const auto here = std::make_shared<gossip>(self, told);
  if (here->is_source()) self.source([here](turn& turn) { return here->produce(turn); });
  self.on<Note>([here](const Note& note, turn& turn) { here->hear(note, turn); });
}

}  // namespace cyto::experiment
