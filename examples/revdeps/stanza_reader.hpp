// Reads the stanzas of a package index, from any place in it, and sees to it that the index stays
// what it was.
//
// What: a file that may be larger than memory, cut by rule.hpp.
//       stanza_reader index(path, name_for_errors, stanza_bytes_max);
//       while (!(stanza = index.next(at)).empty()) use(stanza);   // `at` moves behind it
//
// Whoever keeps `at` and `identity()` in cells goes on where its predecessor was. All errors are
// cyto::error, bad input.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cyto/cyto.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rule.hpp"

namespace revdeps {

class stanza_reader {
 public:
  // `name` is what errors call the file. A stanza of more than `stanza_bytes_max` bytes is refused;
  // it is the lane that takes no larger one.
  stanza_reader(const std::string& path, std::string name, std::uint64_t stanza_bytes_max)
      : name_(std::move(name)), stanza_bytes_max_(stanza_bytes_max) {
    fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    struct stat info {};
    if (fd_ < 0 || fstat(fd_, &info) != 0) {
      cyto::throw_errno(errno, cyto::error_code::bad_input, "input " + name_, "cannot be read");
    }
    size_ = static_cast<std::uint64_t>(info.st_size);
  }
  stanza_reader(const stanza_reader&) = delete;
  stanza_reader& operator=(const stanza_reader&) = delete;
  ~stanza_reader() {
    if (fd_ >= 0) ::close(fd_);
  }

  [[nodiscard]] std::uint64_t size() const { return size_; }

  // Another number when the file has been written to.
  [[nodiscard]] std::uint64_t identity() const {
    struct stat info {};
    if (fstat(fd_, &info) != 0) return 0;
    return static_cast<std::uint64_t>(info.st_mtim.tv_sec) * 1'000'000'000 +
           static_cast<std::uint64_t>(info.st_mtim.tv_nsec) +
           static_cast<std::uint64_t>(info.st_size);
  }

  // The stanza at or after `at`, which moves behind it; empty at the end.
  std::string_view next(std::uint64_t& at) {
    for (stanza_cutter cutter;;) {
      const std::string_view text = window_from(at);
      const bool at_end = window_offset_ + window_.size() == size_;
      if (cutter.cut(text, at_end)) {
        if (cutter.end() - cutter.begin() > stanza_bytes_max_) refuse_length(at + cutter.begin());
        at += cutter.next();
        return cutter.stanza(text);
      }
      if (at_end) {
        at = size_;
        return {};
      }
      if (cutter.skippable() > 0) {
        at += cutter.skippable();
        cutter.reset();
      } else if (text.size() > stanza_bytes_max_) {
        refuse_length(at);
      }
      read_more(at);
    }
  }

  // `seen` is the identity that an earlier look found; throws if the file is another by now.
  void check_unchanged(std::uint64_t seen) const {
    if (identity() != seen) refuse("was changed while it was read", "start again");
  }
  // The file has `stanzas` stanzas and none is a package's.
  [[noreturn]] void refuse_content(std::uint64_t stanzas) const {
    if (size_ == 0) refuse("is empty", "name a package index, such as apt-cache dumpavail prints");
    throw cyto::error(cyto::error_code::bad_input, "input " + name_, "is not a package index",
                      "none of its " + std::to_string(stanzas) + " stanzas has a Package field",
                      "name a package index, such as apt-cache dumpavail prints");
  }

 private:
  std::string_view window_from(std::uint64_t at) {
    if (at < window_offset_ || at > window_offset_ + window_.size()) {
      window_offset_ = at;
      window_.clear();
    }
    const std::uint64_t skip = at - window_offset_;
    return std::string_view(window_.data(), window_.size()).substr(skip);
  }

  // Drops what stands before `at` and appends as much again as a stanza may have.
  void read_more(std::uint64_t at) {
    window_.erase(window_.begin(),
                  window_.begin() + static_cast<std::ptrdiff_t>(at - window_offset_));
    window_offset_ = at;
    const std::size_t had = window_.size();
    const std::uint64_t wanted = std::min<std::uint64_t>(
        std::max<std::uint64_t>(256 * 1024, stanza_bytes_max_ + 1), size_ - at - had);
    window_.resize(had + wanted);
    for (std::size_t got = 0; got < wanted;) {
      const ssize_t bytes =
          pread(fd_, window_.data() + had + got, wanted - got, static_cast<off_t>(at + had + got));
      if (bytes < 0 && errno == EINTR) continue;
      if (bytes < 0) {
        cyto::throw_errno(errno, cyto::error_code::bad_input, "input " + name_, "cannot be read");
      }
      if (bytes == 0) refuse("was cut short while it was read", "start again");
      got += static_cast<std::size_t>(bytes);
    }
  }

  [[noreturn]] void refuse(const std::string& value, const std::string& next) const {
    throw cyto::error(cyto::error_code::bad_input, "input " + name_, value, {}, next);
  }

  [[noreturn]] void refuse_length(std::uint64_t at) {
    std::uint64_t line = 1;
    std::vector<char> text(1U << 20);
    for (std::uint64_t from = 0; from < at;) {
      const ssize_t bytes = pread(fd_, text.data(), std::min<std::uint64_t>(text.size(), at - from),
                                  static_cast<off_t>(from));
      if (bytes <= 0) break;
      line += static_cast<std::uint64_t>(std::count(text.begin(), text.begin() + bytes, '\n'));
      from += static_cast<std::uint64_t>(bytes);
    }
    throw cyto::error(
        cyto::error_code::bad_input, "input " + name_,
        "line " + std::to_string(line) + " begins a stanza of more than " +
            cyto::bytes_text(stanza_bytes_max_),
        "its lane takes no larger one",
        "raise stanza_lane_bytes (--set stanza_lane_bytes=SIZE), or see whether this is "
        "a package index");
  }

  std::string name_;
  std::uint64_t stanza_bytes_max_;
  int fd_ = -1;
  std::uint64_t size_ = 0;
  std::vector<char> window_;  // Bytes of the input from window_offset_ on.
  std::uint64_t window_offset_ = 0;
};

}  // namespace revdeps
