// A trace of somebody's: refused in words, or judged; and what was found is what is counted.
#include <sstream>

#include <cyto/error.hpp>

#include "fuzz/input.hpp"
#include "trace_check.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace cyto;
  std::istringstream from(std::string(reinterpret_cast<const char*>(data), size));
  try {
    const tools::trace read = tools::read_trace(from, "input");
    for (const bool is_window : {false, true}) {
      const tools::trace_verdict verdict = tools::check_trace(read, is_window);
      fuzz::require(verdict.first.size() <= tools::findings_shown, "few are shown");
      fuzz::require((verdict.findings == 0) == verdict.first.empty(), "what counts is shown");
    }
  } catch (const error& refusal) {
    fuzz::require(refusal.code() == error_code::bad_input, "refused as bad input");
  }
  return 0;
}
