#include "tally.hpp"

#include <fcntl.h>
#include <linux/memfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <stdexcept>
#include <utility>

#include <cyto/supervisor.hpp>

namespace cyto::experiment {

std::uint64_t tally::place_bytes(std::uint64_t log_entries) noexcept {
  return round_up(sizeof(seat) + log_entries * sizeof(log_entry), page_bytes);
}

tally::tally(int fd, std::uint64_t bytes) : fd_(fd), bytes_(bytes) {
  void* at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (at == MAP_FAILED) {
    close(fd);
    throw std::runtime_error("the tally of an experiment cannot be mapped");
  }
  data_ = static_cast<std::byte*>(at);
}

tally tally::make(std::uint32_t slots, std::uint64_t log_entries) {
  const std::uint64_t bytes = page_bytes + slots * place_bytes(log_entries);
  const int fd = memfd_create("cyto-experiment", MFD_CLOEXEC);
  // Pages come when they are written: most logs end long before their place does.
  if (fd < 0 || ftruncate(fd, static_cast<off_t>(bytes)) != 0) {
    throw std::runtime_error("no memory for the tally of an experiment");
  }
  tally out(fd, bytes);
  out.at<heading>(0)->log_entries = log_entries;
  out.the_orders().runner_pid.publish(static_cast<std::uint64_t>(getpid()));
  return out;
}

tally tally::of_worker() {
  const int fd = ::open(kept_input_path, O_RDWR | O_CLOEXEC);
  struct stat info {};
  if (fd < 0 || fstat(fd, &info) != 0) {
    throw std::runtime_error("a worker of an experiment was started by somebody else");
  }
  return {fd, static_cast<std::uint64_t>(info.st_size)};
}

tally::tally(tally&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      data_(std::exchange(other.data_, nullptr)),
      bytes_(other.bytes_) {}

tally::~tally() {
  if (data_ != nullptr) munmap(data_, bytes_);
  if (fd_ >= 0) close(fd_);
}

seat& tally::seat_of(std::uint32_t slot) const noexcept {
  const std::uint64_t each = place_bytes(at<heading>(0)->log_entries);
  return *at<seat>(page_bytes + slot * each);
}

std::span<log_entry> tally::log_of(std::uint32_t slot) const noexcept {
  const std::uint64_t entries = at<heading>(0)->log_entries;
  return {at<log_entry>(page_bytes + slot * place_bytes(entries) + sizeof(seat)), entries};
}

}  // namespace cyto::experiment
