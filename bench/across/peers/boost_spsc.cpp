// Boost.Lockfree's spsc_queue between two threads. It copies what goes in; what comes out is read
// where it lies.
#include <boost/lockfree/spsc_queue.hpp>

#include <memory>

#include "across/peers/peers.hpp"

namespace cyto::bench {
namespace {

template <std::size_t Bytes>
class boost_spsc_link {
 public:
  using message = fixed_message<Bytes>;
  using queue = boost::lockfree::spsc_queue<message>;

  class end {
   public:
    end(queue& out, queue& in) : out_(&out), in_(&in) {}
    void send(std::uint64_t number) {
      write_payload(message_->bytes, Bytes, number);
      while (!out_->push(*message_)) relax();
    }
    std::uint64_t receive() {
      std::uint64_t number = 0;
      const auto read = [&](const message& it) { number = read_payload(it.bytes, Bytes); };
      while (!in_->consume_one(read)) relax();
      return number;
    }

   private:
    queue* out_;
    queue* in_;
    std::unique_ptr<message> message_ = std::make_unique<message>();
  };
  end near() { return {there_, back_}; }
  end far() { return {back_, there_}; }

 private:
  static constexpr std::size_t depth = 16;
  queue there_{depth};
  queue back_{depth};
};

}  // namespace

void add_boost_spsc(std::vector<test_case>& to) {
  add_thread_peer<boost_spsc_link>(to, "boost_spsc_threads");
}

}  // namespace cyto::bench
