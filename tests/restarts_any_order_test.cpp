// The rules of supervision hold in any order of events.
#include "support/scripted_restarts.hpp"

#include <random>

namespace cyto::test {
namespace {

// Random trees, random ends, obedience and time: nothing is started twice, nothing that is down is
// told or killed, time never stands at a deadline, and a stop always comes to its end.
class AnyOrder : public Restarts {
 public:
  std::string start(std::uint32_t slot) override {
    EXPECT_TRUE(up_.insert(slot).second) << "started twice";
    if (random_() % 50 == 0) {
      up_.erase(slot);
      return "no luck";
    }
    return {};
  }
  void tell_to_stop(std::uint32_t slot) override { EXPECT_EQ(up_.count(slot), 1U); }
  void kill(std::uint32_t slot) override {
    EXPECT_EQ(up_.count(slot), 1U);
    killed_.insert(slot);
  }

 protected:
  void end_one(restart_tree& of, std::uint32_t slot) {
    up_.erase(slot);
    killed_.erase(slot);
    ending how = random_() % 3 == 0 ? clean() : crash();
    how.counts = random_() % 4 != 0;
    of.ended(slot, how, now_);
  }
  std::mt19937_64 random_{20261121};
  std::set<std::uint32_t> up_;
  std::set<std::uint32_t> killed_;
};

TEST_F(AnyOrder, KeepsTheRules) {
  int failures = 0;
  for (int round = 0; round < 3000; ++round) {
    of_ = {};
    up_.clear();
    killed_.clear();
    const auto policy = [&](supervisor_spec& each) {
      each.strategy = static_cast<restart_strategy>(random_() % 3);
      each.intensity = static_cast<std::uint32_t>(random_() % 6);
      each.period_ms = static_cast<std::uint32_t>(1 + random_() % 2000);
      each.shutdown = static_cast<automatic_shutdown>(random_() % 3);
    };
    policy(of_.root);
    std::vector<std::string> names{""};
    for (std::size_t i = random_() % 4; i > 0; --i) {
      const std::string above = names[random_() % names.size()];
      names.push_back("s" + std::to_string(i));
      supervisor_spec& made = supervisor(names.back().c_str(), above.c_str());
      policy(made);
      made.restart = static_cast<restart_type>(random_() % 3);
      worker(("w" + names.back()).c_str(), names.back().c_str());
    }
    for (std::size_t i = 1 + random_() % 4; i > 0; --i) {
      worker_spec& made =
          worker(("x" + std::to_string(i)).c_str(), names[random_() % names.size()].c_str());
      made.count = static_cast<std::uint32_t>(1 + random_() % 3);
      made.restart = static_cast<restart_type>(random_() % 3);
      made.significant = made.restart != restart_type::permanent && random_() % 2 == 0;
      made.wait_ready = random_() % 3 == 0;
      made.ready_ms = random_() % 2 == 0 ? 0 : 20;
      made.shutdown_ms = random_() % 3 == 0 ? brutal_kill : 50;
    }
    std::uint32_t slots = 0;
    for (const worker_spec& each : of_.workers) slots += each.count;
    restart_tree all(of_, *this, {}, random_());
    all.begin(now_);
    const auto any_slot = [&] { return static_cast<std::uint32_t>(random_() % slots); };
    for (int step = 0; step < 60; ++step) {
      const std::uint32_t one = any_slot();
      switch (random_() % 8) {
        case 0:
        case 1:
        case 2:
          if (up_.count(one) != 0) end_one(all, one);
          break;
        case 3:
          if (up_.count(one) != 0) all.became_ready(one, now_);
          break;
        case 4:
          all.stop_one(one, now_);
          break;
        case 5:
          all.start_one(one, now_);
          break;
        case 6:
          all.restart_one(one, now_);
          break;
        default:
          now_ += static_cast<instant>(random_() % 40) * ms;
          all.time_passed(now_);
      }
      ASSERT_GT(all.next_deadline(now_), now_);
      for (std::uint32_t slot = 0; slot < slots; ++slot) {
        ASSERT_EQ(all.is_up(slot), up_.count(slot) == 1) << "round " << round;
      }
    }
    if (!all.failure().empty()) ++failures;
    all.stop(now_);
    for (int left = 1000; !all.has_ended(); --left) {
      ASSERT_GT(left, 0) << "does not come to its end, round " << round;
      if (!up_.empty()) end_one(all, *up_.begin());
      now_ += 10 * ms;
      all.time_passed(now_);
    }
    ASSERT_TRUE(up_.empty());
  }
  EXPECT_GT(failures, 100) << "too tame";
}

}  // namespace
}  // namespace cyto::test
