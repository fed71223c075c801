// Programs under test: started, watched, signalled and reaped by the test that started them.
//
//   process job({bin / "cyto", "run", file}, {.env = {runtime.env()}});
//   outcome end = job.wait();
//   EXPECT_EQ(end.exit_code, 0) << end.err;
//
// Output goes to memory, not into pipes, so that a program never waits for its test, and a worker
// that outlives its supervisor does not hold up the test that reads. Waiting is done on pidfds.
// Only what a `process` started is killed by it.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace cyto::test {

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
inline constexpr bool sanitized = true;
#else
inline constexpr bool sanitized = false;
#endif

// Deadlines are for what hangs; they are no judgement on speed.
inline constexpr std::chrono::seconds default_deadline{100};

class file_descriptor {
 public:
  file_descriptor() = default;
  explicit file_descriptor(int value) : value_(value) {}
  file_descriptor(file_descriptor&& other) noexcept : value_(std::exchange(other.value_, -1)) {}
  file_descriptor& operator=(file_descriptor&& other) noexcept {
    std::swap(value_, other.value_);
    return *this;
  }
  ~file_descriptor() { close(); }

  void close();
  int get() const { return value_; }
  explicit operator bool() const { return value_ >= 0; }

 private:
  int value_ = -1;
};

// A pipe whose ends no child inherits unless it is told to.
struct pipe_ends {
  file_descriptor read;
  file_descriptor write;
};
pipe_ends make_pipe();

// Any process, ours or not; never a later one that got its id.
class process_ref {
 public:
  explicit process_ref(pid_t pid);

  pid_t pid() const { return pid_; }
  // False if there is no such process any more.
  bool send_signal(int signal) const;
  // Whether it ended within `time`.
  bool wait_for_end(std::chrono::milliseconds time) const;

 private:
  pid_t pid_;
  file_descriptor pidfd_;
};

struct process_options {
  std::filesystem::path cwd = {};
  std::vector<std::pair<std::string, std::string>> env = {};  // added to the test's own
  std::filesystem::path stdin_path = "/dev/null";
  int stdin_fd = -1;                       // instead of the path
  std::filesystem::path stdout_path = {};  // empty: captured
  int stdout_fd = -1;                      // instead of the path
};

struct outcome {
  int exit_code = -1;  // -1: a signal ended it
  int signal = 0;
  double seconds = 0;
  std::string out;
  std::string err;
};

class process {
 public:
  // Throws if the program cannot be started.
  explicit process(std::vector<std::string> arguments, const process_options& options = {});
  process(process&&) noexcept = default;
  process& operator=(process&&) = delete;
  // Kills what still runs.
  ~process();

  pid_t pid() const { return pid_; }
  void send_signal(int signal);
  // The outcome if it ended within `time`.
  std::optional<outcome> wait_for(std::chrono::milliseconds time);
  // Throws, with the program's last words, if it has not ended by then.
  outcome wait(std::chrono::milliseconds deadline = default_deadline);
  // What it has said so far.
  std::string out() const;
  std::string err() const;

 private:
  std::string command_line() const;

  std::vector<std::string> arguments_;
  std::chrono::steady_clock::time_point started_;
  pid_t pid_ = -1;
  file_descriptor pidfd_;
  file_descriptor out_;
  file_descriptor err_;
  std::optional<outcome> outcome_;
};

// Starts it and waits for its end.
outcome run(std::vector<std::string> arguments, const process_options& options = {});

}  // namespace cyto::test
