// Starting a worker process.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

namespace cyto {

struct spawn_request {
  std::string program;
  std::vector<std::string> arguments;
  std::uint32_t slot = 0;
  int segment = -1;
  int nudge = -1;
  int input = -1;
  // Of a rehearsal, which stands in for another process; what is empty is as it is here.
  bool is_rehearsal = false;
  std::string called = {};                    // What it finds as its name.
  std::vector<std::string> environment = {};  // "KEY=VALUE"
  std::string folder = {};
  int words = -1;  // Where its standard output and standard error go.
};

// Starts the program in a session of its own, with nothing on standard input and standard
// output going where standard error goes. Returns the pid, or -1 and errno.
pid_t spawn(const spawn_request& what);

}  // namespace cyto
