#include "support/files.hpp"

#include <sys/stat.h>

#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <sstream>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace cyto::test {

namespace fs = std::filesystem;

// Of larger files, size and time are enough.
constexpr off_t hashed_bytes_max = 64 << 20;

temp_dir::temp_dir() {
  std::string name = (fs::temp_directory_path() / "cyto-test-XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) {
    throw std::system_error(errno, std::generic_category(), "mkdtemp " + name);
  }
  path_ = name;
}

temp_dir::~temp_dir() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

std::vector<std::string> runtime_dir::leftovers() const {
  std::vector<std::string> names;
  for (const auto& entry : fs::recursive_directory_iterator(path())) {
    names.push_back(entry.path().string());
  }
  return names;
}

std::string read_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot read " + path.string());
  std::ostringstream text;
  // An empty file sets the fail bit, which says nothing here.
  text << file.rdbuf();
  if (file.bad()) throw std::runtime_error("cannot read " + path.string());
  return std::move(text).str();
}

void write_file(const fs::path& path, std::string_view text) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(text.data(), static_cast<std::streamsize>(text.size()));
  file.flush();
  if (!file) throw std::runtime_error("cannot write " + path.string());
}

file_state state_of(const fs::path& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) {
    throw std::system_error(errno, std::generic_category(), path.string());
  }
  const bool readable = S_ISREG(status.st_mode) && status.st_size <= hashed_bytes_max;
  const std::string text = readable ? read_file(path) : std::string();
  return {static_cast<std::uintmax_t>(status.st_size),
          std::int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec,
          std::hash<std::string>{}(text)};
}

}  // namespace cyto::test
