// The verbs that look at a running system: status, audit, ps; and stop.
#include <fmt/format.h>

#include <map>

#include "report.hpp"
#include "command.hpp"

namespace cyto::tools {
namespace {

// What a lane's writer has not sent, by reason.
std::string not_sent(const nlohmann::json& lane) {
  std::string out;
  const auto add = [&](const char* key, const char* text) {
    const auto count = lane[key].get<std::uint64_t>();
    if (count != 0) out += fmt::format("; not sent {}: {}", count, text);
  };
  add("over_hops", "too many hops");
  add("no_room", "no room");
  add("refused", "refused");
  if (lane["purpose"] == "held" && lane["dropped"] != 0) {
    out += fmt::format("; dropped {}: the oldest", lane["dropped"].get<std::uint64_t>());
  }
  return out;
}

// What a lane that coalesces has not sent yet, and what it has merged.
std::string merged(const nlohmann::json& lane) {
  const auto waiting = lane["waiting"].get<std::uint64_t>();
  const auto coalesced = lane["coalesced"].get<std::uint64_t>();
  return waiting + coalesced == 0
             ? std::string()
             : fmt::format("; updates waiting: {}, coalesced: {}", waiting, coalesced);
}

}  // namespace

std::string the_system(const std::string& name) {
  if (!name.empty()) return name;
  std::vector<std::string> names = system_names();
  std::erase_if(names, [](const std::string& each) { return is_pair(find_system(each)); });
  if (names.size() == 1) return names.front();
  if (names.empty()) {
    throw error(error_code::no_such_system, "system", "none runs", {}, "start one with `cyto run`");
  }
  throw error(error_code::bad_input, "system",
              fmt::format("{} run: {}", names.size(), fmt::join(names, " ")), {}, "say which");
}

int status(const std::string& name, bool as_json) {
  const segment where = find_system(the_system(name));
  const nlohmann::json report = status_report(where);
  if (as_json) {
    fmt::print("{}\n", report.dump());
    return 0;
  }
  fmt::print("{}  {}  {}\n", report["name"].get<std::string>(), report["phase"].get<std::string>(),
             is_pair(where) ? "a pair of programs"
             : report["supervised"].get<bool>()
                 ? fmt::format("supervisor {}", report["supervisor_pid"].get<unsigned>())
                 : "no supervisor: start the same `cyto run` to adopt it");
  fmt::print("{:<24} {:>8} {:<9} {:>9} {:>12} {:>9} {:>9}\n", "WORKER", "PID", "STATE", "RESTARTS",
             "TURNS", "ABORTS", "CELLS");
  for (const auto& each : report["workers"]) {
    fmt::print("{:<24} {:>8} {:<9} {:>9} {:>12} {:>9} {:>9}\n", each["name"].get<std::string>(),
               each["pid"].get<unsigned>(), each["state"].get<std::string>(),
               each["restarts"].get<unsigned>(), each["turns"].get<std::uint64_t>(),
               each["aborts"].get<std::uint64_t>(), each["cells"].get<std::uint64_t>());
  }
  fmt::print("{:<36} {:>12} {:>12} {:>10} {:>14}\n", "LANE", "ACCEPTED", "DELIVERED", "IN FLIGHT",
             "BACKLOG BYTES");
  for (const auto& each : report["lanes"]) {
    fmt::print("{:<36} {:>12} {:>12} {:>10} {:>14}{}\n", each["name"].get<std::string>(),
               each["accepted"].get<std::uint64_t>(), each["delivered"].get<std::uint64_t>(),
               each["in_flight"].get<std::uint64_t>(), each["backlog_bytes"].get<std::uint64_t>(),
               (each["fenced"].get<bool>()      ? "   FENCED"
                : !each["balanced"].get<bool>() ? "   BROKEN"
                                                : "") +
                   not_sent(each) + merged(each));
  }
  return 0;
}

int audit(const std::string& name, bool as_json) {
  const nlohmann::json report = audit_report(find_system(the_system(name)));
  const bool ok = report["ok"].get<bool>();
  if (as_json) {
    fmt::print("{}\n", report.dump());
    return ok ? 0 : 1;
  }
  for (const auto& each : report["lanes"]) {
    const auto quarantined = each["quarantined"].get<std::uint64_t>();
    fmt::print(
        "{:<36} accepted {} = delivered {} + dropped {} + in flight {}   {}{}\n",
        each["name"].get<std::string>(), each["accepted"].get<std::uint64_t>(),
        each["delivered"].get<std::uint64_t>(), each["dropped"].get<std::uint64_t>(),
        each["in_flight"].get<std::uint64_t>(),
        each["fenced"].get<bool>()      ? "FENCED"
        : !each["balanced"].get<bool>() ? "BROKEN"
        : each["settled"].get<bool>()   ? "ok"
                                        : "ok so far (moving)",
        (quarantined == 0 ? "" : fmt::format("; of the dropped {} in quarantine", quarantined)) +
            not_sent(each));
  }
  return ok ? 0 : 1;
}

int dead_letters(const std::string& name, bool as_json) {
  const nlohmann::json report = dead_letters_report(find_system(the_system(name)));
  if (as_json) {
    fmt::print("{}\n", report.dump());
    return 0;
  }
  for (const auto& each : report["routes"]) {
    fmt::print("{:<36} {} messages had made more than {} hops\n", each["lane"].get<std::string>(),
               each["over_hops"].get<std::uint64_t>(), each["hops_max"].dump());
  }
  for (const auto& each : report["kinds"]) {
    fmt::print("{:<36} {} of kind {}\n",
               each["from"].get<std::string>() + " -> " + each["to"].get<std::string>(),
               each["count"].get<std::uint64_t>(),
               each["kind"].is_string() ? each["kind"].get<std::string>() : each["kind"].dump());
  }
  std::map<std::string, std::size_t> cycles;
  for (const auto& each : report["kept"]) {
    if (!each["cycle"].empty()) ++cycles[each["cycle"].get<std::string>()];
  }
  cycles.erase("");
  for (const auto& [cycle, count] : cycles) {
    fmt::print("{} of the newest went round: {}\n", count, cycle);
  }
  if (report["kept"].empty()) return 0;
  fmt::print("{:<36} {:>10} {:>6} {:>10} {:>20}\n", "LANE", "KIND", "HOPS", "BYTES", "CAME OF");
  for (const auto& each : report["kept"]) {
    fmt::print("{:<36} {:>10} {:>6} {:>10} {:>20}\n",
               each["from"].get<std::string>() + " -> " + each["to"].get<std::string>(),
               each["kind"].get<unsigned>(), each["hops"].get<unsigned>(),
               each["bytes"].get<unsigned>(), each["stamp"].get<std::uint64_t>());
  }
  return 0;
}

int list(bool as_json) {
  const std::vector<std::string> names = system_names();
  if (as_json) {
    fmt::print("{}\n", nlohmann::json(names).dump());
  } else {
    for (const std::string& each : names) fmt::print("{}\n", each);
  }
  return names.empty() ? 3 : 0;
}

int stop(const std::string& name) {
  stop_system(the_system(name));
  return 0;
}

}  // namespace cyto::tools
