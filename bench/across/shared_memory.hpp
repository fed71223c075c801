// Memory for floors: what a bare program would share, without anything that survives a death.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <stdexcept>

namespace cyto::bench {

class shared_memory {
 public:
  explicit shared_memory(std::size_t bytes)
      : bytes_(bytes),
        at_(mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE,
                 -1, 0)) {
    if (at_ == MAP_FAILED) throw std::runtime_error("no shared memory for a benchmark");
  }
  shared_memory(const shared_memory&) = delete;
  shared_memory& operator=(const shared_memory&) = delete;
  ~shared_memory() { munmap(at_, bytes_); }

  template <class T>
  [[nodiscard]] T* at(std::size_t offset) const noexcept {
    return reinterpret_cast<T*>(static_cast<std::byte*>(at_) + offset);
  }

 private:
  std::size_t bytes_;
  void* at_;
};

}  // namespace cyto::bench
