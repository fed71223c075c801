// cyto/segment.hpp
//
// What: one memfd that holds everything a system shares, reserved and sealed at creation, and the
//   names of what is in it. It has no name in any file system and dies with its last user.
//       segment made = segment::create(plan);        // reserve, seal, lay out, publish
//       segment seen = segment::attach(fd);          // check every number, then map read-only
//
// Who: create() by the supervisor or by the first program of a pair; attach() by anybody who was
//   given the descriptor. Memory is mapped read-only as a whole; each writer maps its own pages
//   writable (map()). A segment object is used by one thread; what it maps may be used by any.
//
// Layout: pages of different writers never share a page.
//
//   offset 0    segment_header | slot_entry[slots] | lane_entry[lanes] | settings   written once
//   doorbells   doorbell_line[slots]                                    written by everybody
//   board       board | board_slot[slots]                               written by the supervisor
//   deaths      errand_line[slots] | suspect[lanes] | death_report[slots]   by the supervisor
//   control i   control | input_line[inputs] | output_line[outputs]     written by slot i
//   arena i     cells of slot i                                         written by slot i
//   quarantine i  two halves of messages set aside by slot i            written by slot i
//   trace i     the flight recorder of slot i while somebody traces     written by slot i
//   ring j      records of lane j                                       written by its writer
//
// Ordering:
//   S1 `ready` is published last by create() and observed first by attach(): whoever attaches sees
//      a complete header, or an error.
//   S2 The header never changes after `ready`.
//
// Death: a creator killed before it handed the descriptor over leaves nothing. Afterwards the
//   memory lives as long as any process holds it.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cyto/cursor.hpp"
#include "cyto/error.hpp"
#include "cyto/postmortem.hpp"
#include "cyto/types.hpp"

namespace cyto {

inline constexpr std::uint32_t layout_version = 5;
inline constexpr std::uint64_t layout_magic = 0x6f747963'00000000ULL | layout_version;  // "cyto", 5
inline constexpr std::size_t name_bytes_max = 47;
inline constexpr std::uint32_t slot_count_max = 256;
inline constexpr std::uint64_t lane_bytes_min = page_bytes;
inline constexpr std::uint64_t lane_bytes_max = std::uint64_t{1} << 30;
inline constexpr std::uint64_t arena_bytes_max = std::uint64_t{1} << 34;
inline constexpr std::uint64_t quarantine_bytes_max = std::uint64_t{1} << 30;
inline constexpr std::uint64_t trace_bytes_min = page_bytes;
inline constexpr std::uint64_t trace_bytes_max = std::uint64_t{1} << 30;

struct segment_header {
  word<std::uint64_t> ready;  // layout_magic once all below stands.
  std::uint64_t segment_bytes;
  std::uint64_t fingerprint;  // Of the topology; an adopter compares it.
  std::uint32_t slot_count;
  std::uint32_t lane_count;
  std::uint64_t slots_offset;
  std::uint64_t lanes_offset;
  std::uint64_t settings_offset;
  std::uint64_t settings_bytes;
  std::uint64_t doorbells_offset;
  std::uint64_t board_offset;
  std::uint64_t deaths_offset;
  char name[48];
};
static_assert(sizeof(segment_header) == 136);

enum slot_flag : std::uint32_t {
  slot_is_source = 1,
  slot_is_port = 2,
  slot_is_plain = 4,
  slot_is_partitioned = 8  // Its group's members own keys, with the cells of these.
};

struct slot_entry {
  char name[48];   // "parser/1"
  char group[48];  // "parser"
  std::uint32_t member;
  std::uint32_t flags;
  std::uint32_t input_count;
  std::uint32_t output_count;
  std::uint64_t control_offset;
  std::uint64_t control_bytes;
  std::uint64_t arena_offset;
  std::uint64_t arena_bytes;
  std::uint64_t settings_offset;  // "key=value\n" lines.
  std::uint64_t settings_bytes;
  std::uint64_t quarantine_offset;
  std::uint64_t quarantine_bytes;  // Of one of its two halves.
  std::uint64_t trace_offset;
  std::uint64_t trace_bytes;  // 0, or a power of two, trace_bytes_min to trace_bytes_max.
};
static_assert(sizeof(slot_entry) == 192);

// What a lane is for. The first three are those of the topology, and their difference is the
// mailbox's (M4); the others lead from a slot to itself, and come after its others.
enum class lane_purpose : std::uint32_t {
  updates,       // From worker to worker, or to oneself.
  external,      // From a source or a port.
  control,       // Goes first.
  deferred,      // Taken, and handled once there is room for what follows from it: worker.hpp, W4.
  dead_letters,  // What has made too many hops: turn.hpp, U4. Nobody waits for these.
  held           // What has found no room in a lane beside it, and waits for it: turn.hpp, U6.
};
constexpr bool is_own(lane_purpose what) noexcept { return what >= lane_purpose::deferred; }

// What becomes of a message for which a lane has no room.
enum class full_policy : std::uint32_t {
  defer,        // Its turn is undone, and done over when there is room.
  refuse,       // The sender is told and goes on; nothing is sent.
  drop_newest,  // The same, and it is counted as dropped.
  nack,         // The same, and who made it necessary is told to be slower: worker.hpp, W5.
  drop_oldest,  // It is held until there is; if all that is held has no room, the oldest goes.
  coalesce      // An update waits in cells of its sender, merged with others: update.hpp.
};

inline constexpr std::uint32_t hops_unlimited = 255;
inline constexpr std::uint32_t hops_max_default = 10;  // Of lanes that are part of a cycle.

struct lane_entry {
  std::uint32_t writer_slot;
  std::uint32_t reader_slot;
  std::uint32_t writer_index;  // Which output_line of the writer.
  std::uint32_t reader_index;  // Which input_line of the reader.
  std::uint64_t ring_offset;
  std::uint64_t ring_bytes;
  std::uint32_t purpose;   // lane_purpose
  std::uint32_t policy;    // full_policy
  std::uint32_t hops_max;  // Of its messages; hops_unlimited: no limit.
  std::uint32_t in_cycle;  // 1: its reader reaches its writer along lanes between workers.
  std::uint32_t beside;    // Of what is held: the writer_index of the lane that it waits for.
  std::uint32_t unused;
};
static_assert(sizeof(lane_entry) == 56);

struct doorbell_line {
  alignas(line_bytes) word<std::uint32_t> parked;
  alignas(8) word<std::uint64_t> address;  // Of its owner's socket; 0: it has none.
};
static_assert(sizeof(doorbell_line) == line_bytes && offsetof(doorbell_line, address) == 8);

// What a reader owns of a lane.
struct input_line {
  alignas(line_bytes) versioned<3> taken;                  // {read position, delivered, dropped}
  alignas(line_bytes) word<std::uint64_t> read_published;  // Space given back to the writer.
  word<std::uint64_t> fenced;  // Not 0: the lane holds nonsense at this position + 1.
};
static_assert(sizeof(input_line) == 2 * line_bytes);

// What a writer owns of a lane, beside the ring.
struct output_line {
  alignas(line_bytes) versioned<3> sent;  // {write position, accepted, payload bytes accepted}
  alignas(line_bytes) versioned<3> lost;  // Never in the ring: {over hops_max, no room, refused}
  // Not yet in the ring: {updates that wait in cells, updates merged into such ones, free}
  alignas(line_bytes) versioned<3> merged;
};
static_assert(sizeof(output_line) == 3 * line_bytes);

// What a source has to say of its end: nothing; that it has said all; that it was told to stop.
enum class source_end : std::uint32_t { none, finished, drained };

enum class slot_state : std::uint32_t { empty, starting, ready, stopped, failed };

inline constexpr std::size_t touched_max = 4096;
inline constexpr std::size_t shapes_max = 128;
inline constexpr std::size_t failure_bytes_max = 1000;
inline constexpr std::size_t dead_kinds_max = 16;

// What a slot's holder owns. Readers of its lanes poll the first line only.
struct control {
  alignas(line_bytes) word<std::uint64_t> commit;  // The stamp of the last committed turn.
  alignas(line_bytes) word<std::uint32_t> state;   // slot_state
  word<std::uint32_t> finished;                    // source_end
  word<std::uint32_t> pid;
  word<std::uint32_t> incarnation;
  word<std::uint64_t> start_time;  // Clock ticks since boot, as in /proc/PID/stat.
  word<std::uint64_t> turns;
  word<std::uint64_t> aborts;
  word<std::uint64_t> parks;
  word<std::uint64_t> progress_done;
  word<std::uint64_t> progress_total;
  alignas(line_bytes) versioned<7> root;  // Of the cells: see cell.hpp.
  alignas(line_bytes) word<std::uint32_t> failure_code;
  word<std::uint32_t> failure_bytes;  // Published after the text.
  char failure_text[failure_bytes_max];
  alignas(line_bytes) word<std::uint64_t> touched_count;
  word<std::uint64_t> touched[touched_max];  // What the turn in progress has changed in the cells.
  alignas(line_bytes) versioned<7> quarantine;       // The account of it: see quarantine.hpp.
  alignas(line_bytes) word<std::uint64_t> handling;  // The message in hand: see postmortem.hpp.
  fault_note fault;
  trace_note traced;
  word<std::uint64_t> waits_for;  // Room in which lane, and how much: see worker.hpp, W4.
  word<std::uint64_t> asks_for;   // Room in which lane, its number + 1: see worker.hpp, W6.
  alignas(line_bytes) flight_event events[flight_events];
  alignas(line_bytes) word<std::uint64_t> shapes[shapes_max];  // Of its records: see record.hpp.
  // Messages that had made too many hops: {reader's slot + 1, or 0: free, kind, how many}.
  alignas(line_bytes) versioned<3> dead_kinds[dead_kinds_max];
  alignas(line_bytes) word<std::uint32_t> followed;  // The board's `moves` that its turns know.
  word<std::uint32_t> handed;  // Up to that move all keys it has lost are handed over.
};
static_assert(offsetof(control, state) == 64 && offsetof(control, root) == 128);
static_assert(offsetof(control, failure_code) == 256 && offsetof(control, touched_count) == 1280);
static_assert(offsetof(control, quarantine) == 34112 && offsetof(control, events) == 34304);
static_assert(offsetof(control, shapes) == 38400 && offsetof(control, dead_kinds) == 39424);
static_assert(offsetof(control, followed) == 40448 && sizeof(control) == 40512);

enum class system_phase : std::uint32_t { running, draining, stopping };

// Whether a worker is meant to run. Whoever may choose among members sends to a `member` only.
enum class membership : std::uint32_t {
  member,
  stopped,  // Not to be started, until somebody asks for it.
  leaving,  // Takes what has been sent to it, and is absent then.
  absent    // Not a child of anybody until it is added; what was sent to it brings it back.
};

struct board_slot {
  alignas(line_bytes) word<std::uint32_t> spawned_pid;
  word<std::uint32_t> restarts;
  word<std::uint64_t> spawned_start_time;
  word<std::uint32_t> kills;   // By chaos.
  word<std::uint32_t> deaths;  // Not by chaos.
  word<std::uint64_t> last_exit;
  word<std::uint32_t> order;          // system_phase, as this worker is to see it.
  word<std::uint32_t> standing;       // membership
  word<std::uint32_t> stalled;        // 1: work waits, and no turn has ended for stall_ms.
  word<std::uint32_t> other_program;  // 1: an operator has chosen it, not the topology.
  word<std::uint32_t> share;          // Whether it owns keys: see has_share().
};
static_assert(offsetof(board_slot, share) == 48 && sizeof(board_slot) == line_bytes);

inline constexpr std::size_t deaths_max = 1024;

// A death that counts against the intensity of a supervisor.
struct death_entry {
  word<std::uint64_t> at_ns;  // Monotonic clock.
  word<std::uint64_t> child;  // Slot; or, for a supervisor, slots + its place, 0 being the root.
};
static_assert(sizeof(death_entry) == 16);

// What the supervisor owns.
struct board {
  alignas(line_bytes) word<std::uint32_t> phase;  // system_phase
  word<std::uint32_t> watched;                    // 1: whoever falls idle tells the supervisor.
  word<std::uint32_t> supervisor_pid;
  word<std::uint32_t> adoptions;
  word<std::uint64_t> started_ns;   // Monotonic clock at creation.
  word<std::uint64_t> death_count;  // Ever; the last ones are kept.
  word<std::uint64_t> standings;    // Changes of anybody's standing, ever.
  word<std::uint32_t> tracing;      // Times that tracing was switched on or off; odd: it is on.
  word<std::uint32_t> moves;        // Times that somebody's share of the keys was given or taken.
  word<std::uint32_t> settled;      // Up to that move nothing is on its way any more.
  alignas(line_bytes) death_entry deaths[deaths_max];
};
static_assert(offsetof(board, deaths) == line_bytes);
static_assert(offsetof(board, moves) == 44);
static_assert(sizeof(board) == line_bytes + deaths_max * sizeof(death_entry));

// Whether a member owns keys as of that many moves. Its word has the number of the move that
// changed it last, and in the lowest bit what it made of it; it is stored before `moves`, so a
// reader of the latter may find a move there that it does not go by yet.
constexpr bool has_share(std::uint32_t share, std::uint32_t moves) noexcept {
  const bool is_later = static_cast<std::int32_t>((share >> 1) - (moves & 0x7fffffffU)) > 0;
  return ((share & 1) != 0) != is_later;
}

// Address space over part of a segment; unmapped by the destructor.
class mapping {
 public:
  mapping() noexcept;
  mapping(int fd, std::uint64_t offset, std::uint64_t bytes, bool writable);
  // The same bytes twice, back to back, so that no record is ever split.
  static mapping twice(int fd, std::uint64_t offset, std::uint64_t bytes, bool writable);
  mapping(mapping&&) noexcept;
  mapping& operator=(mapping&&) noexcept;
  ~mapping();

  // A process that is forked from this one does not get these pages.
  void keep_from_children() const noexcept;
  [[nodiscard]] std::byte* data() const noexcept { return data_; }
  // Has the kernel map every page now, so that no page fault comes with the first access. Throws
  // when it will not.
  void prefault() const;

 private:
  struct regions;
  std::unique_ptr<regions> regions_;
  std::byte* data_ = nullptr;
};

// What create() lays out. Names are checked; indexes refer to `slots`.
struct slot_plan {
  std::string name;
  std::string group;
  std::uint32_t member = 0;
  std::uint32_t flags = 0;
  std::uint64_t arena_bytes = 0;
  std::string settings;
  std::uint64_t quarantine_bytes = 0;
  std::uint64_t trace_bytes = 0;
};
struct lane_plan {
  std::uint32_t writer_slot = 0;
  std::uint32_t reader_slot = 0;
  std::uint64_t ring_bytes = 0;  // A power of two, lane_bytes_min to lane_bytes_max.
  lane_purpose purpose = lane_purpose::updates;
  full_policy policy = full_policy::defer;
  std::uint32_t hops_max = hops_unlimited;
  bool in_cycle = false;
  std::uint32_t beside = 0;  // Of what is held: which of the plan's lanes it waits for.
};
// Whether parts of a segment that have 2 MiB or more shall lie in huge pages of that size. Asked of
// the kernel once, at creation (MADV_COLLAPSE, Linux 6.1); no pages need to be set aside for it.
enum class huge_pages : std::uint8_t { never, attempt, always };
inline constexpr std::uint64_t huge_page_bytes = std::uint64_t{2} << 20;

struct segment_plan {
  std::string name;       // 1 to 47 of a-z A-Z 0-9 . _ -
  std::string memfd_tag;  // Told in /proc/PID/fd so that an orphaned system can be found.
  std::uint64_t fingerprint = 0;
  std::vector<slot_plan> slots;
  std::vector<lane_plan> lanes;
  huge_pages pages =
      huge_pages::never;  // `always`: create() throws if the kernel has not got them.
};

// Bytes that create(plan) would reserve.
std::uint64_t bytes_needed(const segment_plan& plan);

class segment {
 public:
  // Reserves, seals and lays out. Throws when the plan breaks a bound or the memory is not there.
  static segment create(const segment_plan& plan);
  // Takes over `fd`. Throws when the version differs or any number in the header is out of range.
  static segment attach(int fd);

  segment(segment&& other) noexcept;
  segment& operator=(segment&& other) noexcept;
  ~segment();

  [[nodiscard]] int fd() const noexcept { return fd_; }
  [[nodiscard]] std::string_view name() const noexcept { return header().name; }
  [[nodiscard]] const segment_header& header() const noexcept { return *at<segment_header>(0); }
  [[nodiscard]] std::uint32_t slot_count() const noexcept { return header().slot_count; }
  [[nodiscard]] std::uint32_t lane_count() const noexcept { return header().lane_count; }
  [[nodiscard]] const slot_entry& slot(std::uint32_t index) const noexcept {
    return at<slot_entry>(header().slots_offset)[index];
  }
  [[nodiscard]] const lane_entry& lane(std::uint32_t index) const noexcept {
    return at<lane_entry>(header().lanes_offset)[index];
  }
  [[nodiscard]] std::string_view settings(std::uint32_t slot_index) const noexcept;
  // The slot of that name, or slot_count().
  [[nodiscard]] std::uint32_t find_slot(std::string_view slot_name) const noexcept;

  // Read-only views of what others write.
  [[nodiscard]] const struct control& control_of(std::uint32_t slot_index) const noexcept {
    return *at<control>(slot(slot_index).control_offset);
  }
  [[nodiscard]] const input_line& input_of(const lane_entry& lane) const noexcept;
  [[nodiscard]] const output_line& output_of(const lane_entry& lane) const noexcept;
  // Of what is held the lane that it waits for; of any other lane itself.
  [[nodiscard]] const lane_entry& goal_of(const lane_entry& lane) const noexcept;
  [[nodiscard]] const struct board& the_board() const noexcept {
    return *at<board>(header().board_offset);
  }
  [[nodiscard]] const board_slot& board_of(std::uint32_t slot_index) const noexcept {
    return reinterpret_cast<const board_slot*>(&the_board() + 1)[slot_index];
  }

  [[nodiscard]] const errand_line& errand_of(std::uint32_t slot_index) const noexcept {
    return at<errand_line>(header().deaths_offset)[slot_index];
  }
  [[nodiscard]] const suspect& suspect_of(std::uint32_t lane_index) const noexcept {
    return at<suspect>(header().deaths_offset + slot_count() * sizeof(errand_line))[lane_index];
  }
  [[nodiscard]] const death_report& report_of(std::uint32_t slot_index) const noexcept {
    return at<death_report>(reports_offset())[slot_index];
  }
  [[nodiscard]] std::uint64_t reports_offset() const noexcept {
    return round_up(header().deaths_offset + slot_count() * sizeof(errand_line) +
                        lane_count() * sizeof(suspect),
                    line_bytes);
  }

  // Empty where the topology has no memory for traces.
  [[nodiscard]] std::span<const flight_event> trace_of(std::uint32_t slot_index) const noexcept {
    const slot_entry& of = slot(slot_index);
    return {at<flight_event>(of.trace_offset), of.trace_bytes / sizeof(flight_event)};
  }

  template <class T>
  [[nodiscard]] const T* at(std::uint64_t offset) const noexcept {
    return reinterpret_cast<const T*>(whole_.data() + offset);
  }

  // Writable pages. Only for the holder of what lies there.
  [[nodiscard]] mapping map(std::uint64_t offset, std::uint64_t bytes) const {
    return mapping(fd_, offset, bytes, true);
  }
  void keep_from_children() const noexcept { whole_.keep_from_children(); }
  // Of the read-only view.
  void prefault() const { whole_.prefault(); }
  [[nodiscard]] mapping map_doorbells() const;
  [[nodiscard]] mapping map_board() const;
  [[nodiscard]] mapping map_deaths() const;
  [[nodiscard]] mapping map_ring(const lane_entry& lane, bool writable) const {
    return mapping::twice(fd_, lane.ring_offset, lane.ring_bytes, writable);
  }

 private:
  segment(int fd, mapping whole) noexcept;
  int fd_ = -1;
  mapping whole_;
};

// The kernel lock of one slot: held by one process at a time, freed by the end of that process and
// by nothing else. It lives in an open file description of its own, so it is not shared with
// whoever else holds the segment; a child that is forked without exec shares it for as long as it
// has the descriptor. Model: tests/model/super.pml.
class slot_lock {
 public:
  slot_lock() noexcept = default;
  // Tries once, or waits where the holder is known to be gone and its last descriptor about to be
  // closed; held() tells.
  slot_lock(const segment& from, std::uint32_t slot_index, bool wait = false);
  slot_lock(slot_lock&& other) noexcept;
  slot_lock& operator=(slot_lock&& other) noexcept;
  ~slot_lock();
  [[nodiscard]] bool held() const noexcept { return fd_ >= 0; }
  [[nodiscard]] int fd() const noexcept { return fd_; }
  // Whether any process holds the lock of that slot.
  static bool is_held(const segment& from, std::uint32_t slot_index);
  // The slot number under which a supervisor holds the whole system.
  static constexpr std::uint32_t supervisor = 1U << 20;

 private:
  int fd_ = -1;
};

// Bytes of memory this process could still get: the machine's and its control groups'.
std::uint64_t memory_available();

}  // namespace cyto
