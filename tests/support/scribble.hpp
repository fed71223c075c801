// What a worker does that has lost its mind: it writes anything anywhere in what it has mapped
// writable of its system: rings, control block, cells, doorbells.
//
//   scribbler mad(seed);
//   mad.scribble(2000);
#pragma once

#include <cstdint>
#include <cstring>
#include <fstream>
#include <random>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

namespace cyto::test {

class scribbler {
 public:
  // Looks up what this process has mapped writable of any memfd of cyto's.
  explicit scribbler(std::uint64_t seed) : random_(seed) {
    std::ifstream maps("/proc/self/maps");
    for (std::string text; std::getline(maps, text);) {
      if (text.find("/memfd:cyto") == text.npos) continue;
      std::istringstream fields(text);
      std::string range;
      std::string rights;
      fields >> range >> rights;
      if (rights[1] != 'w') continue;
      const std::uint64_t from = std::stoull(range, nullptr, 16);
      const std::uint64_t to = std::stoull(range.substr(range.find('-') + 1), nullptr, 16);
      parts_.emplace_back(reinterpret_cast<std::byte*>(from), to - from);
    }
  }

  [[nodiscard]] bool has_memory() const { return !parts_.empty(); }

  void scribble(std::uint64_t words) {
    for (; words > 0; --words) {
      const auto& [begin, bytes] = parts_[random_() % parts_.size()];
      // Half of it where the control words and the first records are.
      const std::uint64_t room = random_() % 2 == 0 ? bytes : std::min<std::uint64_t>(bytes, 2048);
      std::byte* const at = begin + random_() % (room / 8) * 8;
      std::uint64_t value = random_();
      switch (random_() % 4) {
        case 0:
          value = 0;
          break;
        case 1:
          value >>= random_() % 64;
          break;
        case 2:  // Something that stands elsewhere.
          std::memcpy(&value, begin + random_() % (bytes / 8) * 8, sizeof value);
          break;
        default:
          break;
      }
      std::memcpy(at, &value, sizeof value);
    }
  }

 private:
  std::mt19937_64 random_;
  std::vector<std::pair<std::byte*, std::uint64_t>> parts_;
};

}  // namespace cyto::test
