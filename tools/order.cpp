// The verbs about one worker: start, restart, stop --worker, add, remove.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include <cyto/cyto.hpp>
#include "command.hpp"

namespace cyto::tools {
namespace {

constexpr int order_timeout_ms = 60'000;

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

// What whoever has joined a port does is not for this system to say.
void refuse_port(const segment& where, std::uint32_t slot) {
  if ((where.slot(slot).flags & slot_is_port) == 0 || is_pair(where)) return;
  const std::uint32_t pid = where.control_of(slot).pid.observe();
  const bool is_joined = slot_lock::is_held(where, slot);
  throw error(error_code::bad_input, "port " + std::string(where.slot(slot).name), "is no worker",
              is_joined ? fmt::format("process {} has joined it", pid) : "nobody has joined it",
              is_joined ? "end that process, or have it leave"
                        : "a program joins it by itself: cyto::join()");
}

bool is_absent(const segment& where, std::uint32_t slot) {
  return where.board_of(slot).standing.observe() == static_cast<std::uint32_t>(membership::absent);
}

// Whether nobody else of its group owns keys and stays.
bool is_last_owner(const segment& where, std::uint32_t slot) {
  const std::uint32_t moves = where.the_board().moves.observe();
  const std::string_view group = where.slot(slot).group;
  for (std::uint32_t i = 0; i < where.slot_count(); ++i) {
    const auto standing = static_cast<membership>(where.board_of(i).standing.observe());
    const bool stays = standing == membership::member || standing == membership::stopped;
    if (i != slot && group == where.slot(i).group && stays &&
        has_share(where.board_of(i).share.observe(), moves)) {
      return false;
    }
  }
  return true;
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
  if ((where.slot(slots.front()).flags & slot_is_partitioned) != 0 &&
      is_last_owner(where, slots.front())) {
    throw error(error_code::bad_input, thing, "is the last member that owns keys",
                "they would have no owner", "add another member first, or use cyto stop");
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
  for (const std::uint32_t slot : slots) refuse_port(where, slot);
  choose(where, what, options.worker, slots);
  const bool is_plain = std::any_of(slots.begin(), slots.end(), [&](std::uint32_t slot) {
    return (where.slot(slot).flags & slot_is_plain) != 0;
  });
  int program = -1;
  if (!options.program.empty()) {
    program = ::open(options.program.c_str(), O_PATH | O_CLOEXEC);
    struct stat info {};
    if (program < 0 || fstat(program, &info) != 0 || !S_ISREG(info.st_mode) ||
        access(options.program.c_str(), X_OK) != 0) {
      throw error(error_code::bad_input, "program " + options.program,
                  "is not there, or may not be run", {}, "name an executable file");
    }
  }
  // All of a group before the first is told anything.
  for (const std::uint32_t slot : slots) {
    if (what != worker_order::restart || is_plain) continue;
    check_successor(where, slot, options.program, options.rehearsal_ms);
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
