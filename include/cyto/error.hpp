// cyto/error.hpp
//
// What: the one exception of the setup path. It names the thing, the value and its bound, the
//   cause, and the next step, so that whoever prints it need not know where it came from.
//
// Who: thrown by setup calls (create, attach, open, spawn, parse) and by handlers that refuse their
//   input for good; never by the hot path. Any thread.
//
// Layout: private memory only.
//
// Ordering: none.
//
// Death: nothing to leave behind.
#pragma once

#include <stdexcept>
#include <string>

namespace cyto {

// What went wrong, in the classes of the command's exit codes.
enum class error_code : int {
  failed = 1,            // The job or the system's resources failed.
  bad_input = 2,         // A file, a topology, an option or a size is wrong.
  no_such_system = 3,    // Nothing of that name runs.
  already_running = 100  // Somebody else holds the name or the slot.
};

class error : public std::runtime_error {
 public:
  // `thing: value; cause; next`, leaving out what is empty.
  error(error_code code, const std::string& thing, const std::string& value,
        const std::string& cause = {}, const std::string& next = {});

  // A text that was composed before, such as one read back from a slot.
  error(error_code code, const std::string& text) : std::runtime_error(text), code_(code) {}

  [[nodiscard]] error_code code() const noexcept { return code_; }

 private:
  error_code code_;
};

// Throws an error of class `code` whose cause is the text of `errno_value`.
[[noreturn]] void throw_errno(int errno_value, error_code code, const std::string& thing,
                              const std::string& value, const std::string& next = {});

// "1,048,576 bytes", for messages.
std::string bytes_text(unsigned long long bytes);

}  // namespace cyto
