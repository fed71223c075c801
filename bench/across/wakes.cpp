// What it takes to wake an end that sleeps.
#include "across/wakes.hpp"

#include "across/cases.hpp"

namespace cyto::bench {

void add_wakes(std::vector<test_case>& to) {
  to.push_back({"wake", "turn", "park", 48, figure::round_p50, "floor/futex/park/8",
                rounds<parked_link>(std::size_t{48}, std::uint64_t{64} << 10)});
}

}  // namespace cyto::bench
