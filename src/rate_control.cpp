#include "cyto/rate_control.hpp"

#include <cmath>
#include <string>

namespace cyto {

rate_control::rate_control(const rate_limits& by) : by_(by), turns_per_s_(by.turns_per_s_max) {
  if (by_.turns_per_s_min == 0) by_.turns_per_s_min = by_.turns_per_s_max / 1000;
  if (by_.rise_per_s == 0) by_.rise_per_s = by_.turns_per_s_max / 4;
  const bool is_sound = std::isfinite(by_.rise_per_s) && by_.rise_per_s > 0 &&
                        by_.turns_per_s_min > 0 && by_.turns_per_s_max >= by_.turns_per_s_min &&
                        by_.turns_per_s_max <= 1e9;
  if (is_sound) return;
  throw error(error_code::bad_input, "rate of a source",
              "is limited to " + std::to_string(by_.turns_per_s_max) +
                  " turns a second, no less than " + std::to_string(by_.turns_per_s_min) +
                  ", rising by " + std::to_string(by_.rise_per_s) + " each second",
              "all three are above 0, the first is the largest of both rates and at most 1e9",
              "change rate_limits");
}

}  // namespace cyto
