// What a topology must hold to, and the memory that follows from it.
#include <algorithm>

#include "cyto/supervisor.hpp"
#include "names.hpp"

namespace cyto {
namespace {

const worker_spec* find(const topology& of, const std::string& name) {
  const auto found = std::find_if(of.workers.begin(), of.workers.end(),
                                  [&](const worker_spec& each) { return each.name == name; });
  return found == of.workers.end() ? nullptr : &*found;
}

// Whether `to` can be reached from `from`, along lanes.
bool reaches(const topology& of, const std::string& from, const std::string& to,
             std::vector<std::string>& seen) {
  for (const lane_spec& lane : of.lanes) {
    if (lane.from != from) continue;
    if (lane.to == to) return true;
    if (std::find(seen.begin(), seen.end(), lane.to) != seen.end()) continue;
    seen.push_back(lane.to);
    if (reaches(of, lane.to, to, seen)) return true;
  }
  return false;
}

std::string slot_name(const worker_spec& spec, std::uint32_t member) {
  return spec.name + "/" + std::to_string(member);
}

}  // namespace

void check(const topology& of) {
  const std::string thing = "topology " + of.name;
  check_name("system name", of.name);
  std::uint64_t slots = 0;
  for (const worker_spec& each : of.workers) {
    check_name("worker name", each.name);
    if (each.count < 1 || each.count > slot_count_max) {
      throw error(error_code::bad_input, thing + ": worker " + each.name,
                  "count is " + std::to_string(each.count), "1 to 256 are possible", {});
    }
    slots += each.count;
    if (find(of, each.name) != &each) {
      throw error(error_code::bad_input, thing, "two workers are called '" + each.name + "'", {},
                  "rename one");
    }
  }
  if (slots < 1 || slots > slot_count_max) {
    throw error(error_code::bad_input, thing, "it has " + std::to_string(slots) + " workers",
                "1 to 256 are possible", "change the counts");
  }
  for (const lane_spec& lane : of.lanes) {
    for (const std::string& end : {lane.from, lane.to}) {
      if (find(of, end) != nullptr) continue;
      throw error(error_code::bad_input, thing,
                  "lane " + lane.from + " -> " + lane.to + " names worker '" + end + "'",
                  "there is no such worker", "add it, or correct the name");
    }
    for (const lane_spec* other = of.lanes.data(); other != &lane; ++other) {
      if (other->from != lane.from || other->to != lane.to) continue;
      throw error(error_code::bad_input, thing,
                  "there are two lanes " + lane.from + " -> " + lane.to, {}, "remove one");
    }
    std::vector<std::string> seen;
    if (lane.from == lane.to || reaches(of, lane.to, lane.from, seen)) {
      throw error(error_code::bad_input, thing,
                  "lane " + lane.from + " -> " + lane.to + " closes a cycle",
                  "workers that wait for each other's room could wait for ever",
                  "cut the cycle; this version has no outbox that would keep it moving");
    }
  }
  if (!of.table_of.empty() && find(of, of.table_of) == nullptr) {
    throw error(error_code::bad_input, thing, "table names worker '" + of.table_of + "'",
                "there is no such worker", "correct the name");
  }
  if (of.period_ms < 1 || of.period_ms > 3'600'000) {
    throw error(error_code::bad_input, thing, "period_ms is " + std::to_string(of.period_ms),
                "1 to 3,600,000 are possible");
  }
}

segment_plan plan_of(const topology& of) {
  segment_plan plan;
  plan.name = of.name;
  std::string all = of.name;  // What the fingerprint is taken of.
  for (const worker_spec& spec : of.workers) {
    std::string settings;
    for (const auto& [key, value] : spec.settings) settings += key + "=" + value + "\n";
    // For the worker's own messages: what its user may change.
    settings += "origin of cells_bytes=" + spec.cells_origin + "\n";
    for (const lane_spec& lane : of.lanes) {
      if (lane.from == spec.name) {
        settings += "origin of lane_bytes to " + lane.to + "=" + lane.origin + "\n";
      }
    }
    for (std::uint32_t member = 0; member < spec.count; ++member) {
      plan.slots.push_back({slot_name(spec, member), spec.name, member,
                            spec.is_source ? slot_is_source : 0U, spec.cells_bytes, settings});
    }
    all += "\n" + spec.name + " " + std::to_string(spec.count) + " " + spec.program + " " +
           std::to_string(spec.cells_bytes) + (spec.is_source ? " source\n" : "\n") + settings;
    for (const std::string& argument : spec.arguments) all += argument + "\n";
  }
  const auto first_slot = [&of](const std::string& name) {
    std::uint32_t slot = 0;
    for (const worker_spec& spec : of.workers) {
      if (spec.name == name) return std::pair{slot, spec.count};
      slot += spec.count;
    }
    return std::pair{0U, 0U};
  };
  for (const lane_spec& lane : of.lanes) {
    const auto [from, from_count] = first_slot(lane.from);
    const auto [to, to_count] = first_slot(lane.to);
    for (std::uint32_t i = 0; i < from_count; ++i) {
      for (std::uint32_t j = 0; j < to_count; ++j) {
        plan.lanes.push_back({from + i, to + j, lane.lane_bytes});
      }
    }
    all += "\n" + lane.from + " " + lane.to + " " + std::to_string(lane.lane_bytes);
  }
  plan.fingerprint = hash_bytes(all);
  return plan;
}

}  // namespace cyto
