// `cyto quarantine list|show|retry|drop`: the messages that were set aside.
#include <fmt/format.h>

#include <cctype>
#include <charconv>
#include <fstream>

#include "command.hpp"
#include "dump.hpp"
#include "report.hpp"

namespace cyto::tools {
namespace {

constexpr int answer_ms = 30'000;

struct message_id {
  std::string worker;
  std::uint32_t number = 0;
};

message_id parse_id(const std::string& text) {
  const std::size_t colon = text.rfind(':');
  message_id out{text.substr(0, colon), 0};
  const char* end = text.data() + text.size();
  const auto [stop, problem] = std::from_chars(text.data() + colon + 1, end, out.number);
  if (problem == std::errc() && stop == end && out.number < 1U << 23) return out;
  throw error(error_code::bad_input, "message " + text, "is no message's name",
              "it is WORKER:NUMBER, as `cyto quarantine list` has it");
}

// [NAME] [ID]: a system's name has no colon, a message's has one.
struct operands {
  std::string name;
  std::string id;
};
operands parse(const quarantine_options& options) {
  operands out;
  for (const std::string& each : options.who) {
    std::string& to = each.find(':') == std::string::npos ? out.name : out.id;
    if (!to.empty()) {
      throw error(error_code::bad_input, "quarantine " + options.action,
                  "'" + each + "' is one too many", "it takes [NAME] and a message's name");
    }
    to = each;
  }
  if ((options.action == "list") == out.id.empty()) return out;
  throw error(error_code::bad_input, "quarantine " + options.action,
              out.id.empty() ? "lacks the message" : "takes no message", {},
              "see `cyto quarantine list`");
}

[[noreturn]] void refuse_absent(const std::string& id) {
  throw error(error_code::failed, "message " + id, "is not in quarantine", {},
              "see `cyto quarantine list`");
}

int list_all(const segment& where, bool as_json) {
  nlohmann::json report = quarantine_report(where);
  if (as_json) {
    for (auto& each : report) each.erase("hex");
    fmt::print("{}\n", report.dump());
    return 0;
  }
  if (report.empty()) return 0;
  fmt::print("{:<20} {:<32} {:<20} {:>8} {:>7}  {}\n", "MESSAGE", "LANE", "TYPE", "BYTES", "DEATHS",
             "LAST END");
  for (const auto& each : report) {
    fmt::print("{:<20} {:<32} {:<20} {:>8} {:>7}  {}\n", each["id"].get<std::string>(),
               each["lane"].get<std::string>(), each["type"].get<std::string>(),
               each["bytes"].get<unsigned>(), each["deaths"].get<unsigned>(),
               each["last_end"].get<std::string>());
  }
  return 0;
}

void write_bytes(const std::string& path, const std::vector<std::byte>& bytes) {
  std::ofstream to(path, std::ios::binary | std::ios::trunc);
  to.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  to.close();
  if (!to) throw_errno(errno, error_code::failed, "output " + path, "cannot be written");
}

int show(const segment& where, const quarantine_options& options, const std::string& id) {
  const message_id wanted = parse_id(id);
  const std::uint32_t slot = where.find_slot(wanted.worker);
  if (slot == where.slot_count()) refuse_absent(id);
  for (const quarantined& each : quarantine_of(where, slot)) {
    if (each.number != wanted.number) continue;
    if (!options.output.empty()) write_bytes(options.output, each.bytes);
    nlohmann::json found;
    for (const auto& row : quarantine_report(where)) {
      if (row["id"].get<std::string>() == id) found = row;
    }
    if (options.json) {
      fmt::print("{}\n", found.dump());
      return 0;
    }
    for (const char* key : {"id", "lane", "type", "kind", "hops", "bytes", "position", "stamp",
                            "deaths", "last_end", "age_ms"}) {
      if (!found.contains(key)) continue;
      fmt::print("{:<10} {}\n", key,
                 found[key].is_string() ? found[key].get<std::string>() : found[key].dump());
    }
    if (options.output.empty()) fmt::print("{}", dump_of(each.bytes));
    return 0;
  }
  refuse_absent(id);
}

int ask(const std::string& name, const segment& where, const quarantine_options& options,
        const std::string& id) {
  const message_id wanted = parse_id(id);
  const std::uint32_t slot = where.find_slot(wanted.worker);
  if (slot == where.slot_count()) refuse_absent(id);
  const bool is_retry = options.action == "retry";
  const errand_answer answer =
      run_errand(name, slot, wanted.number, is_retry ? errand::retry : errand::drop, answer_ms);
  if (answer == errand_answer::absent) refuse_absent(id);
  const bool done = answer == errand_answer::done;
  if (options.json) {
    fmt::print("{}\n",
               nlohmann::json{{"id", id}, {"action", options.action}, {"done", done}}.dump());
  } else if (done) {
    fmt::print("{}: {}\n", id, is_retry ? "handled" : "dropped");
  }
  if (done) return 0;
  if (answer == errand_answer::unknown) {
    throw error(error_code::failed, "message " + id, "cannot be handled",
                "no handler takes it, or its bytes do not verify",
                "see that sender and receiver were built from one schema");
  }
  throw error(error_code::failed, "message " + id, "has killed its worker again",
              "it stays in quarantine", "see `cyto why " + wanted.worker + "`");
}

}  // namespace

int quarantine_verb(const quarantine_options& options) {
  const operands given = parse(options);
  const std::string name = the_system(given.name);
  const segment where = find_system(name);
  if (options.action == "list") return list_all(where, options.json);
  if (options.action == "show") return show(where, options, given.id);
  return ask(name, where, options, given.id);
}

}  // namespace cyto::tools
