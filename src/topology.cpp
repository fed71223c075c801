// What a topology must hold to, and the memory that follows from it.
#include <algorithm>
#include <bit>

#include "cyto/supervisor.hpp"
#include "names.hpp"

namespace cyto {
namespace {

const worker_spec* find(const topology& of, const std::string& name) {
  const auto found = std::find_if(of.workers.begin(), of.workers.end(),
                                  [&](const worker_spec& each) { return each.name == name; });
  return found == of.workers.end() ? nullptr : &*found;
}

// Whether `to` can be reached from `from`, along lanes. No path leads through a port: to take a
// message it need not have sent another first, so nobody waits in a circle because of it.
bool reaches(const topology& of, const std::string& from, const std::string& to,
             std::vector<std::string>& seen) {
  for (const lane_spec& lane : of.lanes) {
    if (lane.from != from) continue;
    if (lane.to == to) return true;
    const worker_spec* at = find(of, lane.to);
    if (at != nullptr && at->is_port) continue;
    if (std::find(seen.begin(), seen.end(), lane.to) != seen.end()) continue;
    seen.push_back(lane.to);
    if (reaches(of, lane.to, to, seen)) return true;
  }
  return false;
}

// Of the lanes that lead to that worker, the largest, if one of them comes out of a cycle; else 0.
std::uint64_t largest_lane_of_cycle(const topology& of, const worker_spec& reader) {
  std::uint64_t largest = 0;
  bool has_cycle = false;
  for (const lane_spec& lane : of.lanes) {
    if (lane.to != reader.name) continue;
    largest = std::max(largest, lane.lane_bytes);
    has_cycle = has_cycle || is_in_cycle(of, lane);
  }
  return has_cycle ? largest : 0;
}

std::uint64_t deferred_bytes_of(const topology& of, const worker_spec& spec) {
  const std::uint64_t largest = largest_lane_of_cycle(of, spec);
  if (largest == 0 || spec.deferred_bytes != 0) return largest == 0 ? 0 : spec.deferred_bytes;
  return std::min(4 * largest, lane_bytes_max);
}

void check_deferred(const topology& of, const worker_spec& spec, const std::string& thing) {
  const std::uint64_t least = 2 * largest_lane_of_cycle(of, spec);
  const std::uint64_t bytes = deferred_bytes_of(of, spec);
  const bool is_size = std::has_single_bit(bytes) && bytes >= std::max(least, lane_bytes_min) &&
                       bytes <= lane_bytes_max;
  if (bytes == 0 || is_size) return;
  throw error(error_code::bad_input, thing, spec.deferred_origin + " is " + bytes_text(bytes),
              "it is part of a cycle, and what it defers needs a power of two from " +
                  bytes_text(std::max(least, lane_bytes_min)) + " (twice its largest lane) to " +
                  bytes_text(lane_bytes_max),
              "change it, or the lane_bytes of its lanes");
}

std::uint64_t held_bytes_of(const lane_spec& lane) {
  if (lane.policy != full_policy::drop_oldest) return 0;
  return lane.held_bytes != 0 ? lane.held_bytes : lane.lane_bytes;
}

void check_full(const topology& of, const lane_spec& lane, const std::string& thing) {
  const bool drops = lane.policy != full_policy::defer && lane.policy != full_policy::refuse;
  if (lane.is_control && drops) {
    throw error(error_code::bad_input, thing, "is a control lane, and drops what has no room",
                "what controls others is never dropped", "choose defer or refuse");
  }
  if (lane.policy != full_policy::drop_oldest) {
    if (lane.held_bytes == 0) return;
    throw error(error_code::bad_input, thing, "has " + lane.held_origin,
                "only a lane that drops its oldest holds messages",
                "remove it, or say full = \"drop_oldest\"");
  }
  const worker_spec* from = find(of, lane.from);
  if (from != nullptr && from->is_port) {
    throw error(error_code::bad_input, thing, "comes from a port, and drops its oldest",
                "nobody moves on what is held while the port's program does something else",
                "choose refuse: its program is told, and can keep what it likes");
  }
  const std::uint64_t bytes = held_bytes_of(lane);
  if (std::has_single_bit(bytes) && bytes >= lane.lane_bytes && bytes <= lane_bytes_max) return;
  throw error(error_code::bad_input, thing, lane.held_origin + " is " + bytes_text(bytes),
              "a power of two from " + bytes_text(lane.lane_bytes) + " (its lane_bytes) to " +
                  bytes_text(lane_bytes_max) + " is possible",
              "change it");
}

void check_supervisor(const supervisor_spec& each, const std::string& thing) {
  if (each.period_ms < 1 || each.period_ms > 3'600'000) {
    throw error(error_code::bad_input, thing, "period_ms is " + std::to_string(each.period_ms),
                "1 to 3,600,000 are possible", "change it");
  }
  if (each.intensity > intensity_max) {
    throw error(error_code::bad_input, thing, "intensity is " + std::to_string(each.intensity),
                "0 to " + std::to_string(intensity_max) + " are possible",
                "a short period_ms says the same");
  }
}

// What waits in cells is sent by a worker's loop; nobody runs one for a port.
void check_coalescing(const topology& of, const lane_spec& lane, const std::string& thing) {
  if (lane.policy != full_policy::coalesce) return;
  const worker_spec* from = find(of, lane.from);
  const bool is_from_port = from != nullptr && from->is_port;
  const bool is_bounded = from != nullptr && from->in_flight_bytes_max != 0;
  if (!is_from_port && !lane.is_control && !is_bounded) return;
  throw error(error_code::bad_input, thing, "lane " + lane.from + " -> " + lane.to + " coalesces",
              is_from_port      ? "a port's program may leave what waits behind"
              : lane.is_control ? "control does not wait"
                                : "in_flight_bytes_max of worker " + lane.from +
                                      " counts lanes, and what waits is in cells",
              "choose another 'full'");
}

// `above`: how many of the supervisors may be named.
void check_child(const topology& of, const child_spec& each, const std::string& thing,
                 std::size_t above) {
  const auto end = of.supervisors.begin() + static_cast<std::ptrdiff_t>(above);
  if (!each.supervisor.empty() &&
      std::none_of(of.supervisors.begin(), end,
                   [&](const supervisor_spec& other) { return other.name == each.supervisor; })) {
    throw error(error_code::bad_input, thing, "names supervisor '" + each.supervisor + "'",
                "there is none of that name above it", "add it, or correct the name");
  }
  if (each.significant && each.restart == restart_type::permanent) {
    throw error(error_code::bad_input, thing, "is significant and permanent",
                "it would be restarted and never come to its end",
                "make it transient or temporary");
  }
}

void check_supervisors(const topology& of, const std::string& topology_name) {
  check_supervisor(of.root, topology_name);
  for (std::size_t i = 0; i < of.supervisors.size(); ++i) {
    const supervisor_spec& each = of.supervisors[i];
    const std::string thing = topology_name + ": supervisor " + each.name;
    check_name("supervisor name", each.name);
    check_supervisor(each, thing);
    check_child(of, each, thing, i);
    bool has_child = false;
    for (const worker_spec& other : of.workers)
      has_child = has_child || other.supervisor == each.name;
    for (std::size_t j = 0; j < of.supervisors.size(); ++j) {
      has_child = has_child || of.supervisors[j].supervisor == each.name;
      if (j == i || of.supervisors[j].name != each.name) continue;
      throw error(error_code::bad_input, topology_name,
                  "two supervisors are called '" + each.name + "'", {}, "rename one");
    }
    if (!has_child) {
      throw error(error_code::bad_input, thing, "has no child", {},
                  "name it as the supervisor of a worker, or remove it");
    }
  }
  for (const worker_spec& each : of.workers) {
    const std::string thing = topology_name + ": worker " + each.name;
    check_child(of, each, thing, of.supervisors.size());
    if (!each.is_plain) continue;
    const bool has_lane = std::any_of(of.lanes.begin(), of.lanes.end(), [&](const lane_spec& lane) {
      return lane.from == each.name || lane.to == each.name;
    });
    if (!has_lane && !each.is_source && each.ready_ms == 0 && each.stall_ms == 0 &&
        each.cpus.empty()) {
      continue;
    }
    throw error(error_code::bad_input, thing,
                "is plain and has a lane, ready_ms, stall_ms or cpus, or is a source",
                "a program without cyto takes no part in turns", "remove one of the two");
  }
}

std::string slot_name(const worker_spec& spec, std::uint32_t member) {
  return spec.name + "/" + std::to_string(member);
}

}  // namespace

bool is_in_cycle(const topology& of, const lane_spec& lane) {
  const auto is_port = [&of](const std::string& name) {
    const worker_spec* at = find(of, name);
    return at != nullptr && at->is_port;
  };
  if (is_port(lane.from) || is_port(lane.to)) return false;
  std::vector<std::string> seen;
  return lane.from == lane.to || reaches(of, lane.to, lane.from, seen);
}

namespace {

// Keys move along lanes of their own, and whoever waits for keys takes nothing else meanwhile.
void check_partitioned(const topology& of, const worker_spec& spec, const std::string& thing) {
  if (!spec.is_partitioned) return;
  if (spec.is_source || spec.is_plain || spec.is_port) {
    throw error(error_code::bad_input, thing, "is partitioned, and a source or plain",
                "keys are owned by workers that others send to", "remove one of the two");
  }
  for (const lane_spec& lane : of.lanes) {
    if (lane.to != spec.name && lane.from != spec.name) continue;
    const std::string name = "lane " + lane.from + " -> " + lane.to;
    if (is_in_cycle(of, lane)) {
      throw error(error_code::bad_input, thing, "is partitioned, and " + name + " is in a cycle",
                  "who waits for keys would hold up those it waits for",
                  "remove the lane, or partitioned");
    }
    const worker_spec* from = find(of, lane.from);
    if (lane.to != spec.name || from == nullptr || !from->is_port) continue;
    throw error(error_code::bad_input, thing, "is partitioned, and " + name + " comes from a port",
                "nobody knows when its program has heard of a move",
                "let it send to a worker that sends on, or remove partitioned");
  }
}

}  // namespace

void check(const topology& of) {
  const std::string thing = "topology " + of.name;
  check_name("system name", of.name);
  std::uint64_t slots = 0;
  for (const worker_spec& each : of.workers) {
    check_name("worker name", each.name);
    if (each.places() < 1 || each.places() > slot_count_max) {
      throw error(error_code::bad_input, thing + ": worker " + each.name,
                  "count is " + std::to_string(each.places()), "1 to 256 are possible", {});
    }
    if (each.count_max != 0 && (each.count_max < each.count || each.is_source)) {
      throw error(error_code::bad_input, thing + ": worker " + each.name,
                  "count_max is " + std::to_string(each.count_max),
                  each.is_source ? "a source cannot be added: each has its part of the input"
                                 : "count is " + std::to_string(each.count) + " already",
                  "raise it, or leave it out");
    }
    slots += each.places();
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
    check_full(of, lane, thing + ": lane " + lane.from + " -> " + lane.to);
    check_coalescing(of, lane, thing);
    for (const lane_spec* other = of.lanes.data(); other != &lane; ++other) {
      if (other->from != lane.from || other->to != lane.to ||
          other->is_control != lane.is_control) {
        continue;
      }
      throw error(error_code::bad_input, thing,
                  "there are two lanes " + lane.from + " -> " + lane.to, {}, "remove one");
    }
  }
  for (const worker_spec& each : of.workers) {
    for (const std::string& group : each.reads) {
      if (find(of, group) != nullptr) continue;
      throw error(error_code::bad_input, thing + ": worker " + each.name,
                  "reads names worker '" + group + "'", "there is no such worker",
                  "add it, or correct the name");
    }
    check_deferred(of, each, thing + ": worker " + each.name);
    check_partitioned(of, each, thing + ": worker " + each.name);
  }
  if (!of.table_of.empty() && find(of, of.table_of) == nullptr) {
    throw error(error_code::bad_input, thing, "table names worker '" + of.table_of + "'",
                "there is no such worker", "correct the name");
  }
  check_supervisors(of, thing);
}

namespace {

lane_purpose purpose_of(const topology& of, const lane_spec& lane) {
  if (lane.is_control) return lane_purpose::control;
  const worker_spec* from = find(of, lane.from);
  const bool is_outside = from != nullptr && (from->is_source || from->is_port);
  return is_outside ? lane_purpose::external : lane_purpose::updates;
}

constexpr std::uint64_t dead_letters_bytes = 64 * 1024;
constexpr std::uint64_t between_members_bytes_min = 64 * 1024;

std::uint32_t hops_max_of(const topology& of, const lane_spec& lane) {
  if (lane.hops_max != 0) return lane.hops_max;
  return is_in_cycle(of, lane) ? hops_max_default : hops_unlimited;
}

// The lanes between the members of a partitioned group: what one was sent they can pass on.
void add_lanes_between(const topology& of, const worker_spec& spec, std::uint32_t first_slot,
                       segment_plan& plan) {
  if (!spec.is_partitioned) return;
  std::uint64_t bytes = between_members_bytes_min;
  for (const lane_spec& lane : of.lanes) {
    if (lane.to == spec.name) bytes = std::max(bytes, lane.lane_bytes);
  }
  for (std::uint32_t i = 0; i < spec.places(); ++i) {
    for (std::uint32_t j = 0; j < spec.places(); ++j) {
      if (i != j) plan.lanes.push_back({first_slot + i, first_slot + j, bytes});
    }
  }
}

// The lanes from the members of a group to themselves; after all others, as turn.hpp wants them.
void add_own_lanes(const topology& of, const worker_spec& spec, std::uint32_t first_slot,
                   segment_plan& plan) {
  const std::uint64_t deferred_bytes = deferred_bytes_of(of, spec);
  const bool has_limit =
      !spec.is_port && std::any_of(of.lanes.begin(), of.lanes.end(), [&](const lane_spec& lane) {
        return lane.from == spec.name && hops_max_of(of, lane) != hops_unlimited;
      });
  for (std::uint32_t i = first_slot; i < first_slot + spec.places(); ++i) {
    if (deferred_bytes != 0) {
      plan.lanes.push_back({i, i, deferred_bytes, lane_purpose::deferred});
    }
    if (has_limit) plan.lanes.push_back({i, i, dead_letters_bytes, lane_purpose::dead_letters});
  }
}

// How the worker is to wait, and where, and what it verifies: read by worker_waiting.cpp.
std::string running_text(const worker_spec& spec) {
  std::string out;
  if (spec.verify == verification::first) out += "verify of worker=first\n";
  if (spec.verify == verification::never) out += "verify of worker=never\n";
  if (spec.wait == wait_strategy::spin) out += "wait of worker=spin\n";
  const std::uint32_t spin_us = spec.wait == wait_strategy::park ? 0 : spec.spin_us;
  if (spin_us != spin_us_default) out += "spin_us of worker=" + std::to_string(spin_us) + "\n";
  if (spec.update_weight != 0 || spec.external_weight != 0) {
    out += "weights of worker=" + std::to_string(std::max(spec.update_weight, 1U)) + "," +
           std::to_string(std::max(spec.external_weight, 1U)) + "\n";
  }
  if (spec.sends_max != 0) out += "sends_max of worker=" + std::to_string(spec.sends_max) + "\n";
  if (spec.in_flight_bytes_max != 0) {
    out += "in_flight_bytes_max of worker=" + std::to_string(spec.in_flight_bytes_max) + "\n";
  }
  for (std::size_t i = 0; i < spec.reads.size(); ++i) {
    out += (i == 0 ? "reads of worker=" : ",") + spec.reads[i];
  }
  if (!spec.reads.empty()) out += "\n";
  for (std::size_t i = 0; i < spec.cpus.size(); ++i) {
    out += (i == 0 ? "cpus of worker=" : ",") + std::to_string(spec.cpus[i]);
  }
  return spec.cpus.empty() ? out : out + "\n";
}

}  // namespace

segment_plan plan_of(const topology& of) {
  segment_plan plan;
  plan.name = of.name;
  plan.pages = of.pages;
  std::string all = of.name;  // What the fingerprint is taken of.
  std::vector<lane_plan> held;
  for (const worker_spec& spec : of.workers) {
    // Who is sent nothing has nothing to set aside.
    const bool reads = std::any_of(of.lanes.begin(), of.lanes.end(),
                                   [&](const lane_spec& lane) { return lane.to == spec.name; });
    std::string settings;
    for (const auto& [key, value] : spec.settings) settings += key + "=" + value + "\n";
    // For the worker's own messages: what its user may change.
    settings += "origin of cells_bytes=" + spec.cells_origin + "\n";
    settings += "origin of quarantine_bytes=" + spec.quarantine_origin + "\n";
    settings += "origin of deferred_bytes=" + spec.deferred_origin + "\n";
    settings += running_text(spec);
    if (of.prefault && !spec.is_plain) settings += "prefault of worker=yes\n";
    for (const lane_spec& lane : of.lanes) {
      if (lane.from == spec.name) {
        settings += "origin of lane_bytes to " + lane.to + "=" + lane.origin + "\n";
      }
    }
    for (std::uint32_t member = 0; member < spec.places(); ++member) {
      plan.slots.push_back({slot_name(spec, member), spec.name, member,
                            (spec.is_source ? slot_is_source : 0U) |
                                (spec.is_plain ? slot_is_plain : 0U) |
                                (spec.is_port ? slot_is_port : 0U) |
                                (spec.is_partitioned ? slot_is_partitioned : 0U),
                            spec.is_plain ? 0 : spec.cells_bytes, settings,
                            reads ? spec.quarantine_bytes : 0, spec.is_plain ? 0 : of.trace_bytes});
    }
    all += "\n" + spec.name + " " + std::to_string(spec.places()) + " " + spec.program + " " +
           std::to_string(spec.cells_bytes) + " " + std::to_string(spec.quarantine_bytes) +
           (spec.is_source ? " source" : "") + (spec.is_plain ? " plain" : "") +
           (spec.is_port ? " port" : "") + (spec.is_partitioned ? " partitioned" : "") + " " +
           spec.supervisor + "\n" + settings;
    for (const std::string& argument : spec.arguments) all += argument + "\n";
  }
  const auto first_slot = [&of](const std::string& name) {
    std::uint32_t slot = 0;
    for (const worker_spec& spec : of.workers) {
      if (spec.name == name) return std::pair{slot, spec.places()};
      slot += spec.places();
    }
    return std::pair{0U, 0U};
  };
  for (const lane_spec& lane : of.lanes) {
    const auto [from, from_count] = first_slot(lane.from);
    const auto [to, to_count] = first_slot(lane.to);
    for (std::uint32_t i = 0; i < from_count; ++i) {
      for (std::uint32_t j = 0; j < to_count; ++j) {
        plan.lanes.push_back({from + i, to + j, lane.lane_bytes, purpose_of(of, lane), lane.policy,
                              hops_max_of(of, lane), is_in_cycle(of, lane)});
        if (held_bytes_of(lane) == 0) continue;
        held.push_back({from + i, from + i, held_bytes_of(lane), lane_purpose::held});
        held.back().beside = static_cast<std::uint32_t>(plan.lanes.size() - 1);
      }
    }
    all += "\n" + lane.from + " " + lane.to + " " + std::to_string(lane.lane_bytes) + " " +
           std::to_string(static_cast<unsigned>(lane.policy)) + " " +
           std::to_string(hops_max_of(of, lane)) + (lane.is_control ? " control" : "") +
           (held_bytes_of(lane) == 0 ? "" : " holds " + std::to_string(held_bytes_of(lane)));
  }
  plan.lanes.insert(plan.lanes.end(), held.begin(), held.end());
  for (const worker_spec& spec : of.workers) {
    add_lanes_between(of, spec, first_slot(spec.name).first, plan);
  }
  for (const worker_spec& spec : of.workers) {
    add_own_lanes(of, spec, first_slot(spec.name).first, plan);
    all += "\n" + spec.name + " defers " + std::to_string(deferred_bytes_of(of, spec));
  }
  // Numbers of supervisors mean something to the deaths that are remembered.
  for (const supervisor_spec& each : of.supervisors)
    all += "\n" + each.name + " " + each.supervisor;
  if (of.pages != huge_pages::never) all += "\nhuge pages";
  all += "\ntrace " + std::to_string(of.trace_bytes);
  plan.fingerprint = hash_bytes(all);
  return plan;
}

}  // namespace cyto
