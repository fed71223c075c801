// A peer's update as the receiver applies it: whatever its bytes are, a cell is changed by its own
// law or by none, a refusal changes nothing, and a turn follows it.
#include "cyto/update.hpp"

#include "fuzz/input.hpp"
#include "support/system.hpp"

namespace {

std::uint64_t digest_of(const cyto::segment& where) {
  std::uint64_t out = 0;
  cyto::each_cell(where, 0, [&](const cyto::cell_view& cell) {
    out = out * 31 + cell.kind + cell.value[0] + cell.value[1] + cell.value[2];
  });
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace cyto;
  static test::small_system system({"stock"}, {});
  static slot stock(system.where, 0);
  static const bool is_ready = [] {
    turn& in = stock.the_turn();
    stock.cells().cell<counter>("c").add(in, 1);
    stock.cells().cell<maximum>("m").merge(in, 1);
    stock.cells().cell<minimum>("n").merge(in, 9);
    stock.cells().cell<last_writer>("l").set(in, 1);
    (void)stock.cells().cell<growing_set>("s").add(in, "a");
    in.commit();
    return true;
  }();
  fuzz::keep(is_ready ? 1 : 0);
  fuzz::input bytes(data, size);
  const auto options = bytes.take<std::uint8_t>();
  const std::string_view rest = bytes.rest();
  alignas(line_bytes) static std::byte place[4096];
  const std::size_t length = std::min(rest.size(), sizeof place);
  std::memcpy(place, rest.data(), length);

  accepted_updates by(stock.cells());
  by.of((options & 1U) != 0 ? new_cells::make : new_cells::refuse)
      .compute("f", [](turn&, std::string_view cell, std::string_view argument) {
        fuzz::read_all(cell.data(), cell.size());
        fuzz::read_all(argument.data(), argument.size());
      });
  const std::uint64_t before = digest_of(system.where);
  turn& in = stock.the_turn();
  const message_view view{place, static_cast<std::uint32_t>(length), 0, 0, in.stamp()};
  bool is_sound = false;
  const update_refusal why = by.apply(view, in, true, is_sound);
  if ((!is_sound && why == update_refusal::none) ||
      (why != update_refusal::none && !in.is_empty())) {
    __builtin_trap();
  }
  // Always the same world: what was changed is undone.
  in.abort();
  if (digest_of(system.where) != before) __builtin_trap();
  return 0;
}
