// The ways to measure what crosses two processes. Each wants an `end` for both sides:
//
//   void send(std::uint64_t number)     writes the whole payload; waits while there is no room
//   std::uint64_t receive()             waits for a message, reads the whole payload
//   void finish()                       what send() may have held back leaves
//
// and makes it inside the process that uses it, by near() and far() of a `Link`, which is made
// before the processes are.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>

#include "across/clock.hpp"
#include "across/duet.hpp"
#include "across/payload.hpp"
#include "cyto/doorbell.hpp"

namespace cyto::bench {

struct sample {
  histogram times;  // In ticks.
  std::uint64_t count = 0;
  double seconds = 0;
  double cpu_s = 0;  // Of both processes.
  std::uint64_t switches = 0;
  std::uint64_t lost = 0;
};

struct pace {
  double seconds = 0.2;  // Measured; half as much before it is not.
  double limit_s = 20;   // After which it is given up.
  cores where = {};
  director direct = play;  // Processes, or threads.
};

inline sample sample_of(const duet_result& found, const tally& counted) {
  sample out;
  out.times = found.near->times;
  out.times.add(found.far->times);
  out.count = counted.count;
  out.seconds =
      static_cast<double>(counted.ended_ticks - counted.began_ticks) * ns_per_tick() * 1e-9;
  out.cpu_s = found.near->cpu_s + found.far->cpu_s;
  out.switches = found.near->switches + found.far->switches;
  out.lost = found.near->lost + found.far->lost;
  return out;
}

// Closed loop: the next message leaves when the answer to the last one is here. The times are those
// of whole rounds.
template <class Link>
sample ping_pong(Link& link, const pace& how) {
  const auto near = [&](tally& out, const std::function<void()>& begin) {
    auto end = link.near();
    begin();
    const std::uint64_t start = ticks();
    const std::uint64_t warm = start + ticks_of_ns(how.seconds * 0.5e9);
    const std::uint64_t until = warm + ticks_of_ns(how.seconds * 1e9);
    out.began_ticks = start;
    std::uint64_t before = start;
    for (std::uint64_t number = 1; before < until || out.times.count() == 0; ++number) {
      end.send(number);
      const std::uint64_t got = end.receive();
      const std::uint64_t now = ticks();
      if (got != number) ++out.lost;
      if (before >= warm) {
        out.times.add(now - before);
      } else {
        out.began_ticks = now;
      }
      before = now;
    }
    out.ended_ticks = before;
    out.count = out.times.count();
    end.send(stop_number);
    end.receive();
  };
  const auto far = [&](tally&, const std::function<void()>& begin) {
    auto end = link.far();
    begin();
    for (std::uint64_t number = 0; number != stop_number;) {
      number = end.receive();
      end.send(number);
    }
  };
  const duet_result found = how.direct(how.where, near, far, how.limit_s);
  return sample_of(found, *found.near);
}

// Both ends in one thread, one message to and fro at a time: no line moves between cores, so what
// is left is instructions. The times are those of half a round, a message sent and taken, each the
// mean of `alone_rounds`.
inline constexpr unsigned alone_rounds = 32;

template <class Link>
sample alone(Link& link, const pace& how) {
  const auto near = [&](tally& out, const std::function<void()>& begin) {
    auto one = link.near();
    auto other = link.far();
    begin();
    const std::uint64_t start = ticks();
    const std::uint64_t warm = start + ticks_of_ns(how.seconds * 0.5e9);
    const std::uint64_t until = warm + ticks_of_ns(how.seconds * 1e9);
    out.began_ticks = start;
    std::uint64_t before = start;
    for (std::uint64_t number = 0; before < until || out.times.count() == 0;) {
      for (unsigned i = 0; i < alone_rounds; ++i) {
        one.send(++number);
        if (other.receive() != number) ++out.lost;
        other.send(number);
        if (one.receive() != number) ++out.lost;
      }
      const std::uint64_t now = ticks();
      if (before >= warm) {
        out.times.add((now - before) / (2 * alone_rounds));
      } else {
        out.began_ticks = now;
      }
      before = now;
    }
    out.ended_ticks = before;
    out.count = out.times.count() * 2 * alone_rounds;
  };
  const auto far = [](tally&, const std::function<void()>& begin) { begin(); };
  const duet_result found = how.direct(how.where, near, far, how.limit_s);
  return sample_of(found, *found.near);
}

// As many as go through, one way.
template <class Link>
sample one_way(Link& link, const pace& how) {
  const auto near = [&](tally&, const std::function<void()>& begin) {
    auto end = link.near();
    begin();
    const std::uint64_t until = ticks() + ticks_of_ns(how.seconds * 1.5e9);
    std::uint64_t number = 0;
    do {
      for (int i = 0; i < 256; ++i) end.send(++number);
    } while (ticks() < until);
    end.send(stop_number);
    end.finish();
  };
  const auto far = [&](tally& out, const std::function<void()>& begin) {
    auto end = link.far();
    begin();
    const std::uint64_t warm = ticks() + ticks_of_ns(how.seconds * 0.5e9);
    std::uint64_t next = 1;
    std::uint64_t first = 0;
    for (std::uint64_t number = end.receive(); number != stop_number; number = end.receive()) {
      if (number != next) ++out.lost;
      next = number + 1;
      if ((number & 255) != 0) continue;
      const std::uint64_t now = ticks();
      if (now < warm) {
        out.began_ticks = now;
        first = number;
      }
      out.ended_ticks = now;
      out.count = number - first;
    }
  };
  const duet_result found = how.direct(how.where, near, far, how.limit_s);
  return sample_of(found, *found.far);
}

// Open loop: messages leave at a fixed rate, whatever became of those before. The times are those
// from the moment a message was due to its arrival, so that one which was held up counts as late,
// and so does each one behind it. (Gil Tene's "coordinated omission".)
template <class Link>
sample open_loop(Link& link, const pace& how, double per_s) {
  const auto interval = ticks_of_ns(1e9 / per_s);
  const auto near = [&](tally&, const std::function<void()>& begin) {
    auto end = link.near();
    begin();
    std::uint64_t due = ticks() + interval;
    const std::uint64_t until = due + ticks_of_ns(how.seconds * 1.5e9);
    for (; due < until; due += interval) {
      while (ticks() < due) relax();
      end.send(due);
    }
    end.send(stop_number);
    end.finish();
  };
  const auto far = [&](tally& out, const std::function<void()>& begin) {
    auto end = link.far();
    begin();
    const std::uint64_t warm = ticks() + ticks_of_ns(how.seconds * 0.5e9);
    std::uint64_t last = 0;
    for (std::uint64_t due = end.receive(); due != stop_number; due = end.receive()) {
      const std::uint64_t now = ticks();
      if (last != 0 && due != last + interval) ++out.lost;
      last = due;
      if (now < warm) {
        out.began_ticks = now;
        continue;
      }
      out.times.add(now - due);
      out.ended_ticks = now;
    }
    out.count = out.times.count();
  };
  const duet_result found = how.direct(how.where, near, far, how.limit_s);
  return sample_of(found, *found.far);
}

}  // namespace cyto::bench
