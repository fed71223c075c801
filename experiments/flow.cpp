// Feeds, links and takers: items at a rate, or as many as go through.
#include <sys/prctl.h>

#include <ctime>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "role.hpp"

namespace cyto::experiment {
namespace {

constexpr std::uint64_t spin_ns = 80'000;     // A sleep of Linux may end that much too late.
constexpr std::uint64_t look_ns = 5'000'000;  // A feed asks so often whether it shall end.
constexpr int turn_items_max = 64;

// How long an item has been under way.
void note(const tally& told, const turn& in, std::uint64_t since_ns) {
  const std::uint64_t phase = told.the_orders().phase.observe();
  if (phase == 0) return;
  const std::uint64_t now = now_ns();
  told.seat_of(in.slot_index()).times[phase - 1].add(now - std::min(now, since_ns));
}

class feed {
 public:
  feed(worker& self, const tally& told)
      : orders_(&told.the_orders()),
        to_(lanes_to(self)),
        sent_(self.cell<counter>("sent")),
        first_(sent_.value()),
        interval_ns_(interval_of(number_setting(self, "per_s"))),
        began_ns_(now_ns()) {}

  produced produce(turn& turn) {
    if (orders_->stopped.observe() != 0) return produced::finished;
    if (interval_ns_ > 0) {
      const std::uint64_t due = due_ns(sent_.value());
      const std::uint64_t now = now_ns();
      wait_until(std::min(due, now + look_ns));
      if (due > now + look_ns) return produced::more;
    }
    std::uint64_t number = sent_.value();
    int count = 0;
    const std::uint64_t now = now_ns();
    while (count < turn_items_max && !turn.is_nearly_full()) {
      // An open loop: what is late has been under way since it was due.
      const std::uint64_t since = interval_ns_ > 0 ? due_ns(number) : now;
      if (since > now) break;
      turn.send<Item>(*to_[number % to_.size()], [&](flatbuffers::FlatBufferBuilder& fbb) {
        return CreateItem(fbb, number, since);
      });
      if (turn.fault() != turn_fault::none) break;
      ++number;
      ++count;
    }
    sent_.add(turn, static_cast<std::uint64_t>(count));
    return produced::more;
  }

 private:
  static double interval_of(std::uint64_t per_s) {
    return per_s == 0 ? 0 : 1e9 / static_cast<double>(per_s);
  }
  [[nodiscard]] std::uint64_t due_ns(std::uint64_t number) const {
    return began_ns_ +
           static_cast<std::uint64_t>(static_cast<double>(number - first_) * interval_ns_);
  }

  const orders* orders_;
  std::vector<turn_output*> to_;
  counter sent_;
  std::uint64_t first_;
  double interval_ns_;
  std::uint64_t began_ns_;
};

}  // namespace

void wait_until(std::uint64_t when_ns) {
  const std::uint64_t now = now_ns();
  if (when_ns > now + spin_ns) sleep_ns(when_ns - now - spin_ns);
  while (now_ns() < when_ns) relax();
}

void sleep_ns(std::uint64_t how_long) {
  const timespec time{static_cast<time_t>(how_long / 1'000'000'000),
                      static_cast<long>(how_long % 1'000'000'000)};
  // Cut short only by a signal, and those of a worker end it.
  static_cast<void>(clock_nanosleep(CLOCK_MONOTONIC, 0, &time, nullptr));
}

void become_feed(worker& self, const tally& told) {
  prctl(PR_SET_TIMERSLACK, 1UL);
  const auto here = std::make_shared<feed>(self, told);
  self.source([here](turn& turn) { return here->produce(turn); });
}

std::vector<turn_output*> lanes_to(const worker& self) {
  std::vector<turn_output*> out;
  std::istringstream names(self.setting("to", ""));
  for (std::string each; std::getline(names, each, ',');) out.push_back(&self.to(each).member(0));
  return out;
}

void become_link(worker& self, const tally& told) {
  const std::vector<turn_output*> next = lanes_to(self);
  const bool is_noted = self.setting("noted", "yes") == "yes";
  self.on<Item>([=, &told](const Item& item, turn& turn) {
    if (is_noted) note(told, turn, item.sent_ns());
    if (next.empty()) return;
    turn.send<Item>(*next[0], [&](flatbuffers::FlatBufferBuilder& fbb) {
      return CreateItem(fbb, item.number(), item.sent_ns());
    });
  });
}

void become_taker(worker& self, const tally& told) {
  const std::vector<turn_output*> peers = lanes_to(self);
  const bool is_slow = self.setting("slow", "no") == "yes";
  const std::uint64_t share = number_setting(self, "updates_per_100");
  const auto items = self.cell<counter>("items");
  const auto updates = self.cell<counter>("updates");
  if (is_slow) self.batch(1);  // A turn of many would keep its sender from seeing any room.
  self.on<Item>([=, &told](const Item& item, turn& turn) {
    const std::uint64_t delay = is_slow ? told.the_orders().delay_ns.observe() : 0;
    if (delay != 0) sleep_ns(delay);
    note(told, turn, item.sent_ns());
    // Whole updates for a share of 100 and more, and one for so many of each 100 items below.
    const std::uint64_t before = items.value() * share / 100;
    items.add(turn, 1);
    const std::uint64_t due = peers.empty() ? 0 : items.value() * share / 100 - before;
    for (std::uint64_t i = 0; i < due; ++i) {
      turn.send<Update>(
          *peers[(before + i) % peers.size()],
          [&](flatbuffers::FlatBufferBuilder& fbb) { return CreateUpdate(fbb, before + i); });
    }
  });
  self.on<Update>([=](const Update&, turn& turn) { updates.add(turn, 1); });
}

}  // namespace cyto::experiment
