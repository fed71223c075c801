// Random networks whose lanes are full most of the time, each by a policy of its own: whatever is
// refused, dropped or held, nobody is handed an effect before its cause, or two messages of one
// sender the wrong way round.
#include <gtest/gtest.h>

#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "cyto/observe.hpp"
#include "support/causal.hpp"
#include "support/system.hpp"
#include "support/watchdog.hpp"

namespace cyto::test {
namespace {

constexpr unsigned count = 4;
constexpr unsigned lane_count = count * (count - 1);

// All are connected. Single-threaded: what is random is who does what next.
class network {
 public:
  network(unsigned seed, const std::vector<full_policy>& policies)
      : random_(seed), where_(segment::create(plan(policies))), judge_(count) {
    for (unsigned i = 0; i < count; ++i) nodes_.push_back(std::make_unique<slot>(where_, i));
  }

  // What is wrong with what was handed out; empty: nothing.
  std::string run(int steps) {
    for (int step = 0; step < steps && !judge_.is_full(); ++step) {
      const unsigned me = below(count);
      switch (below(8)) {
        case 0:
          nodes_[me]->the_turn().move_held();
          settle(me);
          break;
        case 1:
          nodes_[me].reset();  // Its successor finds what was committed.
          nodes_[me] = std::make_unique<slot>(where_, me);
          break;
        default:
          act(me);
      }
      if (!wrong_.empty()) return wrong_;
    }
    return {};
  }
  [[nodiscard]] std::uint64_t moved() const { return moved_; }
  [[nodiscard]] std::uint64_t lost() const {
    std::uint64_t out = 0;
    for (const lane_status& each : lanes_of(where_)) {
      out += each.dropped + each.no_room + each.refused;
    }
    return out;
  }

 private:
  unsigned below(unsigned end) { return static_cast<unsigned>(random_() % end); }
  static unsigned lane_of_pair(unsigned from, unsigned to) {
    return from * (count - 1) + (to < from ? to : to - 1);
  }

  segment_plan plan(const std::vector<full_policy>& policies) {
    std::vector<std::pair<unsigned, unsigned>> lanes;
    for (unsigned i = 0; i < count; ++i) {
      for (unsigned j = 0; j < count; ++j) {
        if (i != j) lanes.emplace_back(i, j);
      }
    }
    segment_plan out = small_plan({"n0", "n1", "n2", "n3"}, lanes);
    for (unsigned i = 0; i < lane_count; ++i) {
      out.lanes[i].policy = policies[below(static_cast<unsigned>(policies.size()))];
      if (out.lanes[i].policy != full_policy::drop_oldest) continue;
      held_[i] = static_cast<std::uint32_t>(out.lanes.size());
      out.lanes.push_back({lanes[i].first, lanes[i].first, 4096, lane_purpose::held});
      out.lanes.back().beside = i;
    }
    return out;
  }

  // A turn that takes up to two messages and sends to up to two, or is undone.
  void act(unsigned me) {
    turn& in = nodes_[me]->the_turn();
    std::vector<std::uint32_t> taken;
    const unsigned takes = below(3);
    std::string payload;
    while (taken.size() < takes && take_one(*nodes_[me], payload)) {
      std::memcpy(&taken.emplace_back(), payload.data(), sizeof(std::uint32_t));
    }
    std::vector<std::pair<unsigned, std::uint32_t>> sent;  // Lane and number.
    for (unsigned sends = below(3); sends > 0; --sends) {
      const unsigned to = (me + 1 + below(count - 1)) % count;
      if (judge_.is_full()) break;
      const std::uint32_t id = judge_.announce(to);
      std::string text(100 + below(900), 'x');
      std::memcpy(text.data(), &id, sizeof id);
      const unsigned lane = lane_of_pair(me, to);
      if (stage(*nodes_[me], lane % (count - 1), text) == status::ok) sent.emplace_back(lane, id);
    }
    if (in.fault() != turn_fault::none) {
      turn_output* full = in.fault_lane();
      const std::uint64_t bytes = in.fault_ring_bytes();
      in.abort();
      nodes_[me]->incoming().reset();
      if (full->purpose == lane_purpose::held) in.give_up_oldest(*full, bytes);
      return settle(me);
    }
    in.commit();
    for (const std::uint32_t id : taken) {
      const std::string wrong = judge_.handed(me, id);
      if (!wrong.empty()) wrong_ = wrong;
    }
    for (const auto& [lane, id] : sent) {
      if (held_.count(lane) == 0) {
        judge_.sent(me, id);
      } else {
        waiting_[lane].push_back(id);
      }
    }
    settle(me);
  }

  // Of what drops its oldest: which were given up by the last turn, and which count as sent now.
  void settle(unsigned me) {
    for (const auto& [lane, beside] : held_) {
      if (lane / (count - 1) != me) continue;
      std::deque<std::uint32_t>& waiting = waiting_[lane];
      const std::uint64_t dropped = cyto::lane_of(where_, beside).dropped;
      for (; dropped_[lane] < dropped; ++dropped_[lane]) waiting.pop_front();
      const std::uint64_t accepted = cyto::lane_of(where_, lane).accepted;
      for (; accepted_[lane] < accepted; ++accepted_[lane], ++moved_) {
        judge_.sent(me, waiting.front());
        waiting.pop_front();
      }
    }
  }

  std::mt19937 random_;
  std::map<unsigned, std::uint32_t> held_;  // By lane: the one beside it.
  segment where_;
  std::vector<std::unique_ptr<slot>> nodes_;
  causal_judge judge_;
  std::map<unsigned, std::deque<std::uint32_t>> waiting_;
  std::map<unsigned, std::uint64_t> dropped_;
  std::map<unsigned, std::uint64_t> accepted_;
  std::uint64_t moved_ = 0;
  std::string wrong_;
};

void expect_causal(const std::vector<full_policy>& policies, bool loses) {
  const watchdog guard(std::chrono::seconds(200), "Policies");
  std::uint64_t lost = 0, moved = 0;
  for (unsigned seed = 1; seed <= 25; ++seed) {
    network tried(seed, policies);
    ASSERT_EQ(tried.run(1'500), "") << "seed " << seed;
    lost += tried.lost();
    moved += tried.moved();
  }
  EXPECT_EQ(lost > 100, loses) << lost;
  const bool holds = policies.back() == full_policy::drop_oldest;
  EXPECT_EQ(moved > 100, holds) << moved;
}

TEST(Policies, ThatPutOffKeepTheCausalOrder) { expect_causal({full_policy::defer}, false); }
TEST(Policies, ThatRefuseKeepTheCausalOrder) { expect_causal({full_policy::refuse}, true); }
TEST(Policies, ThatDropTheNewestKeepTheCausalOrder) {
  expect_causal({full_policy::drop_newest}, true);
}
TEST(Policies, ThatPushBackKeepTheCausalOrder) { expect_causal({full_policy::nack}, true); }
TEST(Policies, ThatDropTheOldestKeepTheCausalOrder) {
  expect_causal({full_policy::drop_oldest}, true);
}
TEST(Policies, OfAllKindsBesideEachOtherKeepTheCausalOrder) {
  expect_causal({full_policy::defer, full_policy::refuse, full_policy::drop_newest,
                 full_policy::nack, full_policy::drop_oldest},
                true);
}

}  // namespace
}  // namespace cyto::test
