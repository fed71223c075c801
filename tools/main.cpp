// The command `cyto`: the table of verbs, and what an error looks like.
#include <fcntl.h>
#include <fmt/format.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <climits>
#include <csignal>
#include <cstdio>
#include <exception>
#include <initializer_list>
#include <string_view>
#include <utility>

#include <cyto/cyto.hpp>
#include "command.hpp"
#include "version.hpp"

namespace {

constexpr const char* exit_codes =
    "Exit codes: 0 done, 1 failed or audit broken, 2 usage or bad input, 3 no such system,\n"
    "            4 stopped before its end, or messages in quarantine, or a trace with gaps, 100 "
    "already running, 129, "
    "130 and 143 on SIGHUP,\n"
    "            SIGINT and SIGTERM.";

// Cannot fail: where there is no standard error, the exit code has to say it.
int tell(int code, const std::string& text) noexcept {
  static_cast<void>(dprintf(STDERR_FILENO, "cyto: %s\n", text.c_str()));
  return code;
}

// A descriptor 0, 1 or 2 that is closed would be given to the first file opened, and be written to.
void open_standard_descriptors() {
  int fd = 0;
  do {
    fd = ::open("/dev/null", O_RDWR);
  } while (fd >= 0 && fd <= STDERR_FILENO);
  if (fd >= 0) close(fd);
}

// Where the command itself stands: programs of a topology are looked for there first.
std::string own_folder() {
  std::array<char, PATH_MAX> path{};
  const ssize_t length = readlink("/proc/self/exe", path.data(), path.size());
  const std::string text(path.data(), length > 0 ? static_cast<std::size_t>(length) : 0);
  return text.substr(0, text.rfind('/'));
}

std::map<std::string, std::string> parse_set(const std::vector<std::string>& given) {
  std::map<std::string, std::string> out;
  for (const std::string& each : given) {
    const std::size_t equals = each.find('=');
    if (equals == std::string::npos || equals == 0) {
      throw cyto::error(cyto::error_code::bad_input, "--set " + each, "is not key=value", {},
                        "write key=value");
    }
    out[each.substr(0, equals)] = each.substr(equals + 1);
  }
  return out;
}

int command(int argc, char** argv) {
  CLI::App app("Worker processes that exchange FlatBuffers messages through shared memory.",
               "cyto");
  app.set_version_flag("--version", std::string("cyto ") + CYTO_VERSION);
  app.footer(exit_codes);
  app.require_subcommand(1);
  std::string log_level = "off";
  app.add_option("--log", log_level, "what to log on standard error: off, warn, info, debug");

  cyto::tools::run_options run;
  std::vector<std::string> set;
  std::string chaos;
  auto* run_verb = app.add_subcommand(
      "run", "Run a topology in the foreground, or adopt it if its supervisor has died");
  run_verb->add_option("topology", run.topology, "TOML file")->required();
  run_verb->add_option("--input", run.input, "what ${input} stands for; - is standard input");
  run_verb->add_option("--output", run.output, "where the table goes; - is standard output");
  run_verb->add_option("--set", set, "key=value of the topology's [set]")->take_all();
  const auto* chaos_option = run_verb->add_option(
      "--chaos", chaos, "kill-every-ms=N[,who=workers|supervisor|any][,seed=S]");
  run_verb->add_option("--name", run.name, "name of the system instead of the topology's");
  run_verb->add_flag("--json", run.json,
                     "one JSON document about the run on standard output; needs --output FILE");

  auto* plan_verb = app.add_subcommand(
      "plan", "Say what a topology would take: memory, lanes, cores, wake-ups; start nothing");
  plan_verb->add_option("topology", run.topology, "TOML file")->required();
  plan_verb->add_option("--input", run.input, "what ${input} stands for; need not be there");
  plan_verb->add_option("--set", set, "key=value of the topology's [set]")->take_all();
  plan_verb->add_option("--name", run.name, "name of the system instead of the topology's");
  plan_verb->add_flag("--json", run.json, "one JSON document");

  std::string name;
  bool json = false;
  const auto looking = [&](const char* verb, const char* text) {
    auto* made = app.add_subcommand(verb, text);
    made->add_option("name", name, "the system; may be left out if only one runs");
    made->add_flag("--json", json, "one JSON document");
    return made;
  };
  auto* status_verb = looking("status", "Show workers and lanes of a running system");
  auto* audit_verb =
      looking("audit", "Check accepted = delivered + dropped + in flight on every lane");
  auto* dead_verb = looking("dead-letters", "List messages that had made too many hops");
  cyto::tools::cells_options cells;
  auto* cells_verb = looking("cells", "Show the cells of workers");
  cells_verb->add_flag("--snapshot", cells.is_snapshot,
                       "all as of one consistent cut; nobody is stopped");
  cells_verb->add_option("--worker", cells.worker, "only this worker, or group");
  cells_verb->add_option("--cell", cells.cell, "only cells of this name");
  cells_verb->add_option("--limit", cells.limit, "rows at most (1000); 0: all");
  auto* stop_verb = looking("stop", "Let a system drain and end");
  cyto::tools::order_options order;
  stop_verb->add_option("--worker", order.worker, "only this worker, or group; it stays down");
  const auto ordering = [&](const char* verb, const char* text) {
    auto* made = app.add_subcommand(verb, text);
    made->add_option("worker", order.worker, "a worker, or a group: each in turn")->required();
    made->add_option("name", order.name, "the system; may be left out if only one runs");
    return made;
  };
  auto* start_verb = ordering("start", "Start a worker that was stopped or has ended for good");
  auto* restart_verb = ordering("restart", "Replace a worker; it ends its turn, nothing is lost");
  restart_verb->add_option("--exec", order.program, "the program to run from now on");
  restart_verb
      ->add_option("--rehearsal-ms", order.rehearsal_ms,
                   "how long its setup may take when it is tried beforehand (10000)")
      ->check(CLI::Range(1, 3'600'000));
  auto* add_verb = ordering("add", "Add a member to a group: the first that is absent");
  auto* remove_verb = ordering(
      "remove", "Take a member, or the last of a group, out; it handles what was sent to it first");
  auto* ps_verb = looking("ps", "List the systems that run");

  cyto::tools::quarantine_options held;
  auto* quarantine_verb = app.add_subcommand(
      "quarantine", "Messages that were set aside: they kill their worker, or it refuses them");
  quarantine_verb->require_subcommand(1);
  for (const auto& [action, text] : std::initializer_list<std::pair<const char*, const char*>>{
           {"list", "List them: [NAME]"},
           {"show", "Show one and its bytes: [NAME] ID"},
           {"retry", "Have one handled after all: [NAME] ID"},
           {"drop", "Drop one for good: [NAME] ID"}}) {
    auto* made = quarantine_verb->add_subcommand(action, text);
    made->add_option("who", held.who, "the system, if several run; and the message, WORKER:NUMBER")
        ->expected(0, 2);
    made->add_flag("--json", held.json, "one JSON document");
    if (std::string(action) == "show") {
      made->add_option("--output", held.output, "file for its bytes");
    }
    made->callback([&held, action = std::string(action)] { held.action = action; });
  }
  std::string worker;
  auto* why_verb = app.add_subcommand("why", "Say how a worker came to its last end");
  why_verb->add_option("worker", worker, "as `cyto status` names it")->required();
  why_verb->add_option("name", name, "the system; may be left out if only one runs");
  why_verb->add_flag("--json", json, "one JSON document");

  cyto::tools::trace_options trace;
  auto* trace_verb =
      app.add_subcommand("trace", "Record what the workers of a system do, or judge a recording");
  auto* traced_name =
      trace_verb->add_option("name", trace.name, "the system; may be left out if only one runs");
  auto* traced_seconds =
      trace_verb->add_option("--seconds", trace.seconds, "how long to record (1)")
          ->check(CLI::Range(1, 3'600));
  auto* traced_format =
      trace_verb
          ->add_option("--format", trace.format,
                       "jsonl (the default), chrome or dot; svg: what graphviz makes of dot")
          ->check(CLI::IsMember({"jsonl", "chrome", "dot", "svg"}));
  auto* check = trace_verb->add_option(
      "--check", trace.check,
      "file of events; - is standard input. Is it in order, causal, nothing missing or doubled?");
  check->excludes(traced_name)->excludes(traced_seconds)->excludes(traced_format);
  trace_verb
      ->add_flag("--window", trace.is_window,
                 "it begins or ends while messages are under way: these are no finding")
      ->needs(check);
  trace_verb->add_flag("--json", trace.json, "one JSON document")->needs(check);

  app.add_subcommand("bench", "Measure cyto beside what nothing can be faster than");
  if (argc > 1 && std::string_view(argv[1]) == "bench") {
    return cyto::tools::bench(own_folder(), {argv + 1, argv + argc});
  }
  app.add_subcommand("experiment", "Show what updates between workers are like, on this machine");
  if (argc > 1 && std::string_view(argv[1]) == "experiment") {
    return cyto::tools::experiment(own_folder(), {argv + 1, argv + argc});
  }

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& failure) {
    if (failure.get_exit_code() == 0) return app.exit(failure);
    return tell(2, std::string(failure.what()) + "; see cyto --help");
  }
  spdlog::set_default_logger(spdlog::stderr_logger_st("cyto"));
  spdlog::set_level(spdlog::level::from_str(log_level));

  if (run_verb->parsed()) {
    run.set = parse_set(set);
    if (chaos_option->count() > 0) run.chaos = cyto::tools::parse_chaos(chaos);
    run.programs = own_folder();
    if (run.json && run.output == "-") {
      return tell(2, "--json: standard output is the table's already; give --output FILE");
    }
    return cyto::tools::run(run);
  }
  if (plan_verb->parsed()) {
    run.set = parse_set(set);
    run.programs = own_folder();
    return cyto::tools::plan(run);
  }
  if (status_verb->parsed()) return cyto::tools::status(name, json);
  if (audit_verb->parsed()) return cyto::tools::audit(name, json);
  if (dead_verb->parsed()) return cyto::tools::dead_letters(name, json);
  if (cells_verb->parsed()) {
    cells.name = name;
    cells.json = json;
    return cyto::tools::cells(cells);
  }
  using cyto::worker_order;
  if (start_verb->parsed()) return cyto::tools::order(worker_order::start, order);
  if (restart_verb->parsed()) return cyto::tools::order(worker_order::restart, order);
  if (add_verb->parsed()) return cyto::tools::order(worker_order::add, order);
  if (remove_verb->parsed()) return cyto::tools::order(worker_order::remove, order);
  if (stop_verb->parsed() && !order.worker.empty()) {
    order.name = name;
    return cyto::tools::order(worker_order::stop, order);
  }
  if (stop_verb->parsed()) return cyto::tools::stop(name);
  if (ps_verb->parsed()) return cyto::tools::list(json);
  if (quarantine_verb->parsed()) return cyto::tools::quarantine_verb(held);
  if (trace_verb->parsed()) return cyto::tools::trace_verb(trace);
  if (why_verb->parsed()) return cyto::tools::why(worker, name, json);
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  open_standard_descriptors();
  // A reader that goes away, or a limit of file sizes, is a failed write, with its error, and not a
  // silent death.
  static_cast<void>(std::signal(SIGPIPE, SIG_IGN));
  static_cast<void>(std::signal(SIGXFSZ, SIG_IGN));
  try {
    return command(argc, argv);
  } catch (const cyto::error& failure) {
    return tell(static_cast<int>(failure.code()), failure.what());
  } catch (const std::exception& failure) {
    return tell(1, failure.what());
  }
}
