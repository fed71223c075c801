#include "trace_check.hpp"

#include <algorithm>
#include <memory>
#include <set>
#include <utility>

namespace cyto::tools {
namespace {

constexpr std::uint32_t nobody = ~std::uint32_t{0};

// A committed turn, its events sorted by what they are.
struct committed_turn {
  std::vector<const trace_event*> delivers;
  std::vector<const trace_event*> drops;
  std::vector<const trace_event*> sends;
};

// For each receiver and sender, how many messages of the one to the other are known of.
using knowledge = std::vector<std::uint64_t>;

// The messages of one sender to one receiver, numbered from 1.
struct pair_lane {
  std::vector<std::uint32_t> messages;  // Number n stands at n - 1.
  std::uint64_t upto = 0;               // All of these have been handed over, or dropped.
  std::set<std::uint64_t> beyond;       // So have these.

  [[nodiscard]] bool has(std::uint64_t number) const {
    return number <= upto || beyond.contains(number);
  }
  void pass(std::uint64_t number) {
    beyond.insert(number);
    while (!beyond.empty() && *beyond.begin() == upto + 1) {
      beyond.erase(beyond.begin());
      ++upto;
    }
  }
};

struct message_state {
  std::uint32_t sender = nobody;                                 // Whose committed turn sends it.
  bool is_sent = false;                                          // That turn has been gone through.
  std::vector<std::pair<std::uint32_t, std::uint64_t>> numbers;  // Receiver, number on that lane.
  std::vector<std::uint32_t> early;                              // Had it before it was sent.
  std::shared_ptr<const knowledge> before;                       // What its turn depends on.
  std::shared_ptr<const knowledge> after;                        // That, and the turn itself.
  std::size_t left = 0;  // How many have not had it yet: then the two above are of no more use.
};

class checker {
 public:
  checker(const trace& of, bool is_window)
      : of_(of),
        is_window_(is_window),
        nodes_(of.nodes.size()),
        turns_(nodes_),
        at_(nodes_),
        known_(nodes_, knowledge(nodes_ * nodes_)),
        lanes_(nodes_ * nodes_),
        messages_(of.messages.size()) {}

  trace_verdict run() {
    for (std::uint32_t node = 0; node < nodes_; ++node) cut_into_turns(node);
    while (go_through_what_is_ready() || force_one()) {
    }
    if (!is_window_) tell_missing();
    return std::move(out_);
  }

 private:
  void tell(const char* law, std::string text) {
    if (out_.findings++ < findings_shown) out_.first.push_back({law, std::move(text)});
  }
  [[nodiscard]] const std::string& name(std::uint32_t node) const { return of_.nodes[node]; }
  [[nodiscard]] const std::string& title(std::uint32_t message) const {
    return of_.messages[message];
  }
  [[nodiscard]] pair_lane& lane(std::uint32_t receiver, std::uint32_t sender) {
    return lanes_[receiver * nodes_ + sender];
  }

  void cut_into_turns(std::uint32_t node) {
    committed_turn open;
    std::uint64_t events = 0;
    for (const trace_event& each : of_.events[node]) {
      ++events;
      if (each.what == trace_what::deliver) open.delivers.push_back(&each);
      if (each.what == trace_what::drop) open.drops.push_back(&each);
      if (each.what == trace_what::send) open.sends.push_back(&each);
      if (each.what == trace_what::commit) {
        for (const trace_event* sent : open.sends) claim(node, sent->message);
        turns_[node].push_back(std::exchange(open, {}));
        ++out_.turns;
        events = 0;
      } else if (each.what == trace_what::crash) {
        out_.undone += events - 1;
        open = {};
        events = 0;
      }
    }
    out_.undone += events;
  }

  void claim(std::uint32_t node, std::uint32_t message) {
    std::uint32_t& sender = messages_[message].sender;
    if (sender != nobody) {
      tell("doubled", title(message) + " was sent twice, by " + name(sender) +
                          (sender == node ? "" : " and by " + name(node)));
      return;
    }
    sender = node;
    ++out_.sent;
  }

  // Turns in an order in which nothing is handed over before it was sent, as far as that goes.
  bool go_through_what_is_ready() {
    bool any = false;
    for (std::uint32_t node = 0; node < nodes_; ++node) {
      while (at_[node] < turns_[node].size() && is_ready(turns_[node][at_[node]])) {
        go_through(node, turns_[node][at_[node]++]);
        any = true;
      }
    }
    return any;
  }
  [[nodiscard]] bool is_ready(const committed_turn& turn) const {
    return std::all_of(turn.delivers.begin(), turn.delivers.end(), [this](const auto* each) {
      const message_state& message = messages_[each->message];
      return message.is_sent || message.sender == nobody;
    });
  }
  // Each of the turns that are left waits for another one of them.
  bool force_one() {
    for (std::uint32_t node = 0; node < nodes_; ++node) {
      if (at_[node] == turns_[node].size()) continue;
      go_through(node, turns_[node][at_[node]++]);
      return true;
    }
    return false;
  }

  void go_through(std::uint32_t node, const committed_turn& turn) {
    for (const trace_event* each : turn.delivers) deliver(node, each->message);
    send_all(node, turn);
    for (const trace_event* each : turn.drops) {
      if (each->to.empty()) drop(node, each->message);
      for (const std::uint32_t target : each->to) drop(target, each->message);
    }
  }

  // Its number on the lane to `node`; 0 and a finding if it was not sent there.
  std::uint64_t number_for(std::uint32_t node, std::uint32_t message, const char* what) {
    const message_state& it = messages_[message];
    for (const auto& [receiver, number] : it.numbers) {
      if (receiver == node) return number;
    }
    const bool is_known = it.sender != nobody;
    if (is_known || !is_window_) {
      tell("phantom", name(node) + what + title(message) +
                          (is_known ? ", which was sent to others" : ", which nobody has sent"));
    }
    return 0;
  }

  void deliver(std::uint32_t node, std::uint32_t message) {
    message_state& it = messages_[message];
    if (it.sender != nobody && !it.is_sent) {
      tell("causal", name(node) + " was handed " + title(message) + " before " + name(it.sender) +
                         " could send it: what " + name(it.sender) + " sent it for depends on it");
      it.early.push_back(node);
      return;
    }
    const std::uint64_t number = number_for(node, message, " was handed ");
    if (number == 0) return;
    pair_lane& from = lane(node, it.sender);
    if (from.has(number)) {
      return tell("doubled", name(node) + " was handed " + title(message) + " twice");
    }
    for (std::uint32_t sender = 0; sender < nodes_; ++sender) {
      const std::uint64_t wanted =
          sender == it.sender ? number - 1 : (*it.before)[node * nodes_ + sender];
      const pair_lane& other = lane(node, sender);
      if (wanted <= other.upto) continue;
      const std::uint32_t cause = other.messages[other.upto];
      if (!told_.emplace(node, cause).second) continue;
      const std::string both =
          name(node) + " was handed " + title(message) + " before " + title(cause);
      if (sender == it.sender) {
        tell("fifo", both + ", which " + name(sender) + " had sent earlier");
      } else {
        tell("causal", both + ", on which it depends");
      }
    }
    from.pass(number);
    ++out_.delivered;
    knowledge& mine = known_[node];
    for (std::size_t i = 0; i < mine.size(); ++i) mine[i] = std::max(mine[i], (*it.after)[i]);
    had(it);
  }

  // One more of its receivers needs it no longer. A long trace would not fit into memory otherwise.
  static void had(message_state& it) {
    if (--it.left > 0) return;
    it.before.reset();
    it.after.reset();
  }

  void send_all(std::uint32_t node, const committed_turn& turn) {
    if (turn.sends.empty()) return;
    const auto before = std::make_shared<const knowledge>(known_[node]);
    for (const trace_event* each : turn.sends) {
      message_state& it = messages_[each->message];
      if (it.is_sent) continue;  // Told by claim().
      for (const std::uint32_t target : each->to) {
        pair_lane& to = lane(target, node);
        to.messages.push_back(each->message);
        const std::uint64_t number = to.messages.size();
        it.numbers.emplace_back(target, number);
        known_[node][target * nodes_ + node] = number;
        const bool was_early =
            std::find(it.early.begin(), it.early.end(), target) != it.early.end();
        if (was_early) {
          to.pass(number);
        } else {
          ++it.left;
        }
      }
      it.is_sent = true;
      it.before = before;
    }
    const auto after = std::make_shared<const knowledge>(known_[node]);
    for (const trace_event* each : turn.sends) messages_[each->message].after = after;
  }

  void drop(std::uint32_t node, std::uint32_t message) {
    const std::uint64_t number = number_for(node, message, " dropped ");
    if (number == 0) return;
    pair_lane& from = lane(node, messages_[message].sender);
    if (from.has(number)) {
      return tell("doubled", title(message) + " was dropped for " + name(node) +
                                 " after it had been handed over or dropped");
    }
    from.pass(number);
    ++out_.dropped;
    had(messages_[message]);
  }

  void tell_missing() {
    for (std::uint32_t receiver = 0; receiver < nodes_; ++receiver) {
      for (std::uint32_t sender = 0; sender < nodes_; ++sender) {
        const pair_lane& of = lane(receiver, sender);
        for (std::uint64_t number = of.upto + 1; number <= of.messages.size(); ++number) {
          if (of.has(number)) continue;
          tell("missing", title(of.messages[number - 1]) + " was sent to " + name(receiver) +
                              " and never handed to it");
        }
      }
    }
  }

  const trace& of_;
  bool is_window_;
  std::size_t nodes_;
  std::vector<std::vector<committed_turn>> turns_;
  std::vector<std::size_t> at_;  // The next turn of each node.
  std::vector<knowledge> known_;
  std::vector<pair_lane> lanes_;
  std::vector<message_state> messages_;
  std::set<std::pair<std::uint32_t, std::uint32_t>> told_;  // Receiver, message that came late.
  trace_verdict out_;
};

}  // namespace

trace_verdict check_trace(const trace& of, bool is_window) { return checker(of, is_window).run(); }

}  // namespace cyto::tools
