// What a system leaves behind, as the kernel sees it: processes that hold its memory, and names in
// /dev/shm.
#pragma once

#include <sys/types.h>

#include <set>
#include <string>
#include <vector>

namespace cyto::test {

struct memory_holder {
  pid_t pid = 0;
  std::string what;  // its command line and the memory it holds
};

// The processes that have the memory of the system `name` open or mapped. An empty name: of any
// system.
std::vector<memory_holder> holders_of(const std::string& name);

// What is left of them once those that were killed have ended. Whoever kills a process that is not
// its own child, as a worker's child is not the supervisor's, cannot wait for its end.
std::vector<memory_holder> holders_left_of(const std::string& name);

// False once it has ended or, if it was killed, as soon as it has.
bool is_left(pid_t pid);

// Kills them. For the end of a failed test only; the name must be the test's own.
void kill_holders_of(const std::string& name);

std::set<std::string> shared_memory_names();

}  // namespace cyto::test
