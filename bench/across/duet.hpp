// Two processes, each on a core of its own, that begin together.
//
//   const duet_result found = play(pinned_cores(), near_part, far_part);
//
// Each part runs in a process forked for it, so that neither inherits anything from a run before.
// What a part finds out it leaves in its tally, which lies in memory shared with the caller.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "across/histogram.hpp"
#include "across/pinning.hpp"

namespace cyto::bench {

struct tally {
  histogram times;
  std::uint64_t count = 0;        // Messages that count.
  std::uint64_t lost = 0;         // Messages that were not what they should have been.
  std::uint64_t began_ticks = 0;  // Of the time in which `count` messages came.
  std::uint64_t ended_ticks = 0;
  double cpu_s = 0;            // User and system time of the process, its start left out.
  std::uint64_t switches = 0;  // How often it gave up the core, or was made to.
  char failure[200] = {};
};

struct duet_result {
  std::unique_ptr<tally> near;
  std::unique_ptr<tally> far;
};

using part = std::function<void(tally&, const std::function<void()>& begin)>;

// Runs both. A part prepares, calls begin(), which returns when the other one has called it too,
// and goes on. Throws when a part fails, or has not ended after `limit_s` seconds.
duet_result play(cores where, const part& near, const part& far, double limit_s);
// The same as two threads of one forked process, for what knows no other kind.
duet_result play_threads(cores where, const part& near, const part& far, double limit_s);

// The same with as many far parts as there are in `far`, each a process; all begin together. Their
// tallies are one in the result: sums, and of the times all. With more than one they run wherever
// the kernel likes.
duet_result play_with_many(cores where, const part& near, const std::vector<part>& far,
                           double limit_s);

using director = duet_result (*)(cores, const part&, const part&, double);

}  // namespace cyto::bench
