// Ranked lanes: what goes first, as far as causality leaves a choice.
#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "cyto/mailbox.hpp"
#include "support/causal.hpp"
#include "support/system.hpp"

namespace cyto::test {
namespace {

using payloads = std::vector<std::string>;
using lane_list = std::vector<std::pair<unsigned, unsigned>>;

segment make(const std::vector<std::string>& names, const lane_list& lanes,
             const std::vector<lane_purpose>& purposes) {
  segment_plan plan = small_plan(names, lanes);
  for (std::size_t i = 0; i < lanes.size(); ++i) plan.lanes[i].purpose = purposes[i];
  return segment::create(plan);
}

// Whether what each slot does may be known to each, along these lanes.
std::vector<std::vector<bool>> reach(std::size_t slots, const lane_list& lanes) {
  std::vector<std::vector<bool>> out(slots, std::vector<bool>(slots));
  for (std::size_t i = 0; i < slots; ++i) out[i][i] = true;
  for (const auto& [from, to] : lanes) out[from][to] = true;
  for (std::size_t k = 0; k < slots; ++k) {
    for (std::size_t i = 0; i < slots; ++i) {
      for (std::size_t j = 0; j < slots; ++j) {
        if (out[i][k] && out[k][j]) out[i][j] = true;
      }
    }
  }
  return out;
}

void rank(slot& reader, std::uint32_t update_weight, std::uint32_t external_weight,
          const std::vector<std::vector<bool>>& reaches) {
  std::vector<std::uint8_t> table;
  const auto inputs = reader.the_turn().inputs();
  for (const auto& from : inputs) {
    for (const auto& to : inputs) table.push_back(reaches[from->writer_slot][to->writer_slot]);
  }
  reader.incoming().rank(update_weight, external_weight, table);
}

constexpr lane_purpose updates = lane_purpose::updates, external = lane_purpose::external,
                       control = lane_purpose::control;

TEST(RankedMailbox, ControlGoesFirstHoweverLateItsStamp) {
  const lane_list lanes{{0, 3}, {1, 3}, {2, 3}};
  const segment where = make({"u", "e", "k", "c"}, lanes, {updates, external, control});
  slot u(where, 0), e(where, 1), k(where, 2), c(where, 3);
  rank(c, 1, 1, reach(4, lanes));
  send(u, 0, "u");
  send(e, 0, "e");
  k.the_turn().see(1'000'000);
  for (const char* each : {"k1", "k2", "k3"}) send(k, 0, each);
  EXPECT_EQ(drain(c), (payloads{"k1", "k2", "k3", "u", "e"}));
}

TEST(RankedMailbox, ControlWaitsForWhatItDependsOn) {
  // k sends an update to c first; and is told by u, who has sent one to c before that.
  const lane_list lanes{{0, 3}, {0, 3}, {1, 0}, {1, 3}, {2, 3}};
  const segment where =
      make({"k", "u", "free", "c"}, lanes, {updates, control, updates, updates, updates});
  slot k(where, 0), u(where, 1), free(where, 2), c(where, 3);
  rank(c, 1, 1, reach(4, lanes));
  send(u, 1, "u's");
  send(u, 0, "told");
  std::string payload;
  ASSERT_TRUE(take_one(k, payload));
  k.the_turn().commit();
  send(k, 0, "k's own");
  send(k, 1, "control");
  send(free, 0, "free");
  // Of "free" k cannot know; its stamp is the least, so it goes while control has to wait.
  EXPECT_EQ(drain(c), (payloads{"u's", "free", "k's own", "control"}));
}

TEST(RankedMailbox, UpdatesAndExternalMessagesShareByTheirWeights) {
  const lane_list lanes{{0, 2}, {1, 2}};
  const segment where = make({"u", "e", "c"}, lanes, {updates, external});
  for (const auto& [update_weight, external_weight] :
       std::vector<std::pair<std::uint32_t, std::uint32_t>>{{1, 1}, {3, 1}, {1, 4}, {2, 3}}) {
    slot u(where, 0), e(where, 1), c(where, 2);
    rank(c, update_weight, external_weight, reach(3, lanes));
    u.the_turn().see(u.the_turn().commit_word() + 1'000);  // By their stamps all of e's were first.
    for (int i = 0; i < 24; ++i) {
      send(u, 0, "u");
      send(e, 0, "e");
    }
    std::string all;
    for (const std::string& each : drain(c)) all += each;
    std::string expected;
    while (expected.size() < 12) {
      expected += std::string(update_weight, 'u') + std::string(external_weight, 'e');
    }
    EXPECT_EQ(all.substr(0, expected.size()), expected);
    // What is left over when one of them has ended goes on without it.
    EXPECT_EQ(std::count(all.begin(), all.end(), 'u'), 24);
    EXPECT_EQ(std::count(all.begin(), all.end(), 'e'), 24);
  }
}

// s sends to c, and then to b, which sends an update to c of that.
std::string order_of_cause_and_effect(bool is_known) {
  const lane_list lanes{{0, 2}, {0, 1}, {1, 2}};
  const segment where = make({"s", "b", "c"}, lanes, {external, external, updates});
  slot s(where, 0), b(where, 1), c(where, 2);
  auto reaches = reach(3, lanes);
  reaches[0][1] = is_known;
  rank(c, 1'000, 1, reaches);
  send(s, 0, "cause");
  send(s, 1, "told");
  std::string payload;
  EXPECT_TRUE(take_one(b, payload));
  stage(b, 0, "effect");
  b.the_turn().commit();
  std::string all;
  for (const std::string& each : drain(c)) all += each + " ";
  return all;
}

TEST(RankedMailbox, NoWeightLetsAnEffectGoBeforeItsCause) {
  EXPECT_EQ(order_of_cause_and_effect(true), "cause effect ");
  // It is the table that does it.
  EXPECT_EQ(order_of_cause_and_effect(false), "effect cause ");
}

// Sources, workers in a circle, control lanes beside others.
TEST(RankedMailbox, RandomNetworkIsDeliveredInCausalOrder) {
  constexpr unsigned count = 6;
  // 0 and 1 are sources, 2 sends control; 3, 4 and 5 send to each other, 5 also control to 3.
  const lane_list lanes{{0, 3}, {0, 4}, {0, 5}, {1, 3}, {1, 5}, {2, 3}, {2, 4},
                        {2, 5}, {3, 4}, {4, 5}, {5, 3}, {3, 5}, {5, 3}};
  const std::vector<lane_purpose> purposes{external, external, external, external, external,
                                           control,  control,  control,  updates,  updates,
                                           updates,  updates,  control};
  std::uint64_t ahead_of_stamp = 0;
  for (unsigned seed = 1; seed <= 40; ++seed) {
    std::mt19937 random(seed);
    const segment where = make({"0", "1", "2", "3", "4", "5"}, lanes, purposes);
    std::vector<std::unique_ptr<slot>> nodes;
    for (unsigned i = 0; i < count; ++i) {
      nodes.push_back(std::make_unique<slot>(where, i));
      const auto weight = [&random] { return static_cast<std::uint32_t>(1 + random() % 4); };
      const std::uint32_t first = weight();
      if (i >= 3) rank(*nodes[i], first, weight(), reach(count, lanes));
    }
    std::vector<std::vector<unsigned>> outputs(count);
    for (unsigned i = 0; i < lanes.size(); ++i) outputs[lanes[i].first].push_back(i);
    causal_judge judge(count);
    std::array<std::uint64_t, count> last_stamp{};
    for (int step = 0; step < 800; ++step) {
      const auto me = static_cast<unsigned>(random() % count);
      std::uint32_t id = 0;
      if (me < 3 || random() % 2 == 0) {
        const auto which = static_cast<unsigned>(random() % outputs[me].size());
        id = judge.announce(lanes[outputs[me][which]].second);
        if (send(*nodes[me], which, {reinterpret_cast<const char*>(&id), sizeof id}) ==
            status::ok) {
          judge.sent(me, id);
        }
        continue;
      }
      message_view view;
      turn_input* input = nodes[me]->incoming().next(view);
      if (input == nullptr) continue;
      nodes[me]->the_turn().take(*input, view);
      std::memcpy(&id, view.data, sizeof id);
      if (view.stamp < last_stamp[me]) ++ahead_of_stamp;
      last_stamp[me] = view.stamp;
      turn::consume(*input, view);
      nodes[me]->incoming().taken(*input);
      nodes[me]->the_turn().commit();
      ASSERT_EQ(judge.handed(me, id), "") << "seed " << seed;
    }
  }
  EXPECT_GT(ahead_of_stamp, 100U);  // Or ranks made no difference, and nothing was tried.
}

}  // namespace
}  // namespace cyto::test
