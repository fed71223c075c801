// Every view that tools have, on a system whose shared memory was overwritten behind its header:
// they end, and stay inside.
#include "fuzz/world.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace cyto::fuzz;
  static world on;
  on.put_back();
  const std::uint64_t begin = on.where.header().doorbells_offset;
  const std::uint64_t middle = on.where.slot(middle_slot).control_offset;
  for (input in(data, size); !in.empty();) {
    switch (in.take<std::uint8_t>() % 5) {
      case 0:
        on.edit(begin, on.whole.size() - begin, in);
        break;
      case 1:  // The words that say most: commit word to the roots of the cells.
        on.edit(middle, 256, in);
        break;
      case 2:
        on.edit(middle + sizeof(cyto::control), 192, in);
        break;
      case 3:
        on.edit(on.where.slot(middle_slot).arena_offset, 8192, in);
        break;
      default:
        on.edit(on.where.lane(in.take<std::uint8_t>() % 2).ring_offset, 4096, in);
    }
  }
  look_at_all(on.where);
  for (cyto::flight_reader each : on.readers) {
    std::vector<cyto::flight_entry> events;
    for (int reads = 0; reads < 3 && !each.read(events); ++reads) {
    }
    keep(events.size() + each.missed());
  }
  return 0;
}
