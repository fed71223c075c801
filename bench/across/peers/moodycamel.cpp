// moodycamel's ConcurrentQueue between two threads, with a token on each side. It copies on both.
#include <concurrentqueue/concurrentqueue.h>

#include <memory>
#include <stdexcept>

#include "across/peers/peers.hpp"

namespace cyto::bench {
namespace {

template <std::size_t Bytes>
class moodycamel_link {
 public:
  using message = fixed_message<Bytes>;
  using queue = moodycamel::ConcurrentQueue<message>;

  class end {
   public:
    end(queue& out, queue& in) : out_(&out), in_(&in), puts_(out), takes_(in) {}
    void send(std::uint64_t number) {
      write_payload(message_->bytes, Bytes, number);
      if (!out_->enqueue(puts_, *message_)) throw std::runtime_error("no memory for a message");
    }
    std::uint64_t receive() {
      while (!in_->try_dequeue(takes_, *message_)) relax();
      return read_payload(message_->bytes, Bytes);
    }

   private:
    queue* out_;
    queue* in_;
    moodycamel::ProducerToken puts_;
    moodycamel::ConsumerToken takes_;
    std::unique_ptr<message> message_ = std::make_unique<message>();
  };
  end near() { return {there_, back_}; }
  end far() { return {back_, there_}; }

 private:
  queue there_;
  queue back_;
};

}  // namespace

void add_moodycamel(std::vector<test_case>& to) {
  add_thread_peer<moodycamel_link>(to, "moodycamel_threads");
}

}  // namespace cyto::bench
