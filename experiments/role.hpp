// What a worker of the experiments can be. The topology's settings say which (`role`) and how.
//
//   feed     a source of items: to each of `to` in turn, `per_s` (0: as many as go through); until
//            the next is due it `awaits` it "asleep", "closely" (asleep, but for the end) or
//            "on its core". With `turns_per_s` one item a turn, at a rate that nacks lower. `as`
//            "updates" it offers increments of `counted` counters of the taker's, by turns
//   link     takes an item, notes how long it has been under way, and sends it on `to` the next
//   taker    takes items and sends, for each 100, `updates_per_100` updates `to` others; or is slow
//   gossip   sends notes `to` some, and others because of notes that it is sent; writes a log
//
// `to` names workers, with commas between them.
#pragma once

#include <cstdint>
#include <cyto/cyto.hpp>
#include <vector>

#include "experiment_generated.h"
#include "tally.hpp"

namespace cyto::experiment {

void become_feed(worker& self, const tally& told);
void become_link(worker& self, const tally& told);
void become_taker(worker& self, const tally& told);
void become_gossip(worker& self, const tally& told);

// The lanes to those whom `to` names.
std::vector<turn_output*> lanes_to(const worker& self);

inline std::uint64_t number_setting(const worker& self, const char* key) {
  return std::stoull(self.setting(key, "0"));
}

// Not on the core but for the last `spin_ns`: the kernel is slow to wake somebody.
void wait_until(std::uint64_t when_ns, std::uint64_t spin_ns);
// Not on the core meanwhile.
void sleep_ns(std::uint64_t how_long);

}  // namespace cyto::experiment
