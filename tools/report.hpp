// What the verbs show, as JSON; the tables on the terminal are made from the same.
#pragma once

#include <nlohmann/json.hpp>
#include <span>
#include <string>

#include <cyto/cyto.hpp>

namespace cyto::tools {

std::string hex_of(std::span<const std::byte> bytes);

// {"ok": ..., "lanes": [{"name", "accepted", "delivered", "dropped", "quarantined", ...}]}
nlohmann::json audit_report(const segment& from);

// {"name", "routes": [{"lane", "hops_max", "over_hops"}], "kept": [{"from", "to", "kind", ...}]}
nlohmann::json dead_letters_report(const segment& from);

const char* text_of(full_policy which);
// A number, or "unlimited".
nlohmann::json hops_json(std::uint32_t hops_max);

// [{"id", "worker", "lane", "kind", "bytes", "position", "stamp", "deaths", "last_end", "hex"}]
nlohmann::json quarantine_report(const segment& from);

// What waits for a port and was not taken: [{"lane", "messages"}]
nlohmann::json undelivered_report(const segment& from);

// {"name", "state", "supervisor_pid", "workers": [...], "lanes": [...]}
nlohmann::json status_report(const segment& from);

}  // namespace cyto::tools
