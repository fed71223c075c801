// The verbs of the command, one function each. A verb prints its result on standard output, throws
// cyto::error for what must be told, and returns the exit code.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <cyto/observe.hpp>

namespace cyto::tools {

struct chaos_options {
  std::uint64_t kill_every_ms = 0;  // 0: none.
  std::string who = "workers";      // workers, supervisor, any
  std::uint64_t seed = 0;           // 0: chosen and told.
};

// "kill-every-ms=50,who=any,seed=7". Throws cyto::error.
chaos_options parse_chaos(const std::string& text);

struct run_options {
  std::string topology;
  std::string name;
  std::string input;
  std::string output = "-";
  std::map<std::string, std::string> set;
  chaos_options chaos;
  bool json = false;
  std::string programs;  // Folder of the command itself.
};

int run(const run_options& options);
// Says what the topology would take. 1 if the memory is not there. Uses topology, name, input, set,
// json and programs.
int plan(const run_options& options);
int status(const std::string& name, bool json);
int audit(const std::string& name, bool json);
int dead_letters(const std::string& name, bool json);
struct cells_options {
  std::string name = {};
  std::string worker = {};   // One, or a group; empty: all.
  std::string cell = {};     // Those of this name; empty: all.
  bool is_snapshot = false;  // All as of one consistent cut.
  std::size_t limit = 1000;  // Rows at most; 0: no limit.
  bool json = false;
};
int cells(const cells_options& options);
int list(bool json);
int stop(const std::string& name);

// About one worker, or each of a group in turn.
struct order_options {
  std::string worker;
  std::string name;
  std::string program;        // Of `cyto restart --exec`.
  int rehearsal_ms = 10'000;  // Within which a new program's setup returns.
};
int order(worker_order what, const order_options& options);
struct quarantine_options {
  std::string action;            // list, show, retry, drop
  std::vector<std::string> who;  // [NAME] [ID]
  std::string output;            // show: a file for the bytes.
  bool json = false;
};
int quarantine_verb(const quarantine_options& options);
// Become the programs cyto-bench and cyto-experiment of the folder `programs`. `words` are theirs,
// argv[0] included.
int bench(const std::string& programs, std::vector<char*> words);
int experiment(const std::string& programs, std::vector<char*> words);
struct trace_options {
  std::string name;              // Of what to record; no `check` then.
  std::uint32_t seconds = 1;     // At most.
  std::string format = "jsonl";  // jsonl, chrome, dot
  std::string check;             // A file, or - for standard input.
  bool is_window = false;        // It begins or ends while messages are under way.
  bool json = false;
};
int trace_verb(const trace_options& options);
int why(const std::string& worker, const std::string& name, bool json);

// `name`, or the only system that runs if it is empty. Throws no_such_system or bad_input.
std::string the_system(const std::string& name);

}  // namespace cyto::tools
