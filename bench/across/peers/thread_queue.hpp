// A link over a queue between two threads. A `Queue<Bytes>` says how:
//
//   using message = fixed_message<Bytes>;
//   using queue = ...;                       what both ends share
//   Queue(queue& out, queue& in)             one end
//   bool put(const message&)                 false: there is no room now
//   bool take(read)                          false: nothing there now; else read(message) was run
#pragma once

#include <memory>

#include "across/peers/peers.hpp"

namespace cyto::bench {

// A message of such a queue. Not cleared when it is made: it is always written in full.
template <std::size_t Bytes>
struct fixed_message {
  fixed_message() noexcept {}  // NOLINT(modernize-use-equals-default)
  std::byte bytes[Bytes];
};

template <template <std::size_t> class Queue, std::size_t Bytes>
class thread_link {
 public:
  class end {
   public:
    using queue = typename Queue<Bytes>::queue;
    end(queue& out, queue& in) : ends_(out, in) {}
    void send(std::uint64_t number) {
      write_payload(message_->bytes, Bytes, number);
      while (!ends_.put(*message_)) relax();
    }
    std::uint64_t receive() {
      std::uint64_t number = 0;
      const auto read = [&](const auto& it) { number = read_payload(it.bytes, Bytes); };
      while (!ends_.take(read)) relax();
      return number;
    }

   private:
    Queue<Bytes> ends_;
    std::unique_ptr<fixed_message<Bytes>> message_ = std::make_unique<fixed_message<Bytes>>();
  };
  end near() { return {there_, back_}; }
  end far() { return {back_, there_}; }

 private:
  typename Queue<Bytes>::queue there_{Queue<Bytes>::depth};
  typename Queue<Bytes>::queue back_{Queue<Bytes>::depth};
};

template <template <std::size_t> class Queue>
void add_thread_peer(std::vector<test_case>& to, const std::string& name) {
  const auto add = [&]<std::size_t Bytes>() {
    to.push_back(peer_case(name, waiting::spin, Bytes, thread_rounds<thread_link<Queue, Bytes>>()));
  };
  add.template operator()<64>();
  add.template operator()<1 << 10>();
  add.template operator()<64 << 10>();
}

}  // namespace cyto::bench
