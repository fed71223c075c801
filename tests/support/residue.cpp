#include "support/residue.hpp"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <optional>
#include <system_error>

#include "support/process.hpp"

namespace cyto::test {
namespace {

namespace fs = std::filesystem;

// The kernel prints a memfd as "/memfd:<its name> (deleted)"; the name of the system may be all of
// it or a part.
bool is_memory_of(const std::string& text, const std::string& name) {
  const auto at = text.find("/memfd:cyto:");
  if (at == text.npos) return false;
  const std::string rest = text.substr(at + std::string("/memfd:cyto:").size());
  const auto found = rest.find(name);
  if (found == rest.npos) return false;
  // "job-1" is no part of "job-12".
  const auto after = found + name.size();
  return name.empty() || after >= rest.size() ||
         std::string(" .:/(").find(rest[after]) != rest.npos;
}

std::optional<std::string> held_memory(const fs::path& folder, const std::string& name) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder / "fd", error)) {
    const fs::path target = fs::read_symlink(entry.path(), error);
    if (!error && is_memory_of(target.string(), name)) return "fd " + target.string();
  }
  std::ifstream maps(folder / "maps");
  for (std::string line; std::getline(maps, line);) {
    if (is_memory_of(line, name)) return "map " + line;
  }
  return std::nullopt;
}

std::string command_line_of(const fs::path& folder) {
  std::ifstream file(folder / "cmdline", std::ios::binary);
  std::string line;
  std::getline(file, line);
  std::replace(line.begin(), line.end(), '\0', ' ');
  return line;
}

// Whether SIGKILL has been sent to it: that stays among its pending signals to its very end.
bool is_killed(pid_t pid) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  const std::string field = "ShdPnd:";
  for (std::string line; std::getline(status, line);) {
    if (line.rfind(field, 0) != 0) continue;
    return (std::stoull(line.substr(field.size()), nullptr, 16) >> (SIGKILL - 1) & 1) != 0;
  }
  return false;
}

}  // namespace

bool is_left(pid_t pid) {
  const process_ref one(pid);
  return !one.wait_for_end(std::chrono::milliseconds(0)) &&
         !(is_killed(pid) && one.wait_for_end(default_deadline));
}

std::vector<memory_holder> holders_left_of(const std::string& name) {
  std::vector<memory_holder> holders = holders_of(name);
  std::erase_if(holders, [](const memory_holder& each) { return !is_left(each.pid); });
  return holders;
}

std::vector<memory_holder> holders_of(const std::string& name) {
  std::vector<memory_holder> holders;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator("/proc", error)) {
    const std::string id = entry.path().filename().string();
    if (!std::all_of(id.begin(), id.end(), [](char c) { return c >= '0' && c <= '9'; })) continue;
    const auto memory = held_memory(entry.path(), name);
    if (memory)
      holders.push_back({std::stoi(id), command_line_of(entry.path()) + "holds " + *memory});
  }
  return holders;
}

void kill_holders_of(const std::string& name) {
  if (name.empty()) return;
  for (const memory_holder& each : holders_of(name)) {
    const process_ref process(each.pid);
    // Looked at again now that the reference holds on to the process: the id may have gone to
    // another.
    if (held_memory(fs::path("/proc") / std::to_string(each.pid), name))
      process.send_signal(SIGKILL);
  }
}

std::set<std::string> shared_memory_names() {
  std::set<std::string> names;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator("/dev/shm", error)) {
    names.insert(entry.path().filename().string());
  }
  return names;
}

}  // namespace cyto::test
