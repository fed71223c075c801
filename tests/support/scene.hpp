// The place of the crime: a worker between a feeder and three sinks, of which one turn is stepped
// through, and copies of its memory on which successors go on.
//
//   scene at({one_to_one, 1, {one_to_one, nothing}}, 62);
//   at.step(at.base(), deed::turn, one_to_one, [&](const memory& now, std::uint64_t k) {...});
//   EXPECT_EQ(at.judge(crashed, one_to_one, {.redone = nothing}), "");
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "support/stepped.hpp"
#include "support/world.hpp"

namespace cyto::test {

// The bytes that a worker may write: its control pages, its arena, its rings and the doorbells.
using memory = std::vector<std::byte>;

// Lines of that memory with what stands there now.
struct changed_lines {
  std::uint64_t instruction = 0;  // After which they stood so.
  std::vector<std::uint32_t> at;
  memory lines;
  void apply_to(memory& to) const;
};

struct shape {
  behaviour act;
  std::size_t messages = 1;
  std::vector<behaviour> redone = {};  // What the successor may do instead of it.
  behaviour before = nullptr;          // A committed turn that sets the scene.
  bool drain_first = false;            // The successor can go on only after the sinks have.
  bool drain_always = false;           // The sinks take before the next message, or it has no room.
  std::size_t message_bytes = 0;       // Messages are made that long at least.
  // Records sent before, each a line: where in the rings. At least 1, so that the other feeder's
  // clock is behind.
  std::vector<unsigned> positions = {};
};

// What is stepped through: a turn; recovery by itself; a whole join (lock, recovery, mapping).
enum class deed : std::uint8_t { turn, recovery, join };

struct step_points {
  std::uint64_t instructions = 0;
  std::vector<std::uint64_t> changes;       // After which instructions memory was another.
  std::vector<std::uint64_t> system_calls;  // Which instructions were one. Only if asked for.
};

// What a successor finds to do.
struct sequel {
  behaviour redone;            // Instead of the turn that did not commit.
  bool drain_between = true;   // Whether the sinks take before the next message comes.
  bool another_first = false;  // A message on another lane is due before those of that turn, and
                               // its turn, with the same stamp, touches nothing else.
};

class scene {
 public:
  scene(shape what, unsigned warm_ups);

  [[nodiscard]] const shape& what() const { return what_; }
  [[nodiscard]] const memory& base() const { return base_memory_; }
  [[nodiscard]] const segment& where() const { return live_; }
  [[nodiscard]] const effects& base_effects() const { return base_; }
  [[nodiscard]] const effects& drained() const { return drained_; }
  [[nodiscard]] const std::vector<std::string>& messages() const { return messages_; }
  [[nodiscard]] bool is_committed(const memory& of) const;
  // Words of the index of cells and of members in the committed state of `of`.
  [[nodiscard]] std::array<std::uint64_t, 2> index_words(const memory& of) const;

  // Steps through a deed that begins with `from` in memory; `seen` gets the memory after each
  // instruction that changed it, and first of all before the first. Throws if anything was written
  // that is not the worker's.
  using observer = std::function<void(const memory&, const changed_lines&)>;
  step_points step(const memory& from, deed what, behaviour act, const observer& seen,
                   bool find_system_calls = false);
  // Kills the process that does it after exactly `k` instructions. It leaves its memory to
  // judge_live(). `each` is called after each instruction and told whether it changed memory.
  void kill_after(std::uint64_t k, const memory& from, deed what, behaviour act,
                  const std::function<void(bool)>& each = {});

  // Empty if a successor that finds `crashed`, and goes on with `then` where the turn of `act` was
  // not committed, leaves everything as if there had been no crash.
  std::string judge(const memory& crashed, behaviour act, const sequel& then);
  // The same where the killed process has left it.
  std::string judge_live(behaviour act, const sequel& then);
  // Puts the scene as it was before the turn.
  void restore() { write(live_all_, base_memory_); }

 private:
  struct region {
    std::uint64_t offset;
    std::uint64_t bytes;
  };
  void write(const mapping& to, const memory& from) const;
  [[nodiscard]] memory read(const mapping& from) const;
  bool find_changes(memory& now, changed_lines& out) const;
  void expect_rest_untouched(const mapping& in) const;
  std::unique_ptr<stepped_child> begin(const memory& from, deed what, behaviour act);
  std::string judge_where(const segment& where, bool committed, behaviour act, const sequel& then);
  std::string go_on(const segment& where, effects expected, effects drained, const sequel& then);

  shape what_;
  segment live_;
  segment copy_;
  mapping live_all_;
  mapping copy_all_;
  std::vector<region> writable_;
  effects base_;
  effects drained_;
  memory base_whole_;
  memory base_memory_;
  std::uint64_t base_commit_ = 0;
  std::vector<std::string> messages_;

  // Of the process that is stepped; made before the fork, so that it is there afterwards.
  std::unique_ptr<slot> worker_;
  mapping pages_;
  mapping arena_;
};

// Empty if the two are the same.
std::string difference(const effects& seen, const effects& expected, const char* when);
// Empty if the lane law holds for every lane.
std::string unbalanced(const segment& where);

}  // namespace cyto::test
