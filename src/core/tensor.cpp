// Names and sizes of number types, and slices of tensors.
#include "core/tensor.h"

namespace qwenvl {

std::size_t size_of(DType type) {
  switch (type) {
    case DType::f32:
    case DType::i32: return 4;
    case DType::bf16:
    case DType::f16: return 2;
    case DType::i64: return 8;
    case DType::u8:
    case DType::i8: return 1;
  }
  return 0;
}

const char* name_of(DType type) {
  switch (type) {
    case DType::f32: return "float32";
    case DType::bf16: return "bfloat16";
    case DType::f16: return "float16";
    case DType::i32: return "int32";
    case DType::i64: return "int64";
    case DType::u8: return "uint8";
    case DType::i8: return "int8";
  }
  return "?";
}

std::string Shape::str() const {
  std::string out = "[";
  for (int i = 0; i < rank_; ++i) out += (i ? ", " : "") + std::to_string(dims_[i]);
  return out + "]";
}

Tensor Tensor::slice_rows(std::int64_t begin, std::int64_t n) const {
  QWENVL_CHECK(begin >= 0 && n >= 0 && begin + n <= rows(), "rows {}+{} of {}", begin, n,
               shape.str());
  std::array<std::int64_t, Shape::kMaxRank> dims{};
  dims[0] = n;
  for (int i = 1; i < shape.rank(); ++i) dims[i] = shape[i];
  Tensor out = *this;
  out.data =
      static_cast<std::byte*>(data) + begin * row_stride * static_cast<std::int64_t>(size_of(type));
  out.shape = Shape(std::span(dims.data(), static_cast<std::size_t>(shape.rank())));
  return out;
}

Tensor Tensor::slice_columns(std::int64_t begin, std::int64_t n) const {
  QWENVL_CHECK(shape.rank() == 2 && begin >= 0 && begin + n <= shape[1], "columns {}+{} of {}",
               begin, n, shape.str());
  Tensor out = *this;
  out.data = static_cast<std::byte*>(data) + begin * static_cast<std::int64_t>(size_of(type));
  out.shape = Shape{shape[0], n};
  return out;
}

}  // namespace qwenvl
