// `cyto why WORKER`: the report of its last end.
#include <fmt/format.h>

#include <array>
#include <cstring>

#include "command.hpp"
#include "dump.hpp"
#include "report.hpp"

namespace cyto::tools {
namespace {

constexpr int read_tries = 1000;
constexpr std::size_t events_shown = 24;

// A whole copy: the supervisor may write another meanwhile (F2).
std::unique_ptr<death_report> read_report(const segment& where, std::uint32_t slot) {
  auto out = std::make_unique<death_report>();
  const death_report& from = where.report_of(slot);
  for (int i = 0; i < read_tries; ++i) {
    const std::uint64_t before = from.number.observe();
    std::memcpy(static_cast<void*>(out.get()), &from, sizeof from);
    full_fence();
    if (before % 2 == 0 && from.number.observe() == before) return out;
  }
  throw error(error_code::failed, "worker " + std::string(where.slot(slot).name),
              "its report is being written all the time", {}, "try again");
}

const char* name_of(flight what) {
  constexpr std::array names = {"none",      "started",   "taken",     "sent",
                                "committed", "aborted",   "sleeping",  "producing",
                                "retrying",  "set aside", "recovered", "ended"};
  const auto index = static_cast<std::size_t>(what);
  return index < names.size() ? names[index] : "unknown";
}

// Who stands at the other end of an input or output of the slot.
std::string neighbour(const segment& where, std::uint32_t slot, std::uint32_t lane, bool input) {
  for (std::uint32_t i = 0; i < where.lane_count(); ++i) {
    const lane_entry& each = where.lane(i);
    if (input && each.reader_slot == slot && each.reader_index == lane) {
      return where.slot(each.writer_slot).name;
    }
    if (!input && each.writer_slot == slot && each.writer_index == lane) {
      return where.slot(each.reader_slot).name;
    }
  }
  return "?";
}

nlohmann::json events_of(const segment& where, std::uint32_t slot, const death_report& report) {
  nlohmann::json out = nlohmann::json::array();
  for (const flight_entry& each : flight_of(report.events)) {
    nlohmann::json row{{"number", each.number}, {"what", name_of(each.what)}};
    switch (each.what) {
      case flight::started:
        row["incarnation"] = each.detail;
        row["pid"] = each.first;
        break;
      case flight::taken:
      case flight::deferred:
        row["from"] = neighbour(where, slot, each.lane, true);
        row["kind"] = each.detail;
        row["position"] = each.first;
        row["stamp"] = each.second;
        break;
      case flight::sent:
        row["to"] = neighbour(where, slot, each.lane, false);
        row["kind"] = each.detail;
        row["bytes"] = each.first;
        break;
      case flight::committed:
      case flight::recovered:
        row["stamp"] = each.first;
        break;
      case flight::retrying:
      case flight::set_aside:
        row["kind"] = each.detail;
        row["message"] = each.first;
        break;
      default:
        break;
    }
    out.push_back(std::move(row));
  }
  return out;
}

nlohmann::json message_of(const segment& where, const death_report& report) {
  const auto hand = static_cast<in_hand>(report.hand);
  if (hand == in_hand::produce) return {{"what", "a function that takes no message"}};
  if (hand != in_hand::message && hand != in_hand::quarantined) return nullptr;
  const std::uint32_t bytes = std::min<std::uint32_t>(report.head_bytes, report_head_bytes_max);
  nlohmann::json out{
      {"what", hand == in_hand::message ? "a message" : "a message out of its quarantine"},
      {"kind", report.kind},
      {"bytes", report.size},
      {"stamp", report.stamp},
      {"deaths", report.deaths},
      {"set_aside", report.set_aside != 0},
      {"head_hex", hex_of({report.head, bytes})}};
  if (report.writer_slot < where.slot_count()) out["from"] = where.slot(report.writer_slot).name;
  out[hand == in_hand::message ? "position" : "number"] = report.position;
  return out;
}

nlohmann::json report_of(const segment& where, std::uint32_t slot, const death_report& report) {
  const std::uint64_t now = monotonic_ns();
  nlohmann::json out{
      {"worker", where.slot(slot).name},
      {"ends", report.number.observe() / 2},
      {"ago_ms", (now - std::min(now, report.at_ns)) / 1'000'000},
      {"pid", report.pid},
      {"incarnation", report.incarnation},
      {"seen", report.seen != 0},
      {"end", report.seen != 0 ? exit_text(static_cast<int>(report.status)) : "was not seen"},
      {"status", report.status},
      {"in_hand", message_of(where, report)},
      {"text",
       std::string(report.text, std::min<std::size_t>(report.text_bytes, report_text_bytes_max))},
      {"events", events_of(where, slot, report)},
      {"standard_error",
       std::string(report.output,
                   std::min<std::size_t>(report.output_bytes, report_output_bytes_max))}};
  if (report.fault_signal != 0) {
    out["fault"] = {{"signal", report.fault_signal},
                    {"code", static_cast<std::int32_t>(report.fault_code)},
                    {"address", fmt::format("{:#x}", report.fault_address)},
                    {"sender_pid", report.fault_sender}};
  }
  return out;
}

std::string text_of(const nlohmann::json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

void print(const nlohmann::json& report, const death_report& raw) {
  const bool by_kernel =
      report.contains("fault") && report["fault"]["code"].get<std::int32_t>() > 0;
  fmt::print("{}: {}{}, {} ms ago (process {}, incarnation {})\n", text_of(report["worker"]),
             text_of(report["end"]),
             by_kernel ? " at address " + text_of(report["fault"]["address"]) : std::string(),
             report["ago_ms"].get<std::uint64_t>(), report["pid"].get<unsigned>(),
             report["incarnation"].get<unsigned>());
  const nlohmann::json& hand = report["in_hand"];
  if (hand.is_null()) {
    fmt::print("it had no message in hand\n");
  } else if (!hand.contains("bytes")) {
    fmt::print("it was in {}\n", text_of(hand["what"]));
  } else {
    fmt::print("in hand: {}{} of kind {}, {} bytes, stamp {}; deaths counted for it: {}{}\n",
               text_of(hand["what"]),
               hand.contains("from") ? " from " + text_of(hand["from"]) : std::string(),
               text_of(hand["kind"]), text_of(hand["bytes"]), text_of(hand["stamp"]),
               text_of(hand["deaths"]), hand["set_aside"].get<bool>() ? ", now set aside" : "");
    fmt::print("{}",
               dump_of({raw.head, std::min<std::size_t>(raw.head_bytes, report_head_bytes_max)}));
  }
  if (!text_of(report["text"]).empty()) fmt::print("it said: {}\n", text_of(report["text"]));
  fmt::print("last events:\n");
  const std::size_t count = report["events"].size();
  for (std::size_t i = count - std::min(count, events_shown); i < count; ++i) {
    std::string line = text_of(report["events"][i]["what"]);
    for (const auto& [key, value] : report["events"][i].items()) {
      if (key != "what" && key != "number") line += fmt::format("  {} {}", key, text_of(value));
    }
    fmt::print("  {:>8}  {}\n", report["events"][i]["number"].get<std::uint64_t>(), line);
  }
  const std::string output = text_of(report["standard_error"]);
  if (!output.empty()) fmt::print("the end of standard error, of all workers:\n{}", output);
}

}  // namespace

int why(const std::string& worker, const std::string& name, bool as_json) {
  const segment where = find_system(the_system(name));
  const std::uint32_t slot = where.find_slot(worker);
  if (slot == where.slot_count()) {
    throw error(error_code::bad_input, "worker " + worker, "there is none of that name",
                "the system is " + std::string(where.name()), "see `cyto status`");
  }
  if ((where.slot(slot).flags & slot_is_port) != 0) {
    throw error(error_code::bad_input, "port " + worker, "is no worker",
                "nobody sees how a program ends that has joined it", "ask who has started it");
  }
  const auto raw = read_report(where, slot);
  if (raw->number.observe() == 0) {
    throw error(error_code::failed, "worker " + worker, "has not died");
  }
  const nlohmann::json report = report_of(where, slot, *raw);
  if (as_json) {
    fmt::print("{}\n", report.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  } else {
    print(report, *raw);
  }
  return 0;
}

}  // namespace cyto::tools
