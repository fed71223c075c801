// Where an operator's wish about a quarantined message waits for its worker: the supervisor writes
// it on the slot's errand line, the worker answers in its quarantine's account, by a turn.
#pragma once

#include <cstdint>
#include <vector>

#include "cyto/segment.hpp"
#include "process.hpp"
#include "rendezvous.hpp"

namespace cyto {

// A request names slot and message in one number.
inline constexpr unsigned errand_slot_shift = 23;

class errand_desk {
 public:
  explicit errand_desk(const segment& where);

  // Passes the request on and keeps the connection until answer_all() has the answer. False: it is
  // nonsense, or another errand of that worker's is under way.
  bool take(int connection, const packet& request);
  void answer_all();
  // Whether a worker still has one to do.
  [[nodiscard]] bool is_busy() const noexcept;

 private:
  struct client {
    file connection;
    std::uint32_t slot;
    packet request;
  };
  [[nodiscard]] std::uint64_t answered(std::uint32_t slot_index) const noexcept;

  const segment* where_;
  mapping pages_;
  mapping bells_;
  errand_line* errands_;
  std::vector<client> clients_;
};

}  // namespace cyto
