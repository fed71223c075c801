// Feeds, links and takers: items at a rate, or as many as go through.
#include <sys/prctl.h>

#include <algorithm>
#include <ctime>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "counters.hpp"
#include "role.hpp"

namespace cyto::experiment {
namespace {

constexpr std::uint64_t late_ns = 80'000;     // A sleep of Linux may end that much too late.
constexpr std::uint64_t look_ns = 5'000'000;  // A feed asks so often whether it shall end.
constexpr int turn_items_max = 64;

// How long items have been under way. A turn that finds a lane full is undone and handled again, so
// what it notes stays private until it has committed: a cell, which is part of the turn, tells.
class delays {
 public:
  delays(worker& self, const tally& told)
      : told_(&told), noted_(self.cell<counter>("noted")), first_(noted_.value()) {}

  void note(turn& in, std::uint64_t since_ns) {
    if (in.commit_word() != commit_) settle(in);
    const std::uint64_t phase = told_->the_orders().phase.observe();
    if (phase == 0) return;
    const std::uint64_t now = now_ns();
    under_way_.resize(noted_.value() - first_);  // What was noted before the turn was undone.
    under_way_.push_back({phase, now - std::min(now, since_ns)});
    noted_.add(in, 1);
  }

 private:
  struct noted {
    std::uint64_t phase;
    std::uint64_t ns;
  };

  // The turn before has committed what the cell says.
  void settle(const turn& in) {
    seat& to = told_->seat_of(in.slot_index());
    const std::uint64_t count = noted_.value() - first_;
    for (std::uint64_t i = 0; i < count; ++i) {
      to.times[under_way_[i].phase - 1].add(under_way_[i].ns);
    }
    under_way_.clear();
    first_ += count;
    commit_ = in.commit_word();
  }

  const tally* told_;
  counter noted_;
  std::uint64_t first_;
  std::uint64_t commit_ = ~std::uint64_t{0};  // That the turn in progress follows.
  std::vector<noted> under_way_;
};

class feed {
 public:
  feed(worker& self, const tally& told)
      : orders_(&told.the_orders()),
        to_(lanes_to(self)),
        sent_(self.cell<counter>("sent")),
        first_(sent_.value()),
        is_of_updates_(self.setting("as", "items") == "updates"),
        interval_ns_(interval_of(number_setting(self, "per_s"))),
        spin_ns_(spin_of(self.setting("awaits", "closely"))),
        began_ns_(now_ns()) {
    const std::uint64_t turns_per_s = number_setting(self, "turns_per_s");
    if (turns_per_s == 0) return;
    items_max_ = 1;
    self.limit_rate({.turns_per_s_max = static_cast<double>(turns_per_s)});
  }

  produced produce(turn& turn) {
    if (orders_->stopped.observe() != 0) return produced::finished;
    if (orders_->paused.observe() != 0) {
      sleep_ns(look_ns);
      began_ns_ = now_ns();
      first_ = sent_.value();
      return produced::more;
    }
    if (interval_ns_ > 0) {
      const std::uint64_t due = due_ns(sent_.value());
      const std::uint64_t now = now_ns();
      wait_until(std::min(due, now + look_ns), spin_ns_);
      if (due > now + look_ns) return produced::more;
    }
    std::uint64_t number = sent_.value();
    int count = 0;
    const std::uint64_t now = now_ns();
    while (count < items_max_ && !turn.is_nearly_full()) {
      // An open loop: what is late has been under way since it was due.
      const std::uint64_t since = interval_ns_ > 0 ? due_ns(number) : now;
      if (since > now) break;
      offer(turn, number, since);
      if (turn.fault() != turn_fault::none) break;
      ++number;
      ++count;
    }
    sent_.add(turn, static_cast<std::uint64_t>(count));
    return produced::more;
  }

 private:
  void offer(turn& in, std::uint64_t number, std::uint64_t since) const {
    turn_output& to = *to_[number % to_.size()];
    if (is_of_updates_) {
      cyto::update(in, to).increment(counter_name(number / to_.size()), 1);
      return;
    }
    in.send<Item>(
        to, [&](flatbuffers::FlatBufferBuilder& fbb) { return CreateItem(fbb, number, since); });
  }
  static double interval_of(std::uint64_t per_s) {
    return per_s == 0 ? 0 : 1e9 / static_cast<double>(per_s);
  }
  static std::uint64_t spin_of(const std::string& how) {
    if (how == "on its core") return look_ns;
    return how == "asleep" ? 0 : late_ns;
  }
  [[nodiscard]] std::uint64_t due_ns(std::uint64_t number) const {
    return began_ns_ +
           static_cast<std::uint64_t>(static_cast<double>(number - first_) * interval_ns_);
  }

  const orders* orders_;
  std::vector<turn_output*> to_;
  counter sent_;
  std::uint64_t first_;
  bool is_of_updates_;
  double interval_ns_;
  std::uint64_t spin_ns_;  // So long before an item is due it stays on its core.
  std::uint64_t began_ns_;
  int items_max_ = turn_items_max;  // In one turn.
};

}  // namespace

void wait_until(std::uint64_t when_ns, std::uint64_t spin_ns) {
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
  const auto times = is_noted ? std::make_shared<delays>(self, told) : nullptr;
  self.on<Item>([=](const Item& item, turn& turn) {
    if (times) times->note(turn, item.sent_ns());
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
  const auto times = std::make_shared<delays>(self, told);
  if (is_slow) self.batch(1);  // A turn of many would keep its sender from seeing any room.
  const auto take_time = [=, &told] {
    const std::uint64_t delay = is_slow ? told.the_orders().delay_ns.observe() : 0;
    if (delay != 0) sleep_ns(delay);
  };
  self.accept_updates().of(new_cells::make).on_change([=](turn&, std::string_view) {
    take_time();
  });
  self.on<Item>([=](const Item& item, turn& turn) {
    take_time();
    times->note(turn, item.sent_ns());
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
