// `cyto bench`: the benchmarks are a program of their own, so that nothing of what they compare
// cyto with is linked into the command.
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

#include "command.hpp"

namespace cyto::tools {

int bench(const std::string& programs, std::vector<char*> words) {
  std::string program = programs + "/cyto-bench";
  words.push_back(nullptr);
  execv(program.c_str(), words.data());
  if (errno == ENOENT) {
    throw error(error_code::bad_input, "bench", program + " is not there",
                "the benchmarks were not built, or not installed beside the command",
                "build with -D CYTO_BUILD_BENCH=ON");
  }
  throw error(error_code::failed, "bench", program + " cannot be started", std::strerror(errno),
              "see its permissions");
}

}  // namespace cyto::tools
