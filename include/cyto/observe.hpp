// cyto/observe.hpp
//
// What: read-only views of a living system, for tools and for the supervisor: workers, lanes, the
//   conservation law, the cells.
//       for (const lane_status& lane : lanes_of(where)) print(lane.accepted, lane.delivered);
//
// Who: anybody who has the segment mapped, from any thread. Nothing here writes to it, and no
//   worker notices.
//
// Layout: reads what segment.hpp, lane.hpp and cell.hpp describe; every offset found there is
//   checked.
//
// Ordering:
//   O1 A lane's numbers belong to committed turns. `settled` tells whether the walk over its
//      records was not disturbed; on a busy lane only the inequalities can be judged.
//   O2 is_quiet() is true only if there was an instant at which all sources had finished and every
//      accepted message was consumed, and no worker had asked to be told of room: all `delivered`
//      are read before any `asks_for`, and these before any `accepted`. What waits for a port that
//      nobody has joined does not count.
//   O3 each_cell() visits every cell that was committed when it began, each in a version at least
//      as new.
//
// Death: nothing to leave behind.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "cyto/segment.hpp"

namespace cyto {

struct worker_status {
  std::string name;
  std::string group;
  std::uint32_t pid = 0;
  // empty starting ready stopped failed; stalled: ready, but work waits and no turn has ended for
  // its stall_ms; dead: nobody holds the slot; leaving and absent: see membership. Of a port: free,
  // joined, or dead, if whoever had joined was killed.
  std::string state;
  membership standing = membership::member;
  bool is_source = false;
  bool is_port = false;
  bool finished = false;
  std::uint32_t incarnation = 0;
  std::uint32_t restarts = 0;
  std::uint32_t kills = 0;
  std::uint64_t turns = 0;
  std::uint64_t aborts = 0;
  std::uint64_t parks = 0;
  std::uint64_t stamp = 0;
  std::uint64_t progress_done = 0;
  std::uint64_t progress_total = 0;
  std::uint64_t cells = 0;
  std::uint64_t cells_used_bytes = 0;
  std::uint64_t cells_bytes = 0;
};

struct lane_status {
  // "source/0 -> parser/1", "source/0 -> parser/1 (held)", "parser/1 (deferred)", "parser/1 (dead
  // letters)"
  std::string name;
  lane_purpose purpose = lane_purpose::updates;
  full_policy policy = full_policy::defer;
  std::uint32_t hops_max = hops_unlimited;
  std::uint64_t lane_bytes = 0;
  std::uint64_t backlog_bytes = 0;
  std::uint64_t accepted = 0;
  std::uint64_t delivered = 0;
  std::uint64_t dropped = 0;
  std::uint64_t in_flight =
      0;  // Counted by walking the records, if settled; else accepted - delivered.
  std::uint64_t accepted_payload_bytes = 0;
  // Never accepted: had made more than hops_max hops; no room, on a lane that drops; no room, on
  // one that refuses, of which the sender was told.
  std::uint64_t over_hops = 0;
  std::uint64_t no_room = 0;
  std::uint64_t refused = 0;
  // On a lane that coalesces: updates that wait in its writer's cells, accepted by no lane yet; and
  // how many have been merged into others that waited, ever.
  std::uint64_t waiting = 0;
  std::uint64_t coalesced = 0;
  bool settled = false;
  bool fenced = false;
  bool balanced = false;  // accepted == delivered + dropped + in flight
};

std::vector<worker_status> workers_of(const segment& from);
std::vector<lane_status> lanes_of(const segment& from);
lane_status lane_of(const segment& from, std::uint32_t index);
// Whether every source has said all, or, in a system that drains, was told to stop.
bool sources_have_ended(const segment& from);
bool is_quiet(const segment& from);
// Whether messages wait for that slot, or its updates wait for room, or it has asked to be told of
// room, or it is a source that has not said all.
bool has_work(const segment& from, std::uint32_t slot_index);
// By slot: whether messages wait for it, or it has asked to be told of room.
std::vector<bool> readers_with_work(const segment& from);

// A message that had made too many hops and was not sent.
struct dead_message {
  std::string from;
  std::string to;
  std::uint32_t kind = 0;
  std::uint32_t hops = 0;        // That it would have made.
  std::uint32_t size = 0;        // Of its payload.
  std::uint64_t stamp = 0;       // Of the message it came of; 0: of none.
  std::vector<std::byte> bytes;  // Its payload; nothing if it was too large to be kept.
  // Through whose hands what it came of went, oldest first, `from` and `to` at the end; as far back
  // as the flight recorders of these workers still know when they are looked at.
  std::vector<std::string> route;
};
// How many a slot has not sent to another because they had made too many hops, by kind: exact, of
// committed turns. `kind` is dead_kind_other for those of all kinds that its table has no row for.
struct dead_count {
  std::string from;
  std::string to;
  std::uint32_t kind = 0;
  std::uint64_t count = 0;
};
inline constexpr std::uint32_t dead_kind_other = 0;
std::vector<dead_count> dead_counts_of(const segment& from, std::uint32_t slot_index);
// Of one slot, oldest first: the last ones, as far as there is room for them. What its worker
// overwrites meanwhile is left out.
std::vector<dead_message> dead_letters_of(const segment& from, std::uint32_t slot_index);

struct cell_view {
  std::string_view name;
  std::uint32_t kind;
  std::uint64_t value[3];
  std::uint64_t arena_offset;  // Where it lies, for ever.
};
// Visits the cells of one slot, newest first. Throws cyto::error if they make no sense.
void each_cell(const segment& from, std::uint32_t slot_index,
               void (*visit)(void* to, const cell_view& cell), void* to);
template <class F>
void each_cell(const segment& from, std::uint32_t slot_index, F visit) {
  each_cell(
      from, slot_index, [](void* to, const cell_view& cell) { (*static_cast<F*>(to))(cell); },
      &visit);
}

// A segment of a running system, for tools: asked of its supervisor, or taken from a worker when
// the supervisor is gone. Throws no_such_system.
segment find_system(const std::string& name);
// Whether it is a pair of programs (port.hpp) and not a supervised system.
bool is_pair(const segment& from);
// Lets a system drain and end, and returns when it has. One without a supervisor is ended at once.
// Throws no_such_system.
void stop_system(const std::string& name);
// Has its supervisor stop, start, replace, add or remove one worker, and returns when that is so:
// the pid of the process, 0 for stop and remove. add: the first member of the slot's group that is
// absent. remove: once the member has taken what was sent to it. `program`: a descriptor of what to
// run from now on, or -1 for no change.
// Throws if nobody supervises, or it is refused, or has not come to that in `timeout_ms`.
enum class worker_order : std::uint8_t { stop, start, restart, add, remove };
int order_worker(const std::string& name, std::uint32_t slot_index, worker_order what, int program,
                 int timeout_ms);
// Throws bad_input, in words, unless `program` may take over from the worker of that slot; with an
// empty name, what its supervisor would start now. It is run, with the worker's arguments,
// environment and folder, until its setup returns, in `timeout_ms` at most, against a copy of the
// worker's memory: a rehearsal. The worker's own program is rehearsed too, if it is another file,
// and what the two handle is compared: takeover_objection() in schema.hpp. The system is not
// touched. If the worker does not run, only the setup is tried.
void check_successor(const segment& where, std::uint32_t slot_index, const std::string& program,
                     int timeout_ms);
// Names of the systems of this user in this runtime folder.
std::vector<std::string> system_names();

}  // namespace cyto
