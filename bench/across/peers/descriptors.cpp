// What the kernel itself carries, by file descriptors: pipes, Unix sockets and POSIX queues. They
// have no name by the time the processes start, so that nothing can be left behind.
#include <fcntl.h>
#include <mqueue.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <set>
#include <stdexcept>
#include <utility>
#include <vector>

#include "across/peers/peers.hpp"

namespace cyto::bench {
namespace {

[[noreturn]] void fail(const char* what) {
  throw std::runtime_error(std::string(what) + ": " + std::strerror(errno));
}

struct side {
  int out = -1;
  int in = -1;
};

struct pipe_kind {
  static void open(side& near, side& far, std::size_t bytes, bool polls) {
    for (const auto& [from, to] : {std::pair{&near.out, &far.in}, {&far.out, &near.in}}) {
      int ends[2];
      if (pipe2(ends, polls ? O_NONBLOCK | O_CLOEXEC : O_CLOEXEC) != 0) fail("no pipe");
      *to = ends[0];
      *from = ends[1];
      // Room for two of them, so that the writer need not wait in the middle of one.
      if (2 * bytes > (64 << 10)) fcntl(*from, F_SETPIPE_SZ, static_cast<int>(2 * bytes));
    }
  }
  static ssize_t put(int to, const std::byte* from, std::size_t bytes) {
    return write(to, from, bytes);
  }
  static ssize_t take(int from, std::byte* to, std::size_t bytes) { return read(from, to, bytes); }
};

template <int Type>
struct unix_kind {
  static void open(side& near, side& far, std::size_t, bool polls) {
    int ends[2];
    const int flags = polls ? SOCK_NONBLOCK | SOCK_CLOEXEC : SOCK_CLOEXEC;
    if (socketpair(AF_UNIX, Type | flags, 0, ends) != 0) fail("no socket");
    near.out = near.in = ends[0];
    far.out = far.in = ends[1];
  }
  static ssize_t put(int to, const std::byte* from, std::size_t bytes) {
    return ::send(to, from, bytes, MSG_NOSIGNAL);
  }
  static ssize_t take(int from, std::byte* to, std::size_t bytes) {
    return recv(from, to, bytes, 0);
  }
};

struct posix_mq_kind {
  static void open(side& near, side& far, std::size_t bytes, bool polls) {
    near.out = far.in = make(bytes, polls);
    far.out = near.in = make(bytes, polls);
  }
  static ssize_t put(int to, const std::byte* from, std::size_t bytes) {
    const int sent = mq_send(to, reinterpret_cast<const char*>(from), bytes, 0);
    return sent == 0 ? static_cast<ssize_t>(bytes) : -1;
  }
  static ssize_t take(int from, std::byte* to, std::size_t bytes) {
    return mq_receive(from, reinterpret_cast<char*>(to), bytes, nullptr);
  }

 private:
  static int make(std::size_t bytes, bool polls) {
    const std::string name = "/" + unused_name("mq");
    mq_attr wanted{};
    wanted.mq_maxmsg = 8;
    wanted.mq_msgsize = static_cast<long>(bytes);
    const int flags = O_RDWR | O_CREAT | O_EXCL | (polls ? O_NONBLOCK : 0);
    const mqd_t out = mq_open(name.c_str(), flags, 0600, &wanted);
    if (out < 0) fail("no POSIX queue");
    mq_unlink(name.c_str());
    return out;
  }
};

template <class Kind>
class descriptor_link {
 public:
  descriptor_link(std::size_t bytes, waiting how) : bytes_(bytes) {
    Kind::open(near_, far_, bytes, how == waiting::spin);
  }
  descriptor_link(const descriptor_link&) = delete;
  descriptor_link& operator=(const descriptor_link&) = delete;
  ~descriptor_link() {
    for (const int each : std::set{near_.out, near_.in, far_.out, far_.in}) close(each);
  }

  class end {
   public:
    end(side which, std::size_t bytes) : which_(which), payload_(bytes) {}
    void send(std::uint64_t number) {
      write_payload(payload_.data(), payload_.size(), number);
      for (std::size_t done = 0; done < payload_.size();) {
        done += moved(Kind::put(which_.out, payload_.data() + done, payload_.size() - done));
      }
    }
    std::uint64_t receive() {
      for (std::size_t done = 0; done < payload_.size();) {
        done += moved(Kind::take(which_.in, payload_.data() + done, payload_.size() - done));
      }
      return read_payload(payload_.data(), payload_.size());
    }

   private:
    static std::size_t moved(ssize_t bytes) {
      if (bytes > 0) return static_cast<std::size_t>(bytes);
      if (bytes == 0) throw std::runtime_error("the other end is gone");
      if (errno != EAGAIN && errno != EINTR) fail("a message did not pass");
      relax();
      return 0;
    }
    side which_;
    std::vector<std::byte> payload_;
  };
  end near() { return {near_, bytes_}; }
  end far() { return {far_, bytes_}; }

 private:
  std::size_t bytes_;
  side near_;
  side far_;
};

}  // namespace

void add_descriptors(std::vector<test_case>& to) {
  add_peer<descriptor_link<pipe_kind>>(to, "pipe", peer_sizes);
  add_peer<descriptor_link<unix_kind<SOCK_STREAM>>>(to, "unix_stream", peer_sizes);
  add_peer<descriptor_link<unix_kind<SOCK_SEQPACKET>>>(to, "unix_seqpacket", peer_sizes);
  constexpr std::array<std::size_t, 3> sizes = {64, 1 << 10, posix_mq_largest};
  add_peer<descriptor_link<posix_mq_kind>>(to, "posix_mq", sizes);
}

}  // namespace cyto::bench
