// One tensor as a file stores it, read as rows of float32 whatever the format.
// Before: an opener (foreign/, gguf/) has checked names, types and shapes.   After:
// weight_source.h.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include "core/tensor.h"

namespace qwenvl {

class StoredTensor {
 public:
  StoredTensor(Shape shape, std::string format, std::string file)
      : shape_(std::move(shape)), format_(std::move(format)), file_(std::move(file)) {}
  virtual ~StoredTensor() = default;
  StoredTensor(const StoredTensor&) = delete;
  StoredTensor& operator=(const StoredTensor&) = delete;

  // As the network knows it: [outputs, inputs] for a matrix, however the file lays it out.
  const Shape& shape() const { return shape_; }
  // "bf16", "gptq 4-bit g128", "Q4_K" …: what a user calls it.
  const std::string& format() const { return format_; }
  // The file it lies in, for messages.
  const std::string& file() const { return file_; }
  // Whether its numbers were rounded to 8 bits or fewer; those of f32, f16 and bf16 were not.
  virtual bool is_quantised() const { return true; }

  // A vector or a scalar is one row; everything else has its first dimension as rows.
  std::int64_t n_rows() const { return shape_.rank() > 1 ? shape_[0] : 1; }
  std::int64_t row_width() const {
    std::int64_t width = 1;
    for (int i = shape_.rank() > 1 ? 1 : 0; i < shape_.rank(); ++i) width *= shape_[i];
    return width;
  }

  // Rows [first, first + n) as float32 into out, [n, row_width()]. Safe to call from several
  // threads. Some formats are packed across eight rows: begin at multiples of 8 for speed.
  void read_rows(std::int64_t first, std::int64_t n, float* out) const {
    QWENVL_CHECK(first >= 0 && n >= 0 && first <= n_rows() && n <= n_rows() - first,
                 "rows {} to {} of {}", first, first + n, n_rows());
    if (n > 0 && row_width() > 0) convert_rows(first, n, out);
  }

 protected:
  // Called with rows that exist, at least one.
  virtual void convert_rows(std::int64_t first, std::int64_t n, float* out) const = 0;

 private:
  Shape shape_;
  std::string format_;
  std::string file_;
};

}  // namespace qwenvl
