// Causal order, scripted: what each lane shows, and when.
#include "cyto/mailbox.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "support/causal.hpp"
#include "support/process.hpp"
#include "support/stepped.hpp"
#include "support/system.hpp"
#include "support/watchdog.hpp"

namespace cyto::test {
namespace {

using payloads = std::vector<std::string>;

// Lifts the slot's clock: its next turn comes after `stamp`.
void see(slot& who, std::uint64_t stamp) { who.the_turn().see(stamp); }

std::string next_of(slot& to) {
  std::string payload;
  return take_one(to, payload) ? payload : "nothing";
}

TEST(Mailbox, LeastStampGoesFirst) {
  small_system system({"a", "b", "c"}, {{0, 2}, {1, 2}});
  slot a(system.where, 0), b(system.where, 1), c(system.where, 2);
  see(a, 50);
  send(a, 0, "late");
  see(b, 20);
  send(b, 0, "early");
  EXPECT_EQ(drain(c), (payloads{"early", "late"}));
}

TEST(Mailbox, EqualStampsGoByTheirWritersSlots) {
  small_system system({"a", "b", "c"}, {{1, 2}, {0, 2}});
  slot a(system.where, 0), b(system.where, 1), c(system.where, 2);
  send(b, 0, "of b");
  send(a, 0, "of a");
  EXPECT_EQ(drain(c), (payloads{"of a", "of b"}));
}

TEST(Mailbox, MessagesOfOneWriterKeepTheirOrder) {
  small_system system({"a", "c"}, {{0, 1}});
  slot a(system.where, 0), c(system.where, 1);
  stage(a, 0, "1");
  stage(a, 0, "2");
  a.the_turn().commit();
  send(a, 0, "3");
  EXPECT_EQ(drain(c), (payloads{"1", "2", "3"}));
}

// How many silent lanes stand between those that speak: a look takes a few lanes together.
class MailboxOf : public testing::TestWithParam<unsigned> {};

// d's clock is far ahead. Between c's two looks a sends a cause to c, and b, who was told by a,
// sends its effect: the second look sees the effect, and must not miss the cause.
TEST_P(MailboxOf, CauseThatBecomesVisibleBetweenTheTwoLooksIsDeliveredFirst) {
  const watchdog guard(std::chrono::seconds(100), "Mailbox.CauseThatBecomesVisible...");
  // c's lanes in the order in which it looks: a, b, d.
  std::vector<std::string> names = {"a", "b", "d", "c"};
  std::vector<std::pair<unsigned, unsigned>> lanes;
  for (const unsigned writer : {0U, 1U, 2U}) {
    lanes.emplace_back(writer, 3U);
    for (unsigned i = 0; i < GetParam(); ++i) {
      lanes.emplace_back(static_cast<unsigned>(names.size()), 3U);
      names.push_back("silent" + std::to_string(names.size()));
    }
  }
  lanes.emplace_back(0U, 1U);
  std::size_t cause_first = 0;
  // Sanitized code has far more instructions a look.
  constexpr std::uint64_t stride = sanitized ? 397 : 2;
  std::uint64_t k = 0;
  for (bool stepping = true; stepping; k += stride) {
    small_system system(names, lanes);
    slot a(system.where, 0), b(system.where, 1), d(system.where, 2);
    see(d, 1000);
    send(d, 0, "far ahead");
    struct shared_result {
      char order[3][16];
    };
    const small_system scratch({"x"}, {});
    const mapping result = scratch.where.map(scratch.where.slot(0).arena_offset, 4096);
    auto* out = reinterpret_cast<shared_result*>(result.data());
    std::unique_ptr<slot> c;
    stepped_child child([&] { c = std::make_unique<slot>(system.where, 3); },
                        [&] {
                          message_view view;
                          for (auto& each : out->order) {
                            turn_input* from = c->incoming().next(view);
                            if (from == nullptr) break;
                            std::memcpy(each, view.data, std::min<std::size_t>(view.size, 15));
                            turn::consume(*from, view);
                            c->incoming().taken(*from);
                          }
                        });
    for (std::uint64_t i = 0; i < k && stepping; ++i) stepping = child.step();
    send(a, 0, "cause");
    send(a, 1, "told");
    ASSERT_EQ(next_of(b), "told");
    stage(b, 0, "effect");
    b.the_turn().commit();
    child.finish();
    std::size_t cause = 9;
    std::size_t effect = 9;
    for (std::size_t i = 0; i < 3; ++i) {
      if (std::string(out->order[i]) == "cause") cause = i;
      if (std::string(out->order[i]) == "effect") effect = i;
    }
    ASSERT_TRUE(effect == 9 || cause < effect) << "after instruction " << k;
    if (cause < effect) ++cause_first;
  }
  EXPECT_GT(cause_first, 0U);
  EXPECT_GT(k, 100U);
}

// Steps go with the square of the lanes: under a sanitizer there is time for the first only.
INSTANTIATE_TEST_SUITE_P(SilentBetween, MailboxOf,
                         testing::ValuesIn(sanitized ? std::vector{0U} : std::vector{0U, 1U, 4U}));

TEST(Mailbox, FencedLaneIsPassedOverAndTheOthersGoOn) {
  small_system system({"a", "b", "c"}, {{0, 2}, {1, 2}});
  slot a(system.where, 0), b(system.where, 1);
  send(a, 0, "nonsense");
  send(b, 0, "good");
  const mapping ring = system.where.map_ring(system.where.lane(0), true);
  lane_ring{ring.data(), 4096}.header(0).size_wide.stage(0x7fffffff);
  slot c(system.where, 2);
  EXPECT_EQ(drain(c), payloads{"good"});
  EXPECT_TRUE(lanes_of(system.where)[0].fenced);
  EXPECT_FALSE(lanes_of(system.where)[1].fenced);
  send(b, 0, "more");
  EXPECT_EQ(drain(c), payloads{"more"});
}

TEST(Mailbox, AbortedTurnIsHandedTheSameAgain) {
  small_system system({"a", "b", "c"}, {{0, 2}, {1, 2}});
  slot a(system.where, 0), b(system.where, 1), c(system.where, 2);
  send(a, 0, "1");
  send(b, 0, "2");
  EXPECT_EQ(next_of(c), "1");
  EXPECT_EQ(next_of(c), "2");
  c.the_turn().abort();
  c.incoming().reset();
  EXPECT_EQ(drain(c), (payloads{"1", "2"}));
  EXPECT_EQ(drain(c), payloads{});
}

TEST(Mailbox, HasAnySeesWhatNextWouldHandOut) {
  small_system system({"a", "c"}, {{0, 1}});
  slot a(system.where, 0), c(system.where, 1);
  EXPECT_FALSE(c.incoming().has_any());
  stage(a, 0, "x");
  EXPECT_FALSE(c.incoming().has_any());
  a.the_turn().commit();
  EXPECT_TRUE(c.incoming().has_any());
  EXPECT_EQ(next_of(c), "x");
  EXPECT_FALSE(c.incoming().has_any());
}

// A random network on one thread.
TEST(Mailbox, RandomNetworkIsDeliveredInCausalOrder) {
  for (unsigned seed = 1; seed <= 20; ++seed) {
    std::mt19937 random(seed);
    constexpr unsigned count = 4;
    std::vector<std::pair<unsigned, unsigned>> lanes;
    std::vector<std::string> names;
    for (unsigned i = 0; i < count; ++i) {
      names.push_back("n" + std::to_string(i));
      for (unsigned j = 0; j < count; ++j) {
        if (i != j) lanes.emplace_back(i, j);
      }
    }
    small_system system(names, lanes);
    std::vector<std::unique_ptr<slot>> nodes;
    for (unsigned i = 0; i < count; ++i) nodes.push_back(std::make_unique<slot>(system.where, i));
    causal_judge judge(count);
    for (int step = 0; step < 600; ++step) {
      const auto me = static_cast<unsigned>(random() % count);
      std::uint32_t id = 0;
      if (random() % 2 == 0) {
        const auto lane = static_cast<unsigned>(random() % (count - 1));
        id = judge.announce(lane < me ? lane : lane + 1);
        if (send(*nodes[me], lane, {reinterpret_cast<const char*>(&id), sizeof id}) == status::ok) {
          judge.sent(me, id);
        }
        continue;
      }
      std::string text;
      if (!take_one(*nodes[me], text)) continue;
      nodes[me]->the_turn().commit();
      std::memcpy(&id, text.data(), sizeof id);
      ASSERT_EQ(judge.handed(me, id), "") << "seed " << seed;
    }
  }
}

}  // namespace
}  // namespace cyto::test
