// One process that gives out, and others that answer: a lane to each of them and one back. All
// sleep when there is nothing.
//
//   crew of(4);
//   const sample found = of.play(how, lead);     lead(crew::lead&, tally&, begin)
#pragma once

#include <cstdint>
#include <functional>

#include "across/measure.hpp"
#include "across/messages.hpp"
#include "across/system.hpp"

namespace cyto::bench {

inline constexpr std::size_t order_bytes = 48;

// What a member answers: which order it was, and when it had it.
struct answer {
  std::uint64_t number;
  std::uint64_t seen_ticks;
};

class crew {
 public:
  explicit crew(std::uint32_t members);

  // The one who gives out, in its process.
  class lead {
   public:
    lead(const segment& where, std::uint32_t members);
    // Stages an order, or a word to stop, for one member. Throws if there is no room.
    void give(std::uint32_t member, std::uint64_t number);
    void commit() noexcept { place_.the_turn().commit(); }
    // One change of a cell, part of the turn.
    void change() { cell_.add(place_.the_turn(), 1); }
    // Waits for `count` answers and takes them, each batch there is in one turn.
    void gather(std::uint32_t count, const std::function<void(const answer&)>& take);
    [[nodiscard]] std::uint32_t members() const noexcept { return members_; }

   private:
    slot place_;
    raw_message message_{order_bytes};
    counter cell_;
    std::uint32_t members_;
  };

  using leading = std::function<void(lead&, tally&, const std::function<void()>& begin)>;
  // The members answer until they are told to stop, which is done when `what` has returned.
  sample play(const pace& how, const leading& what);

 private:
  void follow(std::uint32_t member, tally& out, const std::function<void()>& begin) const;
  std::uint32_t members_;
  segment system_;
};

}  // namespace cyto::bench
