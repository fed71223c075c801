#include "table.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <utility>
#include <vector>

namespace cyto::tools {

table_output::table_output(std::string path) : path_(std::move(path)) {
  if (path_ == "-") {
    fd_ = STDOUT_FILENO;
    return;
  }
  if (path_.empty()) refuse(ENOENT);
  struct stat info {};
  const bool exists = stat(path_.c_str(), &info) == 0;
  if (exists && !S_ISREG(info.st_mode)) {
    fd_ = ::open(path_.c_str(), O_WRONLY | O_CLOEXEC);  // A device or a pipe is written as it is.
  } else if (exists && access(path_.c_str(), W_OK) != 0) {
    refuse(errno);
  } else {
    // What a link leads to is replaced, not the link.
    std::array<char, PATH_MAX> real{};
    if (exists && realpath(path_.c_str(), real.data()) != nullptr) path_ = real.data();
    open_beside();
  }
  if (fd_ < 0) refuse(errno);
}

// A file without a name, so that nothing stays if this process is killed; it gets one at the end.
// Where the file system has no such files, a named one has to do.
void table_output::open_beside() {
  const std::size_t slash = path_.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path_.substr(0, slash + 1);
  partial_ = path_ + ".partial-" + std::to_string(getpid());
  fd_ = ::open(folder.c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666);
  is_nameless_ = fd_ >= 0;
  if (fd_ < 0 && (errno == EOPNOTSUPP || errno == EISDIR)) {
    fd_ = ::open(partial_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  }
}

table_output::~table_output() {
  if (fd_ >= 0 && fd_ != STDOUT_FILENO) close(fd_);
  if (!partial_.empty() && !is_nameless_) unlink(partial_.c_str());
}

void table_output::refuse(int reason) const {
  throw_errno(reason, error_code::failed, "output " + (path_ == "-" ? "standard output" : path_),
              "cannot be written", "choose another --output; the input is untouched");
}

void table_output::write(const std::string& text) {
  for (std::size_t done = 0; done < text.size();) {
    const ssize_t bytes = ::write(fd_, text.data() + done, text.size() - done);
    if (bytes < 0 && errno == EINTR) continue;
    if (bytes < 0) refuse(errno);
    done += static_cast<std::size_t>(bytes);
  }
  if (fd_ == STDOUT_FILENO) return;
  if (is_nameless_) {
    const std::string nameless = "/proc/self/fd/" + std::to_string(fd_);
    unlink(partial_.c_str());
    if (linkat(AT_FDCWD, nameless.c_str(), AT_FDCWD, partial_.c_str(), AT_SYMLINK_FOLLOW) != 0) {
      refuse(errno);
    }
    is_nameless_ = false;
  }
  if (close(std::exchange(fd_, -1)) != 0) refuse(errno);
  if (partial_.empty()) return;
  if (rename(partial_.c_str(), path_.c_str()) != 0) refuse(errno);
  partial_.clear();
}

std::string table_of(const segment& from, const std::string& group) {
  // Names are copied before they are compared: sorting text that its owner overwrites meanwhile
  // would lead anywhere.
  struct row {
    std::uint64_t value;
    std::size_t name;
    std::size_t name_bytes;
  };
  std::vector<row> rows;
  std::string names;
  for (std::uint32_t slot = 0; slot < from.slot_count(); ++slot) {
    if (group != from.slot(slot).group) continue;
    each_cell(from, slot, [&](const cell_view& cell) {
      if (cell.kind >= static_cast<std::uint32_t>(cell_kind::waiting_update)) return;
      const bool is_last_writer = cell.kind == static_cast<std::uint32_t>(cell_kind::last_writer);
      rows.push_back(
          {is_last_writer ? cell.value[1] : cell.value[0], names.size(), cell.name.size()});
      names += cell.name;
    });
  }
  const auto name_of = [&names](const row& of) {
    return std::string_view(names).substr(of.name, of.name_bytes);
  };
  std::sort(rows.begin(), rows.end(), [&](const row& a, const row& b) {
    return a.value != b.value ? a.value > b.value : name_of(a) < name_of(b);
  });
  std::string text;
  text.reserve(names.size() + rows.size() * 12);
  for (const row& each : rows) {
    text.append(std::to_string(each.value)).append(1, '\t').append(name_of(each)).append(1, '\n');
  }
  return text;
}

}  // namespace cyto::tools
