// Experiment 2.
#include <fmt/format.h>

#include <algorithm>
#include <fstream>

#include "experiments.hpp"
#include "journal.hpp"
#include "trace_check.hpp"

namespace cyto::experiment {
namespace {

constexpr int speakers = 8;
constexpr std::uint64_t lane_bytes = std::uint64_t{64} << 10;
constexpr double kill_every_s = 0.01;

struct variant {
  const char* name;
  std::uint64_t messages;
  bool has_kills;
  bool swaps;
};

std::string speaker_name(int index) { return "w" + std::to_string(index); }

// Those whom `from` sends to.
std::vector<int> listeners_of(int from) {
  std::vector<int> out;
  for (int to = from + 1; to < speakers; ++to) out.push_back(to);
  return out;
}

cast speakers_for(const variant& of) {
  cast out;
  std::uint64_t senders = 0;
  for (int i = 0; i < speakers; ++i) senders += listeners_of(i).empty() ? 0U : 1U;
  for (int i = 0; i < speakers; ++i) {
    const std::uint64_t quota = listeners_of(i).empty() ? 0 : of.messages / senders + 1;
    worker_spec& made = out.add(speaker_name(i), {{"role", "gossip"},
                                                  {"quota", std::to_string(quota)},
                                                  {"seed", "2"},
                                                  {"swaps", of.swaps ? "yes" : "no"}});
    made.is_source = quota > 0;
  }
  for (int from = 0; from < speakers; ++from) {
    for (const int to : listeners_of(from)) {
      out.lane(speaker_name(from), speaker_name(to), lane_bytes);
    }
  }
  return out;
}

struct judged {
  tools::trace_verdict verdict;
  std::uint64_t lanes_say = 0;  // Messages delivered, as the lanes have counted them.
  std::uint64_t kills = 0;
  std::uint64_t unaccounted = 0;
  double seconds = 0;
  double judging_s = 0;
};

judged run_once(const variant& of, const std::string& trace_path) {
  stage_options options;
  // Each worker may be sent all there is, and a turn of one of them has a few entries more.
  options.log_entries = 4 * of.messages + 100'000;
  options.kill_every_s = of.has_kills ? kill_every_s : 0;
  options.kills_max = of.messages / 5'000 + 10;
  options.limit_s = 60 + static_cast<double>(of.messages) * 1e-4;
  stage on(speakers_for(of), options);
  on.run_to_end();
  judged out;
  out.seconds = on.seconds();
  out.kills = on.kills();
  out.unaccounted = on.unaccounted();
  for (const lane_status& each : lanes_of(on.where())) out.lanes_say += each.delivered;
  if (!trace_path.empty()) {
    std::ofstream to(of.swaps ? trace_path + ".control" : trace_path, std::ios::app);
    write_trace(on, fmt::format("2-{}-", of.name), to);
    to.close();
    if (!to) throw std::runtime_error("the trace cannot be written to " + trace_path);
  }
  const std::uint64_t began = now_ns();
  // A message that was held back to the end is no finding of the control: its order is.
  out.verdict = tools::check_trace(trace_of(on), of.swaps);
  out.judging_s = static_cast<double>(now_ns() - began) * 1e-9;
  return out;
}

}  // namespace

result causal_order(const request& asked) {
  const auto messages = static_cast<std::uint64_t>(std::max(2'000.0, asked.seconds * 1e6));
  const variant variants[] = {{"calm", messages, false, false},
                              {"kills", messages, true, false},
                              {"control", messages / 20, false, true}};
  result out;
  out.number = 2;
  out.name = "causal order";
  out.question =
      "Is each worker handed messages in causal order, whoever sends to whom, and when workers are "
      "killed?";
  out.method = fmt::format(
      "{} workers send notes to one or several of those after them, at random, and more because of "
      "notes that they are sent. Each writes a log of its own, committed with its turns, which is "
      "judged afterwards by what `cyto trace --check` consists of: it knows no stamps. 'kills': "
      "SIGKILL to one of them every {} ms. 'control': workers say of one message in eight that it "
      "came after the next one; the judge must find that.",
      speakers, kill_every_s * 1e3);
  out.columns = {{"run", "run"},         {"messages", "messages"},   {"deliveries", "deliveries"},
                 {"turns", "turns"},     {"kills", "kills"},         {"findings", "findings"},
                 {"seconds", "seconds"}, {"judging_s", "judging, s"}};
  std::uint64_t unaccounted = 0;
  for (const variant& each : variants) {
    const judged found = run_once(each, asked.trace_path);
    const tools::trace_verdict& verdict = found.verdict;
    nlohmann::ordered_json row;
    row["run"] = each.name;
    row["messages"] = verdict.sent;
    row["deliveries"] = verdict.delivered;
    row["turns"] = verdict.turns;
    row["kills"] = found.kills;
    row["findings"] = verdict.findings;
    row["seconds"] = found.seconds;
    row["judging_s"] = found.judging_s;
    if (!verdict.first.empty()) row["first_finding"] = verdict.first[0].text;
    out.rows.push_back(row);
    unaccounted += found.unaccounted;
    const auto findings = static_cast<double>(verdict.findings);
    if (each.swaps) {
      out.checks.push_back({check_kind::law, "findings in the control, which must be caught",
                            findings, false, 1, ""});
      continue;
    }
    const std::string run = fmt::format(" ({})", each.name);
    out.checks.push_back({check_kind::law, "findings" + run, findings, true, 0, ""});
    out.checks.push_back({check_kind::law, "messages judged" + run,
                          static_cast<double>(verdict.sent), false,
                          static_cast<double>(each.messages), ""});
    const std::uint64_t apart =
        std::max(found.lanes_say, verdict.delivered) - std::min(found.lanes_say, verdict.delivered);
    out.checks.push_back({check_kind::law, "deliveries in which lanes and logs differ" + run,
                          static_cast<double>(apart), true, 0, ""});
    if (each.has_kills) {
      out.checks.push_back(
          {check_kind::law, "workers killed", static_cast<double>(found.kills), false, 1, ""});
    }
  }
  out.checks.push_back(nothing_lost(unaccounted));
  return out;
}

}  // namespace cyto::experiment
