#include "trace_turns.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

#include "trace_times.hpp"

namespace cyto::tools {
namespace {

// Of one lane, what its reader has passed without a record of it: [from, to) each.
class passed_unrecorded {
 public:
  // A message at that position was handed over, or again.
  void see(std::uint64_t position) {
    if (!is_blind_) return;
    if (position > after_) parts_.push_back({after_, position});
    is_blind_ = false;
  }
  // The same, in a turn that has committed: it may not come again.
  void pass(std::uint64_t position) { after_ = std::max(after_, position + 1); }
  // From now on there is no record, until see().
  void lose() { is_blind_ = true; }
  // Nothing more comes; the reader stands at that position.
  void end(std::uint64_t position) { see(position); }

  [[nodiscard]] bool has(std::uint64_t position) const {
    const auto after =
        std::upper_bound(parts_.begin(), parts_.end(), position,
                         [](std::uint64_t at, const part& each) { return at < each.from; });
    return after != parts_.begin() && position < std::prev(after)->to;
  }

 private:
  struct part {
    std::uint64_t from;
    std::uint64_t to;
  };
  std::vector<part> parts_;
  std::uint64_t after_ = 0;
  bool is_blind_ = true;
};

// The turns of one worker, from its events in their order.
class turn_cutter {
 public:
  turn_cutter(const segment& where, std::uint32_t slot, std::vector<passed_unrecorded>& passed,
              traced_worker& out)
      : passed_(&passed), out_(&out), times_(out.turns) {
    for (std::uint32_t i = 0; i < where.lane_count(); ++i) {
      const lane_entry& lane = where.lane(i);
      if (lane.reader_slot == slot) put(inputs_, lane.reader_index, i);
      if (lane.writer_slot == slot) put(outputs_, lane.writer_index, i);
      if (lane.reader_slot == slot &&
          lane.purpose == static_cast<std::uint32_t>(lane_purpose::deferred)) {
        defers_to_ = lane.reader_index;
      }
    }
  }

  void add(const flight_entry& event) {
    times_.know(time_of(event));
    switch (event.what) {
      case flight::none:
        return lose(event);
      case flight::taken:
        return take(event, trace_what::deliver, event.first);
      case flight::set_aside:
        return take(event, trace_what::drop, event.second);
      case flight::sent:
        if (is_whole_ && event.lane < outputs_.size()) {
          open_.push_back({trace_what::send, outputs_[event.lane], event.second, event.number,
                           event.detail, event.first});
        }
        return;
      case flight::committed:
        if (is_whole_) commit(event, event.second);
        return begin_after(event.first, event.detail);
      case flight::aborted:
        return begin_turn();
      case flight::recovered:
        // Its predecessor had committed the turn and not noted that any more.
        if (is_whole_ && event.first > stamp_) commit(event, event.second);
        was_whole_ = std::exchange(is_whole_, true);
        stamp_ = event.first;
        pending_ = event.detail;
        return;
      case flight::started:
        // Of who ended by itself, or unseen, nobody says that it was killed.
        if (was_whole_ && !has_ended_ && event.detail > 1) die(event);
        has_ended_ = false;
        return begin_turn();
      case flight::ended:
        if (is_whole_ && !open_.empty()) die(event);
        has_ended_ = true;
        return begin_turn();
      case flight::sleeping:
        if (open_.empty()) since_ns_ = event.first;
        return;
      case flight::deferred:
        return defer(event);
      case flight::producing:
      case flight::retrying:
        return;
    }
  }
  // Nothing more comes.
  void end() { times_.end(); }

 private:
  struct place {
    std::uint32_t lane;
    std::uint64_t position;
  };

  // When it was noted; 0: it does not tell.
  static std::uint64_t time_of(const flight_entry& event) {
    switch (event.what) {
      case flight::committed:
      case flight::recovered:
      case flight::started:
      case flight::ended:
        return event.second;
      case flight::sleeping:
        return event.first;
      default:
        return 0;
    }
  }
  static void put(std::vector<std::uint32_t>& to, std::uint32_t index, std::uint32_t lane) {
    if (to.size() <= index) to.resize(index + 1);
    to[index] = lane;
  }

  void begin_turn() {
    open_.clear();
    moved_.clear();
    is_first_ = true;
  }
  void lose(const flight_entry& gap) {
    out_->missed += gap.first;
    times_.lose();
    is_whole_ = false;
    has_ended_ = false;
    begin_turn();
    for (const std::uint32_t lane : inputs_) (*passed_)[lane].lose();
  }

  // Not handed over yet; but from now on it is elsewhere.
  void defer(const flight_entry& event) {
    if (!is_whole_ || event.lane >= inputs_.size()) return;
    (*passed_)[inputs_[event.lane]].see(event.first);
    moved_.emplace_back(event.second, place{inputs_[event.lane], event.first});
  }

  void take(const flight_entry& event, trace_what what, std::uint64_t position) {
    if (!is_whole_ || event.lane >= inputs_.size()) return;
    std::uint32_t lane = inputs_[event.lane];
    if (event.lane == defers_to_) {
      const auto from = deferred_.find(position);
      // Deferred before the recording began, as a message that was passed unrecorded in its lane.
      if (from == deferred_.end()) return;
      lane = from->second.lane;
      position = from->second.position;
    }
    // turn::again(): it was handed over in a turn that has committed, and that has counted.
    const bool comes_again = std::exchange(is_first_, false) && pending_ == event.lane + 1;
    if (comes_again && what == trace_what::deliver) {
      (*passed_)[lane].see(position + 1);
      return;
    }
    (*passed_)[lane].see(position);
    open_.push_back({what, lane, position, event.number, event.detail, 0});
  }

  void commit(const flight_entry& end, std::uint64_t at_ns) {
    for (const traced_step& each : open_) {
      if (each.what != trace_what::send) (*passed_)[each.lane].pass(each.position);
    }
    for (const auto& [position, from] : moved_) {
      (*passed_)[from.lane].pass(from.position);
      deferred_[position] = from;
    }
    finish(end.number, end.first, at_ns, true);
  }
  void begin_after(std::uint64_t stamp, std::uint32_t pending) {
    begin_turn();
    is_whole_ = true;
    stamp_ = stamp;
    pending_ = pending;
  }
  void die(const flight_entry& end) { finish(end.number, 0, end.second, false); }

  void finish(std::uint64_t number, std::uint64_t stamp, std::uint64_t at_ns, bool is_committed) {
    traced_turn turn;
    turn.number = number;
    turn.stamp = stamp;
    turn.began_ns = std::exchange(since_ns_, 0);
    turn.ended_ns = at_ns;
    turn.first_step = out_->steps.size();
    turn.step_count = open_.size();
    turn.is_timed = at_ns != 0;
    turn.is_committed = is_committed;
    if (!turn.is_timed) times_.miss();
    out_->steps.insert(out_->steps.end(), open_.begin(), open_.end());
    out_->turns.push_back(turn);
    begin_turn();
  }

  std::vector<passed_unrecorded>* passed_;
  traced_worker* out_;
  untimed_turns times_;
  std::vector<std::uint32_t> inputs_;  // Lanes of the system.
  std::vector<std::uint32_t> outputs_;
  std::uint32_t defers_to_ = ~0U;                       // Which of the inputs is the slot's own.
  std::map<std::uint64_t, place> deferred_;             // By position there: where it was sent.
  std::vector<std::pair<std::uint64_t, place>> moved_;  // The same, by the turn in progress.
  std::vector<traced_step> open_;                       // Of the turn in progress.
  std::uint64_t stamp_ = 0;                             // Of the last turn that has committed.
  std::uint32_t pending_ = 0;   // Input + 1 of what it leaves to come again.
  std::uint64_t since_ns_ = 0;  // Not earlier has the turn in progress begun.
  bool is_first_ = true;        // Nothing was handed over in it yet.
  bool is_whole_ = false;       // Everything since the end of some turn is there.
  bool was_whole_ = false;      // The same of the holder before.
  bool has_ended_ = false;      // The holder that noted last, by itself.
};

std::uint64_t read_position_of(const segment& where, const lane_entry& lane) {
  versioned<3>::values taken{};
  std::uint64_t seen = 0;
  const control& reader = where.control_of(lane.reader_slot);
  // If it cannot be read, nothing that was sent there is known to be under way.
  if (!where.input_of(lane).taken.read(reader.commit, taken, seen)) return ~std::uint64_t{0};
  return taken[0];
}

}  // namespace

std::string traced_system::message_name(const traced_step& step) const {
  return fmt::format("{}#{}.{}", workers[lanes[step.lane].writer].name, step.lane,
                     step.position / line_bytes);
}

traced_system turns_of(const segment& where,
                       const std::vector<std::vector<flight_entry>>& flights) {
  traced_system out;
  out.name = where.name();
  std::vector<passed_unrecorded> passed(where.lane_count());
  for (std::uint32_t slot = 0; slot < where.slot_count(); ++slot) {
    traced_worker& worker = out.workers.emplace_back();
    worker.name = where.slot(slot).name;
    turn_cutter cut(where, slot, passed, worker);
    for (const flight_entry& each : flights[slot]) cut.add(each);
    cut.end();
  }
  for (std::uint32_t i = 0; i < where.lane_count(); ++i) {
    const lane_entry& lane = where.lane(i);
    out.lanes.push_back({lane.writer_slot, lane.reader_slot});
    passed[i].end(read_position_of(where, lane));
  }
  for (traced_worker& worker : out.workers) {
    std::vector<traced_step> kept;
    for (traced_turn& turn : worker.turns) {
      const std::size_t first = kept.size();
      for (const traced_step& each : worker.steps_of(turn)) {
        const bool is_left_out =
            each.what == trace_what::send && passed[each.lane].has(each.position);
        if (!is_left_out) kept.push_back(each);
      }
      turn.first_step = first;
      turn.step_count = kept.size() - first;
    }
    worker.steps = std::move(kept);
  }
  settle_times(out);
  return out;
}

}  // namespace cyto::tools
