// Many threads of one process before one port, and the queue that stands before it alone.
#include <concurrentqueue/concurrentqueue.h>

#include <chrono>

#include <stdexcept>
#include <thread>

#include "across/cases.hpp"
#include "across/peers/thread_queue.hpp"
#include "across/system.hpp"
#include "cyto/shared_port.hpp"

namespace cyto::bench {
namespace {

constexpr std::size_t message_bytes = 48;
using message = fixed_message<message_bytes>;

// The lane to the far slot.
class system_outlet final : public outlet {
 public:
  explicit system_outlet(const segment& where) : place_(where, true) {}
  [[nodiscard]] bool fits(std::uint32_t, std::uint32_t, std::size_t) const noexcept override {
    return true;
  }
  status stage(std::uint32_t, const void* data, std::uint32_t bytes, std::uint32_t kind,
               std::size_t alignment) noexcept override {
    return place_.the_turn().send_bytes(place_.out(), data, bytes, kind, alignment);
  }
  void commit() noexcept override { place_.the_turn().commit(); }
  status abort() noexcept override {
    place_.the_turn().abort();
    return status::full;
  }
  void wait_for_room(time_limit) override { relax(); }
  status drain(time_limit) override { return status::ok; }

 private:
  player_slot place_;
};

// Numbers of a thread: which one it is in the low 8 bits, and its count above. A thread's last
// message is one of count `last_count`.
constexpr std::uint64_t last_count = std::uint64_t{1} << 50;

// Runs `thread_count` threads until time is up: put(thread) gives each a function that sends one
// message, waiting while there is no room.
template <class Put>
void send_on_threads(const pace& how, std::uint64_t thread_count, const Put& put) {
  std::vector<std::jthread> threads;
  const std::uint64_t until = ticks() + ticks_of_ns(how.seconds * 1.5e9);
  for (std::uint64_t thread = 0; thread < thread_count; ++thread) {
    threads.emplace_back([&put, until, thread] {
      auto send = put();
      message to_send;
      const auto send_count = [&](std::uint64_t count) {
        write_payload(to_send.bytes, message_bytes, count << 8 | thread);
        send(to_send);
      };
      std::uint64_t count = 0;
      do {
        for (int i = 0; i < 64; ++i) send_count(++count);
      } while (ticks() < until);
      send_count(last_count);
    });
  }
}

// Counts what comes, each thread's in order, until all have sent their last.
class reception {
 public:
  reception(const pace& how, std::uint64_t thread_count, tally& out)
      : out_(&out),
        running_(thread_count),
        next_(thread_count, 1),
        warm_(ticks() + ticks_of_ns(how.seconds * 0.5e9)) {}
  [[nodiscard]] bool is_over() const noexcept { return running_ == 0; }
  void add(std::uint64_t number) {
    const std::uint64_t thread = number & 255;
    const std::uint64_t count = number >> 8;
    if (thread >= next_.size()) {
      ++out_->lost;
      return;
    }
    if (count == last_count) {
      --running_;
      return;
    }
    if (count != next_[thread]) ++out_->lost;
    next_[thread] = count + 1;
    if ((++came_ & 255) != 0) return;
    const std::uint64_t now = ticks();
    if (now < warm_) {
      out_->began_ticks = now;
      first_ = came_;
    }
    out_->ended_ticks = now;
    out_->count = came_ - first_;
  }

 private:
  tally* out_;
  std::uint64_t running_;
  std::vector<std::uint64_t> next_;
  std::uint64_t warm_;
  std::uint64_t came_ = 0;
  std::uint64_t first_ = 0;
};

sample shared(const pace& how, std::uint64_t thread_count) {
  const segment system = make_system(std::uint64_t{1} << 20);
  const auto near = [&](tally&, const std::function<void()>& begin) {
    const shared_port port(std::make_unique<system_outlet>(system));
    begin();
    send_on_threads(how, thread_count, [&] {
      return [mine = port.join()](const message& of) mutable {
        while (mine.send(0, of.bytes, message_bytes, 1) != status::ok) std::this_thread::yield();
      };
    });
    // What a full lane has left behind.
    if (!port.join().flush(std::chrono::seconds(10))) throw std::runtime_error("it does not flush");
  };
  const auto far = [&](tally& out, const std::function<void()>& begin) {
    player_slot place(system, false);
    turn& in = place.the_turn();
    mailbox& incoming = place.held().incoming();
    begin();
    reception received(how, thread_count, out);
    for (int taken = 0; !received.is_over();) {
      message_view view;
      turn_input* from = taken == 64 ? nullptr : incoming.next(view);
      if (from == nullptr) {
        if (taken == 0) relax();
        if (taken != 0) in.commit();
        taken = 0;
        continue;
      }
      in.take(*from, view);
      received.add(read_payload(view.data, view.size));
      turn::consume(*from, view);
      incoming.taken(*from);
      ++taken;
    }
    in.commit();
  };
  const duet_result found = play(how.where, near, far, how.limit_s);
  return sample_of(found, *found.far);
}

sample bare_queue(const pace& how, std::uint64_t thread_count) {
  moodycamel::ConcurrentQueue<message> all;
  const auto near = [&](tally&, const std::function<void()>& begin) {
    begin();
    send_on_threads(how, thread_count, [&] {
      // It has no bound of its own: once in a while each looks how many wait.
      return [&, token = moodycamel::ProducerToken(all), count = 0U](const message& of) mutable {
        while (++count % 64 == 0 && all.size_approx() > 1024 * thread_count) {
          --count;
          std::this_thread::yield();
        }
        all.enqueue(token, of);
      };
    });
  };
  const auto far = [&](tally& out, const std::function<void()>& begin) {
    moodycamel::ConsumerToken token(all);
    std::vector<message> batch(64);
    begin();
    reception received(how, thread_count, out);
    while (!received.is_over()) {
      const std::size_t count = all.try_dequeue_bulk(token, batch.begin(), batch.size());
      if (count == 0) relax();
      for (std::size_t i = 0; i < count; ++i) {
        received.add(read_payload(batch[i].bytes, message_bytes));
      }
    }
  };
  const duet_result found = play_threads(how.where, near, far, how.limit_s);
  return sample_of(found, *found.far);
}

}  // namespace

void add_threads(std::vector<test_case>& to) {
  for (const std::uint64_t threads : {1U, 2U, 4U}) {
    const std::string count = std::to_string(threads);
    to.push_back({"threads",
                  "queue_" + count,
                  "spin",
                  message_bytes,
                  figure::per_second,
                  {},
                  [threads](const pace& how) { return bare_queue(how, threads); }});
    to.push_back({"threads", "port_" + count, "spin", message_bytes, figure::per_second,
                  to.back().key(), [threads](const pace& how) { return shared(how, threads); }});
  }
}

}  // namespace cyto::bench
