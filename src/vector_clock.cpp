#include "cyto/cell.hpp"

namespace cyto {
namespace {

// The cell's value: how many entries, where they stand, and where the two halves begin.
constexpr std::size_t entries_word = 0;
constexpr std::size_t half_word = 1;
constexpr std::size_t halves_word = 2;
constexpr std::uint64_t half_bytes = version_vector::entries_max * 8;

using count_word = word<std::uint64_t>;

}  // namespace

version_vector vector_clock::value() const noexcept {
  version_vector out;
  const cell_value at = load();
  if (at[halves_word] == 0 || at[entries_word] > version_vector::entries_max) return out;
  std::array<std::uint64_t, version_vector::entries_max> counts;
  const auto* words =
      reinterpret_cast<const count_word*>(store_->the_turn().arena() + at[half_word]);
  for (std::size_t i = 0; i < at[entries_word]; ++i) counts[i] = words[i].own();
  static_cast<void>(out.assign({counts.data(), at[entries_word]}));
  return out;
}

bool vector_clock::write(const version_vector& to) const noexcept {
  if (cell_ == 0) return false;
  // The half that readers of the last committed turn do not look at.
  const cell_value committed = store_->load_committed(cell_);
  std::uint64_t halves = load()[halves_word];
  if (halves == 0) halves = store_->take(2 * half_bytes, line_bytes);
  if (halves == 0) return false;
  const std::uint64_t half = committed[half_word] == halves ? halves + half_bytes : halves;
  // K4: the cell is marked as being changed before the first word of that half is.
  if (!store({to.counts().size(), half, halves})) return false;
  auto* words = reinterpret_cast<count_word*>(store_->the_turn().arena() + half);
  for (std::size_t i = 0; i < to.counts().size(); ++i) words[i].publish(to[i]);
  return true;
}

void vector_clock::tick(turn& in) const noexcept {
  version_vector mine = value();
  mine.increment(in.slot_index());
  write(mine);
}

bool vector_clock::merge(turn&, const version_vector& from) const noexcept {
  version_vector mine = value();
  return mine.merge(from) && write(mine);
}

}  // namespace cyto
