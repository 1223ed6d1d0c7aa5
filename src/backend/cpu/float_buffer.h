// A float buffer that grows to its largest use and is reused: operands packed for a kernel.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>

#include "core/check.h"

namespace qwenvl::cpu {

// Largest attention head any supported model has (the decoder's is 128, the tower's 80).
inline constexpr int kMaxHeadDim = 256;

class FloatBuffer {
 public:
  // At least n floats, 64-byte aligned; the content of earlier calls is lost when it grows.
  float* floats(std::int64_t n) {
    if (n > capacity_) {
      memory_.reset();
      const std::size_t bytes = (static_cast<std::size_t>(n) * sizeof(float) + 63) / 64 * 64;
      memory_.reset(static_cast<float*>(std::aligned_alloc(64, bytes)));
      if (!memory_)
        fail(ErrorKind::out_of_memory, "cpu: {} bytes of scratch memory refused", bytes);
      capacity_ = n;
    }
    return memory_.get();
  }

 private:
  struct Free {
    void operator()(float* p) const { std::free(p); }
  };
  std::unique_ptr<float, Free> memory_;
  std::int64_t capacity_ = 0;
};

}  // namespace qwenvl::cpu
