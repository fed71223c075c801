#include "support/scene.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <span>
#include <stdexcept>

#include "support/behaviours.hpp"

namespace cyto::test {
namespace {

constexpr std::size_t block_bytes = 4096;

// Only the worker has cells worth a stretch of memory.
segment_plan crash_plan() {
  segment_plan plan =
      small_plan({"feeder", "worker", "a", "b", "c", "other"},
                 {{0, 1}, {1, 2}, {1, 3}, {1, 4}, {5, 1}}, {.arena_bytes = page_bytes});
  plan.slots[worker_slot].arena_bytes = 64 * 1024;
  return plan;
}

std::string text_of_length(std::string text, std::size_t bytes) {
  while (text.size() < bytes) text += static_cast<char>('a' + text.size() % 26);
  return text;
}

}  // namespace

std::string difference(const effects& seen, const effects& expected, const char* when) {
  if (seen == expected) return {};
  return std::string(when) + ": seen " + to_string(seen) + "; expected " + to_string(expected);
}

std::string unbalanced(const segment& where) {
  for (const lane_status& lane : lanes_of(where)) {
    if (!lane.balanced || !lane.settled) return "lane " + lane.name + " does not add up";
  }
  return {};
}

void changed_lines::apply_to(memory& to) const {
  for (std::size_t i = 0; i < at.size(); ++i) {
    std::memcpy(to.data() + at[i], lines.data() + i * line_bytes, line_bytes);
  }
}

scene::scene(shape what, unsigned warm_ups)
    : what_(std::move(what)),
      live_(segment::create(crash_plan())),
      copy_(segment::create(crash_plan())),
      live_all_(live_.map(0, live_.header().segment_bytes)),
      copy_all_(copy_.map(0, copy_.header().segment_bytes)) {
  const segment& where = live_;
  const slot_entry& own = where.slot(worker_slot);
  writable_ = {{own.control_offset, own.control_bytes},
               {own.arena_offset, own.arena_bytes},
               {where.header().doorbells_offset, page_bytes}};
  for (std::uint32_t i = 0; i < where.lane_count(); ++i) {
    const lane_entry& lane = where.lane(i);
    if (lane.writer_slot == worker_slot) writable_.push_back({lane.ring_offset, lane.ring_bytes});
  }
  {
    slot feeder(where, feeder_slot);
    slot worker(where, worker_slot);
    living_sinks sinks(where);
    for (unsigned i = 0; i < warm_ups; ++i) {
      send(feeder, 0, "w" + std::to_string(i));
      base_ = apply(base_, warm_up, run_turn(worker, warm_up, 1));
      sinks.drain(drained_);
    }
    if (what_.before != nullptr) {
      send(feeder, 0, "before");
      base_ = apply(base_, what_.before, run_turn(worker, what_.before, 1));
    }
    for (std::size_t i = 0; i < what_.messages; ++i) {
      messages_.push_back(text_of_length("message " + std::to_string(i), what_.message_bytes));
      EXPECT_EQ(send(feeder, 0, messages_.back()), status::ok);
    }
  }
  base_whole_.assign(live_all_.data(), live_all_.data() + where.header().segment_bytes);
  base_memory_ = read(live_all_);
  base_commit_ = where.control_of(worker_slot).commit.observe();
  EXPECT_EQ(difference(look_at(where, drained_), base_, "before the turn"), "");
}

bool scene::is_committed(const memory& of) const {
  std::uint64_t commit = 0;
  std::memcpy(&commit, of.data(), sizeof commit);
  return commit != base_commit_;
}

std::array<std::uint64_t, 2> scene::index_words(const memory& of) const {
  alignas(line_bytes) std::array<std::byte, sizeof(control)> copy{};
  std::memcpy(copy.data(), of.data(), copy.size());
  const auto& own = *reinterpret_cast<const control*>(copy.data());
  const auto root = own.root.own_current(own.commit.own());
  return {std::uint64_t{1} << (root[root_directory] & 63),
          std::uint64_t{1} << (root[root_members] & 63)};
}

void scene::write(const mapping& to, const memory& from) const {
  std::memcpy(to.data(), base_whole_.data(), base_whole_.size());
  const std::byte* at = from.data();
  for (const region& each : writable_) {
    std::memcpy(to.data() + each.offset, at, each.bytes);
    at += each.bytes;
  }
}

memory scene::read(const mapping& from) const {
  memory out;
  for (const region& each : writable_) {
    const std::byte* begin = from.data() + each.offset;
    out.insert(out.end(), begin, begin + each.bytes);
  }
  return out;
}

// Brings `now` up to date and lists what was out of date.
bool scene::find_changes(memory& now, changed_lines& out) const {
  out.at.clear();
  out.lines.clear();
  std::size_t at = 0;
  for (const region& each : writable_) {
    const std::byte* live = live_all_.data() + each.offset;
    for (std::size_t block = 0; block < each.bytes; block += block_bytes) {
      if (std::memcmp(now.data() + at + block, live + block, block_bytes) == 0) continue;
      for (std::size_t line = block; line < block + block_bytes; line += line_bytes) {
        if (std::memcmp(now.data() + at + line, live + line, line_bytes) == 0) continue;
        std::memcpy(now.data() + at + line, live + line, line_bytes);
        out.at.push_back(static_cast<std::uint32_t>(at + line));
        out.lines.insert(out.lines.end(), live + line, live + line + line_bytes);
      }
    }
    at += each.bytes;
  }
  return !out.at.empty();
}

void scene::expect_rest_untouched(const mapping& in) const {
  memory whole(in.data(), in.data() + base_whole_.size());
  for (const region& each : writable_) {
    std::copy_n(base_whole_.begin() + static_cast<std::ptrdiff_t>(each.offset), each.bytes,
                whole.begin() + static_cast<std::ptrdiff_t>(each.offset));
  }
  if (whole != base_whole_) throw std::runtime_error("the worker wrote what is not its own");
}

std::unique_ptr<stepped_child> scene::begin(const memory& from, deed what, behaviour act) {
  write(live_all_, from);
  const segment& where = live_;
  switch (what) {
    case deed::turn:
      return std::make_unique<stepped_child>(
          [&] { worker_ = std::make_unique<slot>(where, worker_slot); },
          [this, act] { run_turn(*worker_, act, what_.messages); });
    case deed::recovery:
      return std::make_unique<stepped_child>(
          [&] {
            const slot_entry& own = where.slot(worker_slot);
            pages_ = where.map(own.control_offset, own.control_bytes);
            arena_ = where.map(own.arena_offset, own.arena_bytes);
          },
          [&] { recover(where, worker_slot, pages_.data(), arena_.data()); });
    case deed::join:
      break;
  }
  return std::make_unique<stepped_child>(
      [] {}, [&] { worker_ = std::make_unique<slot>(where, worker_slot); });
}

step_points scene::step(const memory& from, deed what, behaviour act, const observer& seen,
                        bool find_system_calls) {
  const std::unique_ptr<stepped_child> child = begin(from, what, act);
  step_points out;
  memory now = read(live_all_);
  changed_lines changed;
  seen(now, changed);
  for (;;) {
    if (find_system_calls && child->next_system_call()) {
      out.system_calls.push_back(child->steps() + 1);
    }
    if (!child->step()) break;
    if (!find_changes(now, changed)) continue;
    changed.instruction = child->steps();
    out.changes.push_back(child->steps());
    seen(now, changed);
  }
  child->kill();
  expect_rest_untouched(live_all_);
  out.instructions = child->steps();
  return out;
}

void scene::kill_after(std::uint64_t k, const memory& from, deed what, behaviour act,
                       const std::function<void(bool)>& each) {
  const std::unique_ptr<stepped_child> child = begin(from, what, act);
  memory now = each ? read(live_all_) : memory();
  changed_lines changed;
  while (child->steps() < k && child->step()) {
    if (each) each(find_changes(now, changed));
  }
  child->kill();
}

std::string scene::judge(const memory& crashed, behaviour act, const sequel& then) {
  write(copy_all_, crashed);
  return judge_where(copy_, is_committed(crashed), act, then);
}

std::string scene::judge_live(behaviour act, const sequel& then) {
  return judge_where(live_, is_committed(read(live_all_)), act, then);
}

std::string scene::judge_where(const segment& where, bool committed, behaviour act,
                               const sequel& then) {
  // A turn ends with a message that is to come again.
  std::vector<std::string> of_the_turn = messages_;
  if (apply(base_, act, {messages_[0]}).again) of_the_turn.resize(1);
  const effects expected = committed ? apply(base_, act, of_the_turn) : base_;
  const std::string wrong = difference(look_at(where, drained_), expected, "at the crash");
  if (!wrong.empty()) return wrong;
  try {
    return go_on(where, expected, drained_, then);
  } catch (const error& failure) {
    return failure.what();
  }
}

std::string scene::go_on(const segment& where, effects expected, effects drained,
                         const sequel& then) {
  const std::uint32_t incarnation = where.control_of(worker_slot).incarnation.observe();
  living_sinks sinks(where);
  sinks.poll();
  slot worker(where, worker_slot);
  if (where.control_of(worker_slot).incarnation.observe() <= incarnation) {
    return "the successor's incarnation is no later one";
  }
  std::string wrong =
      difference(look_at(where, drained), expected, "after recovery") + unbalanced(where);
  if (!wrong.empty()) return wrong;
  if (what_.drain_first) sinks.drain(drained);

  const auto first_left =
      messages_.begin() + static_cast<std::ptrdiff_t>(expected.delivered - base_.delivered);
  if (then.another_first && !expected.again) {
    slot other(where, other_feeder_slot);
    send(other, 0, "other");
    if (run_turn(worker, nothing, 1) != std::vector<std::string>{"other"}) {
      return "the message of another lane did not come first";
    }
    expected = apply(expected, nothing, {"other"});
    wrong = difference(look_at(where, drained), expected, "after a message of another lane") +
            unbalanced(where);
    if (!wrong.empty()) return wrong;
  }

  // What was not consumed is handed out again, in order, and nothing else.
  const std::vector<std::string> left(first_left, messages_.end());
  const auto handed = run_turn(worker, then.redone, what_.messages);
  effects after = apply(expected, then.redone, handed);
  if (handed.empty() != left.empty() || (!after.again && handed != left) ||
      !std::equal(handed.begin(), handed.end(), left.begin())) {
    return "the successor was handed " + std::to_string(handed.size()) + " messages, not the " +
           std::to_string(left.size()) + " that were left";
  }
  wrong = difference(look_at(where, drained), after, "after the turn was done over") +
          unbalanced(where);
  if (!wrong.empty()) return wrong;
  if (then.drain_between || what_.drain_always) sinks.drain(drained);

  slot feeder(where, feeder_slot);
  const std::string next = text_of_length("next", what_.message_bytes);
  if (send(feeder, 0, next) != status::ok) return "there is no room for the next message";
  std::string last;
  for (;;) {
    const auto more = run_turn(worker, one_to_one, what_.messages);
    if (more.empty()) break;
    after = apply(after, one_to_one, more);
    last = more.back();
  }
  if (last != next) return "the next message was not handled";
  wrong = difference(look_at(where, drained), after, "after the next message");
  if (!wrong.empty()) return wrong;
  sinks.drain(drained);
  if (drained.sent != after.sent) return difference(drained, after, "at the sinks");
  return difference(look_at(where, drained), after, "at the end") + unbalanced(where);
}

}  // namespace cyto::test
