#include "restarts.hpp"

#include <algorithm>
#include <utility>

namespace cyto {
namespace {

constexpr instant one_ms = 1'000'000;
constexpr instant backoff_first = 10 * one_ms;
constexpr instant backoff_last = 1'000 * one_ms;

}  // namespace

restart_tree::restart_tree(const topology& of, hands& by, std::vector<death> past,
                           std::uint64_t seed)
    : hands_(by), slots_(0), deaths_(std::move(past)), random_(seed | 1) {
  for (const worker_spec& each : of.workers) slots_ += each.places();
  const auto find = [&of](const std::string& name) {
    std::uint32_t index = 0;
    while (index < of.supervisors.size() && of.supervisors[index].name != name) ++index;
    return name.empty() ? 0 : index + 1;
  };
  children_.resize(slots_ + 1 + of.supervisors.size());
  nodes_.push_back({&of.root, slots_, {}, 0, end::no, {}});
  for (const supervisor_spec& each : of.supervisors) {
    const auto number = slots_ + static_cast<std::uint32_t>(nodes_.size());
    nodes_.push_back({&each, number, {}, 0, end::no, {}});
  }
  const auto describe = [&](std::uint32_t number, const child_spec& spec) -> child& {
    child& made = children_[number];
    made.number = number;
    made.node = find(spec.supervisor);
    made.rank = spec.order;
    made.restart = spec.restart;
    made.significant = spec.significant;
    return made;
  };
  std::uint32_t slot = 0;
  for (const worker_spec& each : of.workers) {
    for (std::uint32_t member = 0; member < each.places(); ++member, ++slot) {
      child& made = describe(slot, each);
      made.wait_ready = each.wait_ready;
      made.shutdown_ms = each.shutdown_ms;
      made.ready_ms = each.ready_ms;
      nodes_[made.node].children.push_back(slot);
    }
  }
  describe(slots_, of.root);
  for (std::size_t i = 1; i < nodes_.size(); ++i) {
    const child& made = describe(nodes_[i].number, *nodes_[i].spec);
    nodes_[made.node].children.push_back(made.number);
  }
  for (node& each : nodes_) {
    remembered_ = std::max(remembered_, each.spec->period_ms * one_ms);
    std::stable_sort(each.children.begin(), each.children.end(),
                     [this](auto a, auto b) { return this->of(a).rank < this->of(b).rank; });
  }
}

void restart_tree::found(std::uint32_t slot, bool ready) {
  child& it = of(slot);
  it.state = run::up;
  it.was_up = true;
  it.ready = ready;
  // Its supervisors are up as well.
  for (std::uint32_t at = it.node; at != 0; at = of(nodes_[at].number).node) {
    of(nodes_[at].number).state = run::up;
    of(nodes_[at].number).was_up = true;
  }
}

void restart_tree::found_down(std::uint32_t slot) { of(slot).kept_down = true; }

void restart_tree::begin(instant now) {
  of(slots_).state = run::up;
  for (auto each = nodes_.rbegin(); each + 1 != nodes_.rend(); ++each) {
    of(each->number).kept_down = std::all_of(each->children.begin(), each->children.end(),
                                             [this](auto number) { return of(number).kept_down; });
  }
  for (const node& each : nodes_) {
    if (of(each.number).state != run::up) continue;
    for (const std::uint32_t number : each.children) {
      child& it = of(number);
      it.to_start = it.state == run::down && !it.kept_down;
      it.start_at = now;
    }
  }
  settle(now);
}

std::string restart_tree::name(const child& which) const {
  if (is_slot(which)) return "worker " + hands_.name_of(which.number);
  return "supervisor " + nodes_[which.number - slots_].spec->name;
}

bool restart_tree::all_down(const node& in) const {
  return std::all_of(in.children.begin(), in.children.end(),
                     [this](auto number) { return of(number).state == run::down; });
}

bool restart_tree::has_ended() const { return all_down(nodes_.front()); }

bool restart_tree::is_ready(const child& which) const {
  if (is_slot(which)) return which.ready;
  const node& in = nodes_[which.number - slots_];
  return std::all_of(in.children.begin(), in.children.end(), [this](auto number) {
    return of(number).kept_down || (of(number).state == run::up && is_ready(of(number)));
  });
}

void restart_tree::became_ready(std::uint32_t slot, instant now) {
  child& it = of(slot);
  if (it.state != run::up || it.ready) return;
  it.ready = true;
  it.ready_by = never;
  settle(now);
}

// Until nothing changes any more. Inner supervisors, which come later, go first: what starts after
// one of them starts after all of its children.
void restart_tree::settle(instant now) {
  for (std::size_t i = nodes_.size(); i-- > 0;) {
    if (settle(nodes_[i], now)) i = nodes_.size();
  }
}

bool restart_tree::settle(node& in, instant now) {
  if (of(in.number).state == run::down) return false;
  if (stop_next_rank(in, now)) return true;
  for (const std::uint32_t number : in.children) {
    if (of(number).to_stop) return false;  // Nobody starts while somebody still stops.
  }
  if (in.closing != end::no) {
    if (!all_down(in) || in.number == slots_) return false;
    closed(in, now);
    return true;
  }
  for (const std::uint32_t number : in.children) {
    child& it = of(number);
    if (it.to_start && it.state == run::down) {
      if (it.start_at > now) {
        if (in.spec->strategy == restart_strategy::one_for_one) continue;
        return false;
      }
      start(it, now);
      return true;
    }
    if (it.state == run::up && is_held_up(it, now)) return false;
  }
  return false;
}

// Whether what starts after it has to wait: for it to be ready, or for all its children to start.
bool restart_tree::is_held_up(const child& which, instant now) const {
  if (is_slot(which)) return which.wait_ready && !which.ready;
  const node& in = nodes_[which.number - slots_];
  return std::any_of(in.children.begin(), in.children.end(), [&](auto number) {
    const child& it = of(number);
    return it.state == run::up ? is_held_up(it, now) : it.to_start && it.start_at <= now;
  });
}

// Tells the last rank that is to stop to do so. Whether anybody was told.
bool restart_tree::stop_next_rank(node& in, instant now) {
  for (std::size_t i = in.children.size(); i-- > 0;) {
    child& it = of(in.children[i]);
    if (it.state == run::down) it.to_stop = false;
    if (!it.to_stop) continue;
    // The ranks before it wait until the whole of this one has ended.
    bool any = false;
    for (std::size_t j = i + 1; j-- > 0;) {
      child& peer = of(in.children[j]);
      if (peer.rank != it.rank || !peer.to_stop || peer.state != run::up) continue;
      tell_to_stop(peer, now);
      any = true;
    }
    return any;
  }
  return false;
}

void restart_tree::start(child& which, instant now) {
  which.to_start = false;
  which.ready = false;
  which.blame.clear();
  const bool is_first = !std::exchange(which.was_up, true);
  which.state = run::up;
  if (is_slot(which)) {
    const std::string problem = hands_.start(which.number);
    if (problem.empty()) {
      which.ready_by = which.ready_ms == 0 ? never : now + which.ready_ms * one_ms;
      return;
    }
    which.state = run::down;
    if (is_first) {
      // As in OTP: a system that never came up does not go round in circles.
      close(nodes_.front(), end::abnormal, name(which) + ": " + problem);
    } else {
      ending how;
      how.how = problem;
      ended_by_itself(which, how, now);
    }
    return;
  }
  node& in = node_of(which);
  in.since = now;
  in.closing = end::no;
  for (const std::uint32_t number : in.children) {
    child& it = of(number);
    it.to_start = !it.kept_down;
    it.start_at = now;
  }
}

void restart_tree::tell_to_stop(child& which, instant now) {
  which.state = run::leaving;
  which.ready_by = never;
  if (!is_slot(which)) {
    for (const std::uint32_t number : node_of(which).children) {
      of(number).to_start = false;
      of(number).to_stop = of(number).state != run::down;
    }
    // With nobody to wait for it has ended already.
    if (node_of(which).closing == end::no) node_of(which).closing = end::normal;
    return;
  }
  if (which.shutdown_ms == brutal_kill) {
    hands_.kill(which.number);
    return;
  }
  if (which.shutdown_ms != infinity) which.kill_at = now + which.shutdown_ms * one_ms;
  hands_.tell_to_stop(which.number);
}

void restart_tree::ended(std::uint32_t slot, const ending& how, instant now) {
  child& it = of(slot);
  it.state = run::down;
  it.ready = false;
  it.kill_at = it.ready_by = never;
  if (it.to_stop) {
    it.to_stop = false;
  } else {
    ending seen = how;
    if (!it.blame.empty()) {
      seen.how = it.blame;
      seen.counts = true;
      seen.clean = false;
    }
    ended_by_itself(it, seen, now);
  }
  settle(now);
}

void restart_tree::forgive(std::uint32_t slot, std::uint32_t count) {
  for (std::size_t i = deaths_.size(); count > 0 && i-- > 0;) {
    if (deaths_[i].child != slot) continue;
    hands_.forget(deaths_[i]);
    deaths_.erase(deaths_.begin() + static_cast<std::ptrdiff_t>(i));
    --count;
  }
}

void restart_tree::ended_by_itself(child& which, const ending& how, instant now) {
  node& in = nodes_[which.node];
  if (in.closing != end::no) return;
  const bool by_type = which.restart == restart_type::permanent ||
                       (which.restart == restart_type::transient && !how.clean);
  if (!how.prevent && (how.force || by_type)) {
    restart(which, how, now);
    return;
  }
  keep_down(which);
  if (!which.significant || in.spec->shutdown == automatic_shutdown::never) return;
  const bool last = std::none_of(in.children.begin(), in.children.end(), [this](auto number) {
    return of(number).significant && !of(number).kept_down;
  });
  if (last || in.spec->shutdown == automatic_shutdown::any_significant) close(in, end::normal, {});
}

void restart_tree::restart(child& which, const ending& how, instant now) {
  node& in = nodes_[which.node];
  if (how.counts) {
    std::erase_if(deaths_, [&](const death& each) { return each.at < now - remembered_; });
    deaths_.push_back({now, which.number});
    hands_.remember(deaths_.back());
    const std::size_t deaths = deaths_in(in, now);
    if (deaths > in.spec->intensity) {
      close(in, end::abnormal,
            name(which) + ": " + how.how + "; death " + std::to_string(deaths) + " within " +
                std::to_string(in.spec->period_ms) + " ms" +
                (in.number == slots_ ? std::string() : " under supervisor " + in.spec->name) +
                ", at most " + std::to_string(in.spec->intensity) + " are mended");
      return;
    }
  }
  which.to_start = true;
  which.start_at = how.counts ? now + back_off(which, now) : now;
  if (in.spec->strategy == restart_strategy::one_for_one) return;
  bool after = false;
  for (const std::uint32_t number : in.children) {
    child& it = of(number);
    if (number == which.number) {
      after = true;
      continue;
    }
    if (!after && in.spec->strategy == restart_strategy::rest_for_one) continue;
    const bool was_on = it.state != run::down || it.to_start;
    it.to_stop = it.state != run::down;
    // A temporary one goes with its siblings and does not come back with them.
    it.to_start = was_on && it.restart != restart_type::temporary;
    it.start_at = which.start_at;
    if (was_on && it.restart == restart_type::temporary) keep_down(it);
  }
}

// For good, as far as the tree is concerned.
void restart_tree::keep_down(child& which) {
  which.kept_down = true;
  if (is_slot(which)) {
    hands_.keep_down(which.number, true);
  } else {
    for (const std::uint32_t number : node_of(which).children) keep_down(of(number));
  }
}

void restart_tree::give_up(const std::string& why, instant now) {
  close(nodes_.front(), end::abnormal, why);
  settle(now);
}

void restart_tree::close(node& in, end how, const std::string& why) {
  if (in.closing != end::no) return;
  in.closing = how;
  in.why = why;
  if (in.number == slots_ && failure_.empty()) failure_ = why;
  for (const std::uint32_t number : in.children) {
    of(number).to_start = false;
    of(number).to_stop = of(number).state != run::down;
  }
}

// The last child of a supervisor that gives up, or was told to stop, has ended.
void restart_tree::closed(node& in, instant now) {
  child& self = of(in.number);
  ending how;
  how.clean = in.closing == end::normal;
  how.how = std::exchange(in.why, {});
  self.state = run::down;
  in.closing = end::no;
  if (std::exchange(self.to_stop, false)) return;
  ended_by_itself(self, how, now);
}

std::size_t restart_tree::deaths_in(const node& in, instant now) const {
  const instant from = std::max(in.since, now - in.spec->period_ms * one_ms);
  return static_cast<std::size_t>(
      std::count_if(deaths_.rbegin(), deaths_.rend(), [&](const death& each) {
        return each.at >= from && each.child < children_.size() &&
               &nodes_[of(each.child).node] == &in;
      }));
}

// Nothing for the first death within the period, as in OTP; then twice as long each time, and up to
// a quarter on top, so that children that died together do not come back together for ever.
instant restart_tree::back_off(const child& which, instant now) {
  const instant from = now - nodes_[which.node].spec->period_ms * one_ms;
  const auto deaths = std::count_if(deaths_.begin(), deaths_.end(), [&](const death& each) {
    return each.child == which.number && each.at >= from;
  });
  if (deaths <= 1) return 0;
  const instant wait = std::min(backoff_first << std::min<instant>(deaths - 2, 10), backoff_last);
  random_ ^= random_ << 13;
  random_ ^= random_ >> 7;
  random_ ^= random_ << 17;
  return wait + static_cast<instant>(random_ % static_cast<std::uint64_t>(wait / 4 + 1));
}

void restart_tree::time_passed(instant now) {
  for (std::uint32_t slot = 0; slot < slots_; ++slot) {
    child& it = of(slot);
    if (it.kill_at <= now) {
      it.kill_at = never;
      hands_.kill(slot);
    }
    if (it.ready_by <= now) {
      it.ready_by = never;
      blame(slot, "was not ready within " + std::to_string(it.ready_ms) + " ms");
    }
  }
  settle(now);
}

void restart_tree::blame(std::uint32_t slot, const std::string& why) {
  if (of(slot).state != run::up) return;
  of(slot).blame = why;
  hands_.kill(slot);
}

instant restart_tree::next_deadline(instant now) const {
  instant next = never;
  for (const child& each : children_) {
    // What is due and still does not start waits for an event, not for time.
    if (each.to_start && each.state == run::down && each.start_at > now) {
      next = std::min(next, each.start_at);
    }
    next = std::min({next, each.kill_at, each.ready_by});
  }
  return next;
}

void restart_tree::stop_one(std::uint32_t slot, instant now) {
  child& it = of(slot);
  it.kept_down = true;
  it.to_start = false;
  it.to_stop = it.state != run::down;
  hands_.keep_down(slot, true);
  settle(now);
}

void restart_tree::start_one(std::uint32_t slot, instant now) {
  child& it = of(slot);
  if (is_stopping()) return;
  it.kept_down = false;
  hands_.keep_down(slot, false);
  // Its supervisors too, if they had come to their end.
  for (std::uint32_t at = it.node; of(nodes_[at].number).state == run::down;) {
    child& above = of(nodes_[at].number);
    above.kept_down = false;
    above.to_start = true;
    above.start_at = now;
    at = above.node;
  }
  if (it.state == run::up && !it.to_stop) return;
  it.to_start = true;
  it.start_at = now;
  settle(now);
}

void restart_tree::restart_one(std::uint32_t slot, instant now) {
  child& it = of(slot);
  if (is_stopping()) return;
  it.to_stop = it.state != run::down;
  start_one(slot, now);
  settle(now);
}

void restart_tree::stop(instant now) {
  close(nodes_.front(), end::normal, {});
  settle(now);
}

}  // namespace cyto
