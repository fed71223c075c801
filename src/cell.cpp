#include "cyto/cell.hpp"

#include <bit>
#include <new>
#include <string>

namespace cyto {
namespace {

constexpr std::uint64_t first_index_words = 256;
constexpr std::uint64_t low_half = 0xffffffffU;

std::uint64_t index_offset(std::uint64_t packed) noexcept { return packed & ~std::uint64_t{63}; }
std::uint64_t index_words(std::uint64_t packed) noexcept {
  return packed == 0 ? 0 : std::uint64_t{1} << (packed & 63);
}

const char* name_of(const cell_record& cell) noexcept {
  return reinterpret_cast<const char*>(&cell + 1);
}
char* bytes_of(member_record& member) noexcept { return reinterpret_cast<char*>(&member + 1); }

// Whether an index leads into the part of the arena that ends at `end`, and has a free word.
bool is_sound_index(std::uint64_t packed, std::uint64_t count, std::uint64_t end) noexcept {
  if (packed == 0) return count == 0;
  const std::uint64_t offset = index_offset(packed);
  constexpr std::uint64_t log2_max = 32;  // A word leads to one of 2^32 places.
  return (packed & 63) <= log2_max && offset != 0 && offset <= end &&
         index_words(packed) * 8 <= end - offset && count < index_words(packed);
}

}  // namespace

bool cell_store::is_sound(const turn::root_values& root, std::uint64_t arena_bytes) noexcept {
  const std::uint64_t end = root[root_end];
  const std::uint64_t last = root[root_last_cell];
  const bool good_last =
      root[root_cells] == 0
          ? last == 0
          : last != 0 && last % line_bytes == 0 && last <= end && sizeof(cell_record) <= end - last;
  return end <= arena_bytes && good_last &&
         is_sound_index(root[root_directory], root[root_cells], end) &&
         is_sound_index(root[root_members], root[root_member_count], end);
}

// `bytes` is the size of what is looked for, name and all.
template <class Same>
std::uint64_t cell_store::find(root_word index, std::uint64_t hash, std::uint64_t bytes,
                               Same same) const noexcept {
  const std::uint64_t packed = turn_->root()[index];
  const std::uint64_t words = index_words(packed);
  if (words == 0) return 0;
  const std::uint64_t base = index_offset(packed);
  const std::uint64_t hash32 = hash >> 32;
  // After a death the words are input: none leads above the end, and the search ends.
  const std::uint64_t end = turn_->root()[root_end];
  for (std::uint64_t i = 0; i < words; ++i) {
    const std::uint64_t entry =
        at<word<std::uint64_t>>(base + ((hash32 + i) & (words - 1)) * 8).own();
    if (entry == 0) return 0;
    const std::uint64_t target = (entry & low_half) * 8;
    if ((entry >> 32) == hash32 && target + bytes <= end && same(target)) return target;
  }
  return 0;
}

std::uint64_t cell_store::take(std::uint64_t bytes, std::uint64_t grain) noexcept {
  turn::root_values root = turn_->root();
  const std::uint64_t begin =
      round_up(std::max<std::uint64_t>(root[root_end], line_bytes), grain);  // 0 means "none".
  if (bytes > turn_->arena_bytes() || begin > turn_->arena_bytes() - bytes) {
    turn_->refuse_cells();
    return 0;
  }
  root[root_end] = begin + bytes;
  turn_->set_root(root);
  return begin;
}

// Makes room for one more word: an index is at most half full. The new one stands above the
// committed end, so the old one stays good until the turn commits, and for readers after it.
bool cell_store::grow(root_word index, std::uint64_t count) noexcept {
  const std::uint64_t packed = turn_->root()[index];
  const std::uint64_t words = index_words(packed);
  if (count * 2 < words) return true;
  const std::uint64_t new_words = words == 0 ? first_index_words : words * 2;
  const std::uint64_t begin = take(new_words * 8, line_bytes);
  if (begin == 0) return false;
  std::memset(turn_->arena() + begin, 0, new_words * 8);
  for (std::uint64_t i = 0; i < words; ++i) {
    const std::uint64_t entry = at<word<std::uint64_t>>(index_offset(packed) + i * 8).own();
    if (entry == 0) continue;
    std::uint64_t to = entry >> 32;
    while (at<word<std::uint64_t>>(begin + (to & (new_words - 1)) * 8).own() != 0) ++to;
    at<word<std::uint64_t>>(begin + (to & (new_words - 1)) * 8).stage(entry);
  }
  turn::root_values root = turn_->root();
  root[index] = begin | static_cast<std::uint64_t>(std::countr_zero(new_words));
  turn_->set_root(root);
  return true;
}

bool cell_store::put(root_word index, std::uint64_t hash, std::uint64_t target) noexcept {
  const std::uint64_t packed = turn_->root()[index];
  const std::uint64_t words = index_words(packed);
  for (std::uint64_t i = 0; i < words; ++i) {
    const std::uint64_t offset = index_offset(packed) + (((hash >> 32) + i) & (words - 1)) * 8;
    auto& entry = at<word<std::uint64_t>>(offset);
    if (entry.own() != 0) continue;
    if (!turn_->touch_index(offset)) return false;
    entry.publish((hash >> 32) << 32 | target / 8);
    return true;
  }
  turn_->refuse_cells();  // Overwritten: an index has free words.
  return false;
}

std::uint64_t cell_store::find_or_make(std::string_view key, std::string_view name,
                                       std::uint32_t kind) {
  std::string both(key);
  if (!name.empty()) both.append(1, ' ').append(name);
  if (both.size() > cell_name_bytes_max) return make(both, kind, 0);  // Which refuses it.
  return find_or_make(both, kind | static_cast<std::uint32_t>(key.size() + 1) << 8);
}

std::uint64_t cell_store::find_named(std::string_view name, std::uint64_t hash,
                                     std::uint32_t kind) const noexcept {
  const std::uint64_t bytes = sizeof(cell_record) + name.size();
  return find(root_directory, hash, bytes, [&](std::uint64_t offset) {
    const auto& cell = at<cell_record>(offset);
    return cell.hash == hash && cell.name_bytes == name.size() && cell.kind >> 8 == kind >> 8 &&
           std::memcmp(name_of(cell), name.data(), name.size()) == 0 &&
           !(is_keyed(kind) && has_moved(load(offset)));
  });
}

std::uint64_t cell_store::find(std::string_view name, cell_kind& kind) const noexcept {
  const std::uint64_t found = find_named(name, hash_bytes(name), 0);
  if (found != 0) kind = static_cast<cell_kind>(at<cell_record>(found).kind);
  return found;
}

std::uint64_t cell_store::find_or_make(std::string_view name, std::uint32_t kind) {
  const std::uint64_t hash = hash_bytes(name);
  const std::uint64_t found = find_named(name, hash, kind);
  if (found == 0) return make(name, kind, hash);
  if (at<cell_record>(found).kind == kind) return found;
  throw error(error_code::bad_input, "cell '" + std::string(name.substr(0, 200)) + "'",
              "it is of kind " + std::to_string(at<cell_record>(found).kind & 0xffU) +
                  ", asked for as kind " + std::to_string(kind & 0xffU),
              {}, "give the two cells two names");
}

std::uint64_t cell_store::make(std::string_view name, std::uint32_t kind, std::uint64_t hash) {
  if (name.size() > cell_name_bytes_max) {
    throw error(error_code::bad_input, "cell '" + std::string(name.substr(0, 60)) + "...'",
                "its name has " + bytes_text(name.size()),
                "at most " + bytes_text(cell_name_bytes_max) + " are possible");
  }
  if (!grow(root_directory, turn_->root()[root_cells])) return 0;
  const std::uint64_t begin = take(sizeof(cell_record) + name.size(), line_bytes);
  if (begin == 0) return 0;
  auto& cell = *new (turn_->arena() + begin) cell_record;
  cell.value.stage(0, {});
  cell.value.seal(0, tag_void);
  cell.value.seal(1, tag_void);
  cell.previous = turn_->root()[root_last_cell];
  cell.hash = hash;
  cell.kind = kind;
  cell.name_bytes = static_cast<std::uint32_t>(name.size());
  std::memcpy(turn_->arena() + begin + sizeof(cell_record), name.data(), name.size());
  if (!turn_->touch_cell(begin)) return 0;
  cell.value.stage(0, {});
  if (!put(root_directory, hash, begin)) return 0;
  turn::root_values root = turn_->root();
  ++root[root_cells];
  root[root_last_cell] = begin;
  turn_->set_root(root);
  return begin;
}

cell_value cell_store::load(std::uint64_t cell) const noexcept {
  const auto& value = at<cell_record>(cell).value;
  const unsigned staged = value.staged();
  return staged == versioned<3>::none ? value.own_current(turn_->commit_word()) : value.own(staged);
}

cell_value cell_store::load_committed(std::uint64_t cell) const noexcept {
  return at<cell_record>(cell).value.own_current(turn_->commit_word());
}

bool cell_store::store(std::uint64_t cell, const cell_value& to) noexcept {
  auto& value = at<cell_record>(cell).value;
  unsigned staged = value.staged();
  if (staged == versioned<3>::none) {
    if (!turn_->touch_cell(cell)) return false;
    staged = 1 - (value.current(turn_->commit_word()) & 1);
  }
  value.stage(staged, to);
  return true;
}

bool cell_store::add_member(std::uint64_t cell, std::string_view bytes) noexcept {
  const std::uint64_t hash = hash_bytes(bytes, at<cell_record>(cell).hash);
  const auto cell8 = static_cast<std::uint32_t>(cell / 8);
  const std::uint64_t needed = sizeof(member_record) + bytes.size();
  const std::uint64_t found = find(root_members, hash, needed, [&](std::uint64_t offset) {
    auto& member = at<member_record>(offset);
    return member.cell8 == cell8 && member.bytes == bytes.size() &&
           std::memcmp(bytes_of(member), bytes.data(), bytes.size()) == 0;
  });
  if (found != 0) return false;
  if (!grow(root_members, turn_->root()[root_member_count])) return false;
  const std::uint64_t begin = take(sizeof(member_record) + bytes.size(), 8);
  if (begin == 0) return false;
  cell_value value = load(cell);
  auto& member = at<member_record>(begin);
  member = {static_cast<std::uint32_t>(value[1] / 8), cell8,
            static_cast<std::uint32_t>(bytes.size())};
  std::memcpy(bytes_of(member), bytes.data(), bytes.size());
  if (!put(root_members, hash, begin)) return false;
  turn::root_values root = turn_->root();
  ++root[root_member_count];
  turn_->set_root(root);
  value = {value[0] + 1, begin, value[2] + bytes.size()};
  return store(cell, value);
}

}  // namespace cyto
