// Who could know of which message: what is handed to a node is compared with it.
//
//   causal_judge judge(nodes);
//   const auto id = judge.announce(to);   // To be in the payload.
//   judge.sent(from, id);                 // Once it counts as sent.
//   EXPECT_EQ(judge.handed(to, id), "");  // Or the cause that was passed over.
#pragma once

#include <bitset>
#include <cstdint>
#include <string>
#include <vector>

namespace cyto::test {

class causal_judge {
 public:
  static constexpr std::size_t messages_max = 1'024;

  explicit causal_judge(unsigned nodes) : known_(nodes) {}

  [[nodiscard]] bool is_full() const { return targets_.size() == messages_max; }
  std::uint32_t announce(unsigned to) {
    targets_.push_back(to);
    past_.emplace_back();
    return static_cast<std::uint32_t>(targets_.size() - 1);
  }
  void sent(unsigned from, std::uint32_t id) {
    past_[id] = known_[from];
    known_[from].set(id);
  }
  std::string handed(unsigned to, std::uint32_t id) {
    std::string out;
    if (targets_[id] != to || delivered_[id]) out = std::to_string(id) + " is not due";
    for (std::uint32_t cause = 0; cause < targets_.size(); ++cause) {
      if (!past_[id][cause] || targets_[cause] != to || delivered_[cause]) continue;
      out = std::to_string(cause) + " was passed over by " + std::to_string(id);
    }
    delivered_.set(id);
    known_[to] |= past_[id];
    known_[to].set(id);
    return out;
  }

 private:
  using messages = std::bitset<messages_max>;
  std::vector<unsigned> targets_;
  std::vector<messages> past_;   // Of each message: all that its sender could know.
  std::vector<messages> known_;  // To each node.
  messages delivered_;
};

}  // namespace cyto::test
