// nng: pair sockets at an address that is no file.
#include <nng/nng.h>
#include <nng/protocol/pair0/pair.h>
#include <sched.h>

#include <chrono>
#include <semaphore>
#include <stdexcept>
#include <string>

#include "across/peers/peers.hpp"
#include "across/shared_memory.hpp"
#include "cyto/cursor.hpp"

namespace cyto::bench {
namespace {

void check(int code) {
  if (code != 0) throw std::runtime_error(std::string("nng: ") + nng_strerror(code));
}

class nng_link {
 public:
  nng_link(std::size_t bytes, waiting how)
      : bytes_(bytes), how_(how), address_("abstract://" + unused_name("nng")) {}

  class end {
   public:
    end(const nng_link& of, bool is_near) : bytes_(of.bytes_), how_(of.how_), is_near_(is_near) {
      open(of);
      // One round, so that what is measured does not begin with the search for the other end.
      if (is_near) receive();
      send(0);
      if (!is_near) receive();
    }
    end(const end&) = delete;
    end& operator=(const end&) = delete;
    // Closing drops what has not left yet, as the last answer of the far end: the near one goes
    // first, when it has it.
    ~end() {
      if (!is_near_) (void)other_gone_.try_acquire_for(std::chrono::seconds(1));
      nng_close(socket_);
    }
    void send(std::uint64_t number) {
      nng_msg* message = nullptr;
      check(nng_msg_alloc(&message, bytes_));
      write_payload(static_cast<std::byte*>(nng_msg_body(message)), bytes_, number);
      insist([&](int flags) { return nng_sendmsg(socket_, message, flags); });
    }
    std::uint64_t receive() {
      nng_msg* message = nullptr;
      insist([&](int flags) { return nng_recvmsg(socket_, &message, flags); });
      const auto* payload = static_cast<const std::byte*>(nng_msg_body(message));
      const std::uint64_t number = read_payload(payload, nng_msg_len(message));
      nng_msg_free(message);
      return number;
    }

   private:
    void open(const nng_link& of) {
      check(nng_pair0_open(&socket_));
      const auto gone = [](nng_pipe, nng_pipe_ev, void* self) {
        static_cast<end*>(self)->other_gone_.release();
      };
      check(nng_pipe_notify(socket_, NNG_PIPE_EV_REM_POST, gone, this));
      const char* address = of.address_.c_str();
      if (is_near_) {
        check(nng_listen(socket_, address, nullptr, 0));
        of.listens().publish(1);
      } else {
        // After a call that is refused a thread of nng's keeps the core from all others.
        while (of.listens().observe() == 0) sched_yield();
        check(nng_dial(socket_, address, nullptr, 0));
      }
    }
    // Polls by yielding to nng's own threads, through which messages come: they share this core,
    // and so no other one has to be interrupted.
    template <class Call>
    void insist(Call call) {
      for (int code = -1; code != 0;) {
        code = call(how_ == waiting::spin ? NNG_FLAG_NONBLOCK : 0);
        if (code == NNG_EAGAIN) {
          sched_yield();
        } else {
          check(code);
        }
      }
    }
    std::size_t bytes_;
    waiting how_;
    bool is_near_;
    std::counting_semaphore<> other_gone_{0};
    nng_socket socket_{};
  };
  end near() { return {*this, true}; }
  end far() { return {*this, false}; }

 private:
  std::size_t bytes_;
  waiting how_;
  [[nodiscard]] word<std::uint32_t>& listens() const noexcept {
    return *memory_.at<word<std::uint32_t>>(0);
  }
  std::string address_;
  shared_memory memory_{line_bytes};
};

}  // namespace

void add_nng(std::vector<test_case>& to) { add_peer<nng_link>(to, "nng", peer_sizes); }

}  // namespace cyto::bench
