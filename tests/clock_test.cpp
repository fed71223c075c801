// No decision looks at the time of day: it may step in either direction at any moment. Reads the
// sources of everything that runs beside a user's own code.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <string>

namespace {

namespace fs = std::filesystem;

// What names the time of day, in code; nothing of it may stand in comments either.
bool asks_the_time_of_day(const std::string& text) {
  static const std::regex pattern(
      R"re(CLOCK_(REALTIME|TAI)|system_clock|utc_clock|file_clock|high_resolution_clock)re"
      R"re(|\bgettimeofday\b|\btimespec_get\b|\btime\s*\(\s*(nullptr|NULL|0|&)|\bftime\s*\()re"
      R"re(|\blocaltime|\bgmtime)re");
  return std::regex_search(text, pattern);
}

TEST(clock, no_decision_looks_at_the_time_of_day) {
  int files = 0;
  for (const char* folder : {"include", "src", "tools"}) {
    for (const auto& entry : fs::recursive_directory_iterator(fs::path(CYTO_SOURCE_DIR) / folder)) {
      const std::string kind = entry.path().extension().string();
      if (kind != ".cpp" && kind != ".hpp") continue;
      std::ifstream stream(entry.path());
      const std::string text{std::istreambuf_iterator<char>(stream), {}};
      EXPECT_FALSE(asks_the_time_of_day(text)) << entry.path();
      ++files;
    }
  }
  EXPECT_GT(files, 30);
}

TEST(clock, the_reader_knows_the_time_of_day_when_it_sees_it) {
  for (const char* text :
       {"clock_gettime(CLOCK_REALTIME, &now)", "std::chrono::system_clock::now()", "time(nullptr)",
        "::time (0)", "gettimeofday(&now, nullptr)"}) {
    EXPECT_TRUE(asks_the_time_of_day(text)) << text;
  }
  for (const char* text : {"std::chrono::steady_clock::now()", "timerfd_create(CLOCK_MONOTONIC, 0)",
                           "process_start_time(pid)", "wait_for(some_time)"}) {
    EXPECT_FALSE(asks_the_time_of_day(text)) << text;
  }
}

}  // namespace
