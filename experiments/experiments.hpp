// The five. Each runs systems of its own, one after the other, and leaves none.
#pragma once

#include <string>

#include "result.hpp"
#include "stage.hpp"

namespace cyto::experiment {

struct request {
  double seconds = 1;      // How long each case is measured; what is counted scales with it.
  std::string trace_path;  // Where traces are kept; empty: nowhere.
};

result propagation_latency(const request& asked);
result causal_order(const request& asked);
result update_cycle(const request& asked);
result external_throughput(const request& asked);
result one_slow_worker(const request& asked);

inline check nothing_lost(std::uint64_t unaccounted) {
  return {check_kind::law,
          "messages accepted and neither delivered nor dropped",
          static_cast<double>(unaccounted),
          true,
          0,
          ""};
}

inline double us(std::uint64_t ns) { return static_cast<double>(ns) * 1e-3; }

}  // namespace cyto::experiment
