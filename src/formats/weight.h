// Weight: a matrix as it is stored, used in place.
// A format says how numbers lie in memory; a back end knows how to loop over them. Plain matrices
// are the published ones, row after row; packed ones (formats/packed.h) are quantised, 32 rows side
// by side.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/tensor.h"

namespace qwenvl {

// How a matrix is stored. See formats/packed.h for what the quantised ones mean.
enum class Packing : std::uint8_t {
  none,          // rows of f32, bf16 or f16
  int8,          // 8 bits, one scale per row; activations: one scale per row
  int8_grouped,  // the same weights; activations: one scale per 128 numbers
  int4,          // 4 bits, scales per 32 and 128 numbers; activations as int8_grouped
};

// y = x · Wᵀ: n_out rows of n_in numbers, usually inside a mapped file.
struct Weight {
  const void* data = nullptr;
  DType format = DType::bf16;  // of a plain matrix: f32, bf16 or f16
  Packing packing = Packing::none;
  std::int64_t n_out = 0;
  std::int64_t n_in = 0;

  Weight() = default;
  // A two-dimensional tensor, or one whose trailing dimensions are flattened ([1280, 3, 2, 14,
  // 14]).
  explicit Weight(const Tensor& tensor)
      : data(tensor.data), format(tensor.type), n_out(tensor.rows()), n_in(tensor.row_width()) {}

  // A packed matrix at `data`, which is 64-byte aligned.
  Weight(const void* data_, Packing packing_, std::int64_t n_out_, std::int64_t n_in_)
      : data(data_), packing(packing_), n_out(n_out_), n_in(n_in_) {}

  bool is_packed() const { return packing != Packing::none; }
  // Of a plain matrix:
  const std::byte* row(std::int64_t i) const {
    return static_cast<const std::byte*>(data) + i * row_bytes();
  }
  std::int64_t row_bytes() const { return n_in * static_cast<std::int64_t>(size_of(format)); }
};

}  // namespace qwenvl
