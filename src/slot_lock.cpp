// The kernel lock of a slot: an open-file-description lock on one byte of the memfd.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "cyto/segment.hpp"

namespace cyto {
namespace {

struct flock one_byte(std::uint32_t slot_index) {
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  lock.l_start = static_cast<off_t>(slot_index);
  lock.l_len = 1;
  return lock;
}

}  // namespace

slot_lock::slot_lock(const segment& from, std::uint32_t slot_index, bool wait) {
  // A description of its own: a lock taken through an inherited one would be shared with everybody
  // who inherited it, and outlive this process.
  const std::string path = "/proc/self/fd/" + std::to_string(from.fd());
  const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) {
    throw_errno(errno, error_code::failed, "segment " + std::string(from.name()),
                "cannot be opened again through /proc", "mount /proc");
  }
  // Away from the numbers at which an adopter finds a worker's descriptors: this one leads to the
  // same memory, and its holder may be no worker.
  const int moved = fcntl(fd, F_DUPFD_CLOEXEC, 16);
  struct flock lock = one_byte(slot_index);
  if (moved >= 0 && fcntl(moved, wait ? F_OFD_SETLKW : F_OFD_SETLK, &lock) == 0) {
    close(fd);
    fd_ = moved;
    return;
  }
  const int reason = errno;
  close(fd);
  if (moved >= 0) close(moved);
  if (reason == EAGAIN || reason == EACCES) return;
  throw_errno(reason, error_code::failed, "segment " + std::string(from.name()),
              "cannot be locked");
}

slot_lock::slot_lock(slot_lock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
slot_lock& slot_lock::operator=(slot_lock&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}
slot_lock::~slot_lock() {
  if (fd_ >= 0) close(fd_);
}

bool slot_lock::is_held(const segment& from, std::uint32_t slot_index) {
  struct flock lock = one_byte(slot_index);
  return fcntl(from.fd(), F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

}  // namespace cyto
