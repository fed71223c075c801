// Cuts a package index into stanzas. Its position in the input is a cell, so each stanza is sent
// exactly once however often this process is killed.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cyto/cyto.hpp>
#include <vector>

#include "rule.hpp"
#include "stanza_generated.h"

namespace {

// Bytes of stanzas in one turn: enough that a turn's fixed cost and the reader's wake-up do not
// count.
constexpr std::uint64_t turn_bytes_max = 64 * 1024;
constexpr std::uint64_t flatbuffer_bytes = 64;  // What a Stanza needs beside its text, at most.

class source {
 public:
  explicit source(cyto::worker& self)
      : self_(&self),
        path_(self.setting("input")),
        name_(self.setting("input_name")),
        parsers_(self.to("parser")),
        position_(self.cell<cyto::last_writer>("position")),
        identity_(self.cell<cyto::last_writer>("identity")),
        stanzas_(self.cell<cyto::counter>("stanzas")),
        with_package_(self.cell<cyto::counter>("stanzas with a package")),
        stanza_bytes_max_(parsers_.member(0).lane.payload_bytes_max() - flatbuffer_bytes),
        chunk_bytes_(std::min(turn_bytes_max, parsers_.lane_bytes_min() / 4)) {
    fd_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC);
    struct stat info {};
    if (fd_ < 0 || fstat(fd_, &info) != 0) {
      cyto::throw_errno(errno, cyto::error_code::bad_input, "input " + name_, "cannot be read");
    }
    size_ = static_cast<std::uint64_t>(info.st_size);
    changed_ = identity();
  }

  cyto::produced produce(cyto::turn& turn) {
    const std::uint64_t begin = position_.value();
    if (identity_.value() == 0) identity_.set(turn, changed_);
    if (identity_.value() != changed_ || identity() != changed_) {
      refuse("was changed while it was read", "start again");
    }
    std::uint64_t at = begin;
    cyto::turn_output& parser = parsers_.any();
    while (at - begin < chunk_bytes_ && !turn.is_nearly_full()) {
      const std::uint64_t before = at;
      const std::string_view stanza = next_stanza(at);
      // A large one behind others waits for a turn of its own: together they might never fit.
      if (before != begin && parser.lane.room_seen() < stanza.size() + 4 * flatbuffer_bytes) {
        at = before;
        break;
      }
      if (stanza.empty()) {
        if (with_package_.value() == 0) refuse_content();
        break;
      }
      with_package_.add(turn, revdeps::package_of(stanza, joined_).empty() ? 0 : 1);
      stanzas_.add(turn, 1);
      turn.send<revdeps::Stanza>(parser, [&](flatbuffers::FlatBufferBuilder& fbb) {
        return revdeps::CreateStanza(
            fbb,
            fbb.CreateVector(reinterpret_cast<const std::uint8_t*>(stanza.data()), stanza.size()));
      });
    }
    position_.set(turn, at);
    self_->progress(at, size_);
    return at == begin ? cyto::produced::finished : cyto::produced::more;
  }

 private:
  // Another number when the file has been written to.
  [[nodiscard]] std::uint64_t identity() const {
    struct stat info {};
    if (fstat(fd_, &info) != 0) return 0;
    return static_cast<std::uint64_t>(info.st_mtim.tv_sec) * 1'000'000'000 +
           static_cast<std::uint64_t>(info.st_mtim.tv_nsec) +
           static_cast<std::uint64_t>(info.st_size);
  }

  // The stanza at or after `at`, which moves behind it; empty at the end.
  std::string_view next_stanza(std::uint64_t& at) {
    for (revdeps::stanza_cutter cutter;;) {
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

  [[noreturn]] void refuse_content() const {
    if (size_ == 0) refuse("is empty", "name a package index, such as apt-cache dumpavail prints");
    throw cyto::error(
        cyto::error_code::bad_input, "input " + name_, "is not a package index",
        "none of its " + std::to_string(stanzas_.value()) + " stanzas has a Package field",
        "name a package index, such as apt-cache dumpavail prints");
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
        "the lane to the parsers takes no larger one",
        "raise stanza_lane_bytes (--set stanza_lane_bytes=SIZE), or see whether this is "
        "a package index");
  }

  cyto::worker* self_;
  std::string path_;
  std::string name_;
  cyto::output parsers_;
  cyto::last_writer position_;  // Bytes of the input whose stanzas are sent.
  cyto::last_writer identity_;
  cyto::counter stanzas_;
  cyto::counter with_package_;
  std::uint64_t stanza_bytes_max_;
  std::uint64_t chunk_bytes_;
  int fd_ = -1;
  std::uint64_t size_ = 0;
  std::uint64_t changed_ = 0;
  std::vector<char> window_;  // Bytes of the input from window_offset_ on.
  std::uint64_t window_offset_ = 0;
  std::string joined_;
};

}  // namespace

int main(int argc, char** argv) {
  return cyto::worker_main(argc, argv, [](cyto::worker& self) {
    const auto here = std::make_shared<source>(self);
    self.source([here](cyto::turn& turn) { return here->produce(turn); });
  });
}
