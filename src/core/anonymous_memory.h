// Memory straight from the system, given back when it is no longer needed.
// The general allocator keeps what is freed for later; large blocks that come and go would stay.
#pragma once

#include <cstddef>

namespace qwenvl {

// Zeros at first, 4096-byte aligned; pages that nobody touches take nothing.
class AnonymousMemory {
 public:
  AnonymousMemory() = default;
  // Throws out_of_memory; `purpose` says what for: "workspace". Large pages, where the system has
  // them, are read faster, but come whole: for what will be written from end to end.
  enum class Pages { small, large };
  AnonymousMemory(std::size_t n_bytes, const char* purpose, Pages pages = Pages::small);
  ~AnonymousMemory();
  AnonymousMemory(AnonymousMemory&& other) noexcept;
  AnonymousMemory& operator=(AnonymousMemory&& other) noexcept;

  std::byte* data() const { return data_; }
  std::size_t size_bytes() const { return size_bytes_; }
  // Gives the pages back but keeps the addresses: what was there is zero afterwards.
  void forget() noexcept;

 private:
  std::byte* data_ = nullptr;
  std::size_t size_bytes_ = 0;
};

}  // namespace qwenvl
