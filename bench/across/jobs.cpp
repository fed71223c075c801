// Whole jobs: wall time of all their processes, from the first one's start to the last one's end,
// table written and compared. The floor is the plain single-process program of the same rule.
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <iterator>
#include <stdexcept>

#include "across/cases.hpp"

namespace cyto::bench {
namespace {

namespace fs = std::filesystem;
using command = std::vector<std::string>;

const fs::path bin = CYTO_BIN_DIR;
const fs::path oracle = bin / "revdeps_oracle";
const fs::path topology = fs::path(CYTO_SOURCE_DIR) / "examples/revdeps/revdeps.toml";
const fs::path excerpt = fs::path(CYTO_SOURCE_DIR) / "tests/data/packages.gz";

// Runs it to its end, with standard output to a file if one is given.
void run_program(command words, double limit_s, const fs::path& output = {}) {
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  const std::string to = output.empty() ? "/dev/null" : output.string();
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, to.c_str(),
                                   O_WRONLY | O_CREAT | O_TRUNC, 0600);
  pid_t pid = 0;
  const int problem = posix_spawnp(&pid, pointers[0], &actions, nullptr, pointers.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (problem != 0) throw std::runtime_error(words[0] + " cannot be started");
  pollfd end = {static_cast<int>(syscall(SYS_pidfd_open, pid, 0)), POLLIN, 0};
  const bool in_time = poll(&end, 1, static_cast<int>(limit_s * 1e3)) == 1;
  close(end.fd);
  // Its workers end with it: their memory says who their supervisor is.
  if (!in_time) kill(pid, SIGTERM);
  int status = 0;
  waitpid(pid, &status, 0);
  if (!in_time) throw std::runtime_error(words[0] + " stood still and was ended");
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    throw std::runtime_error(words[0] + " failed: wait status " + std::to_string(status));
  }
}

std::string contents(const fs::path& path) {
  std::ifstream from(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(from), {}};
}

double cpu_seconds() {
  rusage used{};
  getrusage(RUSAGE_CHILDREN, &used);
  const auto seconds = [](const timeval& at) {
    return static_cast<double>(at.tv_sec) + 1e-6 * static_cast<double>(at.tv_usec);
  };
  return seconds(used.ru_utime) + seconds(used.ru_stime);
}

// A gzip file ends with its unpacked size.
std::size_t bytes_unpacked(const fs::path& path) {
  std::ifstream from(path, std::ios::binary);
  unsigned char last[4] = {};
  from.seekg(-4, std::ios::end);
  from.read(reinterpret_cast<char*>(last), sizeof last);
  return last[0] | std::size_t{last[1]} << 8 | std::size_t{last[2]} << 16 |
         std::size_t{last[3]} << 24;
}

// The input of the programs and their tables, in a folder that is gone at the end.
class workshop {
 public:
  explicit workshop(fs::path input) : input_(std::move(input)) {
    std::string name = (fs::temp_directory_path() / "cyto-bench-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("cannot make " + name);
    folder_ = name;
    if (input_.empty()) {
      input_ = folder_ / "packages";
      run_program({"gzip", "-dc", excerpt}, 20, input_);
    }
  }
  workshop(const workshop&) = delete;
  workshop& operator=(const workshop&) = delete;
  ~workshop() {
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
  }

  // Also reads the input once for those that follow, so that none has to wait for the disk.
  void run_oracle(double limit_s) const {
    run_program({oracle, input_, folder_ / "oracle"}, limit_s);
  }
  void run_job(double limit_s) const {
    run_program({bin / "cyto", "run", topology, "--input", input_, "--output", folder_ / "job",
                 "--name", "bench-" + std::to_string(getpid())},
                limit_s);
  }
  [[nodiscard]] bool tables_are_equal() const {
    return contents(folder_ / "oracle") == contents(folder_ / "job");
  }

 private:
  fs::path folder_;
  fs::path input_;
};

template <class Run>
sample timed(const pace& how, const Run& run) {
  sample out;
  const double cpu_before = cpu_seconds();
  const std::uint64_t until = ticks() + ticks_of_ns(how.seconds * 1e9);
  std::uint64_t before = ticks();
  while (before < until || out.count == 0) {
    run();
    const std::uint64_t now = ticks();
    out.times.add(now - before);
    out.seconds += static_cast<double>(now - before) * ns_per_tick() * 1e-9;
    ++out.count;
    before = now;
  }
  out.cpu_s = cpu_seconds() - cpu_before;
  return out;
}

}  // namespace

void add_jobs(std::vector<test_case>& to, const fs::path& input) {
  if (!fs::exists(oracle) || !fs::exists(topology) || !fs::exists(excerpt)) return;
  const std::size_t bytes = input.empty() ? bytes_unpacked(excerpt) : fs::file_size(input);
  to.push_back({"job", "oracle", "park", bytes, figure::round_p50, {}, [=](const pace& how) {
                  const workshop shop(input);
                  shop.run_oracle(how.limit_s);
                  return timed(how, [&] { shop.run_oracle(how.limit_s); });
                }});
  to.push_back(
      {"job", "revdeps", "park", bytes, figure::round_p50, to.back().key(), [=](const pace& how) {
         const workshop shop(input);
         shop.run_oracle(how.limit_s);
         sample out = timed(how, [&] { shop.run_job(how.limit_s); });
         out.lost = shop.tables_are_equal() ? 0 : 1;
         return out;
       }});
}

}  // namespace cyto::bench
