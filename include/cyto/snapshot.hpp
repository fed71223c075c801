// cyto/snapshot.hpp
//
// What: cells of several workers as of one consistent cut, while all of them go on.
//       cyto::snapshot books(where, {*find_cell(where, "a", "sum"), *find_cell(where, "b", "n")});
//       if (books.take()) use(books.value(0)[0], books.value(1)[0]);
//
// Who: anybody who has the segment mapped: a tool, a worker (worker::where()), a port
//   (port::where()). Nothing is written, nobody is stopped or notices. An object is used by one
//   thread at a time. take() allocates nothing, makes no system call and waits for nobody.
//
// Layout: private memory. Reads what cell.hpp describes; every offset found there is checked.
//
// Ordering: a cut is a set of committed turns that has with each turn all that it depends on.
//   N1 What take() reads are the values that the turns of one such set have left, of each worker
//      all up to one turn, and nothing of any other turn. A turn depends on the ones before it of
//      its worker, on the senders' turns of the messages that it took, and on what it said to have
//      read: turn::see().
//   N2 Every turn that was committed when take() was called is in the set. So whoever has seen an
//      effect finds its cause, and whoever has committed finds what it has written, without having
//      to say what it has seen.
//   N3 stamp() is not below the stamp of any turn in the set. A turn that acts upon what was read
//      says turn.see(cut.stamp()); then it counts as depending on all of it.
//
//   take() reads the worker with the latest clock first, and goes down from there: why that is
//   enough stands in snapshot.cpp. It fails only where a cell is changed for the second time
//   between the choice of the turn to be read and the reading, begins anew then, and answers false
//   after `tries_max` such failures. Workers that are idle, stopped or dead, clocks that are far
//   apart, changes of other cells and a single change of any cell do not make it fail.
//
// Death: nothing to leave behind. What a killed worker had not committed is not seen.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "cyto/cell.hpp"
#include "cyto/segment.hpp"

namespace cyto {

// Where a cell lies: for ever, since cells are never removed.
struct cell_place {
  std::uint32_t slot_index = 0;
  std::uint64_t arena_offset = 0;
};

// The cell of that name of a worker or port, or nothing if no committed turn has made it yet.
// Looks through all cells of that slot. Throws cyto::error when there is no such worker, and when
// its cells make no sense.
std::optional<cell_place> find_cell(const segment& from, std::string_view worker,
                                    std::string_view cell);

class snapshot {
 public:
  // Of the cells at these places, in this order. `from` outlives the object. Throws bad_input for a
  // place that is none.
  snapshot(const segment& from, const std::vector<cell_place>& places);

  // False: some cell was changed so fast that each of `tries_max` tries came too late, and what the
  // object holds is of no cut. One may try again, with fewer cells of those that change with every
  // turn of a busy worker. (Memory that was overwritten is refused in the same way.)
  [[nodiscard]] bool take(unsigned tries_max = tries_default) noexcept;

  // What the last take() that went well has read. REQUIRES: index < size().
  [[nodiscard]] const cell_value& value(std::size_t index) const noexcept {
    return cells_[index].value;
  }
  // The stamp of the turn that wrote it.
  [[nodiscard]] std::uint64_t written_at(std::size_t index) const noexcept {
    return cells_[index].tag;
  }
  [[nodiscard]] cell_kind kind(std::size_t index) const noexcept { return cells_[index].kind; }
  // Of a vector_clock; of other kinds the empty vector.
  [[nodiscard]] version_vector vector(std::size_t index) const noexcept;
  [[nodiscard]] std::size_t size() const noexcept { return cells_.size(); }
  [[nodiscard]] std::uint64_t stamp() const noexcept { return stamp_; }
  // How often the last take() had to begin anew.
  [[nodiscard]] unsigned failures() const noexcept { return failures_; }

  static constexpr unsigned tries_default = 1000;

 private:
  struct cell {
    const cell_record* at;
    std::uint64_t tag = 0;
    cell_value value{};
    cell_kind kind{};
    std::size_t vector = 0;  // Which of vectors_, if it is a clock.
  };
  struct source {
    const word<std::uint64_t>* commit;
    const std::byte* arena;
    std::uint64_t arena_bytes;
    std::size_t begin;  // Its cells: these of order_.
    std::size_t end;
    std::size_t next_hot;
  };
  bool take_once() noexcept;
  bool read(source& of, std::uint64_t bound) noexcept;
  bool read_vector(const source& of, cell& to, std::uint64_t bound) noexcept;

  std::vector<cell> cells_;
  std::vector<std::size_t> order_;  // Of cells_: by source, first those that were missed before.
  std::vector<source> sources_;     // Those still to be read come first.
  std::vector<version_vector> vectors_;
  std::uint64_t stamp_ = 0;
  unsigned failures_ = 0;
};

}  // namespace cyto
