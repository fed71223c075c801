// Experiment 2.
#include <fmt/format.h>

#include <algorithm>

#include "experiments.hpp"
#include "journal.hpp"

namespace cyto::experiment {
namespace {

constexpr int speakers = 8;
constexpr std::uint64_t lane_bytes = std::uint64_t{64} << 10;
constexpr std::uint64_t deferred_bytes = std::uint64_t{1} << 20;
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
  for (int to = 0; to < speakers; ++to) {
    if (to != from) out.push_back(to);
  }
  return out;
}

cast speakers_for(const variant& of) {
  cast out;
  for (int i = 0; i < speakers; ++i) {
    worker_spec& made =
        out.add(speaker_name(i), {{"role", "gossip"},
                                  {"quota", std::to_string(of.messages / speakers + 1)},
                                  {"seed", "2"},
                                  {"swaps", of.swaps ? "yes" : "no"}});
    made.is_source = true;
    made.deferred_bytes = deferred_bytes;
  }
  for (int from = 0; from < speakers; ++from) {
    for (const int to : listeners_of(from)) {
      out.lane(speaker_name(from), speaker_name(to), lane_bytes);
    }
  }
  return out;
}

judged run_once(const variant& of, const std::string& trace_path) {
  stage_options options;
  // Each worker may be sent all there is, and a turn of one of them has a few entries more.
  options.log_entries = 4 * of.messages + 100'000;
  options.kill_every_s = of.has_kills ? kill_every_s : 0;
  options.kills_max = of.messages / 5'000 + 10;
  options.limit_s = 60 + static_cast<double>(of.messages) * 1e-4;
  stage on(speakers_for(of), options);
  on.run_to_end();
  const std::string path = trace_path.empty() || !of.swaps ? trace_path : trace_path + ".control";
  // A message that was held back to the end is no finding of the control: its order is.
  return judge(on, fmt::format("2-{}-", of.name), path, of.swaps);
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
      "{} workers send notes to one or several others, at random, and more because of "
      "notes that they are sent. Each writes a log of its own, committed with its turns, which is "
      "judged afterwards by what `cyto trace --check` consists of: it knows no stamps. 'kills': "
      "SIGKILL to one of them every {} ms. 'control': workers say of one message in eight that it "
      "came after the next one; the judge must find that ('findings').",
      speakers, kill_every_s * 1e3);
  out.columns = {{"run", "run"},         {"messages", "messages"},   {"deliveries", "deliveries"},
                 {"turns", "turns"},     {"kills", "kills"},         {"findings", "findings"},
                 {"seconds", "seconds"}, {"judging_s", "judging, s"}};
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
    if (each.swaps) {
      out.checks.push_back({check_kind::law, "findings in the control, which must be caught",
                            static_cast<double>(verdict.findings), false, 1, ""});
      continue;
    }
    add_laws(out, found, each.name);
    out.checks.push_back({check_kind::law, fmt::format("messages judged ({})", each.name),
                          static_cast<double>(verdict.sent), false,
                          static_cast<double>(each.messages), ""});
    if (each.has_kills) {
      out.checks.push_back(
          {check_kind::law, "workers killed", static_cast<double>(found.kills), false, 1, ""});
    }
  }
  return out;
}

}  // namespace cyto::experiment
