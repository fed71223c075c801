// Boost.Lockfree's spsc_queue between two threads. It copies what goes in; what comes out is read
// where it lies.
#include <boost/lockfree/spsc_queue.hpp>

#include "across/peers/thread_queue.hpp"

namespace cyto::bench {
namespace {

template <std::size_t Bytes>
class boost_spsc {
 public:
  using message = fixed_message<Bytes>;
  using queue = boost::lockfree::spsc_queue<message>;
  static constexpr std::size_t depth = 16;

  boost_spsc(queue& out, queue& in) : out_(&out), in_(&in) {}
  bool put(const message& what) { return out_->push(what); }
  template <class Read>
  bool take(const Read& read) {
    return in_->consume_one(read);
  }

 private:
  queue* out_;
  queue* in_;
};

}  // namespace

void add_boost_spsc(std::vector<test_case>& to) {
  add_thread_peer<boost_spsc>(to, "boost_spsc_threads");
}

}  // namespace cyto::bench
