#include "rendezvous.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "cyto/error.hpp"
#include "cyto/types.hpp"
#include "names.hpp"

namespace cyto {
namespace {

constexpr std::size_t fds_max = 4;
constexpr int vanish_ms = 2000;
constexpr int claim_tries = 200;
constexpr int claim_pause_ms = 10;

void make_folder(const std::string& path) {
  if (mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
    throw_errno(errno, error_code::failed, "runtime folder", path + " cannot be made",
                "set XDG_RUNTIME_DIR to a folder of yours");
  }
}

void check_folder(const std::string& path) {
  struct stat info {};
  if (lstat(path.c_str(), &info) != 0 && errno == ENOENT) return;
  if (!S_ISDIR(info.st_mode) || info.st_uid != geteuid()) {
    throw error(error_code::failed, "runtime folder", path + " is not a folder of this user",
                "somebody else made it", "set XDG_RUNTIME_DIR to a folder of yours");
  }
}

// False when the folder was removed since it was opened, or is another one by now.
bool is_folder(int fd, const std::string& path) {
  struct stat opened {};
  struct stat named {};
  return fstat(fd, &opened) == 0 && stat(path.c_str(), &named) == 0 &&
         opened.st_dev == named.st_dev && opened.st_ino == named.st_ino;
}

sockaddr_un address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    throw error(error_code::bad_input, "runtime folder",
                "the socket's path has " + std::to_string(path.size()) + " characters",
                "a unix socket's path has at most " + std::to_string(sizeof address.sun_path - 1),
                "set XDG_RUNTIME_DIR to a shorter path, or choose a shorter name");
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

file make_socket() {
  file made(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!made) throw_errno(errno, error_code::failed, "socket", "cannot be made");
  return made;
}

bool try_connect(int fd, const sockaddr_un& address) {
  return connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

bool is_ours(int connection) noexcept {
  ucred peer{};
  socklen_t bytes = sizeof peer;
  return getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &bytes) == 0 &&
         (peer.uid == geteuid() || peer.uid == 0);
}

}  // namespace

std::string runtime_folder() {
  std::string folder;
  const char* runtime = std::getenv("XDG_RUNTIME_DIR");
  if (runtime != nullptr && runtime[0] == '/') {
    folder = std::string(runtime) + "/cyto";
  } else if (geteuid() == 0) {
    folder = "/run/cyto";
  } else {
    const char* temporary = std::getenv("TMPDIR");
    folder = std::string(temporary != nullptr && temporary[0] == '/' ? temporary : "/tmp") +
             "/cyto-" + std::to_string(geteuid());
  }
  check_folder(folder);
  return folder;
}

std::string socket_path(const std::string& name) {
  check_name("system name", name);
  return runtime_folder() + "/" + name + ".sock";
}

std::string memfd_tag(const std::string& name) {
  static constexpr char digits[] = "0123456789abcdef";
  std::uint64_t hash = hash_bytes(socket_path(name));
  std::string text;
  for (int i = 0; i < 12; ++i, hash >>= 4) text += digits[hash & 15];
  return "cyto:" + name + ":" + text;
}

file claim_folder() {
  const std::string folder = runtime_folder();
  // Bounded: nobody may be held up for ever by a process that is stopped in here.
  for (int i = 0; i < claim_tries; ++i) {
    make_folder(folder);
    file claim(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!claim) {
      if (errno == ENOENT) continue;  // Whoever left last has just removed it.
      break;
    }
    if (flock(claim.get(), LOCK_EX | LOCK_NB) == 0) {
      if (is_folder(claim.get(), folder)) return claim;
      continue;
    }
    if (errno != EWOULDBLOCK && errno != EINTR) break;
    poll(nullptr, 0, claim_pause_ms);
  }
  throw_errno(errno, error_code::failed, "runtime folder", folder + " cannot be locked",
              "see which process holds it");
}

file listen_at(const std::string& name) {
  const std::string path = socket_path(name);
  const sockaddr_un address = address_of(path);
  const file claim = claim_folder();
  const file probe = connect_to(name);
  if (!probe && errno == EAGAIN) return {};  // Somebody listens, and is stopped.
  if (probe) {
    if (process_lives(peer_pid(probe.get()))) return {};
    // A child that it was just starting still holds the listener and is about to let go: then the
    // connection ends.
    pollfd end{probe.get(), POLLIN, 0};
    if (poll(&end, 1, vanish_ms) == 0) return {};
  } else if (errno == EAGAIN) {
    return {};  // Somebody listens and has not let in anybody for long.
  }
  if (!connect_to(name) && errno == ECONNREFUSED) unlink(path.c_str());
  file made = make_socket();
  if (bind(made.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      listen(made.get(), 64) != 0) {
    throw_errno(errno, error_code::failed, "socket", path + " cannot be bound",
                "remove it if it is not cyto's");
  }
  return made;
}

void forget_socket(const std::string& name) noexcept {
  try {
    const file claim = claim_folder();
    unlink(socket_path(name).c_str());
    rmdir(runtime_folder().c_str());
  } catch (const error&) {
    return;  // No folder any more, so no socket in it; or another one's business.
  }
}

void forget_stale_socket(const std::string& name) {
  if (!connect_to(name) && errno == ECONNREFUSED) unlink(socket_path(name).c_str());
  rmdir(runtime_folder().c_str());
}

file connect_to(const std::string& name) {
  file made = make_socket();
  if (!try_connect(made.get(), address_of(socket_path(name)))) return {};
  return made;
}

void knock(const std::string& path) noexcept {
  const file made(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (!made || path.size() >= sizeof address.sun_path) return;
  std::memcpy(address.sun_path, path.data(), path.size());
  try_connect(made.get(), address);
}

file accept_from(int listener) noexcept {
  file peer(accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (peer && !is_ours(peer.get())) return {};
  return peer;
}

bool send_packet(int to, const packet& what, const std::vector<int>& fds) noexcept {
  packet copy = what;
  iovec part{&copy, sizeof copy};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(fds_max * sizeof(int))> room{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (!fds.empty() && fds.size() <= fds_max) {
    message.msg_control = room.data();
    message.msg_controllen = CMSG_SPACE(fds.size() * sizeof(int));
    cmsghdr* rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
    std::memcpy(CMSG_DATA(rights), fds.data(), fds.size() * sizeof(int));
  }
  return sendmsg(to, &message, MSG_NOSIGNAL | MSG_DONTWAIT) == sizeof copy;
}

bool receive_packet(int from, packet& what, std::vector<file>& fds, int timeout_ms) noexcept {
  pollfd ready{from, POLLIN, 0};
  if (poll(&ready, 1, timeout_ms) != 1) return false;
  iovec part{&what, sizeof what};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(fds_max * sizeof(int))> room{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = room.data();
  message.msg_controllen = room.size();
  const ssize_t got = recvmsg(from, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  for (cmsghdr* each = CMSG_FIRSTHDR(&message); each != nullptr;
       each = CMSG_NXTHDR(&message, each)) {
    if (each->cmsg_level != SOL_SOCKET || each->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (each->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(each) + i * sizeof(int), sizeof fd);
      fds.emplace_back(fd);
    }
  }
  return got == sizeof what && (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0;
}

bool has_hung_up(const file& connection) noexcept {
  pollfd end{connection.get(), POLLRDHUP, 0};
  return poll(&end, 1, 0) == 1;
}

int peer_pid(int connection) noexcept {
  ucred peer{};
  socklen_t bytes = sizeof peer;
  if (getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &bytes) != 0) return 0;
  return peer.pid;
}

}  // namespace cyto
