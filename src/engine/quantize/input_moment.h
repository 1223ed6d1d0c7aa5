// How the inputs of a matrix vary together: H = Σ x xᵀ over the rows x that it was multiplied with.
// Before: calibration.cpp sees these rows.   After: error_feedback.cpp rounds the matrix.
#pragma once

#include <cstdint>
#include <vector>

#include "backend/backend.h"

namespace qwenvl {

class InputMoment {
 public:
  // Wider inputs are taken in chunks, each with the products of its own columns only: memory and
  // time grow with the width, not with its square or cube.
  static constexpr std::int64_t kMostColumns = 4096;

  struct Chunk {
    std::int64_t first = 0, n = 0;  // columns; `first` is a multiple of kBlock
    std::vector<float> products;    // [n, n]
  };

  explicit InputMoment(std::int64_t n_in);
  // Memory of all chunks and of the rows that wait.
  static std::uint64_t bytes_for(std::int64_t n_in);

  // Adds rows [n, n_in], float32 or bf16, always of the same type. The sums do not depend on how
  // rows are divided over calls, nor on the number of threads.
  void add(Backend& backend, const Tensor& rows);
  // Call when all rows are there. The chunks may be used up by whoever reads them.
  std::vector<Chunk>& finish(Backend& backend);
  std::int64_t n_rows() const { return n_rows_; }

 private:
  void flush(Backend& backend);

  const std::int64_t n_in_;
  std::vector<Chunk> chunks_;
  // Rows that are not in the chunks yet, as columns: [n_in, kBufferedRows], the rest zero.
  std::vector<std::byte> buffer_;
  DType type_ = DType::f32;
  std::int64_t n_buffered_ = 0, n_rows_ = 0;
};

}  // namespace qwenvl
