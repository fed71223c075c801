// A small system in one process: a segment, and slots that each map it for themselves, so that any
// absolute pointer in shared memory would show at once.
//
//   small_system system({"feeder", "worker"}, {{0, 1}});
//   slot feeder(system.where, 0), worker(system.where, 1);
//   send(feeder, 0, "hello");
//   EXPECT_EQ(drain(worker), std::vector<std::string>{"hello"});
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cyto/cyto.hpp"

namespace cyto::test {

struct system_sizes {
  std::uint64_t ring_bytes = 4096;
  std::uint64_t arena_bytes = 64 * 1024;
};

// Slots by name, lanes as pairs of slot numbers {writer, reader}.
inline segment_plan small_plan(const std::vector<std::string>& names,
                               const std::vector<std::pair<unsigned, unsigned>>& lanes,
                               const system_sizes& sizes = {}) {
  segment_plan plan;
  plan.name = "test";
  plan.memfd_tag = "cyto-unit-test";
  for (const std::string& name : names) {
    plan.slots.push_back({name, name.substr(0, name.find('/')), 0, 0, sizes.arena_bytes, {}});
  }
  for (const auto& [writer, reader] : lanes) {
    plan.lanes.push_back({writer, reader, sizes.ring_bytes});
  }
  return plan;
}

struct small_system {
  small_system(const std::vector<std::string>& names,
               const std::vector<std::pair<unsigned, unsigned>>& lanes,
               const system_sizes& sizes = {})
      : where(segment::create(small_plan(names, lanes, sizes))) {}
  // All of it, writable: what a mad process could reach, and what a test needs to bend something.
  [[nodiscard]] mapping map_all() const { return where.map(0, where.header().segment_bytes); }

  segment where;
};

inline constexpr std::uint32_t raw_kind = 1;

// Stages a message and leaves the turn open.
inline status stage(slot& from, std::size_t lane, std::string_view payload) {
  turn& in = from.the_turn();
  return in.send_bytes(*in.outputs()[lane], payload.data(),
                       static_cast<std::uint32_t>(payload.size()), raw_kind);
}

// A turn that sends one message; aborted unless it went well.
inline status send(slot& from, std::size_t lane, std::string_view payload) {
  const status staged = stage(from, lane, payload);
  if (staged == status::ok) {
    from.the_turn().commit();
  } else {
    from.the_turn().abort();
  }
  return staged;
}

inline std::string payload_of(const message_view& view) {
  return {reinterpret_cast<const char*>(view.data), view.size};
}

// Takes the next message into the turn in progress; false if there is none.
inline bool take_one(slot& to, std::string& payload) {
  message_view view;
  turn_input* from = to.incoming().next(view);
  if (from == nullptr) return false;
  to.the_turn().take(*from, view);
  payload = payload_of(view);
  turn::consume(*from, view);
  to.incoming().taken(*from);
  return true;
}

// Takes all that is there, in one turn, which commits.
inline std::vector<std::string> drain(slot& to) {
  std::vector<std::string> out;
  for (std::string payload; take_one(to, payload);) out.push_back(payload);
  if (!out.empty()) to.the_turn().commit();
  return out;
}

}  // namespace cyto::test
