// `cyto cells`: the cells of all workers, each as it is, or all of them as of one consistent cut.
#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "command.hpp"
#include "report.hpp"

namespace cyto::tools {
namespace {

constexpr int lists_max = 20;

struct listed_cell {
  std::uint32_t slot_index;
  std::string name;
  cell_place place;
};

// Newest first within each worker, as each_cell() has them; names in byte order afterwards.
std::vector<listed_cell> list_cells(const segment& from, const cells_options& options) {
  std::vector<listed_cell> out;
  bool is_known = options.worker.empty();
  for (std::uint32_t i = 0; i < from.slot_count(); ++i) {
    const slot_entry& entry = from.slot(i);
    const bool is_meant =
        options.worker.empty() || options.worker == entry.name || options.worker == entry.group;
    if (!is_meant) continue;
    is_known = true;
    each_cell(from, i, [&](const cell_view& cell) {
      if (!options.cell.empty() && options.cell != cell.name) return;
      out.push_back({i, std::string(cell.name), {i, cell.arena_offset}});
    });
  }
  if (!is_known) {
    throw error(error_code::bad_input, "worker " + options.worker, "there is none", {},
                "see `cyto status`");
  }
  std::sort(out.begin(), out.end(), [](const listed_cell& a, const listed_cell& b) {
    return std::pair(a.slot_index, std::string_view(a.name)) <
           std::pair(b.slot_index, std::string_view(b.name));
  });
  return out;
}

const char* text_of(cell_kind kind) {
  switch (kind) {
    case cell_kind::counter:
      return "counter";
    case cell_kind::maximum:
      return "maximum";
    case cell_kind::minimum:
      return "minimum";
    case cell_kind::last_writer:
      return "last_writer";
    case cell_kind::growing_set:
      return "growing_set";
    case cell_kind::vector_clock:
      return "vector_clock";
    case cell_kind::waiting_update:
      return "waiting_update";
    case cell_kind::waiting_list:
      return "waiting_list";
  }
  return "unknown";
}

// A number; of a set its count; of a clock {"worker": events}; null where there is none yet.
nlohmann::json value_of(const segment& from, const snapshot& cut, std::size_t index) {
  const cell_value& value = cut.value(index);
  switch (cut.kind(index)) {
    case cell_kind::maximum:
    case cell_kind::minimum:
      return value[1] == 0 ? nlohmann::json() : nlohmann::json(value[0]);
    case cell_kind::last_writer:
      return value[2] == 0 ? nlohmann::json() : nlohmann::json(value[1]);
    case cell_kind::vector_clock: {
      nlohmann::json out = nlohmann::json::object();
      const version_vector clock = cut.vector(index);
      for (std::uint32_t i = 0; i < from.slot_count(); ++i) {
        if (clock[i] != 0) out[from.slot(i).name] = clock[i];
      }
      return out;
    }
    case cell_kind::waiting_update:
      return value[2] == 0 ? nlohmann::json() : nlohmann::json(value[0]);
    case cell_kind::waiting_list:
      return {};
    default:
      return value[0];
  }
}

// Whether the workers have the cells that are listed, and no more. Asked after a cut was taken:
// then no turn in the cut has made one that is not listed.
bool is_complete(const segment& from, const cells_options& options, std::size_t listed) {
  return list_cells(from, options).size() == listed;
}

[[noreturn]] void refuse(const segment& from, std::size_t cells) {
  throw error(error_code::failed, "cells of system " + std::string(from.name()),
              fmt::format("{} of them change faster than they can be read as of one cut", cells),
              {}, "name a --worker or a --cell, or leave --snapshot out");
}

}  // namespace

int cells(const cells_options& options) {
  const segment where = find_system(the_system(options.name));
  nlohmann::json rows = nlohmann::json::array();
  std::uint64_t stamp = 0;
  const auto add = [&](const listed_cell& each, const snapshot& cut, std::size_t index) {
    // Names and values are bytes; what is no UTF-8 is replaced when it is written out.
    rows.push_back({{"worker", where.slot(each.slot_index).name},
                    {"cell", each.name},
                    {"kind", text_of(cut.kind(index))},
                    {"value", value_of(where, cut, index)},
                    {"stamp", cut.written_at(index)}});
  };
  std::vector<listed_cell> listed = list_cells(where, options);
  if (options.is_snapshot) {
    for (int lists = 1;; ++lists) {
      std::vector<cell_place> places;
      places.reserve(listed.size());
      for (const listed_cell& each : listed) places.push_back(each.place);
      snapshot cut(where, places);
      if (!cut.take()) refuse(where, listed.size());
      if (is_complete(where, options, listed.size())) {
        for (std::size_t i = 0; i < listed.size(); ++i) add(listed[i], cut, i);
        stamp = cut.stamp();
        break;
      }
      if (lists == lists_max) refuse(where, listed.size());
      listed = list_cells(where, options);
    }
  } else {
    for (const listed_cell& each : listed) {
      snapshot one(where, {each.place});
      if (!one.take()) refuse(where, 1);
      add(each, one, 0);
    }
  }
  const std::size_t shown = options.limit == 0 ? rows.size() : std::min(rows.size(), options.limit);
  const std::size_t left_out = rows.size() - shown;
  if (left_out != 0) rows.erase(rows.begin() + static_cast<std::ptrdiff_t>(shown), rows.end());
  if (options.json) {
    nlohmann::json report{{"name", where.name()},
                          {"snapshot", options.is_snapshot},
                          {"cells", std::move(rows)},
                          {"left_out", left_out}};
    if (options.is_snapshot) report["stamp"] = stamp;
    fmt::print("{}\n", report.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
    return 0;
  }
  if (options.is_snapshot) fmt::print("as of stamp {}\n", stamp);
  fmt::print("{:<24} {:<32} {:<12} {:>12} {:>20}\n", "WORKER", "CELL", "KIND", "STAMP", "VALUE");
  for (const auto& each : rows) {
    // Escaped as in JSON, so that a name cannot write on the terminal what it likes.
    const std::string quoted =
        each["cell"].dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
    fmt::print("{:<24} {:<32} {:<12} {:>12} {:>20}\n", each["worker"].get<std::string>(),
               quoted.substr(1, quoted.size() - 2), each["kind"].get<std::string>(),
               each["stamp"].get<std::uint64_t>(),
               each["value"].is_null() ? "-" : each["value"].dump());
  }
  if (left_out != 0) fmt::print("and {} more: --limit 0 shows all\n", left_out);
  return 0;
}

}  // namespace cyto::tools
