// DType, Shape and Tensor: a view of numbers in memory that somebody else owns.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

#include "core/check.h"
#include "core/numbers.h"

namespace qwenvl {

enum class DType : std::uint8_t { f32, bf16, f16, i32, i64, u8, i8 };

std::size_t size_of(DType type);
const char* name_of(DType type);

template <class T>
struct DTypeOf;
template <>
struct DTypeOf<float> {
  static constexpr DType value = DType::f32;
};
template <>
struct DTypeOf<bf16> {
  static constexpr DType value = DType::bf16;
};
template <>
struct DTypeOf<fp16> {
  static constexpr DType value = DType::f16;
};
template <>
struct DTypeOf<std::int32_t> {
  static constexpr DType value = DType::i32;
};
template <>
struct DTypeOf<std::int64_t> {
  static constexpr DType value = DType::i64;
};
template <>
struct DTypeOf<std::uint8_t> {
  static constexpr DType value = DType::u8;
};

// Up to six dimensions, outermost first.
class Shape {
 public:
  static constexpr int kMaxRank = 6;
  Shape() = default;
  Shape(std::initializer_list<std::int64_t> dims) : Shape(std::span(dims.begin(), dims.size())) {}
  explicit Shape(std::span<const std::int64_t> dims) : rank_(static_cast<int>(dims.size())) {
    QWENVL_CHECK(dims.size() <= kMaxRank, "a tensor of {} dimensions", dims.size());
    for (int i = 0; i < rank_; ++i) dims_[i] = dims[i];
  }
  int rank() const { return rank_; }
  std::int64_t operator[](int i) const { return dims_[i]; }
  std::int64_t count() const {
    std::int64_t n = 1;
    for (int i = 0; i < rank_; ++i) n *= dims_[i];
    return n;
  }
  bool operator==(const Shape&) const = default;
  std::string str() const;  // "[3840, 1280]"

 private:
  std::array<std::int64_t, kMaxRank> dims_{};
  int rank_ = 0;
};

// A view: pointer, type, shape, and the distance between rows (dimension 0) so that column slices
// of a wider buffer are tensors too. Dimensions 1.. are contiguous.
struct Tensor {
  void* data = nullptr;
  DType type = DType::f32;
  Shape shape;
  std::int64_t row_stride = 0;  // in elements

  Tensor() = default;
  Tensor(void* data_, DType type_, Shape shape_)
      : data(data_), type(type_), shape(shape_), row_stride(count_of_row(shape_)) {}

  std::int64_t rows() const { return shape.rank() ? shape[0] : 1; }
  std::int64_t row_width() const { return count_of_row(shape); }
  bool is_contiguous() const { return row_stride == row_width(); }
  explicit operator bool() const { return data != nullptr; }

  template <class T>
  T* as() const {
    QWENVL_CHECK(type == DTypeOf<T>::value, "tensor is {}, read as {}", name_of(type),
                 name_of(DTypeOf<T>::value));
    return static_cast<T*>(data);
  }
  template <class T>
  T* row(std::int64_t i) const {
    return as<T>() + i * row_stride;
  }

  // Rows [begin, begin + n).
  Tensor slice_rows(std::int64_t begin, std::int64_t n) const;
  // Columns [begin, begin + n) of a two-dimensional tensor.
  Tensor slice_columns(std::int64_t begin, std::int64_t n) const;

 private:
  static std::int64_t count_of_row(const Shape& shape) {
    std::int64_t n = 1;
    for (int i = 1; i < shape.rank(); ++i) n *= shape[i];
    return n;
  }
};

}  // namespace qwenvl
