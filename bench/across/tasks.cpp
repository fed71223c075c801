// Orders given out to workers and their results brought back. The floor is the same over pipes:
// what a program without any library would do.
#include <sys/prctl.h>
#include <unistd.h>

#include <array>
#include <deque>
#include <stdexcept>

#include "across/cases.hpp"
#include "across/crew.hpp"

namespace cyto::bench {
namespace {

// Gives one order to each, in one turn, and waits for all the results: give(numbers), gather().
template <class Give, class Gather>
void scatter(const pace& how, std::uint32_t workers, tally& out, const Give& give,
             const Gather& gather) {
  const std::uint64_t start = ticks();
  const std::uint64_t warm = start + ticks_of_ns(how.seconds * 0.5e9);
  const std::uint64_t until = warm + ticks_of_ns(how.seconds * 1e9);
  out.began_ticks = start;
  std::uint64_t before = start;
  for (std::uint64_t number = 1; before < until || out.times.count() == 0; number += workers) {
    give(number);
    gather(number);
    const std::uint64_t now = ticks();
    if (before >= warm) {
      out.times.add(now - before);
    } else {
      out.began_ticks = now;
    }
    before = now;
  }
  out.ended_ticks = before;
  out.count = out.times.count() * workers;
}

// Each of `workers` numbers from `first` on came back once.
class roll {
 public:
  roll(std::uint64_t first, std::uint32_t workers) : first_(first), missing_(workers) {}
  void add(std::uint64_t number, tally& out) {
    const std::uint64_t at = number - first_;
    if (at < came_.size() && !came_[at]) {
      came_[at] = true;
      --missing_;
    } else {
      ++out.lost;
    }
  }
  void end(tally& out) const { out.lost += missing_; }

 private:
  std::uint64_t first_;
  std::uint64_t missing_;
  std::array<bool, 8> came_{};
};

sample turns(const pace& how, std::uint32_t workers) {
  crew of(workers);
  return of.play(how, [&](crew::lead& lead, tally& out, const std::function<void()>& begin) {
    begin();
    scatter(
        how, workers, out,
        [&](std::uint64_t first) {
          for (std::uint32_t i = 0; i < workers; ++i) lead.give(i, first + i);
          lead.commit();
        },
        [&](std::uint64_t first) {
          roll came(first, workers);
          lead.gather(workers, [&](const answer& from) { came.add(from.number, out); });
          came.end(out);
        });
  });
}

void write_all(int to, const void* data, std::size_t bytes) {
  if (::write(to, data, bytes) != static_cast<ssize_t>(bytes)) {
    throw std::runtime_error("a pipe of the benchmark broke");
  }
}
void read_all(int from, void* data, std::size_t bytes) {
  // Orders and answers are shorter than what a pipe writes at once.
  if (::read(from, data, bytes) != static_cast<ssize_t>(bytes)) {
    throw std::runtime_error("a pipe of the benchmark broke");
  }
}

struct pipe_pair {
  pipe_pair() {
    if (::pipe(ends) != 0) throw std::runtime_error("no pipe for a benchmark");
  }
  pipe_pair(const pipe_pair&) = delete;
  pipe_pair& operator=(const pipe_pair&) = delete;
  ~pipe_pair() {
    ::close(ends[0]);
    ::close(ends[1]);
  }
  int ends[2];
};

// A pipe to each worker, and one for all results.
sample pipes(const pace& how, std::uint32_t workers) {
  std::deque<pipe_pair> orders(workers);
  const pipe_pair results;
  const auto near = [&](tally& out, const std::function<void()>& begin) {
    begin();
    const auto give = [&](std::uint64_t first, std::uint64_t step) {
      std::byte order[order_bytes];
      for (std::uint32_t i = 0; i < workers; ++i) {
        write_payload(order, sizeof order, first + i * step);
        write_all(orders[i].ends[1], order, sizeof order);
      }
    };
    scatter(
        how, workers, out, [&](std::uint64_t first) { give(first, 1); },
        [&](std::uint64_t first) {
          roll came(first, workers);
          for (std::uint32_t i = 0; i < workers; ++i) {
            answer from{};
            read_all(results.ends[0], &from, sizeof from);
            came.add(from.number, out);
          }
          came.end(out);
        });
    give(stop_number, 0);
  };
  std::vector<part> far;
  for (std::uint32_t i = 0; i < workers; ++i) {
    far.emplace_back([&, i](tally&, const std::function<void()>& begin) {
      begin();
      for (;;) {
        std::byte order[order_bytes];
        read_all(orders[i].ends[0], order, sizeof order);
        const answer back = {read_payload(order, sizeof order), ticks()};
        if (back.number == stop_number) return;
        write_all(results.ends[1], &back, sizeof back);
      }
    });
  }
  const duet_result found = play_with_many(how.where, near, far, how.limit_s);
  return sample_of(found, *found.near);
}

}  // namespace

void add_tasks(std::vector<test_case>& to) {
  for (const std::uint32_t workers : {1U, 2U, 4U, 8U}) {
    const std::string count = std::to_string(workers);
    to.push_back({"tasks",
                  "pipes_" + count,
                  "park",
                  order_bytes,
                  figure::round_p50,
                  {},
                  [workers](const pace& how) { return pipes(how, workers); }});
    to.push_back({"tasks", "turns_" + count, "park", order_bytes, figure::round_p50,
                  to.back().key(), [workers](const pace& how) { return turns(how, workers); }});
  }
}

}  // namespace cyto::bench
