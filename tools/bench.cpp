// `cyto bench` and `cyto experiment`: programs of their own, so that nothing of what they compare
// cyto with is linked into the command.
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "command.hpp"

namespace cyto::tools {

namespace {

int become(const std::string& program, std::vector<char*> words, const char* verb,
           const char* option) {
  words.push_back(nullptr);
  execv(program.c_str(), words.data());
  if (errno == ENOENT) {
    throw error(error_code::bad_input, verb, program + " is not there",
                "it was not built, or not installed beside the command",
                std::string("build with -D ") + option + "=ON");
  }
  throw error(error_code::failed, verb, program + " cannot be started", std::strerror(errno),
              "see its permissions");
}

}  // namespace

int bench(const std::string& programs, std::vector<char*> words) {
  return become(programs + "/cyto-bench", std::move(words), "bench", "CYTO_BUILD_BENCH");
}

int experiment(const std::string& programs, std::vector<char*> words) {
  return become(programs + "/cyto-experiment", std::move(words), "experiment", "CYTO_BUILD_TOOLS");
}

}  // namespace cyto::tools
