// Who owns keys of a partitioned group: a member that is ready is given a share, one that leaves
// gives it up. One move at a time, of all groups; the next one may begin when nothing that was sent
// by the shares before is on its way any more.
#include <algorithm>

#include "supervisor_state.hpp"

namespace cyto {
namespace {

using numbers = std::vector<std::uint64_t>;

bool is_for(const segment& of, const lane_entry& lane, std::string_view group) {
  return !is_own(static_cast<lane_purpose>(lane.purpose)) &&
         group == of.slot(lane.reader_slot).group;
}

// Of each lane to the group, up to where it has been written; of others 0.
numbers sent_to(const segment& of, std::string_view group) {
  numbers out(of.lane_count());
  for (std::uint32_t i = 0; i < of.lane_count(); ++i) {
    const lane_entry& lane = of.lane(i);
    versioned<3>::values sent{};
    std::uint64_t seen = 0;
    if (!is_for(of, lane, group)) continue;
    const control& writer = of.control_of(lane.writer_slot);
    // One that is overwritten has no end: then nothing settles any more, and nothing else fails.
    out[i] = of.output_of(lane).sent.read(writer.commit, sent, seen) ? sent[0] : ~std::uint64_t{0};
  }
  return out;
}

bool are_taken(const segment& of, const numbers& positions) {
  for (std::uint32_t i = 0; i < of.lane_count(); ++i) {
    if (positions[i] == 0) continue;
    const lane_entry& lane = of.lane(i);
    versioned<3>::values taken{};
    std::uint64_t seen = 0;
    const control& reader = of.control_of(lane.reader_slot);
    if (!of.input_of(lane).taken.read(reader.commit, taken, seen) || taken[0] < positions[i]) {
      return false;
    }
  }
  return true;
}

}  // namespace

void supervisor::state::begin_shares() {
  for (std::uint32_t i = 0; i < children.size(); ++i) {
    if (!is_partitioned(i) || where->slot(i).member >= specs[i]->count) continue;
    board_of(i).share.publish(1);
  }
}

bool supervisor::state::owns_keys(std::uint32_t slot) {
  return is_partitioned(slot) && has_share(board_of(slot).share.own(), the_board().moves.own());
}

// Whether somebody else of its group owns keys and stays.
bool supervisor::state::has_heir(std::uint32_t slot) {
  for (std::uint32_t i = 0; i < children.size(); ++i) {
    if (i == slot || specs[i] != specs[slot] || !owns_keys(i)) continue;
    const membership standing = standing_of(i);
    if (standing == membership::member || standing == membership::stopped) return true;
  }
  return false;
}

void supervisor::state::move_share(std::uint32_t slot, bool gives) {
  const std::uint32_t move = the_board().moves.own() + 1;
  board_of(slot).share.publish(move << 1 | (gives ? 1U : 0U));
  the_board().moves.publish(move);  // V4
  the_board().standings.publish(the_board().standings.own() + 1);
  full_fence();
  const std::string_view group = where->slot(slot).group;
  for (std::uint32_t i = 0; i < where->lane_count(); ++i) {
    if (is_for(*where, where->lane(i), group)) wake(bell_of(where->lane(i).writer_slot));
  }
  mover = slot;
  settling.clear();
}

// Whether the last move has come to its end: all senders go by it, the members have handed over;
// what had been sent to them by then is taken, and so is what they sent on of it.
bool supervisor::state::has_settled() {
  const std::uint32_t move = the_board().moves.own();
  if (the_board().settled.own() == move) return true;
  if (mover == nobody_moves) {  // A supervisor before this one has begun it.
    for (std::uint32_t i = 0; i < children.size(); ++i) {
      if (is_partitioned(i) && board_of(i).share.own() >> 1 == move) mover = i;
    }
    if (mover == nobody_moves) return false;
  }
  const std::string_view group = where->slot(mover).group;
  if (settling.empty()) {
    for (std::uint32_t i = 0; i < where->lane_count(); ++i) {
      const lane_entry& lane = where->lane(i);
      if (!is_for(*where, lane, group) || !children[lane.writer_slot].process) continue;
      if (where->control_of(lane.writer_slot).followed.observe() != move) return false;
    }
    for (std::uint32_t i = 0; i < children.size(); ++i) {
      if (specs[i] != specs[mover] || (!owns_keys(i) && i != mover)) continue;
      if (where->control_of(i).handed.observe() != move) return false;
    }
    settling.push_back(sent_to(*where, group));
  }
  if (!are_taken(*where, settling.back())) return false;
  if (settling.size() == 1) settling.push_back(sent_to(*where, group));
  if (!are_taken(*where, settling.back())) return false;
  the_board().settled.publish(move);
  return true;
}

// A member that runs, or will, may put cells into lanes at any moment until it has handed over what
// the last move took from it: nothing is at rest before that.
bool supervisor::state::has_to_hand_over() {
  const std::uint32_t move = the_board().moves.own();
  if (the_board().settled.own() == move) return false;
  const worker_spec* group = nullptr;
  for (std::uint32_t i = 0; i < children.size(); ++i) {
    if (is_partitioned(i) && board_of(i).share.own() >> 1 == move) group = specs[i];
  }
  for (std::uint32_t i = 0; i < children.size(); ++i) {
    const bool is_there = children[i].process || tree->is_wanted(i);
    if (specs[i] == group && is_there && where->control_of(i).handed.observe() != move) return true;
  }
  return false;
}

void supervisor::state::move_shares() {
  if (tree->is_stopping() || !has_settled()) return;
  for (std::uint32_t i = 0; i < children.size(); ++i) {
    if (!is_partitioned(i)) continue;
    const membership standing = standing_of(i);
    const bool comes = standing == membership::member && !owns_keys(i) && tree->is_ready(i);
    const bool goes = standing == membership::leaving && owns_keys(i) && has_heir(i);
    if (!comes && !goes) continue;
    move_share(i, comes);
    return;
  }
}

}  // namespace cyto
