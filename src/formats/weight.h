// Weight: a matrix as it is stored, used in place.
// A format says how one row of numbers lies in memory; a back end knows how to loop over rows. The
// floating formats below are the published ones; quantised formats join them here.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/tensor.h"

namespace qwenvl {

// y = x · Wᵀ: n_out rows of n_in numbers, row-major, usually inside a mapped file.
struct Weight {
  const void* data = nullptr;
  DType format = DType::bf16;  // f32, bf16 or f16
  std::int64_t n_out = 0;
  std::int64_t n_in = 0;

  Weight() = default;
  // A two-dimensional tensor, or one whose trailing dimensions are flattened ([1280, 3, 2, 14,
  // 14]).
  explicit Weight(const Tensor& tensor)
      : data(tensor.data), format(tensor.type), n_out(tensor.rows()), n_in(tensor.row_width()) {}

  const std::byte* row(std::int64_t i) const {
    return static_cast<const std::byte*>(data) + i * row_bytes();
  }
  std::int64_t row_bytes() const { return n_in * static_cast<std::int64_t>(size_of(format)); }
};

}  // namespace qwenvl
