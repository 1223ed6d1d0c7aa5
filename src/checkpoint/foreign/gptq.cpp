// GPTQ matrices of 4 and 8 bits as rows of float32.
// Before: folder_source.cpp.   After: rows.
// Mirrors the unpacking of the GPTQ tools: W[k, n] = (q - z) * scale[g_idx[k], n].
//
//   qweight  int32 [K * bits / 32, N]   a word holds successive inputs of one output, lowest first
//   qzeros   int32 [groups, N * bits / 32]   successive outputs, lowest first; format "gptq" stores
//                  z - 1, to which 1 is added and the sum cut to the bits again
//   scales   f16   [groups, N]
//   g_idx    int32 [K]   the group of each input; without it, groups follow each other
#include <algorithm>
#include <cstring>
#include <vector>

#include "checkpoint/foreign/formats.h"
#include "core/check.h"

namespace qwenvl {
namespace {

constexpr std::int64_t kTileWords = 8;  // their cache lines are still there for the next output

template <class T>
T at(const TensorEntry& entry, std::int64_t i) {
  T value;
  std::memcpy(&value, entry.bytes.data() + i * static_cast<std::int64_t>(sizeof value),
              sizeof value);
  return value;
}

struct GptqParts {
  TensorEntry words, zeros, scales;
  const TensorEntry* groups;  // null: input k is in group k / group_size
  std::int64_t n_groups, group_size;
  int bits;
  bool zeros_are_one_less;
};

class GptqTensor : public StoredTensor {
 public:
  GptqTensor(Shape shape, std::string format, std::string file, const GptqParts& parts)
      : StoredTensor(shape, std::move(format), std::move(file)), parts_(parts) {
    // Which group each input is in: a few kilobytes, looked up for every value.
    group_of_.resize(static_cast<std::size_t>(row_width()));
    for (std::int64_t k = 0; k < row_width(); ++k) {
      group_of_[k] = parts.groups ? at<std::int32_t>(*parts.groups, k)
                                  : static_cast<std::int32_t>(k / parts.group_size);
    }
  }

 private:
  struct Group {
    float scale;
    int zero;
  };

  void convert_rows(std::int64_t first, std::int64_t n, float* out) const override {
    // A few rows at a time, so that the scales of their groups stay small.
    constexpr std::int64_t kRows = 16;
    std::vector<Group> groups(static_cast<std::size_t>(kRows * parts_.n_groups));
    for (std::int64_t done = 0; done < n; done += kRows) {
      const std::int64_t begin = first + done, end = first + std::min(done + kRows, n);
      read_groups(begin, end, groups);
      const std::int64_t n_words = parts_.words.shape[0];
      for (std::int64_t word = 0; word < n_words; word += kTileWords) {
        for (std::int64_t row = begin; row < end; ++row) {
          convert_words(row, word, std::min(word + kTileWords, n_words),
                        groups.data() + (row - begin) * parts_.n_groups,
                        out + (row - first) * row_width());
        }
      }
    }
  }

  void read_groups(std::int64_t begin, std::int64_t end, std::vector<Group>& groups) const {
    const int mask = (1 << parts_.bits) - 1, per_word = 32 / parts_.bits;
    for (std::int64_t row = begin; row < end; ++row) {
      for (std::int64_t g = 0; g < parts_.n_groups; ++g) {
        Group& group = groups[static_cast<std::size_t>((row - begin) * parts_.n_groups + g)];
        read_floats(parts_.scales, g * n_rows() + row, 1, &group.scale);
        const auto word =
            at<std::uint32_t>(parts_.zeros, g * (n_rows() / per_word) + row / per_word);
        const int stored = static_cast<int>(word >> (row % per_word * parts_.bits)) & mask;
        group.zero = parts_.zeros_are_one_less ? (stored + 1) & mask : stored;
      }
    }
  }

  void convert_words(std::int64_t row, std::int64_t begin, std::int64_t end, const Group* groups,
                     float* values) const {
    const int mask = (1 << parts_.bits) - 1, per_word = 32 / parts_.bits;
    for (std::int64_t w = begin; w < end; ++w) {
      const auto word = at<std::uint32_t>(parts_.words, w * n_rows() + row);
      for (int i = 0; i < per_word; ++i) {
        const std::int64_t k = w * per_word + i;
        const Group& group = groups[group_of_[static_cast<std::size_t>(k)]];
        const int q = static_cast<int>(word >> (i * parts_.bits)) & mask;
        values[k] = static_cast<float>(q - group.zero) * group.scale;
      }
    }
  }

  GptqParts parts_;
  std::vector<std::int32_t> group_of_;
};

void check_groups(const ModuleTensors& parts, const TensorEntry& groups, std::int64_t n_groups) {
  for (std::int64_t k = 0; k < groups.shape[0]; ++k) {
    const auto group = at<std::int32_t>(groups, k);
    if (group < 0 || group >= n_groups) {
      fail(ErrorKind::bad_file, "{}: 'g_idx' puts input {} into group {}, expected 0 to {}",
           parts.where(), k, group, n_groups - 1);
    }
  }
}

}  // namespace

StoredTensorPointer read_gptq(const ModuleTensors& parts, const QuantizationScheme& scheme) {
  const std::int64_t per_word = 32 / scheme.bits;
  const TensorEntry& words = parts.take("qweight", {DType::i32});
  if (words.shape.rank() != 2 || words.shape.count() == 0 || words.shape[1] % per_word != 0) {
    fail(ErrorKind::bad_file, "{}: 'qweight' is {}, expected [inputs / {}, a multiple of {}]",
         parts.where(), words.shape.str(), per_word, per_word);
  }
  const std::int64_t n_inputs = words.shape[0] * per_word, n_outputs = words.shape[1];
  GptqParts gptq;
  gptq.n_groups = groups_of(n_inputs, scheme.group_size);
  gptq.group_size = scheme.group_size < 0 ? n_inputs : scheme.group_size;
  gptq.bits = scheme.bits;
  gptq.zeros_are_one_less = scheme.zeros_are_one_less;
  gptq.words = words;
  gptq.zeros = parts.take("qzeros", {DType::i32}, {gptq.n_groups, n_outputs / per_word});
  gptq.scales =
      parts.take("scales", {DType::f16, DType::bf16, DType::f32}, {gptq.n_groups, n_outputs});
  gptq.groups = parts.find("g_idx");
  if (gptq.groups) {
    check_groups(parts, parts.take("g_idx", {DType::i32}, {n_inputs}), gptq.n_groups);
  }
  return std::make_unique<GptqTensor>(Shape{n_outputs, n_inputs},
                                      fmt::format("gptq {}-bit g{}", scheme.bits, gptq.group_size),
                                      parts.file_of("qweight"), gptq);
}

}  // namespace qwenvl
