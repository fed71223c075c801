// Boost.Interprocess's message_queue. It is made, and its name taken away, before the processes
// start: they find it where fork left it.
#include <boost/interprocess/ipc/message_queue.hpp>

#include <vector>

#include "across/peers/peers.hpp"

namespace cyto::bench {
namespace {

namespace ipc = boost::interprocess;

class unnamed_queue {
 public:
  explicit unnamed_queue(std::size_t bytes) : unnamed_queue(unused_name("boost"), bytes) {}
  [[nodiscard]] ipc::message_queue& get() noexcept { return queue_; }

 private:
  static constexpr std::size_t depth = 16;
  unnamed_queue(const std::string& name, std::size_t bytes)
      : queue_(ipc::create_only, name.c_str(), depth, bytes, ipc::permissions(0600)) {
    ipc::message_queue::remove(name.c_str());
  }
  ipc::message_queue queue_;
};

class boost_queue_link {
 public:
  boost_queue_link(std::size_t bytes, waiting how)
      : bytes_(bytes), how_(how), there_(bytes), back_(bytes) {}

  class end {
   public:
    end(ipc::message_queue& out, ipc::message_queue& in, std::size_t bytes, waiting how)
        : out_(&out), in_(&in), payload_(bytes), how_(how) {}
    void send(std::uint64_t number) {
      write_payload(payload_.data(), payload_.size(), number);
      if (how_ == waiting::park) return out_->send(payload_.data(), payload_.size(), 0);
      while (!out_->try_send(payload_.data(), payload_.size(), 0)) relax();
    }
    std::uint64_t receive() {
      ipc::message_queue::size_type bytes = 0;
      unsigned priority = 0;
      if (how_ == waiting::park) {
        in_->receive(payload_.data(), payload_.size(), bytes, priority);
      } else {
        while (!in_->try_receive(payload_.data(), payload_.size(), bytes, priority)) relax();
      }
      return read_payload(payload_.data(), bytes);
    }

   private:
    ipc::message_queue* out_;
    ipc::message_queue* in_;
    std::vector<std::byte> payload_;
    waiting how_;
  };
  end near() { return {there_.get(), back_.get(), bytes_, how_}; }
  end far() { return {back_.get(), there_.get(), bytes_, how_}; }

 private:
  std::size_t bytes_;
  waiting how_;
  unnamed_queue there_;
  unnamed_queue back_;
};

}  // namespace

void add_boost_message_queue(std::vector<test_case>& to) {
  add_peer<boost_queue_link>(to, "boost_message_queue", peer_sizes);
}

}  // namespace cyto::bench
