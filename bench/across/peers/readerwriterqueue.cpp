// moodycamel's ReaderWriterQueue between two threads. It copies what goes in; what comes out is
// read where it lies.
#include <readerwriterqueue/readerwriterqueue.h>

#include <memory>

#include "across/peers/peers.hpp"

namespace cyto::bench {
namespace {

template <std::size_t Bytes>
class readerwriterqueue_link {
 public:
  using message = fixed_message<Bytes>;
  using queue = moodycamel::ReaderWriterQueue<message>;

  class end {
   public:
    end(queue& out, queue& in) : out_(&out), in_(&in) {}
    void send(std::uint64_t number) {
      write_payload(message_->bytes, Bytes, number);
      while (!out_->try_enqueue(*message_)) relax();
    }
    std::uint64_t receive() {
      const message* found = nullptr;
      while ((found = in_->peek()) == nullptr) relax();
      const std::uint64_t number = read_payload(found->bytes, Bytes);
      in_->pop();
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
  static constexpr std::size_t depth = 15;  // Its first block of slots, and no other.
  queue there_{depth};
  queue back_{depth};
};

}  // namespace

void add_readerwriterqueue(std::vector<test_case>& to) {
  add_thread_peer<readerwriterqueue_link>(to, "readerwriterqueue_threads");
}

}  // namespace cyto::bench
