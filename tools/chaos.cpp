// `--chaos`: who shall be killed, and how often.
#include <algorithm>
#include <charconv>
#include <random>

#include <cyto/error.hpp>

#include "command.hpp"

namespace cyto::tools {

chaos_options parse_chaos(const std::string& text) {
  chaos_options out;
  const auto refuse = [&](const std::string& part) {
    throw error(error_code::bad_input, "--chaos " + text, "'" + part + "' is not understood",
                "known are kill-every-ms=1..3600000, who=workers|supervisor|any, seed=N",
                "correct it");
  };
  const auto number = [&](const std::string& part, std::size_t from, std::uint64_t most) {
    std::uint64_t value = 0;
    const auto [end, problem] =
        std::from_chars(part.data() + from, part.data() + part.size(), value);
    if (problem != std::errc() || end != part.data() + part.size() || value < 1 || value > most) {
      refuse(part);
    }
    return value;
  };
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find(',', at), text.size());
    const std::string part = text.substr(at, end - at);
    at = end + 1;
    if (part.starts_with("kill-every-ms="))
      out.kill_every_ms = number(part, 14, 3'600'000);
    else if (part == "who=workers" || part == "who=supervisor" || part == "who=any")
      out.who = part.substr(4);
    else if (part.starts_with("seed="))
      out.seed = number(part, 5, UINT64_MAX);
    else
      refuse(part);
  }
  if (out.kill_every_ms == 0) refuse(text);
  if (out.seed == 0) out.seed = std::random_device()();
  return out;
}

}  // namespace cyto::tools
