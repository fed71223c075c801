#include "across/system.hpp"

#include <string>

namespace cyto::bench {

segment make_system(std::uint64_t lane_bytes, std::uint32_t silent, bool is_traced) {
  constexpr std::uint64_t arena_bytes = 64 << 10;
  constexpr std::uint64_t trace_bytes = 256 << 10;
  segment_plan plan;
  plan.name = "bench";
  plan.memfd_tag = "cyto:bench";
  plan.slots = {{"near", "near", 0, slot_is_port, arena_bytes, {}, 0, trace_bytes},
                {"far", "far", 0, slot_is_port, arena_bytes, {}, 0, trace_bytes}};
  plan.lanes = {{near_slot, far_slot, lane_bytes}, {far_slot, near_slot, lane_bytes}};
  for (std::uint32_t i = 0; i < silent; ++i) {
    plan.slots.push_back({"silent/" + std::to_string(i), "silent", i, slot_is_port, 0, {}});
    plan.lanes.push_back({2 + i, near_slot, page_bytes});
    plan.lanes.push_back({2 + i, far_slot, page_bytes});
  }
  segment made = segment::create(plan);
  if (is_traced) {
    const mapping pages = made.map_board();
    reinterpret_cast<board*>(pages.data())->tracing.publish(1);
  }
  return made;
}

player_slot::player_slot(const segment& where, bool is_near)
    : slot_(where, is_near ? near_slot : far_slot) {
  for (const auto& each : slot_.the_turn().inputs()) {
    if (each->writer_slot == (is_near ? far_slot : near_slot)) in_ = each.get();
  }
  cell_ = slot_.cells().cell<counter>("handled");
  slot_.the_turn().commit();
}

}  // namespace cyto::bench
