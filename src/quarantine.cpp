#include "cyto/quarantine.hpp"

#include <algorithm>
#include <cstring>

namespace cyto {
namespace {

constexpr int read_tries = 1000;

// Word by word, because a reader may look on (Q2). Lists are whole lines.
void put_words(std::byte* to, const std::byte* from, std::size_t bytes) noexcept {
  for (std::size_t at = 0; at < bytes; at += 8) {
    std::uint64_t value = 0;
    std::memcpy(&value, from + at, 8);
    reinterpret_cast<word<std::uint64_t>*>(to + at)->publish(value);
  }
}
void get_words(std::vector<std::byte>& to, const std::byte* from, std::size_t bytes) {
  to.resize(bytes);
  for (std::size_t at = 0; at < bytes; at += 8) {
    const std::uint64_t value = reinterpret_cast<const word<std::uint64_t>*>(from + at)->observe();
    std::memcpy(to.data() + at, &value, 8);
  }
}

const quarantined_record& record_at(const std::byte* at) noexcept {
  return *reinterpret_cast<const quarantined_record*>(at);
}

}  // namespace

quarantine::quarantine(const segment& from, std::uint32_t slot_index, turn& of)
    : segment_(&from),
      turn_(&of),
      entry_(&from.slot(slot_index)),
      own_(&from.control_of(slot_index)) {
  if (entry_->quarantine_bytes != 0) {
    pages_ = from.map(entry_->quarantine_offset, 2 * entry_->quarantine_bytes);
  }
  for (std::uint32_t i = 0; i < from.lane_count(); ++i) {
    if (from.lane(i).reader_slot != slot_index) continue;
    suspects_.push_back(&from.suspect_of(i));
    is_careful_ = is_careful_ || suspects_.back()->deaths.observe() != 0;
  }
  if ((entry_->flags & slot_is_port) == 0) errand_ = &from.errand_of(slot_index);
  answered_ = static_cast<std::uint32_t>(of.quarantine()[quarantine_answered] >> 8);
}

bool quarantine::is_careful() noexcept {
  if (!is_careful_) [[likely]]
    return false;
  // Suspects change only while the slot has no holder: what was passed is passed for good.
  is_careful_ = false;
  for (std::size_t i = 0; i < suspects_.size(); ++i) {
    is_careful_ =
        is_careful_ || (suspects_[i]->deaths.observe() != 0 &&
                        suspects_[i]->position.observe() >= turn_->inputs()[i]->lane.position());
  }
  return is_careful_;
}

bool quarantine::is_due(const turn_input& from) const noexcept {
  const suspect& at = *suspects_[from.index];
  return at.set_aside.observe() != 0 && at.deaths.observe() != 0 &&
         at.position.observe() == from.lane.position();
}

std::byte* quarantine::half(std::uint64_t which) const noexcept {
  return pages_.data() + (which & 1) * entry_->quarantine_bytes;
}

template <class Visit>
void quarantine::each(Visit visit) const noexcept {
  const std::uint64_t where = turn_->quarantine()[quarantine_where];
  const std::byte* at = half(where);
  for (const std::byte* end = at + (where >> 1); at < end;) {
    const quarantined_record& record = record_at(at);
    visit(record, at + sizeof record);
    at += quarantined_bytes(record.size);
  }
}

// Writes all that `keep` lets pass (it may change the copy), and what is added, into the half that
// no committed account names. It may stand there already, from a change earlier in this turn.
template <class Keep>
void quarantine::rewrite(Keep keep, const quarantined_record* added, const std::byte* payload) {
  turn::root_values account = turn_->quarantine();
  const std::uint64_t committed =
      own_->quarantine.own_current(turn_->commit_word())[quarantine_where];
  std::vector<std::byte> list;
  std::uint64_t count = 0;
  const auto put = [&](const quarantined_record& record, const std::byte* bytes) {
    const std::size_t at = list.size();
    list.resize(at + quarantined_bytes(record.size));
    std::memcpy(list.data() + at, &record, sizeof record);
    std::memcpy(list.data() + at + sizeof record, bytes, record.size);
    ++count;
  };
  each([&](quarantined_record record, const std::byte* bytes) {
    if (keep(record)) put(record, bytes);
  });
  if (added != nullptr) put(*added, payload);
  const std::uint64_t which = 1 - (committed & 1);
  put_words(half(which), list.data(), list.size());
  account[quarantine_where] = list.size() << 1 | which;
  account[quarantine_count] = count;
  ++account[quarantine_changes];
  turn_->set_quarantine(account);
}

void quarantine::set_aside(turn_input& from, const message_view& message, std::string_view type,
                           const std::string& key, std::uint32_t refused) {
  turn::root_values account = turn_->quarantine();
  const suspect& at = *suspects_[from.index];
  const std::uint64_t used = account[quarantine_where] >> 1;
  const std::uint64_t needed = quarantined_bytes(message.size);
  if (used + needed > entry_->quarantine_bytes) {
    throw error(
        error_code::bad_input, "worker " + std::string(entry_->name),
        "a message of " + bytes_text(message.size) + " from " +
            segment_->slot(from.writer_slot).name +
            (refused != 0 ? std::string(" was refused")
                          : " has killed it " + std::to_string(at.deaths.observe()) + " times") +
            " and finds no room in its quarantine",
        bytes_text(used) + " of " + bytes_text(entry_->quarantine_bytes) + " are used, " +
            bytes_text(needed) + " are needed",
        "raise " + key + ", or mend the program");
  }
  quarantined_record record{};
  record.number = ++account[quarantine_last];
  record.stamp = message.stamp;
  record.position = from.lane.position();
  record.at_ns = monotonic_ns();
  record.size = message.size;
  record.kind = message.kind;
  record.hops = message.hops;
  record.input = from.index;
  record.writer_slot = from.writer_slot;
  record.refused = refused;
  if (refused == 0) {  // What killed may stand elsewhere in the lane.
    record.deaths = at.deaths.observe();
    record.status = at.status.observe();
  }
  std::memcpy(record.type, type.data(), std::min(type.size(), sizeof record.type - 1));
  turn_->set_quarantine(account);
  rewrite([](const quarantined_record&) { return true; }, &record, message.data);
  turn_->the_recorder().note(flight::set_aside, from.index, message.kind, record.number,
                             record.position);
  turn_->see(message.stamp);
  turn_->touch(from);
  from.lane.drop(message);
}

quarantine::order quarantine::next_errand() const noexcept {
  const std::uint32_t number = errand_->number.observe();
  return {static_cast<errand>(errand_->what.observe()), errand_->message.observe(),
          errand_->fatal.observe() == number};
}

bool quarantine::find(std::uint64_t number, message_view& out) const noexcept {
  bool found = false;
  each([&](const quarantined_record& record, const std::byte* bytes) {
    if (record.number != number) return;
    found = true;
    out = {bytes, record.size, record.kind, static_cast<std::uint8_t>(record.hops), record.stamp};
  });
  return found;
}

void quarantine::remove(std::uint64_t number, bool handled) {
  rewrite(
      [&](const quarantined_record& record) {
        if (record.number != number) return true;
        if (handled) {
          turn_input& from = *turn_->inputs()[record.input];
          turn_->touch(from);
          from.lane.redeem();
        }
        return false;
      },
      nullptr, nullptr);
}

void quarantine::blame(std::uint64_t number) {
  rewrite(
      [&](quarantined_record& record) {
        if (record.number == number) {
          ++record.deaths;
          record.status = errand_->status.observe();
        }
        return true;
      },
      nullptr, nullptr);
}

void quarantine::set_in_part(std::uint64_t number) noexcept {
  turn::root_values account = turn_->quarantine();
  if (account[quarantine_in_part] == number) return;
  account[quarantine_in_part] = number;
  ++account[quarantine_changes];
  turn_->set_quarantine(account);
}

void quarantine::answer(errand_answer with) noexcept {
  turn::root_values account = turn_->quarantine();
  account[quarantine_answered] =
      std::uint64_t{errand_->number.observe()} << 8 | static_cast<std::uint64_t>(with);
  ++account[quarantine_changes];
  turn_->set_quarantine(account);
}

void quarantine::answered() noexcept {
  answered_ = static_cast<std::uint32_t>(turn_->quarantine()[quarantine_answered] >> 8);
}

std::vector<quarantined> quarantine_of(const segment& from, std::uint32_t slot_index) {
  const slot_entry& entry = from.slot(slot_index);
  const control& own = from.control_of(slot_index);
  const auto refuse = [&entry](const char* why) {
    throw error(error_code::failed, "quarantine of worker " + std::string(entry.name), why,
                "its memory was overwritten, or changes all the time",
                "try again, or stop the system and start it again");
  };
  std::vector<std::byte> copy;
  versioned<7>::values account{};
  for (int tries = read_tries;; --tries) {
    std::uint64_t seen = 0;
    versioned<7>::values after{};
    if (tries == 0 || !own.quarantine.read(own.commit, account, seen)) refuse("cannot be read");
    const std::uint64_t used = account[quarantine_where] >> 1;
    if (used > entry.quarantine_bytes || used % line_bytes != 0)
      refuse("its account leads out of it");
    const auto* half = from.at<std::byte>(entry.quarantine_offset +
                                          (account[quarantine_where] & 1) * entry.quarantine_bytes);
    get_words(copy, half, used);
    if (own.quarantine.read(own.commit, after, seen) && after == account) break;  // Q2
  }
  std::vector<quarantined> out;
  for (std::uint64_t at = 0; at < copy.size();) {
    quarantined next;
    if (copy.size() - at < sizeof(quarantined_record)) refuse("its lengths make no sense");
    std::memcpy(static_cast<quarantined_record*>(&next), copy.data() + at,
                sizeof(quarantined_record));
    if (quarantined_bytes(next.size) > copy.size() - at || next.writer_slot >= from.slot_count()) {
      refuse("its lengths make no sense");
    }
    next.type[sizeof next.type - 1] = '\0';
    for (char& each : next.type) {
      if (each != '\0' && (each < ' ' || each > '~')) each = '?';
    }
    const std::byte* payload = copy.data() + at + sizeof(quarantined_record);
    next.bytes.assign(payload, payload + next.size);
    at += quarantined_bytes(next.size);
    out.push_back(std::move(next));
  }
  return out;
}

}  // namespace cyto
