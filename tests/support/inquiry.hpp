// How thorough a crash test is, and its account of what it has tried.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

// ThreadSanitizer looks at threads of one process, of which there is one in what is stepped, and
// makes each of the steps several hundred.
#if defined(__SANITIZE_THREAD__)
#define CYTO_SKIP_UNDER_TSAN() GTEST_SKIP() << "ThreadSanitizer has nothing to say of one thread"
#else
#define CYTO_SKIP_UNDER_TSAN() static_cast<void>(0)
#endif

namespace cyto::test {

// CYTO_CRASH_FULL=1, as tests/crash.sh sets it: every point. Otherwise a selection.
bool is_full();

// Every one when all are wanted; else about `wanted`, spread evenly, and all of few.
bool is_chosen(std::size_t index, std::size_t of, std::size_t wanted);

// After how many instructions a scene of so many is cut off: after each, or after `wanted` numbers
// that are spread evenly; last of all, never. How many it takes depends on the processor, since the
// C library has a memcpy for each. Throws if there are fewer than wanted.
std::vector<std::uint64_t> kill_points(std::uint64_t instructions, std::uint64_t wanted);

// "Suite.Test" of the test that runs.
std::string name_of_test();

// Printed as one line by the destructor; tests/crash.sh adds the lines up.
class tally {
 public:
  tally() : name_(name_of_test()) {}
  tally(const tally&) = delete;
  tally& operator=(const tally&) = delete;
  ~tally();

  std::uint64_t instructions = 0;  // Stepped.
  std::uint64_t states = 0;        // Of memory, each different from the one before.
  std::uint64_t judged = 0;        // Different states from which a successor went on.
  std::uint64_t kills = 0;         // SIGKILLs.
  std::uint64_t looks = 0;         // Of an observer.

 private:
  std::string name_;
};

}  // namespace cyto::test
