// Processes under the rules of supervision that do what a test says, on a clock that it moves.
#pragma once

#include "restarts.hpp"

#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace cyto::test {

constexpr instant ms = 1'000'000;

class Restarts : public testing::Test, public restart_tree::hands {
 protected:
  worker_spec& worker(const char* name, const char* supervisor = "") {
    worker_spec& made = of_.workers.emplace_back();
    made.name = name;
    made.supervisor = supervisor;
    made.order = next_order_++;
    return made;
  }
  supervisor_spec& supervisor(const char* name, const char* above = "") {
    supervisor_spec& made = of_.supervisors.emplace_back();
    made.name = name;
    made.supervisor = above;
    made.order = next_order_++;
    return made;
  }
  // After all workers and supervisors are named.
  restart_tree& tree() {
    if (!tree_) tree_ = std::make_unique<restart_tree>(of_, *this, past_, 1);
    return *tree_;
  }
  void begin() {
    tree().begin(now_);
    log_.clear();
  }
  std::uint32_t slot(const std::string& name) const {
    std::uint32_t at = 0;
    for (const worker_spec& each : of_.workers) {
      if (each.name == name) return at;
      at += each.count;
    }
    throw std::out_of_range(name);
  }
  void ends(const std::string& name, ending how = crash()) { tree().ended(slot(name), how, now_); }
  // Whoever was told to stop does.
  void obey() {
    while (!told_.empty()) {
      const std::uint32_t first = told_.front();
      told_.pop_front();
      tree().ended(first, clean(), now_);
    }
  }
  static ending crash() {
    ending out;
    out.how = "killed by signal 11 (SIGSEGV)";
    return out;
  }
  static ending clean() {
    ending out;
    out.clean = true;
    out.how = "exit code 0";
    return out;
  }
  void pass(instant time) {
    now_ += time;
    tree().time_passed(now_);
  }
  // To the next deadline, if there is one.
  bool pass() {
    const instant next = tree().next_deadline(now_);
    if (next == never) return false;
    pass(next - now_);
    return true;
  }
  std::vector<std::string> log() { return std::exchange(log_, {}); }

  topology of_;
  instant now_ = 1'000'000 * ms;
  std::vector<death> past_;
  std::vector<death> remembered_;
  std::map<std::string, std::string> start_problems_;
  std::set<std::uint32_t> down_;
  std::deque<std::uint32_t> told_;

 public:
  std::string start(std::uint32_t slot) override {
    const auto problem = start_problems_.find(name_of(slot));
    if (problem != start_problems_.end()) {
      log_.push_back("fail " + name_of(slot));
      return std::exchange(start_problems_, {})[name_of(slot)];  // Only once.
    }
    log_.push_back("start " + name_of(slot));
    return {};
  }
  void tell_to_stop(std::uint32_t slot) override {
    log_.push_back("stop " + name_of(slot));
    told_.push_back(slot);
  }
  void kill(std::uint32_t slot) override { log_.push_back("kill " + name_of(slot)); }
  void keep_down(std::uint32_t slot, bool down) override {
    if (down)
      down_.insert(slot);
    else
      down_.erase(slot);
  }
  void remember(const death& one) override { remembered_.push_back(one); }
  void forget(const death& one) override {
    std::erase_if(remembered_, [&](const death& each) { return each.at == one.at; });
  }
  std::string name_of(std::uint32_t slot) override {
    std::uint32_t at = 0;
    for (const worker_spec& each : of_.workers) {
      if (slot < at + each.count) {
        return each.count == 1 ? each.name : each.name + "/" + std::to_string(slot - at);
      }
      at += each.count;
    }
    return "nobody";
  }

 private:
  std::unique_ptr<restart_tree> tree_;
  std::vector<std::string> log_;
  std::uint32_t next_order_ = 1;
};

}  // namespace cyto::test
