// moodycamel's ReaderWriterQueue between two threads. It copies what goes in; what comes out is
// read where it lies.
#include <readerwriterqueue/readerwriterqueue.h>

#include "across/peers/thread_queue.hpp"

namespace cyto::bench {
namespace {

template <std::size_t Bytes>
class readerwriterqueue {
 public:
  using message = fixed_message<Bytes>;
  using queue = moodycamel::ReaderWriterQueue<message>;
  static constexpr std::size_t depth = 15;  // Its first block of slots, and no other.

  readerwriterqueue(queue& out, queue& in) : out_(&out), in_(&in) {}
  bool put(const message& what) { return out_->try_enqueue(what); }
  template <class Read>
  bool take(const Read& read) {
    const message* found = in_->peek();
    if (found == nullptr) return false;
    read(*found);
    in_->pop();
    return true;
  }

 private:
  queue* out_;
  queue* in_;
};

}  // namespace

void add_readerwriterqueue(std::vector<test_case>& to) {
  add_thread_peer<readerwriterqueue>(to, "readerwriterqueue_threads");
}

}  // namespace cyto::bench
