// A worker that goes mad among others, in processes, for many seeds: it writes over all that it may
// write, and dies, lives on, or never stops. Nobody else crashes or hangs, and the rest goes on.
#include <gtest/gtest.h>
#include <sys/prctl.h>

#include <array>
#include <map>

#include "cyto/cyto.hpp"
#include "support/actor.hpp"
#include "support/scribble.hpp"
#include "support/system.hpp"
#include "support/watchdog.hpp"
#include "tools/report.hpp"
#include "update_generated.h"

namespace cyto::test {
namespace {

using std::chrono::seconds;

constexpr std::uint64_t seeds = sanitized ? 40 : 120;
constexpr std::uint64_t good_messages = 300;

enum role : std::uint32_t { feeder, mad, sink, good };
enum class then : std::uint64_t { dies, lives_on, never_stops };

status send_update(turn& in, std::string_view cell, std::uint64_t number) {
  return in.send<Update>(*in.outputs()[0], [&](flatbuffers::FlatBufferBuilder& fbb) {
    const auto* text = reinterpret_cast<const std::uint8_t*>(cell.data());
    const auto name = fbb.CreateVector(text, cell.size());
    const auto* value = reinterpret_cast<const std::uint8_t*>(&number);
    return CreateUpdate(fbb, name, fbb.CreateVector(value, sizeof number));
  });
}

std::string_view text_of(const flatbuffers::Vector<std::uint8_t>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

void be_a_source(worker& self, std::string_view cell, std::uint64_t count) {
  const auto sent = self.cell<counter>("sent");
  self.source([=](turn& in) {
    if (sent.value() == count) return produced::finished;
    send_update(in, cell, sent.value());
    sent.add(in, 1);
    return produced::more;
  });
}

// Says so once it has been mad.
void be_mad(worker& self, std::uint64_t seed, const line& to_test) {
  self.on<Update>([&to_test, seed, left = 1 + seed % 7](const Update& update, turn& in) mutable {
    send_update(in, text_of(*update.cell()), 0);
    if (--left != 0) return;
    scribbler away(seed);
    if (!away.has_memory()) ::_exit(actor::threw);
    away.scribble(1 + seed % 2000);
    to_test.say(1);
    while (then(seed % 3) == then::never_stops) away.scribble(1 + seed % 2000);
    if (then(seed % 3) == then::dies) ::_exit(0);
  });
}

void be_a_sink(worker& self) {
  self.on<Update>([&self](const Update& update, turn& in) {
    const std::string_view name = text_of(*update.cell());
    const std::uint64_t read = hash_bytes(text_of(*update.value()));
    self.cell<counter>(name == "good" ? "good" : "other").add(in, read == 0 ? 0 : 1);
  });
}

class Hostile : public testing::Test {
 protected:
  // A system of four; the third takes from the second, which goes mad, and from the fourth.
  struct scene {
    scene() {
      segment_plan plan = small_plan({"feeder", "mad", "sink", "good"}, {{0, 1}, {1, 2}, {3, 2}});
      plan.slots[feeder].flags = plan.slots[good].flags = slot_is_source;
      plan.memfd_tag = "cyto-hostile-test";
      where.emplace(segment::create(plan));
    }
    // Maps what it writes only now, or the children would have it writable too.
    void stop() {
      const mapping board_pages = where->map_board();
      const mapping bells = where->map_doorbells();
      auto* orders = reinterpret_cast<board_slot*>(board_pages.data() + sizeof(board));
      for (std::uint32_t i = 0; i < where->slot_count(); ++i) {
        orders[i].order.publish(static_cast<std::uint32_t>(system_phase::stopping));
        wake(reinterpret_cast<doorbell_line*>(bells.data())[i]);
      }
    }
    [[nodiscard]] std::uint64_t good_taken() const {
      std::uint64_t out = 0;
      each_cell(*where, sink, [&](const cell_view& cell) {
        if (cell.name == "good") out = cell.value[0];
      });
      return out;
    }
    std::optional<segment> where;
  };

  static std::unique_ptr<actor> start(const scene& in, role as, std::uint64_t seed) {
    return std::make_unique<actor>([&in, as, seed](const line& to_test) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // Should the test itself be killed.
      slot place(*in.where, as);
      worker self(place);
      if (as == feeder) be_a_source(self, "feed", ~std::uint64_t{0});
      if (as == good) be_a_source(self, "good", good_messages);
      if (as == mad) be_mad(self, seed, to_test);
      if (as == sink) be_a_sink(self);
      self.run(-1);
    });
  }

  // What tools do with a system in which somebody is mad.
  static void look(const segment& where) {
    EXPECT_EQ(tools::status_report(where).at("lanes").size(), 3U);
    for (std::uint32_t i = 0; i < where.slot_count(); ++i) {
      try {
        each_cell(where, i, [](const cell_view& cell) { EXPECT_LE(cell.name.size(), 1U << 20); });
      } catch (const error&) {
        EXPECT_EQ(i, static_cast<std::uint32_t>(mad));
      }
    }
  }
};

TEST_F(Hostile, WorkerThatScribblesOverItsOwnMemoryHarmsNobodyElse) {
  std::uint64_t fenced = 0;
  std::uint64_t broken = 0;
  std::uint64_t refused = 0;
  for (std::uint64_t seed = 1; seed <= seeds && !HasFailure(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const watchdog guard(seconds(60), "Hostile, seed " + std::to_string(seed));
    scene in;
    std::map<role, std::unique_ptr<actor>> cast;
    for (const role each : {sink, mad, feeder}) cast[each] = start(in, each, seed);
    // Every other time all that is good comes after the madness, otherwise somewhere about it.
    const bool is_mad_first = seed % 2 == 0;
    if (is_mad_first) static_cast<void>(cast[mad]->hear());
    cast[good] = start(in, good, seed);
    bool lives = true;
    while (lives && in.good_taken() < good_messages) {
      look(*in.where);
      for (const role each : {feeder, sink, good}) {
        lives = lives && workers_of(*in.where)[each].state != "dead";
      }
    }
    EXPECT_TRUE(lives) << "somebody died of another's madness";
    if (!is_mad_first) static_cast<void>(cast[mad]->hear());
    const std::vector<lane_status> lanes = lanes_of(*in.where);
    fenced += lanes[1].fenced ? 1U : 0U;
    broken += lanes[1].balanced ? 0U : 1U;
    EXPECT_FALSE(lanes[2].fenced);
    EXPECT_TRUE(lanes[2].balanced);
    in.stop();
    for (const role each : {sink, feeder, good}) EXPECT_EQ(cast[each]->end(), 0) << each;
    cast[mad]->kill();
    look(*in.where);
    // Its successor is refused in words, or works.
    actor successor([&](const line& to_test) {
      try {
        slot place(*in.where, mad);
        worker self(place);
        be_a_sink(self);
        self.run(-1);
        to_test.say(0);
      } catch (const error&) {
        to_test.say(1);
      }
    });
    refused += successor.hear();
    EXPECT_EQ(successor.end(), 0);
  }
  RecordProperty("fenced", std::to_string(fenced));
  std::printf("of %lu seeds: lane fenced %lu, does not balance %lu, successor refused %lu\n", seeds,
              fenced, broken, refused);
  EXPECT_GT(fenced, seeds / 20);
  EXPECT_GT(refused, seeds / 4);
}

}  // namespace
}  // namespace cyto::test
