// The verbs about one worker: start, restart, stop --worker, add, remove.
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdlib>

#include <cyto/cyto.hpp>
#include "command.hpp"

namespace cyto::tools {
namespace {

constexpr int order_timeout_ms = 60'000;
constexpr int describe_timeout_ms = 10'000;

// The slots that are meant: "parser/1", or all of "parser".
std::vector<std::uint32_t> slots_of(const segment& where, const std::string& worker) {
  std::vector<std::uint32_t> out;
  for (std::uint32_t i = 0; i < where.slot_count(); ++i) {
    if (worker == where.slot(i).name || worker == where.slot(i).group) out.push_back(i);
  }
  if (!out.empty()) return out;
  std::vector<std::string> known;
  for (std::uint32_t i = 0; i < where.slot_count(); ++i) known.emplace_back(where.slot(i).name);
  throw error(error_code::bad_input, "system " + std::string(where.name()),
              "has no worker '" + worker + "'", fmt::format("it has: {}", fmt::join(known, " ")),
              "correct the name");
}

// What a worker program says of itself when it is asked, see describe_variable; empty if nothing.
std::string description_of(const std::string& program) {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) return {};
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  std::string variable = std::string(describe_variable) + "=1";
  std::vector<char*> environment;
  for (char** each = environ; *each != nullptr; ++each) environment.push_back(*each);
  environment.push_back(variable.data());
  environment.push_back(nullptr);
  std::string path = program;
  std::array<char*, 2> arguments{path.data(), nullptr};
  pid_t pid = 0;
  const int failed =
      posix_spawn(&pid, path.c_str(), &actions, nullptr, arguments.data(), environment.data());
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  std::string out;
  pollfd readable{ends[0], POLLIN, 0};
  std::array<char, 256> bytes{};
  // One line, at once: what goes on talking, or says nothing, is no worker.
  if (failed == 0 && poll(&readable, 1, describe_timeout_ms) == 1) {
    const ssize_t got = read(ends[0], bytes.data(), bytes.size());
    if (got > 0) out.assign(bytes.data(), static_cast<std::size_t>(got));
  }
  close(ends[0]);
  if (failed == 0) {
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
  }
  return out.substr(0, out.find('\n'));
}

void check_program(const std::string& program) {
  const std::string said = description_of(program);
  const std::string wanted = worker_description();
  if (said == wanted) return;
  throw error(error_code::bad_input, "program " + program,
              said.starts_with("cyto worker") ? "is a " + said : "is no worker of cyto's",
              "a " + wanted + " is needed; the old one goes on",
              "build it with the cyto that runs here");
}

// Where the program of a running worker stands now, which may be a newer file.
std::string program_of(const segment& where, std::uint32_t slot) {
  const std::string link = "/proc/" + std::to_string(where.control_of(slot).pid.observe()) + "/exe";
  std::array<char, PATH_MAX> path{};
  const ssize_t length = readlink(link.c_str(), path.data(), path.size());
  std::string text(path.data(), length > 0 ? static_cast<std::size_t>(length) : 0);
  constexpr std::string_view replaced = " (deleted)";
  if (text.ends_with(replaced)) text.resize(text.size() - replaced.size());
  return text;
}

bool is_absent(const segment& where, std::uint32_t slot) {
  return where.board_of(slot).standing.observe() == static_cast<std::uint32_t>(membership::absent);
}

// The members that an order is about, of those that were named.
void choose(const segment& where, worker_order what, const std::string& named,
            std::vector<std::uint32_t>& slots) {
  const std::string thing = "worker " + named;
  if (what == worker_order::add) {
    const bool is_group = named == where.slot(slots.front()).group;
    std::erase_if(slots, [&](std::uint32_t slot) { return !is_absent(where, slot); });
    if (slots.empty()) {
      throw error(error_code::bad_input, thing, is_group ? "all its members are there" : "is there",
                  "the topology has laid out no more", "raise count_max, and start again");
    }
    if (!is_group) {
      throw error(error_code::bad_input, thing, "is a member", "the first that is absent is added",
                  "name the group: " + std::string(where.slot(slots.front()).group));
    }
    slots.erase(slots.begin() + 1, slots.end());
    return;
  }
  std::erase_if(slots, [&](std::uint32_t slot) { return is_absent(where, slot); });
  if (slots.empty()) {
    throw error(error_code::bad_input, thing, "is absent", {}, "add it: see cyto add --help");
  }
  if (what != worker_order::remove) return;
  slots.erase(slots.begin(), slots.end() - 1);
  if ((where.slot(slots.front()).flags & slot_is_source) != 0) {
    throw error(error_code::bad_input, thing, "is a source", "nobody would send its part",
                "let it come to its end, or use cyto stop");
  }
}

// Which of its group the supervisor has chosen.
std::string added_name(const segment& where, std::uint32_t slot, int pid) {
  std::string group = where.slot(slot).group;
  for (std::uint32_t i = 0; i < where.slot_count(); ++i) {
    const bool started = where.board_of(i).spawned_pid.observe() == static_cast<std::uint32_t>(pid);
    if (group == where.slot(i).group && started) return where.slot(i).name;
  }
  return group;
}

}  // namespace

int order(worker_order what, const order_options& options) {
  const std::string name = the_system(options.name);
  const segment where = find_system(name);
  std::vector<std::uint32_t> slots = slots_of(where, options.worker);
  choose(where, what, options.worker, slots);
  const bool is_plain = std::any_of(slots.begin(), slots.end(), [&](std::uint32_t slot) {
    return (where.slot(slot).flags & slot_is_plain) != 0;
  });
  if (what == worker_order::restart && options.program.empty() && !is_plain) {
    for (const std::uint32_t slot : slots) {
      const std::string running = program_of(where, slot);
      if (!running.empty()) check_program(running);
    }
  }
  int program = -1;
  if (!options.program.empty()) {
    program = ::open(options.program.c_str(), O_PATH | O_CLOEXEC);
    struct stat info {};
    if (program < 0 || fstat(program, &info) != 0 || !S_ISREG(info.st_mode) ||
        access(options.program.c_str(), X_OK) != 0) {
      throw error(error_code::bad_input, "program " + options.program,
                  "is not there, or may not be run", {}, "name an executable file");
    }
    if (!is_plain) check_program(options.program);
  }
  for (const std::uint32_t slot : slots) {
    const int pid = order_worker(name, slot, what, program, order_timeout_ms);
    if (what == worker_order::stop) {
      fmt::print("{} stopped\n", where.slot(slot).name);
    } else if (what == worker_order::remove) {
      fmt::print("{} removed\n", where.slot(slot).name);
    } else if (what == worker_order::add) {
      fmt::print("{} ready, process {}\n", added_name(where, slot, pid), pid);
    } else {
      fmt::print("{} ready, process {}\n", where.slot(slot).name, pid);
    }
  }
  return 0;
}

}  // namespace cyto::tools
