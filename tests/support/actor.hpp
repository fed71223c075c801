// A part of a test that runs in a process of its own, and the word between the two.
//
//   actor sender([](line& to_test) { ...; to_test.say(7); to_test.hear(); });
//   EXPECT_EQ(sender.hear(), 7u);
//   sender.kill();                 // or: sender.say(0); EXPECT_EQ(sender.end(), 0);
#pragma once

#include <sys/prctl.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <exception>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include "support/process.hpp"

namespace cyto::test {

// Numbers to and fro; hear() waits.
class line {
 public:
  line(pipe_ends in, pipe_ends out) : in_(std::move(in)), out_(std::move(out)) {
    in_.write.close();
    out_.read.close();
  }
  void say(std::uint64_t what) const {
    if (::write(out_.write.get(), &what, sizeof what) != sizeof what) {
      throw std::runtime_error("the other process has gone");
    }
  }
  [[nodiscard]] std::uint64_t hear() const {
    std::uint64_t what = 0;
    if (::read(in_.read.get(), &what, sizeof what) != sizeof what) {
      throw std::runtime_error("the other process has gone");
    }
    return what;
  }

 private:
  pipe_ends in_;
  pipe_ends out_;
};

class actor {
 public:
  static constexpr int threw = 99;

  explicit actor(const std::function<void(const line&)>& body) {
    pipe_ends there = make_pipe();
    pipe_ends back = make_pipe();
    std::signal(SIGPIPE, SIG_IGN);
    pid_ = ::fork();
    if (pid_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // It may wait for something that a dead test never does.
      int code = 0;
      try {
        const line mine(std::move(there), std::move(back));
        body(mine);
      } catch (const std::exception& failure) {
        const std::string text = std::string("actor: ") + failure.what() + "\n";
        if (::write(STDERR_FILENO, text.data(), text.size()) < 0) code = 98;
        code = threw;
      }
      ::_exit(code);
    }
    line_.emplace(std::move(back), std::move(there));
  }
  actor(const actor&) = delete;
  actor& operator=(const actor&) = delete;
  ~actor() { kill(); }

  void say(std::uint64_t what) const { line_->say(what); }
  [[nodiscard]] std::uint64_t hear() const { return line_->hear(); }
  [[nodiscard]] pid_t pid() const { return pid_; }
  // Waits for its end. Its exit code; 0 is good.
  int end() {
    int state = 0;
    ::waitpid(std::exchange(pid_, -1), &state, 0);
    return WIFEXITED(state) ? WEXITSTATUS(state) : 128 + WTERMSIG(state);
  }
  void kill() {
    if (pid_ < 0) return;
    ::kill(pid_, SIGKILL);
    end();
  }

 private:
  pid_t pid_ = -1;
  std::optional<line> line_;
};

}  // namespace cyto::test
