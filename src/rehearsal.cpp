#include "rehearsal.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <system_error>

#include "cyto/postmortem.hpp"
#include "cyto/schema.hpp"

namespace cyto {
namespace {

using clock = std::chrono::steady_clock;

constexpr std::size_t report_bytes_max = 1U << 20;
constexpr std::size_t words_bytes_max = 4096;
constexpr std::size_t last_words_bytes_max = 200;

// What a process writes, as far as it is kept.
class listener {
 public:
  explicit listener(std::size_t bytes_max) : bytes_max_(bytes_max) {
    std::array<int, 2> ends{};
    if (pipe2(ends.data(), O_CLOEXEC) != 0) {
      throw_errno(errno, error_code::failed, "rehearsal", "no pipe");
    }
    read_ = file(ends[0]);
    write_ = file(ends[1]);
    fcntl(read_.get(), F_SETFL, O_NONBLOCK);
  }
  [[nodiscard]] int mouth() const noexcept { return write_.get(); }
  [[nodiscard]] int ear() const noexcept { return read_ ? read_.get() : -1; }
  [[nodiscard]] const std::string& heard() const noexcept { return heard_; }
  void close_mouth() noexcept { write_ = file(); }
  // What there is; never waits. Of what is too long the end is kept, where a program says why.
  void listen() {
    std::array<char, 4096> bytes{};
    for (;;) {
      const ssize_t got = read(read_.get(), bytes.data(), bytes.size());
      if (got < 0 && errno == EINTR) continue;
      if (got == 0) read_ = file();
      if (got <= 0) return;
      heard_.append(bytes.data(), static_cast<std::size_t>(got));
      if (heard_.size() > bytes_max_) heard_.erase(0, heard_.size() - bytes_max_);
    }
  }

 private:
  std::size_t bytes_max_;
  file read_;
  file write_;
  std::string heard_;
};

// A process that does not outlive this object, nor does what it has started.
class player {
 public:
  explicit player(const spawn_request& what) : pid_(spawn(what)) {
    if (pid_ > 0) process_ = open_process(pid_);
  }
  player(const player&) = delete;
  player& operator=(const player&) = delete;
  ~player() { end(); }

  [[nodiscard]] bool has_started() const noexcept { return pid_ > 0 && process_; }
  [[nodiscard]] int fd() const noexcept { return process_.get(); }
  // Its wait status.
  int end() noexcept {
    if (pid_ > 0) {
      // It has a session, and so a group, of its own; the number is its own until it is waited for.
      kill(-pid_, SIGKILL);
      kill(pid_, SIGKILL);
      while (waitpid(pid_, &status_, 0) < 0 && errno == EINTR) continue;
      pid_ = -1;
    }
    return status_;
  }

 private:
  pid_t pid_;
  file process_;
  int status_ = 0;
};

// Whether it ended by itself.
bool attend(const player& one, listener& report, listener& words, int timeout_ms) {
  const clock::time_point until = clock::now() + std::chrono::milliseconds(timeout_ms);
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - clock::now()).count();
    std::array<pollfd, 3> events{pollfd{one.fd(), POLLIN, 0}, pollfd{report.ear(), POLLIN, 0},
                                 pollfd{words.ear(), POLLIN, 0}};
    const int ready = poll(events.data(), events.size(), static_cast<int>(std::max(0L, left)));
    if (ready < 0 && errno != EINTR) return false;
    if (events[1].revents != 0) report.listen();
    if (events[2].revents != 0) words.listen();
    if (events[0].revents != 0) {
      if (report.ear() >= 0) report.listen();
      if (words.ear() >= 0) words.listen();
      return true;
    }
    if (left <= 0) return false;
  }
}

// One line of it, whatever bytes it has.
std::string line_of(std::string_view text) {
  text = text.substr(0, text.find_last_not_of('\n') + 1);
  std::string out(text);
  for (char& each : out) {
    if (static_cast<unsigned char>(each) < ' ' || each == '\x7f') each = ' ';
  }
  return out;
}

// The last line a program said before it went.
std::string last_words(std::string_view text) {
  text = text.substr(0, text.find_last_not_of('\n') + 1);
  const std::size_t before = text.rfind('\n');
  if (before != std::string_view::npos) text.remove_prefix(before + 1);
  return text.empty() ? std::string()
                      : ", saying: " + line_of(text.substr(0, last_words_bytes_max));
}

}  // namespace

std::string rehearse(const segment& where, spawn_request program, const std::string& thing,
                     int timeout_ms) {
  const auto refuse = [&thing](const std::string& value, const std::string& cause = {},
                               const std::string& next = {}) {
    throw error(error_code::bad_input, thing, value, cause, next);
  };
  const file memory = copy_for_rehearsal(where, program.slot);
  listener report(report_bytes_max);
  listener words(words_bytes_max);
  program.is_rehearsal = true;
  program.segment = memory.get();
  program.nudge = report.mouth();
  program.words = words.mouth();
  player one(program);
  if (!one.has_started()) refuse("cannot be run", std::generic_category().message(errno));
  report.close_mouth();
  words.close_mouth();
  const bool has_ended = attend(one, report, words, timeout_ms);
  const int status = one.end();
  const std::string how =
      (has_ended ? exit_text(status) : "no end within " + std::to_string(timeout_ms) + " ms") +
      last_words(words.heard());

  std::string_view said = report.heard();
  const std::string_view first = said.substr(0, said.find('\n'));
  if (!first.starts_with("cyto worker ")) {
    refuse("is no worker of cyto's", how, "name a program whose main function is worker_main()");
  }
  if (first != program_line()) {
    refuse("is a " + std::string(first), "a " + program_line() + " is needed",
           "build it with the cyto that runs here");
  }
  if (said.ends_with(report_end)) {
    said.remove_suffix(report_end.size());
    return std::string(said);
  }
  said.remove_prefix(std::min(said.size(), first.size() + 1));
  if (said.starts_with(report_refused)) {
    refuse("its setup refuses", line_of(said.substr(report_refused.size())));
  }
  if (said.starts_with(report_threw)) {
    refuse("its setup throws", line_of(said.substr(report_threw.size())), "mend it");
  }
  if (!has_ended) refuse("its setup does not return", how, "mend it, or give it more time");
  refuse("its setup ends the process", how, "mend it");
  return {};
}

}  // namespace cyto
