// By which way a message came that has made too many hops.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "cyto/postmortem.hpp"
#include "cyto/segment.hpp"

namespace cyto {

class dead_routes {
 public:
  explicit dead_routes(const segment& from) noexcept : from_(&from) {}

  // Who handled what came before a message of that stamp, which `slot` was handed, and which led to
  // one that would have made so many hops: oldest first, as far back as the flight recorders go,
  // `slot` itself at the end. Of several that came by one turn and have made as many, any.
  std::vector<std::string> route(std::uint32_t slot, std::uint64_t stamp, std::uint32_t hops);

 private:
  bool follow(std::uint32_t slot, const flight_entry& handled, std::vector<std::string>& out);
  const std::vector<flight_entry>& flights(std::uint32_t slot);

  const segment* from_;
  std::map<std::uint32_t, std::vector<flight_entry>>
      flights_;  // As they were when first asked for.
};

}  // namespace cyto
