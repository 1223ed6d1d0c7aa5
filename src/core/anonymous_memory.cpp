// Memory straight from the system.
// Before: a workspace or a key/value cache grows, weights are converted.   After: numbers are
// written there.
#include "core/anonymous_memory.h"

#include <sys/mman.h>

#include <utility>

#include "core/check.h"

namespace qwenvl {

AnonymousMemory::AnonymousMemory(std::size_t n_bytes, const char* purpose) : size_bytes_(n_bytes) {
  if (n_bytes == 0) return;
  void* mapped =
      ::mmap(nullptr, n_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED)
    fail(ErrorKind::out_of_memory, "{}: {} bytes refused by the system", purpose, n_bytes);
  data_ = static_cast<std::byte*>(mapped);
}

AnonymousMemory::~AnonymousMemory() {
  if (data_) ::munmap(data_, size_bytes_);
}

AnonymousMemory::AnonymousMemory(AnonymousMemory&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_bytes_(std::exchange(other.size_bytes_, 0)) {}

AnonymousMemory& AnonymousMemory::operator=(AnonymousMemory&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_bytes_, other.size_bytes_);
  return *this;
}

void AnonymousMemory::forget() noexcept {
  if (data_) ::madvise(data_, size_bytes_, MADV_DONTNEED);
}

}  // namespace qwenvl
