// AWQ matrices ("gemm" layout) as rows of float32.
// Before: folder_source.cpp.   After: rows.
// Mirrors the unpacking of AutoAWQ: W[k, n] = (q - z) * scale[k / group, n], stored [inputs,
// outputs].
//
//   qweight  int32 [K, N / 8]      eight outputs of one input per word, in the order below
//   qzeros   int32 [K / group, N / 8]   packed the same way
//   scales   f16   [K / group, N]
#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "checkpoint/foreign/formats.h"
#include "core/check.h"

namespace qwenvl {
namespace {

constexpr std::int64_t kPerWord = 8;
// Half byte i of a word (from the least significant) holds this one of its eight outputs.
constexpr std::array<int, 8> kOrder = {0, 2, 4, 6, 1, 3, 5, 7};
// Inputs unpacked at a time: a word's cache line is still there for its neighbours.
constexpr std::int64_t kTile = 64;

std::uint32_t word_at(const TensorEntry& entry, std::int64_t i) {
  std::uint32_t word;
  std::memcpy(&word, entry.bytes.data() + i * 4, sizeof word);
  return word;
}

class AwqTensor : public StoredTensor {
 public:
  AwqTensor(Shape shape, std::string format, std::string file, const TensorEntry& words,
            const TensorEntry& zeros, const TensorEntry& scales, std::int64_t group_size)
      : StoredTensor(shape, std::move(format), std::move(file)),
        words_(words),
        zeros_(zeros),
        scales_(scales),
        group_size_(group_size) {}

 private:
  void convert_rows(std::int64_t first, std::int64_t n, float* out) const override {
    const std::int64_t n_inputs = row_width();
    for (std::int64_t begin = 0; begin < n_inputs;) {
      const std::int64_t group = begin / group_size_;
      const std::int64_t end = std::min({begin + kTile, (group + 1) * group_size_, n_inputs});
      for (std::int64_t column = first / kPerWord; column * kPerWord < first + n; ++column) {
        convert_tile(column, group, begin, end, first, n, out);
      }
      begin = end;
    }
  }

  // Inputs [begin, end) of one group, for the outputs of one column of words that are asked for.
  void convert_tile(std::int64_t column, std::int64_t group, std::int64_t begin, std::int64_t end,
                    std::int64_t first, std::int64_t n, float* out) const {
    const std::int64_t n_columns = n_rows() / kPerWord;
    const std::uint32_t zeros = word_at(zeros_, group * n_columns + column);
    std::array<float, kPerWord> scales;
    read_floats(scales_, group * n_rows() + column * kPerWord, kPerWord, scales.data());
    for (int i = 0; i < kPerWord; ++i) {
      const std::int64_t row = column * kPerWord + kOrder[i];
      if (row < first || row >= first + n) continue;
      const int zero = static_cast<int>(zeros >> 4 * i & 15);
      const float scale = scales[kOrder[i]];
      float* values = out + (row - first) * row_width();
      for (std::int64_t k = begin; k < end; ++k) {
        const int q = static_cast<int>(word_at(words_, k * n_columns + column) >> 4 * i & 15);
        values[k] = static_cast<float>(q - zero) * scale;
      }
    }
  }

  TensorEntry words_, zeros_, scales_;
  std::int64_t group_size_;
};

}  // namespace

StoredTensorPointer read_awq(const ModuleTensors& parts, const QuantizationScheme& scheme) {
  const TensorEntry& words = parts.take("qweight", {DType::i32});
  if (words.shape.rank() != 2 || words.shape.count() == 0) {
    fail(ErrorKind::bad_file, "{}: 'qweight' is {}, expected [inputs, outputs / 8]", parts.where(),
         words.shape.str());
  }
  const std::int64_t n_inputs = words.shape[0], n_outputs = words.shape[1] * kPerWord;
  const std::int64_t n_groups = groups_of(n_inputs, scheme.group_size);
  const TensorEntry& zeros = parts.take("qzeros", {DType::i32}, {n_groups, n_outputs / kPerWord});
  const TensorEntry& scales =
      parts.take("scales", {DType::f16, DType::bf16, DType::f32}, {n_groups, n_outputs});
  const std::int64_t group_size = scheme.group_size < 0 ? n_inputs : scheme.group_size;
  return std::make_unique<AwqTensor>(Shape{n_outputs, n_inputs},
                                     fmt::format("awq 4-bit g{}", group_size),
                                     parts.file_of("qweight"), words, zeros, scales, group_size);
}

}  // namespace qwenvl
