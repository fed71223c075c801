// What figures were measured on, and what makes them unfit to be quoted elsewhere.
#pragma once

#include <nlohmann/json.hpp>

namespace cyto::bench {

// Commit, processor, cores, kernel, compiler, scheduling: one JSON object.
nlohmann::ordered_json machine_facts();
// Processes that ran or wanted to, mean of the last minute.
double load_average();
// Reasons, as texts. `load_before`: the load average before the first measurement.
nlohmann::ordered_json unfit_to_quote(double load_before);

}  // namespace cyto::bench
