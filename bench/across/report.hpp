// Rows as people and as programs read them.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "across/suite.hpp"

namespace cyto::bench {

// One JSON object; field names are those of docs/PERFORMANCE.md.
nlohmann::ordered_json json_of(const row& each);
// What the rows were measured on, and what makes them unfit to be quoted.
nlohmann::ordered_json machine_json(const pace& how, int passes);
// A table for each way to measure and to wait: closed loop, open loop, one way; spin, park.
std::string table_of(const std::vector<row>& rows);

}  // namespace cyto::bench
