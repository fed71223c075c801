// What a turn does, said once and done twice: by a slot in shared memory, and by a model that has
// no memory to share. And what anybody may see of a segment, as something to compare with.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "support/system.hpp"

namespace cyto::test {

inline constexpr std::size_t sink_count = 3;

// Slots of the system that the crash tests use: feeder and other feeder -> worker -> three sinks.
enum crash_slot : unsigned {
  feeder_slot,
  worker_slot,
  first_sink_slot,
  other_feeder_slot = first_sink_slot + sink_count
};

// All that a worker's committed turns have done.
struct effects {
  std::uint64_t delivered = 0;                    // Messages consumed.
  std::map<std::string, std::uint64_t> counters;  // Cells by name.
  std::map<std::string, std::set<std::string>> sets;
  std::array<std::vector<std::string>, sink_count> sent;  // All there was ever sent.
  bool again = false;  // The front message was handled, and is to be handled once more.

  friend bool operator==(const effects&, const effects&) = default;
};
std::string to_string(const effects& what);

// Where a turn's effects go.
class world {
 public:
  virtual ~world() = default;
  virtual void send(std::size_t sink, const std::string& payload) = 0;
  virtual void add(const std::string& counter_name, std::uint64_t amount) = 0;
  virtual void insert(const std::string& set_name, const std::string& member) = 0;
  virtual std::uint64_t value_of(const std::string& counter_name) = 0;
  // turn::again()
  virtual void again() = 0;
};

// What a worker does with one message.
using behaviour = void (*)(world&, const std::string& message);

// The same in plain memory.
class model_world final : public world {
 public:
  explicit model_world(effects& in) : in_(in) {}
  void send(std::size_t sink, const std::string& payload) override;
  void add(const std::string& counter_name, std::uint64_t amount) override;
  void insert(const std::string& set_name, const std::string& member) override;
  std::uint64_t value_of(const std::string& counter_name) override;
  void again() override { in_.again = true; }

 private:
  effects& in_;
};
effects apply(effects to, behaviour what, const std::vector<std::string>& messages);

// One turn of up to `batch` messages, which commits, as worker::run_turn() does it. Returns the
// messages handled; none if the turn had to be aborted, or there was nothing to take.
std::vector<std::string> run_turn(slot& worker, behaviour what, std::size_t batch);

// What a look from outside sees of the committed state, without changing a byte of the segment.
// `drained` is what the sinks have taken before, which no longer stands in the lanes.
effects look_at(const segment& where, const effects& drained);

// The sinks, alive: whatever happens to their writer, they look and go on.
class living_sinks {
 public:
  explicit living_sinks(const segment& where);
  // Looks at the lanes, as a sink that polls does, and remembers what it saw.
  void poll();
  // Takes what stands in the lanes and adds it to `drained`.
  void drain(effects& drained);

 private:
  std::array<std::unique_ptr<slot>, sink_count> sinks_;
};

}  // namespace cyto::test
