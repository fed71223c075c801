#include "cyto/observe.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>

#include "cyto/cell.hpp"
#include "cyto/doorbell.hpp"
#include "cyto/lane.hpp"
#include "finding.hpp"
#include "process.hpp"
#include "remains.hpp"
#include "rendezvous.hpp"
#include "verbs.hpp"

namespace cyto {
namespace {

constexpr int settle_tries = 64;
constexpr int cell_tries = 1000;
constexpr int patient_answer_ms = 5'000;  // For what only the supervisor can give.

const char* text_of(slot_state state) {
  switch (state) {
    case slot_state::empty:
      return "empty";
    case slot_state::starting:
      return "starting";
    case slot_state::ready:
      return "ready";
    case slot_state::stopped:
      return "stopped";
    case slot_state::failed:
      return "failed";
  }
  return "unknown";
}

struct lane_ends {
  versioned<3>::values sent{};
  versioned<3>::values taken{};
  bool read = false;
};

lane_ends read_ends(const segment& from, const lane_entry& lane) {
  lane_ends out;
  std::uint64_t seen = 0;
  // The reader's end first: what was delivered then was accepted before.
  out.read =
      from.input_of(lane).taken.read(from.control_of(lane.reader_slot).commit, out.taken, seen) &&
      from.output_of(lane).sent.read(from.control_of(lane.writer_slot).commit, out.sent, seen);
  return out;
}

// Nobody is meant to take what lies among the dead letters.
bool is_dead_end(const lane_entry& lane) {
  return lane.purpose == static_cast<std::uint32_t>(lane_purpose::dead_letters);
}

// Nobody is there who could take it: a port is started by nobody.
bool is_nobodys(const segment& from, const lane_entry& lane) {
  const std::uint32_t reader_slot = from.goal_of(lane).reader_slot;
  return (from.slot(reader_slot).flags & slot_is_port) != 0 &&
         !slot_lock::is_held(from, reader_slot);
}

// Whether the slot's worker will go on of itself once somebody has taken messages (W6).
bool asks_for_room(const segment& from, std::uint32_t slot_index) {
  const std::uint64_t number = from.control_of(slot_index).asks_for.observe();
  return number != 0 && number <= from.lane_count() &&
         !is_nobodys(from, from.lane(static_cast<std::uint32_t>(number - 1)));
}

bool has_messages(const segment& from, const lane_entry& lane) {
  if (is_dead_end(lane)) return false;
  const lane_ends ends = read_ends(from, lane);
  const bool has_any = ends.read && ends.sent[1] != ends.taken[1] + ends.taken[2];
  const bool is_held = lane.purpose == static_cast<std::uint32_t>(lane_purpose::held);
  return has_any && !(is_held && is_nobodys(from, lane));
}

// Whether its writer has updates in its cells that are still to be sent along it.
bool has_waiting(const segment& from, const lane_entry& lane) {
  if (lane.policy != static_cast<std::uint32_t>(full_policy::coalesce)) return false;
  versioned<3>::values merged{};
  std::uint64_t seen = 0;
  const word<std::uint64_t>& commit = from.control_of(lane.writer_slot).commit;
  return !from.output_of(lane).merged.read(commit, merged, seen) || merged[0] != 0;
}

lane_status status_of(const segment& from, const lane_entry& lane) {
  lane_status out;
  out.purpose = static_cast<lane_purpose>(lane.purpose);
  out.name = from.slot(lane.writer_slot).name;
  out.name += out.purpose == lane_purpose::deferred ? " (deferred)"
              : out.purpose == lane_purpose::dead_letters
                  ? " (dead letters)"
                  : std::string(" -> ") + from.slot(from.goal_of(lane).reader_slot).name;
  if (out.purpose == lane_purpose::held) out.name += " (held)";
  out.policy = static_cast<full_policy>(lane.policy);
  out.hops_max = lane.hops_max;
  out.lane_bytes = lane.ring_bytes;
  versioned<3>::values lost{};
  std::uint64_t seen = 0;
  if (from.output_of(lane).lost.read(from.control_of(lane.writer_slot).commit, lost, seen)) {
    out.over_hops = lost[static_cast<std::size_t>(lane_loss::hops)];
    out.no_room = lost[static_cast<std::size_t>(lane_loss::no_room)];
    out.refused = lost[static_cast<std::size_t>(lane_loss::refused)];
  }
  versioned<3>::values merged{};
  if (from.output_of(lane).merged.read(from.control_of(lane.writer_slot).commit, merged, seen)) {
    out.waiting = merged[0];
    out.coalesced = merged[1];
  }
  out.fenced = from.input_of(lane).fenced.observe() != 0;
  const mapping memory = from.map_ring(lane, false);
  const lane_ring where{memory.data(), lane.ring_bytes, from.control_of(lane.writer_slot).shapes};
  lane_ends before = read_ends(from, lane);
  for (int i = 0; i < settle_tries && !out.settled; ++i) {
    const std::uint64_t commit = from.control_of(lane.writer_slot).commit.observe();
    const lane_walk found = walk(where, before.taken[0], commit);
    const lane_ends after = read_ends(from, lane);
    out.settled =
        before.read && after.read && before.taken == after.taken && before.sent == after.sent;
    if (out.settled) {
      out.in_flight = found.count;
      out.balanced = found.sound && found.position == after.sent[0];
    }
    before = after;
  }
  out.accepted = before.sent[1];
  out.accepted_payload_bytes = before.sent[2];
  out.delivered = before.taken[1];
  out.dropped = before.taken[2];
  out.backlog_bytes = before.sent[0] - std::min(before.sent[0], before.taken[0]);
  const std::uint64_t gone = out.delivered + out.dropped;
  if (out.settled) {
    out.balanced = out.balanced && out.accepted == gone + out.in_flight;
  } else {
    out.balanced = before.read && out.accepted >= gone && out.backlog_bytes <= out.lane_bytes;
    out.in_flight = out.accepted - std::min(out.accepted, gone);
  }
  return out;
}

[[noreturn]] void refuse_cells(const segment& from, std::uint32_t slot_index) {
  throw error(error_code::failed, "cells of worker " + std::string(from.slot(slot_index).name),
              "their links lead out of their memory", "it was overwritten",
              "stop the system and start it again");
}

}  // namespace

std::vector<worker_status> workers_of(const segment& from) {
  std::vector<worker_status> out;
  for (std::uint32_t i = 0; i < from.slot_count(); ++i) {
    const slot_entry& entry = from.slot(i);
    const control& own = from.control_of(i);
    const board_slot& board = from.board_of(i);
    worker_status each;
    each.name = entry.name;
    each.group = entry.group;
    each.pid = own.pid.observe();
    const auto state = static_cast<slot_state>(own.state.observe());
    const bool held = slot_lock::is_held(from, i);
    const bool should_live = state == slot_state::starting || state == slot_state::ready;
    each.state = should_live && !held ? "dead" : text_of(state);
    const bool is_plain = (entry.flags & slot_is_plain) != 0;
    if (is_plain) {
      // It knows nothing of its slot.
      each.pid = board.spawned_pid.observe();
      const bool lives = each.pid != 0 && process_start_time(static_cast<pid_t>(each.pid)) ==
                                              board.spawned_start_time.observe();
      each.state = lives ? "ready" : "dead";
    } else if (held && board.stalled.observe() != 0) {
      each.state = "stalled";
    }
    each.standing = static_cast<membership>(board.standing.observe());
    each.is_port = (entry.flags & slot_is_port) != 0;
    if (each.is_port && !is_pair(from)) {
      each.state = held && should_live ? "joined" : each.state;
      if (state == slot_state::empty || state == slot_state::stopped) each.state = "free";
      if (!held) each.pid = 0;
      each.standing = held ? membership::member : membership::absent;
    }
    const bool lives = held || each.state == "ready";
    const bool is_away =
        each.standing == membership::leaving || each.standing == membership::absent;
    if (is_away && !each.is_port) {
      each.state = lives ? "leaving" : "absent";
    }
    if (each.standing == membership::stopped && !lives && is_plain) each.state = "stopped";
    each.is_source = (entry.flags & slot_is_source) != 0;
    each.finished = own.finished.observe() == static_cast<std::uint32_t>(source_end::finished);
    each.incarnation = own.incarnation.observe();
    each.restarts = board.restarts.observe();
    each.kills = board.kills.observe();
    each.turns = own.turns.observe();
    each.aborts = own.aborts.observe();
    each.parks = own.parks.observe();
    each.stamp = own.commit.observe();
    each.progress_done = own.progress_done.observe();
    each.progress_total = own.progress_total.observe();
    versioned<7>::values root{};
    std::uint64_t seen = 0;
    if (own.root.read(own.commit, root, seen)) {
      each.cells = root[root_cells];
      each.cells_used_bytes = root[root_end];
    }
    each.cells_bytes = entry.arena_bytes;
    out.push_back(std::move(each));
  }
  return out;
}

lane_status lane_of(const segment& from, std::uint32_t index) {
  return status_of(from, from.lane(index));
}

std::vector<lane_status> lanes_of(const segment& from) {
  std::vector<lane_status> out;
  for (std::uint32_t i = 0; i < from.lane_count(); ++i)
    out.push_back(status_of(from, from.lane(i)));
  return out;
}

bool sources_have_ended(const segment& from) {
  const bool draining =
      from.the_board().phase.observe() == static_cast<std::uint32_t>(system_phase::draining);
  for (std::uint32_t i = 0; i < from.slot_count(); ++i) {
    if ((from.slot(i).flags & slot_is_source) == 0) continue;
    const auto end = static_cast<source_end>(from.control_of(i).finished.observe());
    if (end != source_end::finished && !(draining && end == source_end::drained)) return false;
  }
  return true;
}

bool is_quiet(const segment& from) {
  if (!sources_have_ended(from)) return false;
  constexpr std::uint64_t nobodys = ~std::uint64_t{0};
  versioned<3>::values values{};
  std::uint64_t seen = 0;
  std::vector<std::uint64_t> gone;
  for (std::uint32_t i = 0; i < from.lane_count(); ++i) {
    const lane_entry& lane = from.lane(i);
    if (is_dead_end(lane) || is_nobodys(from, lane)) {
      gone.push_back(nobodys);
      continue;
    }
    if (!from.input_of(lane).taken.read(from.control_of(lane.reader_slot).commit, values, seen)) {
      return false;
    }
    gone.push_back(values[1] + values[2]);
  }
  for (std::uint32_t i = 0; i < from.slot_count(); ++i) {
    if (asks_for_room(from, i)) return false;
  }
  for (std::uint32_t i = 0; i < from.lane_count(); ++i) {
    const lane_entry& lane = from.lane(i);
    if (gone[i] == nobodys) continue;
    // Before `sent`: what waited may have been sent meanwhile.
    if (has_waiting(from, lane)) return false;
    if (!from.output_of(lane).sent.read(from.control_of(lane.writer_slot).commit, values, seen) ||
        values[1] != gone[i]) {
      return false;
    }
  }
  return true;
}

std::vector<bool> readers_with_work(const segment& from) {
  std::vector<bool> out(from.slot_count());
  for (std::uint32_t i = 0; i < from.lane_count(); ++i) {
    const lane_entry& lane = from.lane(i);
    if (!out[lane.reader_slot] && has_messages(from, lane)) out[lane.reader_slot] = true;
    if (has_waiting(from, lane)) out[lane.writer_slot] = true;
  }
  for (std::uint32_t i = 0; i < from.slot_count(); ++i) out[i] = out[i] || asks_for_room(from, i);
  return out;
}

bool has_work(const segment& from, std::uint32_t slot_index) {
  if ((from.slot(slot_index).flags & slot_is_source) != 0 &&
      from.control_of(slot_index).finished.observe() ==
          static_cast<std::uint32_t>(source_end::none)) {
    return true;
  }
  if (asks_for_room(from, slot_index)) return true;
  for (std::uint32_t i = 0; i < from.lane_count(); ++i) {
    const lane_entry& lane = from.lane(i);
    if (lane.reader_slot == slot_index && has_messages(from, lane)) return true;
    if (lane.writer_slot == slot_index && has_waiting(from, lane)) return true;
  }
  return false;
}

void each_cell(const segment& from, std::uint32_t slot_index,
               void (*visit)(void* to, const cell_view& cell), void* to) {
  const slot_entry& entry = from.slot(slot_index);
  const control& own = from.control_of(slot_index);
  versioned<7>::values root{};
  std::uint64_t seen = 0;
  if (!own.root.read(own.commit, root, seen)) return;
  std::uint64_t offset = root[root_last_cell];
  for (std::uint64_t left = root[root_cells]; left > 0; --left) {
    if (offset == 0 || offset % line_bytes != 0 || offset > entry.arena_bytes ||
        sizeof(cell_record) > entry.arena_bytes - offset) {
      refuse_cells(from, slot_index);
    }
    const auto& cell = *from.at<cell_record>(entry.arena_offset + offset);
    const std::uint64_t name_offset = offset + sizeof(cell_record);
    const std::uint64_t name_bytes = read_once(cell.name_bytes);
    const std::uint64_t previous = read_once(cell.previous);
    if (name_bytes > entry.arena_bytes - name_offset) refuse_cells(from, slot_index);
    cell_value value{};
    // Its owner may be fast, but not for ever.
    int tries = cell_tries;
    while (tries > 0 && !cell.value.read(own.commit, value, seen)) --tries;
    if (tries == 0) refuse_cells(from, slot_index);
    const std::uint32_t kind = read_once(cell.kind);
    if (!is_keyed(kind) || !has_moved(value)) {
      visit(to, {{from.at<char>(entry.arena_offset + name_offset), name_bytes},
                 static_cast<std::uint32_t>(kind_in(kind)),
                 {value[0], value[1], value[2]},
                 offset});
    }
    // Filled upward: links lead down, and the walk ends.
    if (previous >= offset) refuse_cells(from, slot_index);
    offset = previous;
  }
}

segment find_system(const std::string& name) { return find_memory(name, access::read_only); }

bool is_pair(const segment& from) { return from.find_slot("sender") == 0; }

namespace {

// What has no supervisor gets its last word from here: a port must not take it for living.
void end_ports(const segment& of) {
  const std::string path = "/proc/self/fd/" + std::to_string(of.fd());
  const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) throw_errno(errno, error_code::failed, "segment", "cannot be opened for writing");
  const segment where = segment::attach(fd);
  const slot_lock lock(where, slot_lock::supervisor);
  if (!lock.held()) return;  // Somebody has just adopted it.
  const mapping pages = where.map_board();
  const mapping bells = where.map_doorbells();
  auto* all = reinterpret_cast<board*>(pages.data());
  constexpr auto over = static_cast<std::uint32_t>(system_phase::stopping);
  all->phase.publish(over);
  for (std::uint32_t i = 0; i < where.slot_count(); ++i) {
    if ((where.slot(i).flags & slot_is_port) == 0) continue;
    reinterpret_cast<board_slot*>(all + 1)[i].order.publish(over);
    full_fence();
    wake(reinterpret_cast<doorbell_line*>(bells.data())[i]);
  }
}

}  // namespace

void stop_system(const std::string& name) {
  const segment where = find_system(name);
  if (is_pair(where)) {
    throw error(error_code::bad_input, "system " + name, "is a pair of programs of their own",
                "nobody supervises them", "end the programs themselves");
  }
  packet reply{};
  std::vector<file> unwanted;
  const file connection = connect_to(name);
  file supervisor_process;
  if (connection && send_packet(connection.get(), {verb_stop, 0}, {}) &&
      receive_packet(connection.get(), reply, unwanted, patient_answer_ms) &&
      reply.verb == verb_stop) {
    supervisor_process = open_process(reply.value);
  }
  if (supervisor_process) {
    pollfd gone{supervisor_process.get(), POLLIN, 0};
    poll(&gone, 1, -1);
    return;
  }
  if (slot_lock::is_held(where, slot_lock::supervisor)) {
    throw error(error_code::failed, "system " + name, "its supervisor does not answer",
                "process " + std::to_string(where.the_board().supervisor_pid.observe()) +
                    " is stopped or busy",
                "try again, or kill that process first");
  }
  // Nobody supervises: each worker whose slot is held is killed; its memory goes with the last one.
  for (std::uint32_t i = 0; i < where.slot_count(); ++i) {
    const control& own = where.control_of(i);
    const auto pid = static_cast<pid_t>(own.pid.observe());
    const bool is_port = (where.slot(i).flags & slot_is_port) != 0;
    if (pid == 0 || is_port || !slot_lock::is_held(where, i)) continue;
    const file process = open_process(pid);
    if (!process || process_start_time(pid) != own.start_time.observe()) continue;
    syscall(SYS_pidfd_send_signal, process.get(), SIGKILL, nullptr, 0);
    pollfd gone{process.get(), POLLIN, 0};
    poll(&gone, 1, -1);
  }
  end_ports(where);
  forget_socket(name);
}

int order_worker(const std::string& name, std::uint32_t slot_index, worker_order what, int program,
                 int timeout_ms) {
  static constexpr std::uint32_t verbs[] = {verb_stop_one, verb_start_one, verb_restart_one,
                                            verb_add_one, verb_remove_one};
  const segment where = find_system(name);
  const std::string thing = "worker " + std::string(where.slot(slot_index).name);
  const file connection = connect_to(name);
  const std::uint32_t said = verbs[static_cast<std::size_t>(what)];
  std::vector<int> given;
  if (program >= 0) given.push_back(program);
  if (is_pair(where) || !connection ||
      !send_packet(connection.get(), {said, static_cast<std::int32_t>(slot_index)}, given)) {
    throw error(error_code::failed, thing, "nobody supervises system " + name, {},
                "start the same `cyto run` to adopt it");
  }
  pollfd answered{connection.get(), POLLIN, 0};
  if (poll(&answered, 1, timeout_ms) == 0) {
    throw error(error_code::failed, thing,
                "has not come to that within " + std::to_string(timeout_ms) + " ms",
                "the order stands", "see `cyto status " + name + "`");
  }
  packet reply{};
  std::vector<file> unwanted;
  if (!receive_packet(connection.get(), reply, unwanted, 0) || reply.verb != said) {
    throw error(error_code::failed, thing, "the order is refused",
                "the system is about to end, or another order was quicker",
                "see `cyto status " + name + "`");
  }
  return reply.value;
}

std::vector<std::string> system_names() {
  std::vector<std::string> out;
  for (const std::string& tag : find_memfd_tags()) {
    const std::size_t end = tag.rfind(':');
    const std::string name = tag.substr(5, end - 5);
    if (memfd_tag(name) != tag) continue;
    // Whoever had joined one that has ended may hold its memory still.
    const std::vector<memfd_holder> holders = find_memfd_holders(tag);
    if (!std::all_of(holders.begin(), holders.end(),
                     [](const memfd_holder& each) { return is_of_the_past(each.path); })) {
      out.push_back(name);
    }
  }
  std::sort(out.begin(), out.end());
  return out;
}

}  // namespace cyto
