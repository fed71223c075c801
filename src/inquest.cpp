#include "inquest.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstring>
#include <vector>

#include "cyto/lane.hpp"
#include "cyto/quarantine.hpp"
#include "process.hpp"

namespace cyto {
namespace {

// Whether the end is of the kind that a message can cause. SIGKILL, SIGTERM and their like come
// from outside, and so does a crashing signal that another process has sent.
bool is_crash(int status, const control& own, std::uint32_t pid) {
  if (WIFEXITED(status)) return true;  // By its own will, in the middle of a message.
  const int signal = WTERMSIG(status);
  constexpr std::array<int, 7> crashing = {SIGSEGV, SIGBUS,  SIGILL, SIGFPE,
                                           SIGABRT, SIGTRAP, SIGSYS};
  if (std::find(crashing.begin(), crashing.end(), signal) == crashing.end()) return false;
  const bool noted = own.fault.signal.observe() == static_cast<std::uint32_t>(signal);
  const bool was_sent = noted && static_cast<std::int32_t>(own.fault.code.observe()) <= 0;
  return !was_sent || own.fault.sender.observe() == pid;
}

std::string address_text(std::uint64_t address) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string text;
  do {
    text.insert(text.begin(), digits[address & 15]);
    address >>= 4;
  } while (address != 0);
  return "0x" + text;
}

// The last whole lines of this process' standard error, if it is a file: workers write to the same
// one. What goes to a terminal or a pipe has gone.
std::size_t last_output(std::array<char, report_output_bytes_max>& to) {
  struct stat info {};
  if (fstat(STDERR_FILENO, &info) != 0 || !S_ISREG(info.st_mode)) return 0;
  const file from(::open("/proc/self/fd/2", O_RDONLY | O_CLOEXEC));
  const off_t begin = std::max<off_t>(0, info.st_size - static_cast<off_t>(to.size()));
  const ssize_t got = from ? pread(from.get(), to.data(), to.size(), begin) : 0;
  if (got <= 0) return 0;
  char* end = to.data() + got;
  const char* line = begin == 0 ? to.data() : std::find(to.data(), end, '\n');
  if (begin != 0 && line != end) ++line;
  std::move(line, static_cast<const char*>(end), to.data());
  return static_cast<std::size_t>(end - line);
}

}  // namespace

// What was in hand.
struct inquest::exhibit {
  in_hand hand = in_hand::nothing;
  std::uint32_t lane = 0;  // In the segment's list.
  std::uint32_t input = 0;
  std::uint32_t writer_slot = 0;
  std::uint64_t position = 0;  // Or the number in the quarantine.
  std::uint64_t stamp = 0;
  std::uint32_t kind = 0;
  std::uint32_t size = 0;
  std::uint32_t deaths = 0;  // Before this one; of a quarantined one.
  bool in_part = false;      // Something of it is committed.
  std::vector<std::byte> head;
};

inquest::inquest(const segment& where, std::uint32_t quarantine_after)
    : where_(&where), pages_(where.map_deaths()), quarantine_after_(quarantine_after) {
  errands_ = reinterpret_cast<errand_line*>(pages_.data());
  suspects_ = reinterpret_cast<suspect*>(errands_ + where.slot_count());
  reports_ = reinterpret_cast<death_report*>(pages_.data() + where.reports_offset() -
                                             where.header().deaths_offset);
}

// Nothing in the worker's words is taken for granted: it may have died of what it wrote there.
inquest::exhibit inquest::find_exhibit(std::uint32_t slot_index) const {
  exhibit out;
  const control& own = where_->control_of(slot_index);
  const std::uint64_t handling = own.handling.observe();
  const auto which = static_cast<std::uint32_t>(handling >> handling_shift);
  const std::uint64_t rest = handling & ((std::uint64_t{1} << handling_shift) - 1);
  const std::uint64_t commit = own.commit.observe();
  if (which == handling_produce) out.hand = in_hand::produce;
  if (which == handling_quarantine) {
    for (const quarantined& each : quarantine_of(*where_, slot_index)) {
      if (each.number != rest) continue;
      out.hand = in_hand::quarantined;
      out.input = each.input;
      out.writer_slot = each.writer_slot;
      out.position = rest;
      out.stamp = each.stamp;
      out.kind = each.kind;
      out.size = each.size;
      out.deaths = each.deaths;
      out.head = each.bytes;
      out.in_part = own.quarantine.own_current(commit)[quarantine_in_part] == rest;
    }
  }
  for (std::uint32_t i = 0; i < where_->lane_count(); ++i) {
    const lane_entry& lane = where_->lane(i);
    if (lane.reader_slot != slot_index || lane.reader_index + 1 != which) continue;
    const std::uint64_t position = rest * line_bytes;
    const std::uint64_t taken = where_->input_of(lane).taken.own_current(commit)[0];
    versioned<3>::values sent{};
    std::uint64_t seen = 0;
    // Consumed by the last commit: it is not to blame.
    if (position < taken || position - taken >= lane.ring_bytes ||
        !where_->output_of(lane).sent.read(where_->control_of(lane.writer_slot).commit, sent,
                                           seen) ||
        position >= sent[0]) {
      continue;
    }
    const mapping memory = where_->map_ring(lane, false);
    const lane_ring ring{memory.data(), lane.ring_bytes,
                         where_->control_of(lane.writer_slot).shapes};
    const std::uint64_t ready = ring.header(position).ready.observe();
    const record_shape what = ring.shape(position, ready);
    if (!ring.holds(what)) continue;
    out.hand = in_hand::message;
    out.lane = i;
    out.input = lane.reader_index;
    out.writer_slot = lane.writer_slot;
    out.position = position;
    out.stamp = ready & stamp_mask;
    out.kind = what.kind_hops & 0xffffffU;
    out.size = what.size;
    out.in_part = position == taken && own.root.own_current(commit)[root_pending] == which;
    const std::byte* payload = ring.top(position) - what.header_bytes - what.size;
    out.head.assign(payload, payload + std::min<std::size_t>(what.size, report_head_bytes_max));
  }
  return out;
}

void inquest::blame_message(const exhibit& what, std::uint32_t slot_index, int status,
                            verdict& out) {
  suspect& at = suspects_[what.lane];
  if (at.deaths.own() == 0 || at.position.own() != what.position) {
    at.deaths.publish(0);
    at.set_aside.publish(0);
    at.position.publish(what.position);
  }
  at.status.publish(static_cast<std::uint32_t>(status));
  at.deaths.publish(at.deaths.own() + 1);
  out.deaths = at.deaths.own();
  if (out.deaths < quarantine_after_) return;
  if (what.in_part) {
    out.failure = "worker " + std::string(where_->slot(slot_index).name) + ": a message from " +
                  where_->slot(what.writer_slot).name + " has killed it " +
                  std::to_string(out.deaths) +
                  " times, after a part of it was handled (turn::again); it cannot be set aside "
                  "without the rest; mend the program";
    return;
  }
  at.set_aside.publish(1);
  out.set_aside = true;
  out.mended = out.deaths;
}

void inquest::blame_retry(const exhibit& what, std::uint32_t slot_index, int status, verdict& out) {
  errand_line& at = errands_[slot_index];
  at.status.publish(static_cast<std::uint32_t>(status));
  at.fatal.publish(at.number.own());
  out.deaths = what.deaths + 1;
  out.mended = 1;
  if (!what.in_part) return;
  out.failure = "worker " + std::string(where_->slot(slot_index).name) + ": message " +
                std::to_string(what.position) +
                " of its quarantine has killed it again, after a part of it was handled "
                "(turn::again); mend the program";
}

void inquest::write_report(const exhibit& what, std::uint32_t slot_index, std::uint32_t pid,
                           std::optional<int> status, const verdict& found) {
  const control& own = where_->control_of(slot_index);
  const bool held = own.pid.observe() == pid;
  death_report& to = reports_[slot_index];
  const std::uint64_t number = (to.number.own() | 1) + 1;
  to.number.publish(number - 1);  // F2
  hold_back_compiler();
  to.at_ns = monotonic_ns();
  to.position = what.position;
  to.stamp = what.stamp;
  to.pid = pid;
  to.incarnation = held ? own.incarnation.observe() : 0;
  to.seen = status ? 1 : 0;
  to.status = static_cast<std::uint32_t>(status.value_or(0));
  to.hand = static_cast<std::uint32_t>(what.hand);
  to.input = what.input;
  to.writer_slot = what.writer_slot;
  to.size = what.size;
  to.kind = what.kind;
  to.deaths = found.deaths;
  to.set_aside = found.set_aside ? 1 : 0;
  to.fault_signal = held ? own.fault.signal.observe() : 0;
  to.fault_code = own.fault.code.observe();
  to.fault_sender = own.fault.sender.observe();
  to.fault_address = own.fault.address.observe();
  to.text_bytes =
      held ? std::min<std::uint32_t>(own.failure_bytes.observe(), report_text_bytes_max) : 0;
  std::memcpy(to.text, own.failure_text, to.text_bytes);
  to.head_bytes =
      static_cast<std::uint32_t>(std::min<std::size_t>(what.head.size(), report_head_bytes_max));
  std::copy_n(what.head.begin(), to.head_bytes, to.head);
  std::array<char, report_output_bytes_max> output{};
  to.output_bytes = status ? static_cast<std::uint32_t>(last_output(output)) : 0;
  std::memcpy(to.output, output.data(), to.output_bytes);
  keep_last_flights(to.events, own.events, where_->trace_of(slot_index));
  to.number.publish(number);
}

void inquest::hold_late(std::uint32_t slot_index) {
  const control& own = where_->control_of(slot_index);
  const std::uint32_t incarnation = own.incarnation.observe();
  if (incarnation == 0 || reports_[slot_index].incarnation == incarnation) return;
  hold(slot_index, own.pid.observe(), {}, false);
}

verdict inquest::hold(std::uint32_t slot_index, std::uint32_t pid, std::optional<int> status,
                      bool hung) {
  verdict out;
  const control& own = where_->control_of(slot_index);
  exhibit what;
  // One that died before it held the slot has left nothing in it: that is its predecessor's.
  const bool held = own.pid.observe() == pid;
  if (!held) {
    write_report(what, slot_index, pid, status, out);
    return out;
  }
  try {
    what = find_exhibit(slot_index);
  } catch (const error& failure) {
    out.failure = failure.what();
  }
  // Of one that was adopted the kernel does not tell how it ended; of one that hung it is known.
  if (quarantine_after_ != 0 && (hung || (status && is_crash(*status, own, pid)))) {
    const int how = status.value_or(SIGKILL);
    if (what.hand == in_hand::message) blame_message(what, slot_index, how, out);
    if (what.hand == in_hand::quarantined) blame_retry(what, slot_index, how, out);
  }
  write_report(what, slot_index, pid, status, out);
  if (own.fault.signal.observe() != 0 && static_cast<std::int32_t>(own.fault.code.observe()) > 0) {
    out.circumstances = " at address " + address_text(own.fault.address.observe());
  }
  if (what.hand == in_hand::message) {
    out.circumstances += ", at a message of " + bytes_text(what.size) + " from " +
                         where_->slot(what.writer_slot).name;
  }
  return out;
}

}  // namespace cyto
