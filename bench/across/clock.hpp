// The processor's own clock, which the cores of one machine share: the finest there is, and cheap
// enough to be read around each message.
#pragma once

#include <cstdint>

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

namespace cyto::bench {

// Now, in ticks. Loads that stand before it are done when it is read.
inline std::uint64_t ticks() noexcept {
#if defined(__x86_64__)
  _mm_lfence();
  return __rdtsc();
#elif defined(__aarch64__)
  std::uint64_t out;
  asm volatile("isb; mrs %0, cntvct_el0" : "=r"(out)::"memory");
  return out;
#else
#error "cyto's benchmarks know the clocks of x86-64 and arm64 only"
#endif
}

// Nanoseconds of a tick, found out once against the monotonic clock.
double ns_per_tick();

inline std::uint64_t ticks_of_ns(double ns) {
  return static_cast<std::uint64_t>(ns / ns_per_tick());
}

}  // namespace cyto::bench
