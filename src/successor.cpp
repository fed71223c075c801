// Whether a program may take over from a worker: both are rehearsed, and what they handle compared.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>

#include "cyto/observe.hpp"
#include "cyto/schema.hpp"
#include "handover.hpp"
#include "rehearsal.hpp"

namespace cyto {
namespace {

constexpr int tries = 3;

std::string folder_of(pid_t pid) { return "/proc/" + std::to_string(pid) + "/"; }

// The texts of a file that ends each by a zero byte, as the kernel tells of a process.
std::vector<std::string> texts_in(const std::string& path) {
  std::ifstream from(path, std::ios::binary);
  std::vector<std::string> out;
  for (std::string each; std::getline(from, each, '\0');) out.push_back(each);
  return out;
}

// The process that runs in that slot, or 0.
pid_t runner_of(const segment& where, std::uint32_t slot_index) {
  const control& own = where.control_of(slot_index);
  const auto pid = static_cast<pid_t>(own.pid.observe());
  const bool is_it = pid > 0 && slot_lock::is_held(where, slot_index) &&
                     process_start_time(pid) == own.start_time.observe();
  return is_it ? pid : 0;
}

// A process that has the circumstances of that worker, which does not run: one of its group.
pid_t model_of(const segment& where, std::uint32_t slot_index) {
  pid_t out = 0;
  const std::string group = where.slot(slot_index).group;
  for (std::uint32_t i = 0; out == 0 && i < where.slot_count(); ++i) {
    if (group == where.slot(i).group) out = runner_of(where, i);
  }
  return out;
}

pid_t supervisor_of(const segment& where) {
  const auto pid = static_cast<pid_t>(where.the_board().supervisor_pid.observe());
  return slot_lock::is_held(where, slot_lock::supervisor) && process_lives(pid) ? pid : 0;
}

// Only what can be read again from its beginning is an input.
file input_of(pid_t pid) {
  const std::string path = folder_of(pid) + "fd/" + std::to_string(input_fd);
  struct stat info {};
  if (stat(path.c_str(), &info) != 0 || !S_ISREG(info.st_mode)) return {};
  return file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
}

bool is_same_file(const std::string& left, const std::string& right) {
  struct stat one {};
  struct stat other {};
  return stat(left.c_str(), &one) == 0 && stat(right.c_str(), &other) == 0 &&
         one.st_dev == other.st_dev && one.st_ino == other.st_ino;
}

// As the supervisor names it: without links.
std::string real_path(const std::string& program) {
  const std::unique_ptr<char, decltype(&std::free)> path(realpath(program.c_str(), nullptr),
                                                         &std::free);
  return path ? std::string(path.get()) : program;
}

// What a supervisor would start again: the name that the process was called by, which may lead to
// another file by now.
std::string program_of(pid_t pid, const std::string& called) {
  if (called.starts_with('/')) return called;
  std::string out = link_target(folder_of(pid) + "exe");
  constexpr std::string_view replaced = " (deleted)";
  if (out.ends_with(replaced)) out.resize(out.size() - replaced.size());
  return out;
}

void judge(const segment& where, std::uint32_t slot_index, const std::string& program,
           pid_t running, pid_t parent, int timeout_ms) {
  const std::string worker = "worker " + std::string(where.slot(slot_index).name);
  const pid_t model = running != 0 ? running : model_of(where, slot_index);
  if (model == 0 && (parent == 0 || program.empty())) return;  // Nothing would be started.
  spawn_request next;
  next.slot = slot_index;
  file input;
  if (model != 0) {
    next.arguments = texts_in(folder_of(model) + "cmdline");
    next.environment = texts_in(folder_of(model) + "environ");
    next.folder = folder_of(model) + "cwd";
    input = input_of(model);
    next.input = input.get();
  } else {
    next.environment = texts_in(folder_of(parent) + "environ");
    next.folder = folder_of(parent) + "cwd";
  }
  std::string called;
  if (!next.arguments.empty()) {
    called = next.arguments.front();
    next.arguments.erase(next.arguments.begin());
  }
  next.program = program.empty() ? program_of(model, called) : real_path(program);
  const std::string thing = worker + ": program " + (program.empty() ? next.program : program) +
                            (model == 0 ? ", tried without its arguments, as none runs" : "");
  const std::string description = rehearse(where, next, thing, timeout_ms);
  if (running == 0) return;

  spawn_request now = next;
  now.program = folder_of(running) + "exe";  // Leads to the file also if it has lost its name.
  now.called = called;
  if (is_same_file(next.program, now.program)) return;
  std::string known;
  try {
    known = rehearse(where, now, "the program that runs", timeout_ms);
  } catch (const error& failure) {
    throw error(error_code::bad_input, worker, "what it handles cannot be told", failure.what(),
                "stop it with `cyto stop --worker`; without it nothing is compared");
  }
  const std::string objection = takeover_objection(known, description);
  if (objection.empty()) return;
  throw error(error_code::bad_input, thing, objection, {},
              "mend it, or let the system end with `cyto stop` and start it anew");
}

}  // namespace

void check_successor(const segment& where, std::uint32_t slot_index, const std::string& program,
                     int timeout_ms) {
  for (int i = 1;; ++i) {
    const pid_t running = runner_of(where, slot_index);
    const pid_t parent = supervisor_of(where);
    try {
      return judge(where, slot_index, program, running, parent, timeout_ms);
    } catch (const error&) {
      // One that has ended meanwhile, or has been replaced, may be all that was wrong.
      const bool same = runner_of(where, slot_index) == running && supervisor_of(where) == parent;
      if (i == tries || same) throw;
    }
  }
}

}  // namespace cyto
