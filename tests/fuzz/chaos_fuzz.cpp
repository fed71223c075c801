// The words of `--chaos`: refused in words, or three settings within their bounds that say the same
// again when they are written out.
#include <algorithm>
#include <string>

#include <cyto/error.hpp>

#include "command.hpp"
#include "fuzz/input.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace cyto;
  // As a command line has it: up to the first zero.
  const std::string all(reinterpret_cast<const char*>(data), size);
  const std::string text = all.substr(0, all.find('\0'));
  try {
    const tools::chaos_options read = tools::parse_chaos(text);
    fuzz::require(read.kill_every_ms >= 1 && read.kill_every_ms <= 3'600'000, "a bounded interval");
    fuzz::require(read.who == "workers" || read.who == "supervisor" || read.who == "any",
                  "somebody it knows");
    fuzz::require(read.seed != 0 || text.find("seed") == std::string::npos, "the seed given");
    const tools::chaos_options again = tools::parse_chaos(
        "seed=" + std::to_string(std::max<std::uint64_t>(read.seed, 1)) + ",who=" + read.who +
        ",kill-every-ms=" + std::to_string(read.kill_every_ms));
    fuzz::require(again.kill_every_ms == read.kill_every_ms && again.who == read.who &&
                      (again.seed == read.seed || read.seed == 0),
                  "the same again");
  } catch (const error& refusal) {
    fuzz::require(refusal.code() == error_code::bad_input, "bad input");
    fuzz::require(std::string(refusal.what()).find("kill-every-ms") != std::string::npos,
                  "a refusal that says what is known");
  }
  return 0;
}
