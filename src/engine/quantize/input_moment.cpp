// Sums products of columns with the back end's own matrix product.
#include "engine/quantize/input_moment.h"

#include <algorithm>
#include <cstring>

#include "core/check.h"
#include "formats/packed.h"

namespace qwenvl {
namespace {

constexpr std::int64_t kBufferedRows = 512;
constexpr std::int64_t kColumnsAtOnce = 256;

// Of about the same size, all but the last a multiple of kBlock.
std::int64_t chunk_columns(std::int64_t n_in) {
  const std::int64_t n_chunks = (n_in + InputMoment::kMostColumns - 1) / InputMoment::kMostColumns;
  return padded_to_blocks((n_in + n_chunks - 1) / n_chunks);
}

template <class Number>
void copy_columns(const Tensor& rows, std::int64_t first, std::int64_t n, std::int64_t begin,
                  std::int64_t end, std::byte* buffer, std::int64_t at) {
  Number* to = reinterpret_cast<Number*>(buffer);
  for (std::int64_t r = 0; r < n; ++r) {
    const Number* row = rows.row<Number>(first + r);
    for (std::int64_t i = begin; i < end; ++i) to[i * kBufferedRows + at + r] = row[i];
  }
}

}  // namespace

InputMoment::InputMoment(std::int64_t n_in) : n_in_(n_in) {
  const std::int64_t width = chunk_columns(n_in);
  for (std::int64_t first = 0; first < n_in; first += width) {
    const std::int64_t n = std::min(width, n_in - first);
    chunks_.push_back({first, n, std::vector<float>(static_cast<std::size_t>(n * n))});
  }
}

std::uint64_t InputMoment::bytes_for(std::int64_t n_in) {
  return static_cast<std::uint64_t>(n_in * (chunk_columns(n_in) + kBufferedRows)) * sizeof(float);
}

void InputMoment::add(Backend& backend, const Tensor& rows) {
  QWENVL_CHECK(rows.row_width() == n_in_, "rows of {}, expected {}", rows.row_width(), n_in_);
  if (buffer_.empty()) {
    type_ = rows.type;
    buffer_.resize(static_cast<std::size_t>(n_in_ * kBufferedRows) * size_of(type_));
  }
  for (std::int64_t first = 0; first < rows.rows();) {
    const std::int64_t n = std::min(kBufferedRows - n_buffered_, rows.rows() - first);
    backend.parallel_for((n_in_ + kBlock - 1) / kBlock, [&](std::int64_t block) {
      const std::int64_t begin = block * kBlock, end = std::min(begin + kBlock, n_in_);
      const auto copy = type_ == DType::bf16 ? copy_columns<bf16> : copy_columns<float>;
      copy(rows, first, n, begin, end, buffer_.data(), n_buffered_);
    });
    first += n;
    n_rows_ += n;
    n_buffered_ += n;
    if (n_buffered_ == kBufferedRows) flush(backend);
  }
}

std::vector<InputMoment::Chunk>& InputMoment::finish(Backend& backend) {
  if (n_buffered_ > 0) flush(backend);
  buffer_ = {};
  return chunks_;
}

void InputMoment::flush(Backend& backend) {
  const std::int64_t row_bytes = kBufferedRows * static_cast<std::int64_t>(size_of(type_));
  std::vector<float> sums;
  for (Chunk& chunk : chunks_) {
    std::byte* columns = buffer_.data() + chunk.first * row_bytes;
    const Weight all(Tensor(columns, type_, {chunk.n, kBufferedRows}));
    sums.resize(static_cast<std::size_t>(kColumnsAtOnce * chunk.n));
    for (std::int64_t begin = 0; begin < chunk.n; begin += kColumnsAtOnce) {
      const std::int64_t n = std::min(kColumnsAtOnce, chunk.n - begin);
      backend.linear(Tensor(columns + begin * row_bytes, type_, {n, kBufferedRows}), all, {},
                     Tensor(sums.data(), DType::f32, {n, chunk.n}));
      float* to = chunk.products.data() + begin * chunk.n;
      backend.parallel_for(n, [&](std::int64_t row) {
        for (std::int64_t i = row * chunk.n; i < (row + 1) * chunk.n; ++i) to[i] += sums[i];
      });
    }
  }
  std::fill(buffer_.begin(), buffer_.end(), std::byte{});
  n_buffered_ = 0;
}

}  // namespace qwenvl
