// A successor takes a slot whose control block, cells and lanes were overwritten, between two
// honest neighbours. It is refused in words, or works; the neighbours go on either way.
#include "fuzz/world.hpp"

namespace cyto::fuzz {
namespace {

void work(slot& as, const char* name) {
  for (int i = 0; i < 3; ++i) {
    for (std::string payload; test::take_one(as, payload);)
      read_all(payload.data(), payload.size());
    as.cells().cell<counter>(name).add(as.the_turn(), 1);
    as.cells().cell<growing_set>("set").add(as.the_turn(), std::to_string(i));
    as.cells().cell<last_writer>("last").set(as.the_turn(), 4);
    if (!as.the_turn().outputs().empty()) test::stage(as, 0, "one more");
    if (i == 1 || as.the_turn().fault() != turn_fault::none) {
      as.the_turn().abort();
      as.incoming().reset();
    } else {
      as.the_turn().commit();
    }
  }
}

void take_over(const segment& where, std::uint32_t which, const char* name) {
  try {
    slot place(where, which);
    work(place, name);
  } catch (const error& refusal) {
    require(which == middle_slot, refusal.what());
  }
}

}  // namespace
}  // namespace cyto::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace cyto;
  using namespace cyto::fuzz;
  static fuzz::world on;
  on.put_back();
  const slot_entry& middle = on.where.slot(middle_slot);
  for (input in(data, size); !in.empty();) {
    switch (in.take<std::uint8_t>() % 6) {
      case 0:
        on.edit(middle.control_offset, 256, in);
        break;
      case 1:
        on.edit(middle.control_offset + offsetof(control, touched_count), 512, in);
        break;
      case 2:
        on.edit(middle.control_offset + offsetof(control, shapes), 1216, in);
        break;
      case 3:
        on.edit(middle.arena_offset, middle.arena_bytes, in);
        break;
      case 4:
        on.edit(on.where.lane(1).ring_offset, 4096, in);
        break;
      default:
        on.edit(on.where.header().doorbells_offset, 192, in);
    }
  }
  take_over(on.where, middle_slot, "counter");
  take_over(on.where, first_slot, "counter");
  take_over(on.where, last_slot, "counter");
  take_over(on.where, middle_slot, "another");
  look_at_all(on.where);
  return 0;
}
