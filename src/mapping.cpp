// Address space. Boost.Interprocess maps the memory; a memfd has no class there, so `handle` lends
// it the descriptor.
#include <sys/mman.h>

#include <boost/interprocess/mapped_region.hpp>
#include <cerrno>
#include <utility>

#include "cyto/segment.hpp"

namespace cyto {
namespace {

namespace bip = boost::interprocess;

struct handle {
  int fd;
  [[nodiscard]] bip::mapping_handle_t get_mapping_handle() const {
    return bip::ipcdetail::mapping_handle_from_file_handle(fd);
  }
};

bip::mapped_region map_at(int fd, std::uint64_t offset, std::uint64_t bytes, bool writable,
                          void* address) {
  try {
    return {handle{fd},
            writable ? bip::read_write : bip::read_only,
            static_cast<bip::offset_t>(offset),
            bytes,
            address,
            address == nullptr ? bip::default_map_options : MAP_FIXED};
  } catch (const bip::interprocess_exception& failure) {
    throw error(error_code::failed, "memory", "cannot map " + bytes_text(bytes), failure.what(),
                "raise the address space limit (ulimit -v) or make the lanes smaller");
  }
}

// Address space that begins at a multiple of 2 MiB if what will be mapped there does, so that huge
// pages can be.
std::byte* reserve(std::uint64_t bytes, bool is_huge) {
  const std::uint64_t slack = is_huge ? huge_page_bytes : 0;
  void* room =
      mmap(nullptr, bytes + slack, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (room == MAP_FAILED) {
    throw_errno(errno, error_code::failed, "memory", "no address space for " + bytes_text(bytes),
                "raise the address space limit (ulimit -v)");
  }
  auto* at = static_cast<std::byte*>(room);
  if (!is_huge) return at;
  const std::uint64_t before = (0 - reinterpret_cast<std::uintptr_t>(at)) % huge_page_bytes;
  if (before != 0) munmap(at, before);
  munmap(at + before + bytes, slack - before);
  return at + before;
}

bool may_be_huge(std::uint64_t offset, std::uint64_t bytes) {
  return bytes >= huge_page_bytes && offset % huge_page_bytes == 0;
}

}  // namespace

struct mapping::regions {
  bip::mapped_region first;
  bip::mapped_region second;
};

mapping::mapping() noexcept = default;
mapping::mapping(mapping&& other) noexcept
    : regions_(std::move(other.regions_)), data_(std::exchange(other.data_, nullptr)) {}
mapping& mapping::operator=(mapping&& other) noexcept {
  regions_ = std::move(other.regions_);
  data_ = std::exchange(other.data_, nullptr);
  return *this;
}
mapping::~mapping() = default;

void mapping::keep_from_children() const noexcept {
  if (!regions_) return;
  for (const bip::mapped_region* each : {&regions_->first, &regions_->second}) {
    if (each->get_address() != nullptr)
      madvise(each->get_address(), each->get_size(), MADV_DONTFORK);
  }
}

mapping::mapping(int fd, std::uint64_t offset, std::uint64_t bytes, bool writable)
    : regions_(std::make_unique<regions>()) {
  std::byte* at = may_be_huge(offset, bytes) ? reserve(bytes, true) : nullptr;
  try {
    regions_->first = map_at(fd, offset, bytes, writable, at);
  } catch (...) {
    if (at != nullptr) munmap(at, bytes);
    throw;
  }
  data_ = static_cast<std::byte*>(regions_->first.get_address());
}

namespace {

void prefault_region(const bip::mapped_region& region) {
  if (region.get_size() == 0) return;
  const bool writable = region.get_mode() == bip::read_write;
  int done = 0;
  do {
    done = madvise(region.get_address(), region.get_size(),
                   writable ? MADV_POPULATE_WRITE : MADV_POPULATE_READ);
  } while (done != 0 && (errno == EINTR || errno == EAGAIN));
  if (done == 0) return;
  if (errno != EINVAL) {
    throw_errno(errno, error_code::failed, "memory",
                "cannot map " + bytes_text(region.get_size()) + " beforehand",
                "leave out prefault, or raise the memory limit");
  }
  // Before Linux 5.14. Reading is enough: the memory is there, and a page of it that is mapped to
  // be read is mapped to be written where that is allowed.
  const auto* at = static_cast<const volatile std::byte*>(region.get_address());
  for (std::size_t i = 0; i < region.get_size(); i += page_bytes) static_cast<void>(at[i]);
}

}  // namespace

void mapping::prefault() const {
  if (!regions_) return;
  prefault_region(regions_->first);
  prefault_region(regions_->second);
}

mapping mapping::twice(int fd, std::uint64_t offset, std::uint64_t bytes, bool writable) {
  mapping out;
  out.regions_ = std::make_unique<regions>();
  // Address space for both, then each half over it; what a failure leaves is given back.
  out.data_ = reserve(2 * bytes, may_be_huge(offset, bytes));
  bool first_stands = false;
  try {
    out.regions_->first = map_at(fd, offset, bytes, writable, out.data_);
    first_stands = true;
    out.regions_->second = map_at(fd, offset, bytes, writable, out.data_ + bytes);
  } catch (...) {
    munmap(first_stands ? out.data_ + bytes : out.data_, first_stands ? bytes : 2 * bytes);
    throw;
  }
  return out;
}

}  // namespace cyto
