// Memory straight from the system.
// Before: a workspace or a key/value cache grows, weights are converted.   After: numbers are
// written there.
#include "core/anonymous_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <utility>

#include "core/check.h"

namespace qwenvl {
namespace {

constexpr std::size_t kLargePage = 2u << 20;

std::byte* map(std::size_t n_bytes, const char* purpose) {
  void* mapped =
      ::mmap(nullptr, n_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED)
    fail(ErrorKind::out_of_memory, "{}: {} bytes refused by the system", purpose, n_bytes);
  return static_cast<std::byte*>(mapped);
}

// Addresses that large pages can begin at: more is taken, and what stands over is given back.
std::byte* map_aligned(std::size_t n_bytes, const char* purpose) {
  std::byte* const mapped = map(n_bytes + kLargePage, purpose);
  const std::size_t before =
      (kLargePage - reinterpret_cast<std::uintptr_t>(mapped) % kLargePage) % kLargePage;
  const std::size_t page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  const std::size_t used = (n_bytes + page - 1) / page * page, end = n_bytes + kLargePage;
  if (before > 0) ::munmap(mapped, before);
  if (end > before + used) ::munmap(mapped + before + used, end - before - used);
  ::madvise(mapped + before, used, MADV_HUGEPAGE);  // advice
  return mapped + before;
}

}  // namespace

AnonymousMemory::AnonymousMemory(std::size_t n_bytes, const char* purpose, Pages pages)
    : size_bytes_(n_bytes) {
  if (n_bytes == 0) return;
  data_ = pages == Pages::large ? map_aligned(n_bytes, purpose) : map(n_bytes, purpose);
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
