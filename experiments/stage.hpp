// A system of the experiments' workers, under a supervisor of this process.
//
//   cast of;  of.add("feed", {{"role", "feed"}, {"to", "taker"}});  of.lane("feed", "taker");
//   stage on(of, {});
//   on.run_for(0.1);  on.measure(1);  on.run_for(1);  on.measure(0);
//   on.finish();                                  all that was sent has been taken; workers ended
//   on.times("taker", 1).quantile(0.99);
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include <cyto/cyto.hpp>
#include "tally.hpp"

namespace cyto::experiment {

using settings = std::vector<std::pair<std::string, std::string>>;

// Thrown when the one who runs the experiment is told to end by a signal.
struct interrupted {
  int signal;
};

class cast {
 public:
  // A worker; the caller may change what it gets back before the next call.
  worker_spec& add(const std::string& name, const settings& with);
  // Adds it to the writer's `to`, too.
  lane_spec& lane(const std::string& from, const std::string& to,
                  std::uint64_t lane_bytes = std::uint64_t{64} << 10);

 private:
  friend class stage;
  topology of_;
};

struct stage_options {
  std::uint64_t log_entries = 0;  // For each worker.
  double limit_s = 60;            // What takes so much longer than it was asked to is given up.
  // SIGKILL to one of the workers so often, at once for the first time; 0: to none.
  double kill_every_s = 0;
  // After so many no more, so that it comes to its end however slowly workers start.
  std::uint64_t kills_max = 0;
  std::uint64_t seed = 1;
};

class stage {
 public:
  // Returns when all workers are ready. Throws std::runtime_error, or `interrupted`.
  stage(cast of, const stage_options& options);
  stage(const stage&) = delete;
  stage& operator=(const stage&) = delete;

  // What workers find out from now on belongs to this phase; 0: to none.
  void measure(std::uint64_t phase) { told_.the_orders().phase.publish(phase); }
  void slow_down(double delay_s) {
    told_.the_orders().delay_ns.publish(static_cast<std::uint64_t>(delay_s * 1e9));
  }
  // Feeds send nothing for now, or go on; they notice within some milliseconds.
  void pause(bool on) { told_.the_orders().paused.publish(on ? 1 : 0); }
  // `look` is called every `every_s`.
  void run_for(double seconds, double every_s = 0, const std::function<void()>& look = {});
  // Tells sources to finish, and returns when all that was sent has been taken. The workers stand,
  // but have nothing to do.
  void finish();
  // The same, for sources that finish by themselves.
  void run_to_end();

  [[nodiscard]] const segment& where() const { return system_->where(); }
  [[nodiscard]] std::uint32_t slot_of(const std::string& worker) const;
  [[nodiscard]] const bench::histogram& times(const std::string& worker, std::uint64_t phase) const;
  [[nodiscard]] const tally& told() const { return told_; }
  [[nodiscard]] lane_status lane(const std::string& from, const std::string& to) const;
  [[nodiscard]] std::uint64_t cell(const std::string& worker, const std::string& name) const;
  [[nodiscard]] std::uint64_t kills() const { return system_->kills(); }
  // Messages that the lanes between workers have counted as delivered.
  [[nodiscard]] std::uint64_t delivered() const;
  // Messages that the lanes' accounts lack, or have too many, now that all is over.
  [[nodiscard]] std::uint64_t unaccounted() const;
  // Until it was quiet.
  [[nodiscard]] double seconds() const { return seconds_; }

 private:
  void turn_around(int timeout_ms);
  void run_until(const std::function<bool()>& is_done, double asked_s = 0, double every_s = 0,
                 const std::function<void()>& look = {});

  tally told_;
  std::unique_ptr<supervisor> system_;
  std::uint64_t began_ns_;
  stage_options options_;
  std::mt19937_64 random_;
  double seconds_ = 0;
};

inline std::uint64_t apart(std::uint64_t a, std::uint64_t b) { return a > b ? a - b : b - a; }

// Where the workers' program stands; set once.
void set_programs(const std::string& folder);
// From now on SIGINT, SIGTERM and SIGHUP end an experiment in order.
void catch_signals();

}  // namespace cyto::experiment
