#include "support/allocations.hpp"

#include <cstdlib>
#include <new>

static thread_local std::uint64_t calls_of_new = 0;

#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
void* operator new(std::size_t bytes) {
  ++calls_of_new;
  if (void* out = std::malloc(bytes == 0 ? 1 : bytes)) return out;
  throw std::bad_alloc();
}
void operator delete(void* at) noexcept { std::free(at); }
void operator delete(void* at, std::size_t) noexcept { std::free(at); }
#endif

namespace cyto::test {

std::uint64_t allocations() noexcept { return calls_of_new; }

}  // namespace cyto::test
