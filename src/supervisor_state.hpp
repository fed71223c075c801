// The inside of a supervisor: the processes of a system, and what the tree of restarts wants done
// with them. supervisor.cpp has the loop, adoption.cpp its beginning, hands.cpp the processes,
// orders.cpp what operators want, moves.cpp who owns keys, ports.cpp those who join, tracers.cpp
// those who look on.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cyto/doorbell.hpp"
#include "cyto/segment.hpp"
#include "cyto/supervisor.hpp"
#include "errand_desk.hpp"
#include "inquest.hpp"
#include "inspection.hpp"
#include "process.hpp"
#include "rendezvous.hpp"
#include "restarts.hpp"
#include "verbs.hpp"

namespace cyto {

// What an epoll event is about: slots are 0 to 255.
enum event_source : std::uint64_t {
  event_listener = 1 << 10,
  event_nudge,
  event_timer,
  event_tracer,
  event_port = 1 << 11,   // Plus the slot.
  event_client = 1 << 12  // Plus the descriptor.
};

inline constexpr std::size_t clients_max = 64;

inline instant now_ns() {
  return std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds(1);
}

struct supervisor::state final : restart_tree::hands {
  struct child {
    pid_t pid = 0;
    file process;  // pidfd; open while it lives.
    std::string program;
    bool chaos_killed = false;
    bool hung = false;            // Killed because no turn ended.
    bool been_ready = false;      // Some process of this slot has done its setup.
    std::uint64_t work_seen = 0;  // Turns and aborts when its progress was last looked at.
    instant moved_at = 0;         // When they last differed.
  };
  // Somebody who waits for the answer to an order about one worker.
  struct asker {
    file connection;
    std::uint32_t verb;
    std::uint32_t slot;
    pid_t before;  // The process that is to be replaced.
  };

  // Who has joined at a port.
  struct joined {
    pid_t pid = 0;
    file process;  // pidfd; open while it lives and holds the slot.
  };

  topology of;
  std::unique_ptr<restart_tree> tree;
  std::unique_ptr<segment> where;
  slot_lock lock;
  mapping board_pages;
  mapping bells;
  file listener;
  file events;
  file nudge;
  file timer;
  file input;
  file spare;  // Given up for a moment when there are no more descriptors.
  std::vector<child> children;
  std::vector<joined> at_ports;           // By slot; of workers there is nothing.
  std::vector<const worker_spec*> specs;  // By slot.
  std::vector<file> clients;
  std::vector<asker> askers;
  std::vector<file> tracers;  // Who has asked for tracing and is still there.
  std::optional<inquest> deaths;
  std::optional<errand_desk> errands;
  inspection inspector;
  instant look_at = 0;  // When progress is looked at next.
  instant inspect_at = 0;
  instant inspect_every = 0;
  bool adopted = false;
  bool seeing_off = false;  // Somebody is leaving.
  static constexpr std::uint32_t nobody_moves = ~std::uint32_t{0};
  std::uint32_t mover = nobody_moves;  // Whose share the last move was about.
  // Up to where lanes to its group were written when all had followed, and when that was taken.
  std::vector<std::vector<std::uint64_t>> settling;
  std::string failure;
  error_code code = error_code::failed;

  board& the_board() { return *reinterpret_cast<board*>(board_pages.data()); }
  board_slot& board_of(std::size_t slot) {
    return reinterpret_cast<board_slot*>(&the_board() + 1)[slot];
  }
  system_phase phase() { return static_cast<system_phase>(the_board().phase.own()); }
  doorbell_line& bell_of(std::size_t slot) const {
    return reinterpret_cast<doorbell_line*>(bells.data())[slot];
  }
  bool is_plain(std::size_t slot) const { return specs[slot]->is_plain; }
  membership standing_of(std::size_t slot) {
    return static_cast<membership>(board_of(slot).standing.own());
  }

  // adoption.cpp
  void open_system(const supervisor_options& options);
  bool adopt(const segment_plan& plan, bool needs_input);
  bool adopt_from_port(const segment_plan& plan);
  std::string adopt_advice() const;
  bool take_over(const supervisor_options& options, const segment_plan& plan);
  void take(segment found, const segment_plan& plan, const std::string& next);
  void make_nudge();
  void adopt_children();
  void begin();
  std::vector<death> remembered_deaths() const;

  // hands.cpp
  std::string start(std::uint32_t slot) override;
  void tell_to_stop(std::uint32_t slot) override;
  void kill(std::uint32_t slot) override;
  void keep_down(std::uint32_t slot, bool down) override;
  void remember(const death& one) override;
  void forget(const death& one) override;
  std::string name_of(std::uint32_t slot) override {
    return std::string(where->slot(slot).name) + " (" + children[slot].program + ")";
  }
  void died(std::uint32_t slot);
  void kill_group(const child& which) const;
  void kill_all();
  void stand(std::uint32_t slot, membership how);
  void give_order(std::uint32_t slot, system_phase order);

  // orders.cpp
  bool take_order(const packet& request, const std::vector<file>& given);
  bool add_one(std::uint32_t& slot, instant now);
  bool remove_one(std::uint32_t slot);
  void see_off_the_leaving(instant now);
  void answer_askers();

  // moves.cpp
  [[nodiscard]] bool is_partitioned(std::uint32_t slot) const {
    return specs[slot]->is_partitioned;
  }
  void begin_shares();
  [[nodiscard]] bool owns_keys(std::uint32_t slot);
  [[nodiscard]] bool has_heir(std::uint32_t slot);
  void move_share(std::uint32_t slot, bool gives);
  [[nodiscard]] bool has_settled();
  [[nodiscard]] bool has_to_hand_over();
  void move_shares();

  // ports.cpp
  [[nodiscard]] bool is_port(std::uint32_t slot) const { return specs[slot]->is_port; }
  void look_at_ports();
  void forget_holder(std::uint32_t slot);
  [[nodiscard]] bool ports_let_it_end();
  [[nodiscard]] bool close_ports();
  void end_ports();

  // tracers.cpp
  bool begin_tracing(int fd);
  void look_at_tracers();
  void trace(bool on);

  // supervisor.cpp
  void watch(int fd, std::uint64_t what) const;
  void set_phase(system_phase next);
  void stop(instant now);
  void fail(error_code with, const std::string& text);
  void look_around();
  void look_at_progress(instant now);
  void inspect(instant now);
  void accept_client();
  void serve(int fd);
  void arm_timer();
  void settle();
  [[nodiscard]] bool anybody_left() const;
};

}  // namespace cyto
