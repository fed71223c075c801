// cyto/cell.hpp
//
// What: values in shared memory that one worker changes, by merge, inside its turns, and that
//   anybody may read.
//       auto total = store.cell<counter>("total");       // found or made
//       total.add(turn, 5);
//       store.cell<growing_set>("libc6").add(turn, "bash");
//
// Who: the holder of the slot changes; every process reads, through observe.hpp.
//
// Layout: a worker's arena is filled upward and never rewritten, but for the two versions of each
//   cell, words of the two indexes, halves of clocks. What is used is part of the turn (`root`):
//       root        | end | directory | cells | last cell | members | members' count | pending |
//       cell        | versioned<3> (64) | previous (8) | hash (8) | kind (4) | bytes (4) | name |
//       member      | previous/8 (4) | cell/8 (4) | bytes (4) | bytes... |
//       index word  | hash (32) | offset/8 (32) |     open addressing; 0 is free
//       clock       | slot_count_max words | the same again |    one half for each version
//   A set's value is {count, offset of its newest member, bytes}: a list that shares its past, so
//   every version of it stays whole for whoever reads it. It outgrows no slot.
//
// Ordering:
//   K1 A member or cell above the committed end does not exist. Bytes below it never change.
//   K2 An index word that points at or above the end is free. Words changed by a turn that did not
//      commit are listed by the turn and wiped, so none can point into later data by chance.
//   K3 A cell's change is visible with the turn, by C2 and C3 of cursor.hpp.
//   K4 A half of a clock is written after its cell's spare version was marked, each word with
//      release: who has read it and finds the cell's tag as before has read one committed vector.
//   Laws: `merge` of maximum, minimum, last_writer and vector_clock is associative, commutative and
//   idempotent, and so is the union of sets; adding to a counter is associative and commutative.
//
// Death: killed in a turn, the arena above the committed end is forgotten and the listed words are
//   wiped; nothing is walked.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <utility>

#include "cyto/turn.hpp"
#include "cyto/types.hpp"
#include "cyto/version_vector.hpp"

namespace cyto {

using cell_value = versioned<3>::values;

enum class cell_kind : std::uint32_t {
  counter = 1,
  maximum,
  minimum,
  last_writer,
  growing_set,
  vector_clock,
  waiting_update,  // This and the next: update.hpp.
  waiting_list
};

struct cell_record {
  versioned<3> value;
  std::uint64_t previous;  // Offset of the cell made before; 0 for the first.
  std::uint64_t hash;
  std::uint32_t kind;  // cell_kind; above it, of a key's cell, the bytes of the key + 1.
  std::uint32_t name_bytes;
};
static_assert(sizeof(cell_record) == 88);

constexpr cell_kind kind_in(std::uint32_t kind) noexcept {
  return static_cast<cell_kind>(kind & 0xffU);
}
// The key that a cell belongs to stands at the beginning of its name. False: it belongs to none.
constexpr bool is_keyed(std::uint32_t kind) noexcept { return (kind >> 8) != 0; }
constexpr std::string_view key_in(std::uint32_t kind, std::string_view name) noexcept {
  return is_keyed(kind) ? name.substr(0, (kind >> 8) - 1) : std::string_view();
}
// The value of a key's cell that is with another member now. No cell has it otherwise.
inline constexpr std::uint64_t moved_away = ~std::uint64_t{0};
constexpr bool has_moved(const cell_value& value) noexcept { return value[2] == moved_away; }

struct member_record {
  std::uint32_t previous8;
  std::uint32_t cell8;
  std::uint32_t bytes;
};
static_assert(sizeof(member_record) == 12);

// Names of the words in turn::root_values.
enum root_word : std::size_t {
  root_end,
  root_directory,  // Offset of the index of cells by name; the low 6 bits are log2 of its words.
  root_cells,
  root_last_cell,
  root_members,      // The same for the index of members of all sets.
  root_member_count  // The next word, root_pending, is the turn's own.
};
static_assert(root_member_count + 1 == root_pending);

inline constexpr std::size_t cell_name_bytes_max = 1U << 20;

class cell_store {
 public:
  explicit cell_store(turn& of) noexcept : turn_(&of) {}

  // The cell of that name, made now if there is none. The handle is false, and the turn doomed,
  // when the arena is full. A cell of another kind under that name throws cyto::error.
  template <class Kind>
  Kind cell(std::string_view name) {
    return Kind(*this, find_or_make(name, static_cast<std::uint32_t>(Kind::kind)));
  }
  // The cell that the key has under that name. It goes where the key goes.
  template <class Kind>
  Kind cell_of_key(std::string_view key, std::string_view name) {
    static_assert(Kind::kind != cell_kind::vector_clock, "a clock is its worker's");
    return Kind(*this, find_or_make(key, name, static_cast<std::uint32_t>(Kind::kind)));
  }

  // --- for members that hand over keys -------------------------------------------------------
  // The cell of that name and kind, as cell_record has them, found or made; 0 if there is no room.
  std::uint64_t find_or_make(std::string_view name, std::uint32_t kind);
  [[nodiscard]] const cell_record& record(std::uint64_t cell) const noexcept {
    return at<cell_record>(cell);
  }
  // The cell made before that one, or the newest of all if that is 0; 0: there is none.
  [[nodiscard]] std::uint64_t before(std::uint64_t cell) const noexcept {
    return cell == 0 ? turn_->root()[root_last_cell] : at<cell_record>(cell).previous;
  }

  // Where the cell of that name is, and its kind; 0 if there is none.
  [[nodiscard]] std::uint64_t find(std::string_view name, cell_kind& kind) const noexcept;

  // --- for the kinds ------------------------------------------------------------------------
  [[nodiscard]] cell_value load(std::uint64_t cell) const noexcept;
  // What the last committed turn left, whatever this one has done.
  [[nodiscard]] cell_value load_committed(std::uint64_t cell) const noexcept;
  // Room above all that is used; 0, and the turn is doomed, if there is none.
  std::uint64_t take(std::uint64_t bytes, std::uint64_t grain) noexcept;
  bool store(std::uint64_t cell, const cell_value& to) noexcept;
  // Adds a member to the set `cell`. Returns whether the set grew.
  bool add_member(std::uint64_t cell, std::string_view bytes) noexcept;
  // Calls f(bytes) for each member of the set `cell`, the newest first, while f answers true. What
  // f is shown stays where it is, also when members are added meanwhile.
  template <class F>
  void each_member(std::uint64_t cell, F f) const {
    // After a death the records are input: each must lie below the one that led to it.
    std::uint64_t above = turn_->root()[root_end];
    std::uint64_t offset = load(cell)[1];
    while (offset != 0 && offset % 8 == 0 && offset < above &&
           above - offset >= sizeof(member_record)) {
      const auto& member = at<member_record>(offset);
      if (member.bytes > above - offset - sizeof(member_record)) return;
      if (!f(std::string_view(reinterpret_cast<const char*>(&member + 1), member.bytes))) return;
      above = offset;
      offset = std::uint64_t{member.previous8} * 8;
    }
  }
  [[nodiscard]] turn& the_turn() const noexcept { return *turn_; }
  // Whether an account of an arena leads nowhere but into it. Asked of what the dead have left.
  static bool is_sound(const turn::root_values& root, std::uint64_t arena_bytes) noexcept;

 private:
  std::uint64_t find_or_make(std::string_view key, std::string_view name, std::uint32_t kind);
  [[nodiscard]] std::uint64_t find_named(std::string_view name, std::uint64_t hash,
                                         std::uint32_t kind) const noexcept;
  std::uint64_t make(std::string_view name, std::uint32_t kind, std::uint64_t hash);
  bool grow(root_word index, std::uint64_t count) noexcept;
  bool put(root_word index, std::uint64_t hash, std::uint64_t target) noexcept;
  template <class Same>
  std::uint64_t find(root_word index, std::uint64_t hash, std::uint64_t bytes,
                     Same same) const noexcept;
  template <class T>
  [[nodiscard]] T& at(std::uint64_t offset) const noexcept {
    return *reinterpret_cast<T*>(turn_->arena() + offset);
  }

  turn* turn_;
};

// The cells of one key. See worker::keyed().
class key_cells {
 public:
  key_cells(cell_store& store, std::string_view key) noexcept : store_(&store), key_(key) {}
  // The key's cell of that name, found or made.
  template <class Kind>
  [[nodiscard]] Kind cell(std::string_view name = {}) const {
    return store_->cell_of_key<Kind>(key_, name);
  }

 private:
  cell_store* store_;
  std::string_view key_;
};

// What all kinds share: where the cell is. A handle to a cell that was made in a turn which then
// aborted leads nowhere; ask the store again.
class cell_handle {
 public:
  cell_handle() = default;
  cell_handle(cell_store& store, std::uint64_t cell) noexcept : store_(&store), cell_(cell) {}
  explicit operator bool() const noexcept { return cell_ != 0; }

 protected:
  [[nodiscard]] cell_value load() const noexcept {
    return cell_ == 0 ? cell_value{} : store_->load(cell_);
  }
  bool store(const cell_value& value) const noexcept {
    return cell_ != 0 && store_->store(cell_, value);
  }
  cell_store* store_ = nullptr;
  std::uint64_t cell_ = 0;
};

// A sum that only grows.
class counter : public cell_handle {
 public:
  static constexpr cell_kind kind = cell_kind::counter;
  using cell_handle::cell_handle;
  void add(turn&, std::uint64_t amount) const noexcept { store({load()[0] + amount, 0, 0}); }
  [[nodiscard]] std::uint64_t value() const noexcept { return load()[0]; }
};

// value = {number, 1 if there is one}. merge() returns whether `into` changed.
struct merge_maximum {
  static bool merge(cell_value& into, const cell_value& from) noexcept {
    if (from[1] == 0 || (into[1] != 0 && into[0] >= from[0])) return false;
    into = from;
    return true;
  }
};
struct merge_minimum {
  static bool merge(cell_value& into, const cell_value& from) noexcept {
    if (from[1] == 0 || (into[1] != 0 && into[0] <= from[0])) return false;
    into = from;
    return true;
  }
};
// value = {stamp, payload, 1 + slot}: the later stamp wins, then the higher slot, then the higher
// payload, so that there is one total order.
struct merge_last_writer {
  static bool merge(cell_value& into, const cell_value& from) noexcept {
    const std::array<std::uint64_t, 3> ours{into[0], into[2], into[1]};
    const std::array<std::uint64_t, 3> theirs{from[0], from[2], from[1]};
    if (theirs <= ours) return false;
    into = from;
    return true;
  }
};

template <class Merge, cell_kind Kind>
class extreme : public cell_handle {
 public:
  static constexpr cell_kind kind = Kind;
  using cell_handle::cell_handle;
  // Returns whether the cell changed.
  bool merge(turn&, std::uint64_t value) const noexcept {
    cell_value mine = load();
    return Merge::merge(mine, {value, 1, 0}) && store(mine);
  }
  [[nodiscard]] bool has_value() const noexcept { return load()[1] != 0; }
  [[nodiscard]] std::uint64_t value() const noexcept { return load()[0]; }
};
using maximum = extreme<merge_maximum, cell_kind::maximum>;
using minimum = extreme<merge_minimum, cell_kind::minimum>;

// The value written last. set() is this worker's own word; merge() brings in another's.
class last_writer : public cell_handle {
 public:
  static constexpr cell_kind kind = cell_kind::last_writer;
  using cell_handle::cell_handle;
  void set(turn& in, std::uint64_t payload) const noexcept {
    in.see(load()[0]);  // Later than any word that was merged.
    store({in.stamp(), payload, std::uint64_t{in.slot_index()} + 1});
  }
  bool merge(turn&, std::uint64_t stamp, std::uint32_t slot, std::uint64_t payload) const noexcept {
    cell_value mine = load();
    return merge_last_writer::merge(mine, {stamp, payload, std::uint64_t{slot} + 1}) && store(mine);
  }
  [[nodiscard]] std::uint64_t value() const noexcept { return load()[1]; }
};

// A set of byte strings that only grows.
class growing_set : public cell_handle {
 public:
  static constexpr cell_kind kind = cell_kind::growing_set;
  using cell_handle::cell_handle;
  // Returns whether the set grew.
  bool add(turn&, std::string_view member) const noexcept {
    return cell_ != 0 && store_->add_member(cell_, member);
  }
  [[nodiscard]] std::uint64_t size() const noexcept { return load()[0]; }
  // Calls f(member) for each member, the newest first, while f answers true. Costs a look at each
  // member that is shown. The owner's own: others read sets through observe.hpp.
  template <class F>
  void each(F f) const {
    if (cell_ != 0) store_->each_member(cell_, std::move(f));
  }
};

// The worker's own version vector: which events of every worker are in the past of its turns. It
// takes slot_count_max entries, twice, of the worker's cells.
//       clock.merge(turn, theirs); clock.tick(turn);  // A message that bears `theirs` is handled.
class vector_clock : public cell_handle {
 public:
  static constexpr cell_kind kind = cell_kind::vector_clock;
  using cell_handle::cell_handle;
  // What this turn does is an event: one more of this worker's.
  void tick(turn& in) const noexcept;
  // What `from` has in its past is in this turn's. Returns whether the clock changed.
  bool merge(turn&, const version_vector& from) const noexcept;
  [[nodiscard]] version_vector value() const noexcept;

 private:
  bool write(const version_vector& to) const noexcept;
};

}  // namespace cyto
