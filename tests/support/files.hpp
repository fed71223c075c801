// Files of a test: folders that go with it, and whole files as strings.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace cyto::test {

// A fresh folder that only its owner may enter (0700), removed with all that is in it.
class temp_dir {
 public:
  temp_dir();
  temp_dir(const temp_dir&) = delete;
  temp_dir& operator=(const temp_dir&) = delete;
  ~temp_dir();

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

// A runtime folder for the programs of one test, so that tests do not meet each other.
class runtime_dir {
 public:
  std::pair<std::string, std::string> env() const {
    return {"XDG_RUNTIME_DIR", dir_.path().string()};
  }
  const std::filesystem::path& path() const { return dir_.path(); }
  // Everything in it that is no folder.
  std::vector<std::string> leftovers() const;

 private:
  temp_dir dir_;
};

std::string read_file(const std::filesystem::path& path);
void write_file(const std::filesystem::path& path, std::string_view text);

// Enough of a file to see that nobody has touched it.
struct file_state {
  std::uintmax_t bytes = 0;
  std::int64_t changed_ns = 0;
  std::size_t hash = 0;

  friend bool operator==(const file_state&, const file_state&) = default;
};
file_state state_of(const std::filesystem::path& path);

}  // namespace cyto::test
