// What a dying worker notes of the fault: the kernel tells the address to a signal handler only.
// For worker_main(), whose program has no other host; see worker.hpp.
#pragma once

#include <cstddef>
#include <memory>

#include "cyto/segment.hpp"

namespace cyto {

// While it lives, the crashing signals that nobody else handles are noted in `own` before their
// default action. One at a time in a process.
class fault_guard {
 public:
  explicit fault_guard(control& own);
  fault_guard(const fault_guard&) = delete;
  fault_guard& operator=(const fault_guard&) = delete;
  ~fault_guard();

 private:
  static constexpr std::size_t stack_bytes = 16384;
  std::unique_ptr<std::byte[]> stack_;  // A worker may die because its own is used up.
};

}  // namespace cyto
