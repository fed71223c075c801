// moodycamel's ConcurrentQueue between two threads, with a token on each side. It copies on both.
#include <concurrentqueue/concurrentqueue.h>

#include "across/peers/thread_queue.hpp"

namespace cyto::bench {
namespace {

template <std::size_t Bytes>
class concurrent_queue {
 public:
  using message = fixed_message<Bytes>;
  using queue = moodycamel::ConcurrentQueue<message>;
  static constexpr std::size_t depth = 32;

  concurrent_queue(queue& out, queue& in) : out_(&out), in_(&in), puts_(out), takes_(in) {}
  bool put(const message& what) { return out_->enqueue(puts_, what); }
  template <class Read>
  bool take(const Read& read) {
    if (!in_->try_dequeue(takes_, *taken_)) return false;
    read(*taken_);
    return true;
  }

 private:
  queue* out_;
  queue* in_;
  moodycamel::ProducerToken puts_;
  moodycamel::ConsumerToken takes_;
  std::unique_ptr<message> taken_ = std::make_unique<message>();
};

}  // namespace

void add_moodycamel(std::vector<test_case>& to) {
  add_thread_peer<concurrent_queue>(to, "moodycamel_threads");
}

}  // namespace cyto::bench
