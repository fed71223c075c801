#include "support/inquiry.hpp"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <limits>
#include <stdexcept>

namespace cyto::test {

bool is_full() { return std::getenv("CYTO_CRASH_FULL") != nullptr; }

bool is_chosen(std::size_t index, std::size_t of, std::size_t wanted) {
  if (is_full() || of <= wanted) return true;
  return index * wanted / of != (index + 1) * wanted / of;
}

std::vector<std::uint64_t> kill_points(std::uint64_t instructions, std::uint64_t wanted) {
  if (instructions < wanted) {
    throw std::runtime_error("a scene of " + std::to_string(instructions) + " instructions");
  }
  const std::uint64_t count = is_full() ? instructions : wanted;
  std::vector<std::uint64_t> out;
  for (std::uint64_t i = 0; i < count; ++i) out.push_back(i * instructions / count);
  out.push_back(std::numeric_limits<std::uint64_t>::max());
  return out;
}

std::string name_of_test() {
  const auto* info = testing::UnitTest::GetInstance()->current_test_info();
  return std::string(info->test_suite_name()) + "." + info->name();
}

tally::~tally() {
  std::printf("crash: %s: instructions %llu, states %llu, judged %llu, kills %llu, looks %llu\n",
              name_.c_str(), static_cast<unsigned long long>(instructions),
              static_cast<unsigned long long>(states), static_cast<unsigned long long>(judged),
              static_cast<unsigned long long>(kills), static_cast<unsigned long long>(looks));
  std::fflush(stdout);
}

}  // namespace cyto::test
