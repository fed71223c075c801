// What a tree of supervisors does about starts, ends and time: Erlang/OTP's rules, without
// processes and without a clock. Events go in, calls of `hands` come out, so tests can try every
// order of events in no time.
//
// A child is a worker (a slot) or a supervisor. Members of one worker entry have one rank: they are
// stopped together. Otherwise children start in their order and stop in the reverse, each rank
// after the one before has ended.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "cyto/supervisor.hpp"

namespace cyto {

// Nanoseconds of the monotonic clock.
using instant = std::int64_t;
inline constexpr instant never = INT64_MAX;

// A death that counted against an intensity. Children are numbered: slots first, then supervisors
// in the order of the topology.
struct death {
  instant at;
  std::uint32_t child;
};
inline constexpr std::uint32_t nobody = 0xffffffff;  // As a child: a death that was forgiven.

// How a worker ended.
struct ending {
  bool clean = false;  // Exit code 0, or one of the list of success.
  bool prevent = false;
  bool force = false;
  bool counts = true;  // Against the intensity; not what the supervisor itself has killed.
  std::string how;     // For people: "killed by signal 11 (SIGSEGV)".
};

class restart_tree {
 public:
  // What the tree asks for. Called from within its own calls; must not call back.
  class hands {
   public:
    // Empty, or why it could not be started.
    virtual std::string start(std::uint32_t slot) = 0;
    virtual void tell_to_stop(std::uint32_t slot) = 0;
    virtual void kill(std::uint32_t slot) = 0;
    // It will not be started any more, unless somebody asks for it; or it will be again.
    virtual void keep_down(std::uint32_t slot, bool down) = 0;
    virtual void remember(const death& one) = 0;
    virtual void forget(const death& one) = 0;
    virtual std::string name_of(std::uint32_t slot) = 0;

   protected:
    ~hands() = default;
  };

  // `past`: the deaths that an earlier supervisor has remembered, oldest first.
  restart_tree(const topology& of, hands& by, std::vector<death> past, std::uint64_t seed);

  // Before begin(): the slot's process lives already, or is to stay down.
  void found(std::uint32_t slot, bool ready);
  void found_down(std::uint32_t slot);
  void begin(instant now);

  void became_ready(std::uint32_t slot, instant now);
  void ended(std::uint32_t slot, const ending& how, instant now);
  // Its last deaths do not count any more: their cause has been removed.
  void forgive(std::uint32_t slot, std::uint32_t count);
  void time_passed(instant now);
  // Kills it for a fault of its own, which counts as a death.
  void blame(std::uint32_t slot, const std::string& why);
  // When time_passed() has something to do; never, if nothing.
  [[nodiscard]] instant next_deadline(instant now) const;

  // What an operator asks for. stop_one: stays down until start_one.
  void stop_one(std::uint32_t slot, instant now);
  void start_one(std::uint32_t slot, instant now);
  void restart_one(std::uint32_t slot, instant now);
  // Everything, in order.
  void stop(instant now);
  // The same, for a reason that no restart would mend.
  void give_up(const std::string& why, instant now);

  [[nodiscard]] bool is_stopping() const noexcept { return nodes_.front().closing != end::no; }
  [[nodiscard]] bool has_ended() const;
  [[nodiscard]] bool is_up(std::uint32_t slot) const { return of(slot).state != run::down; }
  [[nodiscard]] bool is_ready(std::uint32_t slot) const { return is_ready(of(slot)); }
  // The child runs, or will without anybody asking.
  [[nodiscard]] bool is_wanted(std::uint32_t slot) const { return !of(slot).kept_down; }
  // Why the root has given up; empty while it has not.
  [[nodiscard]] const std::string& failure() const noexcept { return failure_; }

 private:
  enum class run : std::uint8_t { down, up, leaving };
  enum class end : std::uint8_t { no, normal, abnormal };
  struct child {
    std::uint32_t number;
    std::uint32_t node;  // Whose child it is.
    std::uint32_t rank;
    restart_type restart;
    bool significant;
    bool wait_ready = false;
    std::uint32_t shutdown_ms = infinity;
    std::uint32_t ready_ms = 0;
    run state = run::down;
    bool ready = false;
    bool was_up = false;
    bool to_start = false;
    bool to_stop = false;
    bool kept_down = false;
    std::string blame;  // Why it was killed, if for its own fault.
    instant start_at = 0;
    instant kill_at = never;
    instant ready_by = never;
  };
  struct node {
    const supervisor_spec* spec;
    std::uint32_t number;                 // As a child.
    std::vector<std::uint32_t> children;  // In order of start.
    instant since = 0;                    // Deaths before it do not count.
    end closing = end::no;
    std::string why;
  };

  child& of(std::uint32_t number) { return children_[number]; }
  [[nodiscard]] const child& of(std::uint32_t number) const { return children_[number]; }
  [[nodiscard]] bool is_slot(const child& which) const { return which.number < slots_; }
  node& node_of(const child& which) { return nodes_[which.number - slots_]; }
  [[nodiscard]] std::string name(const child& which) const;
  [[nodiscard]] bool all_down(const node& in) const;
  [[nodiscard]] bool is_ready(const child& which) const;
  [[nodiscard]] std::size_t deaths_in(const node& in, instant now) const;

  void settle(instant now);
  bool settle(node& in, instant now);
  [[nodiscard]] bool is_held_up(const child& which, instant now) const;
  bool stop_next_rank(node& in, instant now);
  void start(child& which, instant now);
  void tell_to_stop(child& which, instant now);
  void ended_by_itself(child& which, const ending& how, instant now);
  void restart(child& which, const ending& how, instant now);
  void keep_down(child& which);
  void close(node& in, end how, const std::string& why);
  void closed(node& in, instant now);
  instant back_off(const child& which, instant now);

  hands& hands_;
  std::uint32_t slots_;
  std::vector<child> children_;
  std::vector<node> nodes_;  // The root first.
  std::vector<death> deaths_;
  instant remembered_ = 0;  // Older deaths count for nobody.
  std::string failure_;
  std::uint64_t random_;
};

}  // namespace cyto
