#include "cyto/doorbell.hpp"

#include <linux/futex.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstddef>
#include <cstring>
#include <ctime>

#include "cyto/error.hpp"

namespace cyto {
namespace {

// Rings thrown away at once. What is above stays readable, which is only one more look.
constexpr int drained_max = 64;

constexpr std::size_t name_bytes = 1 + 5 + 16;  // A zero makes it abstract; "cyto/"; the digits.
constexpr socklen_t address_bytes = offsetof(sockaddr_un, sun_path) + name_bytes;

sockaddr_un socket_address(std::uint64_t address) noexcept {
  static constexpr char digits[] = "0123456789abcdef";
  sockaddr_un out{};
  out.sun_family = AF_UNIX;
  std::memcpy(out.sun_path + 1, "cyto/", 5);
  for (std::size_t i = name_bytes; i-- > 6; address >>= 4) out.sun_path[i] = digits[address & 15];
  return out;
}

int make_socket() noexcept { return socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0); }

int ringing_socket() noexcept {
  static const int made = make_socket();
  return made;
}

// Whether nothing more can be done about it. Nobody there: its owner is dead.
bool send_ring(int from, const sockaddr_un& to) noexcept {
  return sendto(from, nullptr, 0, MSG_NOSIGNAL | MSG_DONTWAIT,
                reinterpret_cast<const sockaddr*>(&to), address_bytes) == 0 ||
         errno == ECONNREFUSED;
}

void ring_descriptor(std::uint64_t address) noexcept {
  const sockaddr_un to = socket_address(address);
  if (send_ring(ringing_socket(), to)) return;
  // Its queue is full, and so it is readable; or it is this process' socket that is full of rings
  // others have not taken, or was closed by a host that closes all it knows nothing of.
  const int other = make_socket();
  if (other < 0) return;
  send_ring(other, to);
  close(other);
}

}  // namespace

int usable_cores() noexcept {
  cpu_set_t set;
  CPU_ZERO(&set);
  return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

void prepare_to_ring() noexcept { static_cast<void>(ringing_socket()); }

void wake(doorbell_line& line) noexcept {
  line.parked.publish(0);
  // Shared, not private: the sleeper is another process.
  syscall(SYS_futex, &line.parked, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
  full_fence();  // D3
  const std::uint64_t address = line.address.observe();
  if (address != 0) ring_descriptor(address);
}

void doorbell::wait(std::uint64_t timeout_ns) noexcept {
  const timespec timeout{static_cast<time_t>(timeout_ns / 1'000'000'000),
                         static_cast<long>(timeout_ns % 1'000'000'000)};
  syscall(SYS_futex, &line_->parked, FUTEX_WAIT, parked_asleep, &timeout, nullptr, 0);  // D2
}

bell_descriptor::bell_descriptor(doorbell& bell, int beside, std::uint64_t sleep_ns_max)
    : line_(&bell.where()), sleep_ns_max_(sleep_ns_max) {
  socket_ = make_socket();
  timer_ = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  set_ = epoll_create1(EPOLL_CLOEXEC);
  bool good = socket_ >= 0 && timer_ >= 0 && set_ >= 0;
  for (const int each : {socket_, timer_, beside}) {
    epoll_event wanted{EPOLLIN, {.fd = each}};
    if (each >= 0) good = good && epoll_ctl(set_, EPOLL_CTL_ADD, each, &wanted) == 0;
  }
  // A name of 64 random bits is nobody's, and never becomes somebody else's: who rings a dead owner
  // reaches nobody. Bound before it is told, or a ring would be refused.
  good = good && getrandom(&address_, sizeof address_, 0) == sizeof address_ && address_ != 0;
  const sockaddr_un name = socket_address(address_);
  good = good && bind(socket_, reinterpret_cast<const sockaddr*>(&name), address_bytes) == 0;
  if (!good) {
    const int why = errno;
    close_all();
    throw_errno(why, error_code::failed, "descriptor to wait on", "cannot be made",
                "raise the limit of open files (ulimit -n)");
  }
  line_->address.publish(address_);
  full_fence();  // D3
  set_timer(1);
}

bell_descriptor::~bell_descriptor() {
  line_->address.publish(0);
  line_->parked.publish(0);
  close_all();
}

void bell_descriptor::close_all() noexcept {
  for (const int each : {set_, socket_, timer_}) {
    if (each >= 0) close(each);
  }
}

void bell_descriptor::set_timer(std::uint64_t in_ns) noexcept {
  const itimerspec when{
      {}, {static_cast<time_t>(in_ns / 1'000'000'000), static_cast<long>(in_ns % 1'000'000'000)}};
  timerfd_settime(timer_, 0, &when, nullptr);
}

void bell_descriptor::arm() noexcept {
  std::array<std::byte, 1> ring;
  for (int i = 0; i < drained_max && recv(socket_, ring.data(), ring.size(), 0) >= 0; ++i) {
  }
  set_timer(sleep_ns_max_);
  line_->address.stage(address_);  // Whoever may have written over it.
  line_->parked.publish(parked_asleep);
  is_armed_ = true;
  full_fence();  // D1
}

void bell_descriptor::signal() noexcept {
  if (!is_armed_) return;
  is_armed_ = false;
  if (line_->parked.own() != parked_asleep) return;  // Rung: it is readable, or about to be.
  line_->parked.stage(0);
  set_timer(1);
}

}  // namespace cyto
