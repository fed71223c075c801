// For processes beside the test's own, whose failed expectations nobody would see.
#pragma once

#include <stdexcept>

namespace cyto::test {

// Ends the process with these words unless that is so.
inline void must(bool good, const char* what) {
  if (!good) throw std::runtime_error(what);
}

}  // namespace cyto::test
