#include "support/inquiry.hpp"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>

namespace cyto::test {

bool is_full() { return std::getenv("CYTO_CRASH_FULL") != nullptr; }

bool is_chosen(std::size_t index, std::size_t of, std::size_t wanted) {
  if (is_full() || of <= wanted) return true;
  return index * wanted / of != (index + 1) * wanted / of;
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
