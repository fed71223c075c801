#include "report.hpp"

#include <algorithm>
#include <map>

namespace cyto::tools {
namespace {

const char* text_of(lane_purpose what) {
  switch (what) {
    case lane_purpose::updates:
      return "updates";
    case lane_purpose::external:
      return "external";
    case lane_purpose::control:
      return "control";
    case lane_purpose::deferred:
      return "deferred";
    case lane_purpose::dead_letters:
      return "dead_letters";
    case lane_purpose::held:
      return "held";
  }
  return "unknown";
}

}  // namespace

std::string hex_of(std::span<const std::byte> bytes) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string text;
  text.reserve(2 * bytes.size());
  for (const std::byte each : bytes) {
    text += digits[std::to_integer<unsigned>(each) >> 4];
    text += digits[std::to_integer<unsigned>(each) & 15];
  }
  return text;
}

namespace {

// Why it was set aside: what it was refused for, or how its reader ended.
std::string end_of(const quarantined& of) {
  if (of.refused == 0) return exit_text(static_cast<int>(of.status));
  const std::uint32_t known = std::min<std::uint32_t>(
      of.refused, static_cast<std::uint32_t>(update_refusal::unknown_function) + 1);
  return "refused: " + std::string(to_string(static_cast<update_refusal>(known)));
}

// By how a message went round: from where its last receiver had it before. Empty: it did not, or
// the beginning of that is forgotten.
std::string cycle_in(const std::vector<std::string>& route) {
  if (route.size() < 2) return {};
  const auto before = std::find(route.rbegin() + 1, route.rend(), route.back());
  if (before == route.rend()) return {};
  std::string out;
  for (auto at = before.base() - 1; at != route.end(); ++at) {
    out += (out.empty() ? "" : " -> ") + *at;
  }
  return out;
}

// False: what it says of itself makes no sense. One worker's nonsense does not hide the others.
bool read_quarantine(const segment& from, std::uint32_t slot, std::vector<quarantined>& out) {
  try {
    out = quarantine_of(from, slot);
    return true;
  } catch (const error&) {
    return false;
  }
}

}  // namespace

nlohmann::json quarantine_report(const segment& from) {
  nlohmann::json out = nlohmann::json::array();
  const std::uint64_t now = monotonic_ns();
  for (std::uint32_t slot = 0; slot < from.slot_count(); ++slot) {
    const std::string worker = from.slot(slot).name;
    std::vector<quarantined> held;
    read_quarantine(from, slot, held);
    for (const quarantined& each : held) {
      out.push_back({{"id", worker + ":" + std::to_string(each.number)},
                     {"worker", worker},
                     {"lane", std::string(from.slot(each.writer_slot).name) + " -> " + worker},
                     {"type", std::string(each.type)},
                     {"kind", each.kind},
                     {"hops", each.hops},
                     {"bytes", each.size},
                     {"position", each.position},
                     {"stamp", each.stamp},
                     {"deaths", each.deaths},
                     {"last_end", end_of(each)},
                     {"age_ms", (now - std::min(now, each.at_ns)) / 1'000'000},
                     {"hex", hex_of(each.bytes)}});
    }
  }
  return out;
}

const char* text_of(full_policy which) {
  switch (which) {
    case full_policy::defer:
      return "defer";
    case full_policy::refuse:
      return "refuse";
    case full_policy::drop_newest:
      return "drop_newest";
    case full_policy::nack:
      return "nack";
    case full_policy::drop_oldest:
      return "drop_oldest";
    case full_policy::coalesce:
      return "coalesce";
  }
  return "unknown";
}

nlohmann::json hops_json(std::uint32_t hops_max) {
  return hops_max == hops_unlimited ? nlohmann::json("unlimited") : nlohmann::json(hops_max);
}

nlohmann::json dead_letters_report(const segment& from) {
  nlohmann::json letters = nlohmann::json::array();
  nlohmann::json routes = nlohmann::json::array();
  nlohmann::json kinds = nlohmann::json::array();
  for (std::uint32_t slot = 0; slot < from.slot_count(); ++slot) {
    for (const dead_message& each : dead_letters_of(from, slot)) {
      letters.push_back({{"from", each.from},
                         {"to", each.to},
                         {"kind", each.kind},
                         {"hops", each.hops},
                         {"bytes", each.size},
                         {"stamp", each.stamp},
                         {"route", each.route},
                         {"cycle", cycle_in(each.route)}});
    }
    for (const dead_count& each : dead_counts_of(from, slot)) {
      kinds.push_back({{"from", each.from},
                       {"to", each.to},
                       {"kind", each.kind == dead_kind_other ? nlohmann::json("other")
                                                             : nlohmann::json(each.kind)},
                       {"count", each.count}});
    }
  }
  for (const lane_status& lane : lanes_of(from)) {
    if (lane.over_hops == 0) continue;
    routes.push_back({{"lane", lane.name},
                      {"hops_max", hops_json(lane.hops_max)},
                      {"over_hops", lane.over_hops}});
  }
  return {{"name", std::string(from.name())},
          {"routes", std::move(routes)},
          {"kinds", std::move(kinds)},
          {"kept", std::move(letters)}};
}

nlohmann::json audit_report(const segment& from) {
  nlohmann::json lanes = nlohmann::json::array();
  bool ok = true;
  std::map<std::string, std::uint64_t> held;
  for (std::uint32_t slot = 0; slot < from.slot_count(); ++slot) {
    std::vector<quarantined> messages;
    ok = read_quarantine(from, slot, messages) && ok;
    for (const quarantined& each : messages) {
      ++held[std::string(from.slot(each.writer_slot).name) + " -> " + from.slot(slot).name];
    }
  }
  for (const lane_status& lane : lanes_of(from)) {
    ok = ok && lane.balanced && !lane.fenced;
    lanes.push_back({{"name", lane.name},
                     {"accepted", lane.accepted},
                     {"delivered", lane.delivered},
                     {"dropped", lane.dropped},
                     {"quarantined", held[lane.name]},
                     {"in_flight", lane.in_flight},
                     {"backlog_bytes", lane.backlog_bytes},
                     {"lane_bytes", lane.lane_bytes},
                     {"accepted_payload_bytes", lane.accepted_payload_bytes},
                     {"settled", lane.settled},
                     {"fenced", lane.fenced},
                     {"balanced", lane.balanced},
                     {"purpose", text_of(lane.purpose)},
                     {"full", text_of(lane.policy)},
                     {"hops_max", hops_json(lane.hops_max)},
                     {"over_hops", lane.over_hops},
                     {"no_room", lane.no_room},
                     {"refused", lane.refused},
                     {"waiting", lane.waiting},
                     {"coalesced", lane.coalesced}});
  }
  return {{"name", std::string(from.name())}, {"ok", ok}, {"lanes", std::move(lanes)}};
}

nlohmann::json undelivered_report(const segment& from) {
  nlohmann::json out = nlohmann::json::array();
  for (std::uint32_t i = 0; i < from.lane_count(); ++i) {
    const std::uint32_t reader_slot = from.goal_of(from.lane(i)).reader_slot;
    if ((from.slot(reader_slot).flags & slot_is_port) == 0) continue;
    const lane_status lane = lane_of(from, i);
    const std::uint64_t left = lane.in_flight + lane.waiting;
    if (left != 0) out.push_back({{"lane", lane.name}, {"messages", left}});
  }
  return out;
}

nlohmann::json status_report(const segment& from) {
  static constexpr const char* phases[] = {"running", "draining", "stopping"};
  const board& board = from.the_board();
  const std::uint32_t phase = board.phase.observe();
  nlohmann::json workers = nlohmann::json::array();
  for (const worker_status& each : workers_of(from)) {
    workers.push_back({{"name", each.name},
                       {"pid", each.pid},
                       {"state", each.state},
                       {"source", each.is_source},
                       {"port", each.is_port},
                       {"finished", each.finished},
                       {"incarnation", each.incarnation},
                       {"restarts", each.restarts},
                       {"kills", each.kills},
                       {"turns", each.turns},
                       {"aborts", each.aborts},
                       {"parks", each.parks},
                       {"stamp", each.stamp},
                       {"progress_done", each.progress_done},
                       {"progress_total", each.progress_total},
                       {"cells", each.cells},
                       {"cells_used_bytes", each.cells_used_bytes},
                       {"cells_bytes", each.cells_bytes}});
  }
  const bool supervised = slot_lock::is_held(from, slot_lock::supervisor);
  return {{"name", std::string(from.name())},
          {"phase", phase < 3 ? phases[phase] : "unknown"},
          {"supervised", supervised},
          {"supervisor_pid", board.supervisor_pid.observe()},
          {"adoptions", board.adoptions.observe()},
          {"tracing", board.tracing.observe() % 2 == 1},
          {"segment_bytes", from.header().segment_bytes},
          {"quiet", is_quiet(from)},
          {"workers", std::move(workers)},
          {"lanes", audit_report(from)["lanes"]}};
}

}  // namespace cyto::tools
