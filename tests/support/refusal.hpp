// What a refusal says.
#pragma once

#include <functional>
#include <string>

#include "cyto/error.hpp"

namespace cyto::test {

// The text of the cyto::error that `act` throws; any other exception ends the test.
inline std::string refusal(const std::function<void()>& act) {
  try {
    act();
  } catch (const error& failure) {
    return failure.what();
  }
  return "not refused";
}

}  // namespace cyto::test
