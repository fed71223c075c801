// ZeroMQ: PAIR sockets over ipc, at an address that is no file.
#include <sched.h>
#include <zmq.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <string>

#include "across/peers/peers.hpp"

namespace cyto::bench {
namespace {

[[noreturn]] void fail() {
  throw std::runtime_error(std::string("zeromq: ") + zmq_strerror(zmq_errno()));
}

class zeromq_link {
 public:
  zeromq_link(std::size_t bytes, waiting how)
      : bytes_(bytes), how_(how), address_("ipc://@" + unused_name("zeromq")) {}

  class end {
   public:
    end(const zeromq_link& of, bool is_near) : bytes_(of.bytes_), how_(of.how_) {
      open(of, is_near);
      // One round, so that what is measured does not begin with the search for the other end.
      if (is_near) receive();
      send(0);
      if (!is_near) receive();
    }
    end(const end&) = delete;
    end& operator=(const end&) = delete;
    // The last answer leaves before the context ends.
    ~end() {
      zmq_close(socket_);
      zmq_ctx_term(context_);
    }
    void send(std::uint64_t number) {
      zmq_msg_t message;
      if (zmq_msg_init_size(&message, bytes_) != 0) fail();
      write_payload(static_cast<std::byte*>(zmq_msg_data(&message)), bytes_, number);
      insist([&](int flags) { return zmq_msg_send(&message, socket_, flags); });
    }
    std::uint64_t receive() {
      zmq_msg_t message;
      zmq_msg_init(&message);
      insist([&](int flags) { return zmq_msg_recv(&message, socket_, flags); });
      const auto* payload = static_cast<const std::byte*>(zmq_msg_data(&message));
      const std::uint64_t number = read_payload(payload, zmq_msg_size(&message));
      zmq_msg_close(&message);
      return number;
    }

   private:
    void open(const zeromq_link& of, bool is_near) {
      context_ = zmq_ctx_new();
      socket_ = zmq_socket(context_, ZMQ_PAIR);
      if (socket_ == nullptr) fail();
      const char* address = of.address_.c_str();
      if ((is_near ? zmq_bind(socket_, address) : zmq_connect(socket_, address)) != 0) fail();
    }
    // Polls by yielding to ZeroMQ's own thread, through which messages come: it shares this core,
    // and so no other one has to be interrupted.
    template <class Call>
    void insist(Call call) {
      while (call(how_ == waiting::spin ? ZMQ_DONTWAIT : 0) < 0) {
        if (zmq_errno() == EAGAIN) {
          sched_yield();
        } else if (zmq_errno() != EINTR) {
          fail();
        }
      }
    }
    std::size_t bytes_;
    waiting how_;
    void* context_ = nullptr;
    void* socket_ = nullptr;
  };
  end near() { return {*this, true}; }
  end far() { return {*this, false}; }

 private:
  std::size_t bytes_;
  waiting how_;
  std::string address_;
};

}  // namespace

void add_zeromq(std::vector<test_case>& to) { add_peer<zeromq_link>(to, "zeromq", peer_sizes); }

}  // namespace cyto::bench
