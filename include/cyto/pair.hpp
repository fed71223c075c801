// cyto/pair.hpp
//
// What: two programs that share a lane by name, with no supervisor and no topology.
//       auto feed = cyto::open("feed").sender<Tick>();                        // one program
//       feed.send([](auto& fbb) { return CreateTick(fbb, 7); });
//       auto feed = cyto::open("feed").receiver<Tick>();                      // the other
//       for (const Tick& tick : feed.wait(1s)) use(tick);
//
// Who: each object is used by one thread at a time of one process. Any number of processes may
//   open() a name; one at a time sends and one receives. A forked child has none of its parent's:
//   its copy of the object answers `closed`, or throws where setup may, and the parent goes on.
//   Nothing here starts a thread or handles a signal.
//
// Layout: a segment of two slots, sender 0 and receiver 1, and one lane.
//
// Ordering: each send() is a turn, and so is each batch that wait() or poll() hands out: it is
//   given back by the next call. The receiver sees messages in the order they were sent.
//
// Death: a sender killed leaves what it has sent; a receiver killed leaves the last batch untaken,
//   its successor gets it again. When both have gone the memory has gone; a socket file may stay in
//   the runtime folder and is taken over by the next open().
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "cyto/port.hpp"

namespace cyto {

struct pair_options {
  std::uint64_t lane_bytes =
      1U << 20;  // A power of two, 4 KiB to 1 GiB; the first to open decides.
  verification verify = verification::always;  // For this program, if it receives.
  huge_pages pages = huge_pages::never;        // The first to open decides.
  // No page of the pair's memory is mapped at its first access: all are when it is opened. For this
  // program.
  bool prefault = false;
};

namespace detail {

// One end of a pair, without the message type.
class pair_end {
 public:
  pair_end(std::string name, const pair_options& options, std::uint32_t slot_index);
  pair_end(pair_end&&) noexcept;
  ~pair_end();

  status send_raw(status staged);
  bool drain(time_limit at_most);
  // Sleeps until the message that was refused last may fit, at most that long.
  void wait_for_room(time_limit at_most);
  // Commits the batch handed out before; waits until there is another message or time is up.
  bool next_batch(time_limit at_most);
  [[nodiscard]] bool is_open();
  [[nodiscard]] int fd();
  // Whether the other end has said goodbye and nobody has come in its place.
  [[nodiscard]] bool peer_is_gone() const;
  // False in a forked child of the process that has opened it.
  [[nodiscard]] bool is_mine() const noexcept;
  [[nodiscard]] slot& place() noexcept;
  [[nodiscard]] turn_output& lane() noexcept;

 private:
  struct state;
  void admit() noexcept;
  void stay_readable() noexcept;
  template <class Found>
  void arm(Found has_come) noexcept;
  [[nodiscard]] bool peer_is_here() const;
  void sleep(time_limit at_most);
  std::unique_ptr<state> state_;
};

}  // namespace detail

template <class T>
class sender {
 public:
  explicit sender(detail::pair_end end) : end_(std::move(end)) {}
  // Builds one message in the lane and sends it. Never throws for want of room and never waits:
  // full (the receiver is behind), too_big (for this lane), closed (full, and the receiver has
  // left).
  template <class Build>
  requires requires(Build& build, flatbuffers::FlatBufferBuilder& fbb) { build(fbb); }
  [[nodiscard]] status send(Build&& build) {
    if (!end_.is_mine()) [[unlikely]]
      return status::closed;
    return end_.send_raw(
        end_.place().the_turn().template send<T>(end_.lane(), std::forward<Build>(build)));
  }
  // The same of a message that was built before.
  [[nodiscard]] status send(const prebuilt<T>& message) {
    if (!end_.is_mine()) [[unlikely]]
      return status::closed;
    return end_.send_raw(end_.place().the_turn().send(end_.lane(), message));
  }
  // Waits until the receiver has taken everything, at most that long. Returns whether it has.
  bool drain(time_limit at_most) { return end_.drain(at_most); }
  // For an event loop of the program's own: a descriptor to wait on with epoll, poll, select or
  // io_uring, the same one each time, closed by the destructor. It is readable, but for this: once
  // send() has answered full, or drain() false, it is not until there is room (all is taken), or
  // the receiver has come or gone, or a second is over. So wait on it only while there is something
  // that could not be sent, and try again when it is readable. Nothing is to be read from it.
  // Throws cyto::error when descriptors run out.
  [[nodiscard]] int fd() { return end_.fd(); }

 private:
  detail::pair_end end_;
};

template <class T>
class receiver {
 public:
  explicit receiver(detail::pair_end end, verification verify = verification::always)
      : end_(std::move(end)), verify_(verify) {
    batch_.reserve(batch_max);
  }

  class batch {
   public:
    class iterator {
     public:
      explicit iterator(const T* const* at) noexcept : at_(at) {}
      const T& operator*() const noexcept { return **at_; }
      iterator& operator++() noexcept {
        ++at_;
        return *this;
      }
      bool operator!=(const iterator& other) const noexcept { return at_ != other.at_; }

     private:
      const T* const* at_;
    };
    explicit batch(const std::vector<const T*>& of) noexcept : of_(&of) {}
    [[nodiscard]] iterator begin() const noexcept { return iterator(of_->data()); }
    [[nodiscard]] iterator end() const noexcept { return iterator(of_->data() + of_->size()); }
    [[nodiscard]] std::size_t size() const noexcept { return of_->size(); }

   private:
    const std::vector<const T*>* of_;
  };

  // The messages there are, at most batch_max, read where they lie; valid until the next call,
  // which gives them back. wait() sleeps until there is one or time is up.
  batch poll() { return wait(time_limit()); }
  batch wait(time_limit at_most) {
    batch_.clear();
    if (!end_.next_batch(at_most)) return batch(batch_);
    message_view view;
    while (batch_.size() < batch_max) {
      turn_input* from = end_.place().incoming().next(view);
      if (from == nullptr) break;
      end_.place().the_turn().take(*from, view);
      turn::consume(*from, view);
      end_.place().incoming().taken(*from);
      const bool is_verified = verify_ != verification::never;
      const T* message =
          view.kind == message_kind<T>() ? open_message<T>(view, is_verified) : nullptr;
      if (message == nullptr) {
        ++refused_;
      } else {
        batch_.push_back(message);
        if (verify_ == verification::first) verify_ = verification::never;
      }
    }
    return batch(batch_);
  }
  // False once the sender has left and everything was taken. One that was killed has not left: its
  // successor may come.
  [[nodiscard]] bool is_open() { return end_.is_open(); }
  // For an event loop of the program's own: a descriptor to wait on with epoll, poll, select or
  // io_uring, the same one each time, closed by the destructor. It is readable until poll() or
  // wait() has found nothing, and again once a message has come, or the sender has come or gone, or
  // a second is over. So one poll() each time that it is readable is enough, and a batch that is
  // empty is no mistake. Nothing is to be read from it. Throws cyto::error when descriptors run
  // out.
  [[nodiscard]] int fd() { return end_.fd(); }
  // Messages that were no T, or were verified and no sound one.
  [[nodiscard]] std::uint64_t refused() const noexcept { return refused_; }

  static constexpr std::size_t batch_max = 256;

 private:
  detail::pair_end end_;
  verification verify_;
  std::vector<const T*> batch_;
  std::uint64_t refused_ = 0;
};

// Of shared_port.hpp, which is included besides by who sends from many threads.
struct shared_port_options;
template <class T>
class shared_sender;

// A name that two programs meet under.
class pair_name {
 public:
  pair_name(std::string name, pair_options options) : name_(std::move(name)), options_(options) {}
  // Create or join. Throws cyto::error: no memory, another version, somebody is there already.
  template <class T>
  [[nodiscard]] cyto::sender<T> sender() const {
    return cyto::sender<T>(detail::pair_end(name_, options_, 0));
  }
  template <class T>
  [[nodiscard]] cyto::receiver<T> receiver() const {
    return cyto::receiver<T>(detail::pair_end(name_, options_, 1), options_.verify);
  }
  // The same as sender(), for many threads.
  template <class T>
  [[nodiscard]] cyto::shared_sender<T> shared_sender() const;
  template <class T>
  [[nodiscard]] cyto::shared_sender<T> shared_sender(const shared_port_options& options) const;

 private:
  std::string name_;
  pair_options options_;
};

// REQUIRES: `name` has 1 to 47 of a-z A-Z 0-9 . _ -
inline pair_name open(std::string name, pair_options options = {}) {
  return {std::move(name), options};
}

}  // namespace cyto
