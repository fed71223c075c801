// What the verbs show, as JSON; the tables on the terminal are made from the same.
#pragma once

#include <nlohmann/json.hpp>

#include <cyto/cyto.hpp>

namespace cyto::tools {

// {"ok": ..., "lanes": [{"name", "accepted", "delivered", "dropped", "in_flight", ...}]}
nlohmann::json audit_report(const segment& from);

// {"name", "state", "supervisor_pid", "workers": [...], "lanes": [...]}
nlohmann::json status_report(const segment& from);

}  // namespace cyto::tools
