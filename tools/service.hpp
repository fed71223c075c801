// What `cyto run` has to do with a service manager: sd_notify(3) and its store of descriptors. All
// of it does nothing where there is none.
#pragma once

#include <chrono>
#include <string>

namespace cyto::tools {

class service {
 public:
  // Takes the memory of system `name` that an earlier supervisor has left in the store.
  explicit service(const std::string& name);
  service(const service&) = delete;
  service& operator=(const service&) = delete;
  ~service();

  // A memfd, or -1.
  [[nodiscard]] int memory() const noexcept { return memory_; }
  // How often alive() is wanted; 0: never.
  [[nodiscard]] std::chrono::milliseconds period() const noexcept { return period_; }

  void store(int memory) const noexcept;
  void forget() const noexcept;
  void ready() noexcept;
  void alive() const noexcept;
  void stopping() const noexcept;

 private:
  std::string entry_;  // In the store.
  int memory_ = -1;
  std::chrono::milliseconds period_{0};
  bool is_ready_ = false;
};

}  // namespace cyto::tools
