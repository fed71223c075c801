// The whole job against the single-process oracle: the same input, one run, turn and turn about.
//
//   job_bench [INPUT] [--benchmark_...]        or CYTO_BENCH_INPUT=INPUT
//
// Without INPUT, the excerpt of the tests is taken, which is so small that starting processes is
// most of it. Times are wall times of whole processes, from their start to their end, each writing
// its table to a file. The two tables are compared before anything is measured. The ratio is how
// many times as fast as the oracle the job is, by medians.
#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace {

namespace fs = std::filesystem;
using command = std::vector<std::string>;

const fs::path bin_dir = CYTO_BIN_DIR;
const fs::path source_dir = CYTO_SOURCE_DIR;

[[noreturn]] void give_up(const std::string& why) { throw std::runtime_error(why); }

// Seconds from start to end; what the program says goes to `output` if that is given.
double seconds_of(command words, const fs::path& output = {}) {
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  if (!output.empty()) {
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, output.c_str(),
                                     O_WRONLY | O_CREAT | O_TRUNC, 0600);
  }
  const auto began = std::chrono::steady_clock::now();
  pid_t pid = 0;
  int status = 0;
  const bool ran =
      posix_spawnp(&pid, pointers[0], &actions, nullptr, pointers.data(), environ) == 0 &&
      ::waitpid(pid, &status, 0) == pid;
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  posix_spawn_file_actions_destroy(&actions);
  if (!ran || !WIFEXITED(status) || WEXITSTATUS(status) != 0) give_up(words[0] + " failed");
  return took.count();
}

std::string contents(const fs::path& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return std::move(text).str();
}

// The lower one of two in the middle: an honest member of the list.
double median(std::vector<double> times) {
  const auto middle = times.begin() + static_cast<std::ptrdiff_t>((times.size() - 1) / 2);
  std::nth_element(times.begin(), middle, times.end());
  return *middle;
}

double least(const std::vector<double>& times) {
  return *std::min_element(times.begin(), times.end());
}

// The folder of one run, gone at its end.
class work_folder {
 public:
  work_folder() {
    std::string name = (fs::temp_directory_path() / "cyto-job-bench-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) give_up("cannot make " + name);
    path_ = name;
  }
  work_folder(const work_folder&) = delete;
  work_folder& operator=(const work_folder&) = delete;
  ~work_folder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  fs::path operator/(const char* name) const { return path_ / name; }

 private:
  fs::path path_;
};

class contest {
 public:
  explicit contest(fs::path input) : input_(std::move(input)) {
    if (input_.empty()) {
      input_ = folder_ / "packages";
      seconds_of({"gzip", "-dc", source_dir / "tests/data/packages.gz"}, input_);
    }
    if (!fs::is_regular_file(input_)) give_up(input_.string() + " is no file");
    // Also reads the input once for both, so that neither has to wait for the disk.
    run_oracle();
    run_job();
    if (contents(oracle_table_) != contents(job_table_)) give_up("the tables differ");
  }

  double run_oracle() const {
    return seconds_of({bin_dir / "revdeps_oracle", input_, oracle_table_});
  }
  double run_job() const {
    return seconds_of({bin_dir / "cyto", "run", source_dir / "examples/revdeps/revdeps.toml",
                       "--input", input_, "--output", job_table_, "--name",
                       "job-bench-" + std::to_string(::getpid())});
  }
  double megabytes() const { return static_cast<double>(fs::file_size(input_)) / 1e6; }

 private:
  work_folder folder_;
  fs::path input_;
  fs::path oracle_table_ = folder_ / "oracle.tsv";
  fs::path job_table_ = folder_ / "job.tsv";
};

// One iteration is one pair; its time is the job's.
void whole_job(benchmark::State& state, const contest& each) {
  std::vector<double> oracle;
  std::vector<double> job;
  for (auto _ : state) {
    oracle.push_back(each.run_oracle());
    job.push_back(each.run_job());
    state.SetIterationTime(job.back());
  }
  state.counters["input_MB"] = each.megabytes();
  state.counters["oracle_min_ms"] = 1e3 * least(oracle);
  state.counters["oracle_median_ms"] = 1e3 * median(oracle);
  state.counters["job_min_ms"] = 1e3 * least(job);
  state.counters["job_median_ms"] = 1e3 * median(job);
  state.counters["ratio"] = median(oracle) / median(job);
}

int measure(int argc, char** argv) {
  // Half a second, the library's own choice, is two runs over a whole index.
  std::string min_time = "--benchmark_min_time=4";
  std::vector<char*> words = {argv[0], min_time.data()};
  for (int i = 1; i < argc; ++i) words.push_back(argv[i]);
  int count = static_cast<int>(words.size());
  benchmark::Initialize(&count, words.data());
  const char* named = std::getenv("CYTO_BENCH_INPUT");
  fs::path input = named == nullptr ? "" : named;
  if (count > 1) input = words[1];
  if (count > 2) give_up("usage: job_bench [INPUT] [--benchmark_...]");
  const contest each{input};
  benchmark::RegisterBenchmark("whole_job",
                               [&](benchmark::State& state) { whole_job(state, each); })
      ->Unit(benchmark::kMillisecond)
      ->UseManualTime();
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return measure(argc, argv);
  } catch (const std::exception& failure) {
    std::fprintf(stderr, "job_bench: %s\n", failure.what());
    return 1;
  }
}
