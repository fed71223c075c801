// A small system in the middle of its work, to be overwritten: three workers in a row, messages in
// both lanes, cells of every kind. put_back() makes it what it was.
#pragma once

#include <string>
#include <vector>

#include "fuzz/input.hpp"
#include "report.hpp"
#include "support/system.hpp"
#include "table.hpp"

namespace cyto::fuzz {

enum : std::uint32_t { first_slot, middle_slot, last_slot };

inline segment_plan world_plan() {
  segment_plan plan =
      test::small_plan({"first/0", "middle/0", "last/0"}, {{0, 1}, {1, 2}}, {4096, 16 * 1024});
  plan.slots[0].flags = slot_is_source;
  plan.slots[1].settings = "key=value\n";
  for (slot_plan& each : plan.slots) each.trace_bytes = 4096;
  return plan;
}

struct world {
  world() : where(segment::create(world_plan())), all(where.map(0, where.header().segment_bytes)) {
    reinterpret_cast<board*>(all.data() + where.header().board_offset)->tracing.publish(1);
    for (std::uint32_t i = 0; i < where.slot_count(); ++i) readers.emplace_back(where, i, 1);
    slot first(where, first_slot), middle(where, middle_slot), last(where, last_slot);
    for (int i = 0; i < 6; ++i) {
      middle.cells().cell<counter>("counter").add(middle.the_turn(), 1);
      middle.cells().cell<maximum>("maximum").merge(middle.the_turn(), 7);
      middle.cells().cell<growing_set>("set").add(middle.the_turn(), std::to_string(i));
      middle.cells().cell<last_writer>("last").set(middle.the_turn(), 3);
      test::send(first, 0, "a message of the first");
      std::string payload;
      if (i < 3 && test::take_one(middle, payload)) test::send(middle, 0, payload + " and more");
    }
    std::string payload;
    if (test::take_one(last, payload)) last.the_turn().commit();
    whole.assign(all.data(), all.data() + where.header().segment_bytes);
  }
  void put_back() { std::memcpy(all.data(), whole.data(), whole.size()); }

  // One edit somewhere in [begin, begin + bytes): any word of it, or a byte.
  void edit(std::uint64_t begin, std::uint64_t bytes, input& in) {
    const std::uint64_t offset = in.take<std::uint32_t>() % bytes;
    if (in.take<std::uint8_t>() % 4 == 0) {
      all.data()[begin + offset] = in.take<std::byte>();
      return;
    }
    const std::uint64_t value = in.number();
    std::memcpy(all.data() + begin + (offset & ~std::uint64_t{7}), &value, sizeof value);
  }

  segment where;
  mapping all;
  std::vector<flight_reader> readers;  // From the first event on.
  std::vector<std::byte> whole;
};

// All that a tool does with a segment. An error in words is an answer.
inline void look_at_all(const segment& where) {
  keep(workers_of(where).size() + lanes_of(where).size());
  keep(is_quiet(where) ? 1 : 0);
  keep(sources_have_ended(where) ? 1 : 0);
  keep(tools::audit_report(where).dump().size());
  keep(tools::status_report(where).dump().size());
  for (std::uint32_t i = 0; i < where.slot_count(); ++i) {
    try {
      each_cell(where, i, [](const cell_view& cell) {
        read_all(cell.name.data(), cell.name.size());
        keep(cell.value[0] + cell.kind);
      });
      keep(tools::table_of(where, where.slot(i).group).size());
    } catch (const error&) {
      continue;
    }
  }
}

}  // namespace cyto::fuzz
