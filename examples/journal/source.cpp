// Reads dpkg's log, numbers what it says of each package, and sends it to the package's keeper; all
// else is counted in the register. What has been read and the numbers are cells, so each line
// counts exactly once however often this process is killed.
//
// Of a log that grows while it is read, as when dpkg is at work, what was there at the beginning
// counts. A line that lacks its end was cut short; it is not believed, but told.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cyto/cyto.hpp>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "journal_generated.h"
#include "log.hpp"

namespace {

constexpr std::size_t block_bytes = 32 * 1024;
static_assert(block_bytes > journal::line_bytes_max);

class source {
 public:
  explicit source(cyto::worker& self)
      : self_(&self),
        name_(self.setting("input_name")),
        keepers_(self.to("keeper")),
        register_(self.to("register")),
        file_(self.cell<cyto::last_writer>("file")),
        end_(self.cell<cyto::last_writer>("end")),
        position_(self.cell<cyto::last_writer>("position")),
        inside_(self.cell<cyto::last_writer>("inside a long line")),
        packages_(self.cell<cyto::growing_set>("packages")),
        ended_(self.cell<cyto::last_writer>("ended")),
        lines_(self.cell<cyto::counter>("lines")),
        understood_(self.cell<cyto::counter>("lines understood")),
        not_understood_(self.cell<cyto::counter>("lines not understood")) {
    fd_ = ::open(self.setting("input").c_str(), O_RDONLY | O_CLOEXEC);
    if (fd_ < 0 || fstat(fd_, &info_) != 0) refuse_errno();
    if (info_.st_size == 0) refuse("is empty", "", hint);
  }

  cyto::produced produce(cyto::turn& turn) {
    const bool has_read_all = end_.value() != 0 && position_.value() == end_.value();
    if (!has_read_all) check_file(turn);
    const std::uint64_t begin = position_.value();
    if (begin == end_.value()) {
      if (understood_.value() == 0) refuse_content();
      tell_end(turn);
      return ended_.value() == packages_.size() ? cyto::produced::finished : cyto::produced::more;
    }
    counts_.clear();
    const std::uint64_t at = take_lines(turn, begin);
    for (const auto& [name, amount] : counts_) {
      turn.send<journal::Count>(
          register_.member(0), [name = name, amount = amount](flatbuffers::FlatBufferBuilder& fbb) {
            const auto text = fbb.CreateString(name);
            return journal::CreateCount(fbb, text, amount);
          });
    }
    position_.set(turn, at);
    self_->progress(at, end_.value());
    return cyto::produced::more;
  }

 private:
  static constexpr const char* hint = "name a log of dpkg's, such as /var/log/dpkg.log";

  // The same file, and no shorter than it was, also after a restart.
  void check_file(cyto::turn& turn) {
    const auto size = static_cast<std::uint64_t>(info_.st_size);
    const std::uint64_t identity = static_cast<std::uint64_t>(info_.st_ino) + 1;
    if (end_.value() == 0) {
      file_.set(turn, identity);
      end_.set(turn, size);
    }
    if (file_.value() != identity) refuse("was replaced while it was read", "", "start again");
    if (size < end_.value()) refuse_shorter();
  }

  // Of as many packages as one turn can tell of.
  void tell_end(cyto::turn& turn) {
    const std::uint64_t begin = ended_.value();
    std::uint64_t at = 0;
    packages_.each([&](std::string_view package) {
      if (at > begin && turn.is_nearly_full()) return false;
      if (at++ < begin) return true;
      turn.send<journal::End>(keepers_.by_key(package), [&](flatbuffers::FlatBufferBuilder& fbb) {
        return journal::CreateEnd(fbb, fbb.CreateString(package));
      });
      return true;
    });
    if (at != begin) ended_.set(turn, at);
  }

  // Returns where the next turn goes on.
  std::uint64_t take_lines(cyto::turn& turn, std::uint64_t begin) {
    std::uint64_t at = begin;
    std::string_view text = read_at(begin);
    bool is_inside = inside_.value() != 0;
    while (!text.empty() && !turn.is_nearly_full()) {
      const std::size_t length = text.find('\n');
      if (length == std::string_view::npos) {
        if (at + text.size() == end_.value()) {
          counts_["lines cut short at the end"] = 1;
          at = end_.value();
        } else if (at == begin) {
          is_inside = true;  // A block without a line's end: no line that could be understood.
          at += text.size();
        }
        break;
      }
      take(turn, is_inside ? std::string_view() : text.substr(0, length));
      is_inside = false;
      at += length + 1;
      text.remove_prefix(length + 1);
    }
    if (is_inside != (inside_.value() != 0)) inside_.set(turn, is_inside ? 1 : 0);
    return at;
  }

  void take(cyto::turn& turn, std::string_view line) {
    const journal::entry entry = journal::read_line(line);
    lines_.add(turn, 1);
    if (entry.kind == journal::entry_kind::none) {
      if (not_understood_.value() == 0) counts_["first line not understood"] = lines_.value();
      not_understood_.add(turn, 1);
      ++counts_["lines not understood"];
      return;
    }
    understood_.add(turn, 1);
    if (entry.kind == journal::entry_kind::note) {
      ++counts_[journal::notes[entry.word]];
      return;
    }
    ++counts_["events"];
    if (entry.kind == journal::entry_kind::action) ++counts_[journal::words[entry.word]];
    const auto sent = self_->cell<cyto::counter>(std::string(entry.package) + " sent");
    sent.add(turn, 1);
    packages_.add(turn, entry.package);
    turn.send<journal::Event>(
        keepers_.by_key(entry.package), [&](flatbuffers::FlatBufferBuilder& fbb) {
          const auto package = fbb.CreateString(entry.package);
          const auto version = fbb.CreateString(entry.version);
          const auto new_version = fbb.CreateString(entry.new_version);
          return journal::CreateEvent(fbb, package, static_cast<std::uint32_t>(sent.value()),
                                      static_cast<std::uint8_t>(entry.word), version, new_version);
        });
  }

  // A block from there on, or what is left.
  std::string_view read_at(std::uint64_t at) {
    block_.resize(std::min<std::uint64_t>(block_bytes, end_.value() - at));
    for (std::size_t got = 0; got < block_.size();) {
      const ssize_t bytes =
          pread(fd_, block_.data() + got, block_.size() - got, static_cast<off_t>(at + got));
      if (bytes < 0 && errno == EINTR) continue;
      if (bytes < 0) refuse_errno();
      if (bytes == 0) refuse_shorter();
      got += static_cast<std::size_t>(bytes);
    }
    return block_;
  }

  [[noreturn]] void refuse(const std::string& value, const std::string& bound,
                           const std::string& next) const {
    throw cyto::error(cyto::error_code::bad_input, "input " + name_, value, bound, next);
  }
  [[noreturn]] void refuse_shorter() const {
    refuse("was cut short while it was read", "", "start again");
  }
  [[noreturn]] void refuse_content() const {
    refuse("is no log of dpkg's",
           "none of its " + std::to_string(lines_.value()) + " lines is one that dpkg writes",
           hint);
  }
  [[noreturn]] void refuse_errno() const {
    cyto::throw_errno(errno, cyto::error_code::bad_input, "input " + name_, "cannot be read");
  }

  cyto::worker* self_;
  std::string name_;
  cyto::output keepers_;
  cyto::output register_;
  cyto::last_writer file_;      // Which file is being read,
  cyto::last_writer end_;       // and how many bytes of it count.
  cyto::last_writer position_;  // Bytes whose lines are sent.
  cyto::last_writer inside_;    // 1: the position is inside a line too long to be understood.
  cyto::growing_set packages_;
  cyto::last_writer ended_;  // Of so many of them, the newest first, the keepers know the end.
  cyto::counter lines_;
  cyto::counter understood_;
  cyto::counter not_understood_;
  int fd_ = -1;
  struct stat info_ {};
  std::string block_;
  std::map<std::string_view, std::uint64_t> counts_;  // Of this turn, for the register.
};

}  // namespace

int main(int argc, char** argv) {
  return cyto::worker_main(argc, argv, [](cyto::worker& self) {
    const auto here = std::make_shared<source>(self);
    self.source([here](cyto::turn& turn) { return here->produce(turn); });
  });
}
