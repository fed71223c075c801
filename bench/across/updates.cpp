// What changes in one place and is seen in others: one turn that changes a cell and tells several,
// and changes that are merged into cells.
#include "across/cases.hpp"
#include "across/crew.hpp"

namespace cyto::bench {
namespace {

// From before the turn until the last one has seen it, by the clock that the cores share.
// `separate`: one turn for each target instead of one for all.
sample tell(const pace& how, std::uint32_t targets, bool separate) {
  crew of(targets);
  return of.play(how, [&](crew::lead& lead, tally& out, const std::function<void()>& begin) {
    begin();
    out.began_ticks = ticks();
    const std::uint64_t warm = out.began_ticks + ticks_of_ns(how.seconds * 0.5e9);
    const std::uint64_t until = warm + ticks_of_ns(how.seconds * 1e9);
    for (std::uint64_t number = 1; out.times.count() == 0 || ticks() < until; ++number) {
      const std::uint64_t before = ticks();
      lead.change();
      for (std::uint32_t i = 0; i < targets; ++i) {
        lead.give(i, number);
        if (separate) lead.commit();
      }
      if (!separate) lead.commit();
      std::uint64_t last = before;
      lead.gather(targets, [&](const answer& from) {
        if (from.number != number) ++out.lost;
        last = std::max(last, from.seen_ticks);
      });
      out.ended_ticks = ticks();
      if (before >= warm) {
        out.times.add(last - before);
      } else {
        out.began_ticks = out.ended_ticks;
      }
    }
    out.count = out.times.count();
  });
}

// Messages, each of which names a cell and a value to merge into it, in turns of 16 and without
// waiting for an answer. Not merged: the same without the cells.
constexpr std::size_t merge_bytes = 48;
constexpr std::uint64_t cell_count = 64;

class merge_link {
 public:
  explicit merge_link(bool merges)
      : merges_(merges), system_(make_system(std::uint64_t{1} << 20)) {}

  class end {
   public:
    end(const segment& where, bool is_near, bool merges) : place_(where, is_near) {
      turn& in = place_.the_turn();
      for (std::uint64_t i = 0; !is_near && merges && i < cell_count; ++i) {
        cells_.push_back(place_.held().cells().cell<maximum>("cell " + std::to_string(i)));
      }
      in.commit();
    }
    void send(std::uint64_t number) {
      turn& in = place_.the_turn();
      lane_writer& lane = place_.out().lane;
      while (lane.room_seen() < 4 * line_bytes && lane.room() < 4 * line_bytes) {
        if (sent_ != 0) finish();
        relax();
      }
      if (message_.send(in, place_.out(), number) != status::ok) {
        throw std::runtime_error("a message found no room where there was some");
      }
      if (++sent_ == 16) finish();
    }
    void finish() {
      place_.the_turn().commit();
      sent_ = 0;
    }
    std::uint64_t receive() {
      turn& in = place_.the_turn();
      mailbox& incoming = place_.held().incoming();
      message_view view;
      turn_input* from = nullptr;
      if (taken_ == 64) commit_taken();
      while ((from = incoming.next(view)) == nullptr) {
        if (taken_ != 0) commit_taken();
        relax();
      }
      in.take(*from, view);
      const std::uint64_t number = raw_message::read(view);
      if (!cells_.empty()) cells_[number % cell_count].merge(in, number);
      turn::consume(*from, view);
      incoming.taken(*from);
      ++taken_;
      return number;
    }

   private:
    void commit_taken() {
      place_.the_turn().commit();
      taken_ = 0;
    }
    player_slot place_;
    raw_message message_{merge_bytes};
    std::vector<maximum> cells_;
    std::size_t sent_ = 0;
    std::size_t taken_ = 0;
  };
  end near() { return {system_, true, merges_}; }
  end far() { return {system_, false, merges_}; }

 private:
  bool merges_;
  segment system_;
};

}  // namespace

void add_updates(std::vector<test_case>& to) {
  for (const std::uint32_t targets : {1U, 2U, 4U, 8U}) {
    const std::string count = std::to_string(targets);
    to.push_back({"updates",
                  "separate_" + count,
                  "park",
                  order_bytes,
                  figure::round_p50,
                  {},
                  [targets](const pace& how) { return tell(how, targets, true); }});
    to.push_back({"updates", "fan_out_" + count, "park", order_bytes, figure::round_p50,
                  to.back().key(),
                  [targets](const pace& how) { return tell(how, targets, false); }});
  }
  to.push_back({"updates",
                "not_merged",
                "spin",
                merge_bytes,
                figure::per_second,
                {},
                stream<merge_link>(false)});
  to.push_back({"updates", "merged", "spin", merge_bytes, figure::per_second, to.back().key(),
                stream<merge_link>(true)});
}

}  // namespace cyto::bench
