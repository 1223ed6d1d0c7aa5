// A float buffer that grows to its largest use and is reused: operands packed for a kernel.
#pragma once

#include <cstdint>

#include "core/anonymous_memory.h"

namespace qwenvl::cpu {

// Largest attention head any supported model has (the decoder's is 128, the tower's 80).
inline constexpr int kMaxHeadDim = 256;

class FloatBuffer {
 public:
  // At least n floats, 4096-byte aligned; the content of earlier calls is lost when it grows. What
  // it had is given back to the system then: the general allocator would keep it.
  float* floats(std::int64_t n) {
    if (n > capacity_) {
      memory_ = AnonymousMemory();
      memory_ = AnonymousMemory(static_cast<std::size_t>(n) * sizeof(float), "scratch of kernels");
      capacity_ = n;
    }
    return reinterpret_cast<float*>(memory_.data());
  }

 private:
  AnonymousMemory memory_;
  std::int64_t capacity_ = 0;
};

}  // namespace qwenvl::cpu
