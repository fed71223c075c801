// What systems and workers may be called.
#pragma once

#include <string>

namespace cyto {

// Throws bad_input unless `name` has 1 to 47 of a-z A-Z 0-9 . _ - and, where `is_slot`, slashes: a
// system's name becomes a file's.
void check_name(const std::string& what, const std::string& name, bool is_slot = false);

}  // namespace cyto
