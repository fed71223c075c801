// cyto/shared_port.hpp
//
// What: many threads of one process before one port. A lane has one writer; here whoever comes by
//   sends for all who wait, many messages in one turn.
//       auto feed = cyto::open("feed").shared_sender<Tick>();
//       std::jthread one([mine = feed.producer()]() mutable {        // and as many as there are
//         if (mine.send([](auto& fbb) { return CreateTick(fbb, 7); }) == cyto::status::full) ...
//         mine.flush(1s);                                            // now it is committed
//       });
//       auto desk = cyto::join_shared("exchange", "desk");            // a port of a system
//       desk.new_producer().send<Order>(desk.to("matcher").by_key(key), [](auto& fbb) {...});
//
// Who: shared_sender, shared_port: any thread of the process. A producer: one thread at a time; it
//   keeps the port open. Not the child of a fork: there flush() and drain() say no and nothing is
//   sent. To receive on many threads, see docs/ARCHITECTURE.md.
//
// Layout: private memory only. A message is built by its own thread, copied into a block of its
//   producer's, and queued. Blocks go back to their producer when their turn has committed. After
//   a while, when there are as many blocks as are ever under way, nothing is allocated.
//
//       thread: build -> block -> queue --+
//       thread: build -> block -> queue --+--> whoever has the flag: stage, stage, ... commit
//          ^--------------- block ------------------------'
//
// Ordering:
//   H1 Messages of one producer are committed in the order in which they were sent, one turn's
//      before the next one's. Between producers there is no order but that of time: what was sent
//      after a flush() of another producer comes after it.
//   H2 What is queued has somebody who will commit it, unless the lane is full: the sender's fence
//      stands between its entry and its look at the flag, the pumper's between giving the flag back
//      and its second look at the queue. One of the two sees the other. Of what a full lane has
//      left behind the next send() or flush() takes care, in order.
//
// Death: what was committed counts; what was queued is lost with its process. A producer that goes
//   away leaves its messages queued; so does a thread that ends. The last one to go commits what
//   still fits; flush() before that makes sure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "cyto/pair.hpp"

namespace cyto {

// Where the messages of a shared port leave: a turn and its lanes. Calls come from one thread at a
// time, but for fits().
class outlet {
 public:
  outlet() = default;
  outlet(const outlet&) = delete;
  outlet& operator=(const outlet&) = delete;
  virtual ~outlet() = default;

  // Whether a message of that size can ever go to that target. Any thread; always the same answer.
  [[nodiscard]] virtual bool fits(std::uint32_t target, std::uint32_t bytes,
                                  std::size_t alignment) const noexcept = 0;
  // Stages a copy of a message that fits. ok, or it cannot be done now, and the turn is doomed.
  virtual status stage(std::uint32_t target, const void* data, std::uint32_t bytes,
                       std::uint32_t kind, std::size_t alignment) noexcept = 0;
  // Makes visible what was staged.
  virtual void commit() noexcept = 0;
  // Forgets what was staged since the last commit. full, or closed if there will never be room.
  virtual status abort() noexcept = 0;
  // Sleeps until what could not be staged last may fit, at most that long.
  virtual void wait_for_room(time_limit at_most) = 0;
  // Waits until the readers have taken everything: ok, full (not yet), closed (they have left).
  virtual status drain(time_limit at_most) = 0;
};

struct shared_port_options {
  // Messages of one producer that wait for the lane; beyond them it is told `full`. 1 to 1,048,576.
  std::uint32_t waiting_max = 1024;
};

// How far a send_bulk() came: `count` messages, from the first on, were accepted; `last` is ok, or
// what the one after them was told.
struct bulk_result {
  std::size_t count = 0;
  status last = status::ok;
};

class shared_port {
 public:
  class producer;

  // Throws error_code::bad_input if an option is out of its range.
  explicit shared_port(std::unique_ptr<outlet> to, const shared_port_options& options = {});
  shared_port(shared_port&&) noexcept;
  shared_port& operator=(shared_port&&) noexcept;
  ~shared_port();

  // A place for a thread; that of one who has gone, if there is one. Throws cyto::error in the
  // child of a fork.
  [[nodiscard]] producer join() const;
  // Waits until all that was accepted is committed and taken. While one thread waits here, what
  // others send may leave a millisecond later.
  [[nodiscard]] bool drain(time_limit at_most) const;

 private:
  struct core;
  struct place;
  std::shared_ptr<core> core_;
};

class shared_port::producer {
 public:
  producer(producer&&) noexcept;
  producer& operator=(producer&&) noexcept;
  ~producer();

  // Queues a copy for one of the outlet's targets, and commits it if nobody else is at it. ok,
  // too_big (it can never fit), full (waiting_max are waiting, or there is no memory for one more),
  // closed (full, and the reader has left). It may commit others' messages with it, and goes on as
  // long as there are any.
  [[nodiscard]] status send(std::uint32_t target, const void* data, std::uint32_t bytes,
                            std::uint32_t kind, std::size_t alignment = 1) noexcept;
  // The same in two steps, so that many leave together: put() queues, pump() commits.
  // REQUIRES: a pump() follows, or what was put may stay where it is.
  [[nodiscard]] status put(std::uint32_t target, const void* data, std::uint32_t bytes,
                           std::uint32_t kind, std::size_t alignment = 1) noexcept;
  void pump() noexcept;
  // Waits until all that this producer was told `ok` for is committed; at most that long, and not
  // for a reader that has left. Returns whether it is.
  [[nodiscard]] bool flush(time_limit at_most);

 private:
  friend class shared_port;
  producer(std::shared_ptr<core> of, place& mine) noexcept;
  void leave() noexcept;
  std::shared_ptr<core> core_;
  place* mine_;
};

namespace detail {

// A producer with a builder of its own.
class building_producer {
 public:
  explicit building_producer(shared_port::producer raw) : raw_(std::move(raw)) {}

  template <class T, class Build>
  status put(std::uint32_t target, Build&& build) {
    builder_->Clear();
    builder_->Finish(std::forward<Build>(build)(*builder_));
    return raw_.put(target, builder_->GetBufferPointer(), builder_->GetSize(), message_kind<T>(),
                    builder_->GetBufferMinAlignment());
  }
  template <class T, class Build>
  status send(std::uint32_t target, Build&& build) {
    const status put = this->put<T>(target, std::forward<Build>(build));
    raw_.pump();
    return put;
  }
  template <class T>
  status send_prebuilt(std::uint32_t target, const prebuilt<T>& message) {
    return raw_.send(target, message.data(), message.size(), message_kind<T>(),
                     message.alignment());
  }
  void pump() noexcept { raw_.pump(); }
  bool flush(time_limit at_most) { return raw_.flush(at_most); }

 private:
  shared_port::producer raw_;
  std::unique_ptr<flatbuffers::FlatBufferBuilder> builder_ =
      std::make_unique<flatbuffers::FlatBufferBuilder>();
};

}  // namespace detail

// One thread's end of a shared sender.
template <class T>
class producer {
 public:
  explicit producer(shared_port::producer raw) : building_(std::move(raw)) {}

  // Builds one message and sends it, as shared_port::producer::send() does.
  template <class Build>
  [[nodiscard]] status send(Build&& build) {
    return building_.send<T>(0, std::forward<Build>(build));
  }
  [[nodiscard]] status send(const prebuilt<T>& message) {
    return building_.send_prebuilt(0, message);
  }
  // Sends build(fbb, each) of each in the range. They leave in few turns, which need not be one;
  // it stops at the first that is not accepted.
  template <class Range, class Build>
  [[nodiscard]] bulk_result send_bulk(const Range& range, const Build& build) {
    bulk_result out;
    for (const auto& each : range) {
      out.last = building_.put<T>(
          0, [&](flatbuffers::FlatBufferBuilder& fbb) { return build(fbb, each); });
      if (out.last != status::ok) break;
      ++out.count;
    }
    building_.pump();
    return out;
  }
  [[nodiscard]] bool flush(time_limit at_most) { return building_.flush(at_most); }

 private:
  detail::building_producer building_;
};

template <class T>
class shared_sender {
 public:
  explicit shared_sender(shared_port port) : port_(std::move(port)) {}
  // A thread's own end; each thread that sends takes one.
  [[nodiscard]] cyto::producer<T> producer() const { return cyto::producer<T>(port_.join()); }
  // Waits until the receiver has taken all that was accepted, at most that long. Returns whether it
  // has.
  [[nodiscard]] bool drain(time_limit at_most) const { return port_.drain(at_most); }

 private:
  shared_port port_;
};

// A port of a running system before which many threads stand. They send only: what is sent to such
// a port stays where it is.
class shared_joined_port {
 public:
  class producer {
   public:
    explicit producer(shared_port::producer raw) : building_(std::move(raw)) {}
    // Builds one message for that lane and sends it, as shared_port::producer::send() does; closed
    // once the system drains.
    template <class T, class Build>
    [[nodiscard]] status send(const turn_output& to, Build&& build) {
      return building_.send<T>(to.index, std::forward<Build>(build));
    }
    template <class T>
    [[nodiscard]] status send(const turn_output& to, const prebuilt<T>& message) {
      return building_.send_prebuilt(to.index, message);
    }
    [[nodiscard]] bool flush(time_limit at_most) { return building_.flush(at_most); }

   private:
    detail::building_producer building_;
  };

  explicit shared_joined_port(detail::port_end end, const shared_port_options& options);
  [[nodiscard]] producer new_producer() const { return producer(port_.join()); }
  // The lanes to a group, for any thread: by_key() and member() of it, not any(). Throws when the
  // topology has none.
  [[nodiscard]] output to(std::string_view group) const { return place_->to(group); }
  // Waits until the readers have taken all that was accepted, at most that long. Returns whether
  // they have.
  [[nodiscard]] bool drain(time_limit at_most) const { return port_.drain(at_most); }

 private:
  slot* place_;  // The port's, which lives as long as `port_`.
  shared_port port_;
};

// As join(), for many threads.
inline shared_joined_port join_shared(const std::string& system, std::string_view port_name,
                                      const shared_port_options& options = {}) {
  return shared_joined_port(detail::port_end(system, port_name), options);
}

namespace detail {
std::unique_ptr<outlet> outlet_of(pair_end end);
std::unique_ptr<outlet> outlet_of(port_end end);
}  // namespace detail

template <class T>
shared_sender<T> pair_name::shared_sender(const shared_port_options& options) const {
  return cyto::shared_sender<T>(
      shared_port(detail::outlet_of(detail::pair_end(name_, options_, 0)), options));
}

template <class T>
shared_sender<T> pair_name::shared_sender() const {
  return shared_sender<T>(shared_port_options{});
}

}  // namespace cyto
