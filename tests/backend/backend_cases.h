// Random tensors, key/value caches and tolerances for the tests of back ends.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/cpu_features.h"
#include "backend/reference/reference_backend.h"

namespace qwenvl::testing {

inline constexpr double kHalfUlp = 0x1p-24;  // of float32, relative: the error of one operation
// Two numbers that differ by d before they are rounded to bf16 differ by at most d and one unit in
// the last of its eight bits afterwards.
inline constexpr double kBf16Ulp = 0x1p-7;

inline double rounding_of(DType type, double value) {
  return type == DType::bf16 ? kBf16Ulp * std::abs(value) + 1e-38 : 0;
}

// A matrix with `gap` unused elements after each row, which nobody may write.
class Numbers {
 public:
  Numbers(DType type, std::int64_t rows, std::int64_t width, std::int64_t gap = 0)
      : bytes_(static_cast<std::size_t>(rows * (width + gap)) * size_of(type), std::byte{0x5a}),
        width_(width) {
    tensor_ = Tensor(bytes_.data(), type, {rows, width + gap}).slice_columns(0, width);
  }
  Numbers(const Numbers& other)
      : bytes_(other.bytes_), width_(other.width_), tensor_(other.tensor_) {
    tensor_.data = bytes_.data();
  }
  Numbers& operator=(const Numbers&) = delete;

  const Tensor& tensor() const { return tensor_; }
  operator const Tensor&() const { return tensor_; }
  const std::vector<std::byte>& bytes() const { return bytes_; }

  float get(std::int64_t row, std::int64_t column) const { return read(tensor_, row, column); }
  void set(std::int64_t row, std::int64_t column, float value) {
    const std::int64_t i = row * tensor_.row_stride + column;
    switch (tensor_.type) {
      case DType::f32: static_cast<float*>(tensor_.data)[i] = value; break;
      case DType::bf16: static_cast<bf16*>(tensor_.data)[i] = to_bf16(value); break;
      default: static_cast<fp16*>(tensor_.data)[i] = {half_bits(value)};
    }
  }
  void fill(std::mt19937& random, float largest = 1) {
    std::uniform_real_distribution<float> value(-largest, largest);
    for (std::int64_t r = 0; r < tensor_.rows(); ++r) {
      for (std::int64_t c = 0; c < width_; ++c) set(r, c, value(random));
    }
  }

  bool gap_is_untouched() const {
    const std::size_t element = size_of(tensor_.type),
                      used = static_cast<std::size_t>(width_) * element;
    const std::size_t stride = static_cast<std::size_t>(tensor_.row_stride) * element;
    for (std::size_t row = 0; row * stride < bytes_.size(); ++row) {
      for (std::size_t i = used; i < stride; ++i) {
        if (bytes_[row * stride + i] != std::byte{0x5a}) return false;
      }
    }
    return true;
  }

  static float read(const Tensor& t, std::int64_t row, std::int64_t column) {
    const std::int64_t i = row * t.row_stride + column;
    switch (t.type) {
      case DType::f32: return static_cast<const float*>(t.data)[i];
      case DType::bf16: return to_float(static_cast<const bf16*>(t.data)[i]);
      default: return to_float(static_cast<const fp16*>(t.data)[i]);
    }
  }

 private:
  // Cuts off what does not fit: any half will do as random data.
  static std::uint16_t half_bits(float value) {
    const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
    const int exponent = static_cast<int>(bits >> 23 & 0xff) - 127 + 15;
    if (exponent <= 0 || exponent >= 31) return static_cast<std::uint16_t>(bits >> 16 & 0x8000);
    return static_cast<std::uint16_t>((bits >> 16 & 0x8000) | (exponent << 10) |
                                      (bits >> 13 & 0x3ff));
  }

  std::vector<std::byte> bytes_;
  std::int64_t width_;
  Tensor tensor_;
};

inline Numbers random_numbers(std::mt19937& random, DType type, std::int64_t rows,
                              std::int64_t width, float largest = 1, std::int64_t gap = 0) {
  Numbers numbers(type, rows, width, gap);
  numbers.fill(random, largest);
  return numbers;
}

inline std::vector<float> random_vector(std::mt19937& random, std::int64_t n, float largest = 1) {
  std::uniform_real_distribution<float> value(-largest, largest);
  std::vector<float> out(static_cast<std::size_t>(n));
  for (float& x : out) x = value(random);
  return out;
}

// The used part of some rows, to compare bits.
inline std::string bits_of(const Tensor& t, std::int64_t first, std::int64_t n) {
  std::string out;
  const std::size_t element = size_of(t.type);
  for (std::int64_t r = first; r < first + n; ++r) {
    out.append(
        static_cast<const char*>(t.data) + static_cast<std::size_t>(r * t.row_stride) * element,
        static_cast<std::size_t>(t.row_width()) * element);
  }
  return out;
}
inline std::string bits_of(const Tensor& t) { return bits_of(t, 0, t.rows()); }

// |got - expected| ≤ tolerance(row, column, expected), reported once per tensor.
template <class Tolerance>
void expect_near(const Tensor& got, const Tensor& expected, Tolerance tolerance,
                 const std::string& what) {
  for (std::int64_t r = 0; r < got.rows(); ++r) {
    for (std::int64_t c = 0; c < got.row_width(); ++c) {
      const double a = Numbers::read(got, r, c), b = Numbers::read(expected, r, c);
      if (!(std::abs(a - b) <= tolerance(r, c, b))) {
        ADD_FAILURE() << what << ": row " << r << " column " << c << " is " << a << ", expected "
                      << b << " within " << tolerance(r, c, b);
        return;
      }
    }
  }
}

inline constexpr DType kComputeTypes[] = {DType::f32, DType::bf16};
inline constexpr DType kWeightFormats[] = {DType::f32, DType::bf16, DType::f16};

// Keys and values of several sequences in pages that lie in shuffled order.
class Cache {
 public:
  struct Length {
    std::int64_t cache_start, n_rows;
  };

  Cache(std::mt19937& random, KvLayout layout, const std::vector<Length>& lengths) {
    view.layout = layout;
    std::int64_t n_pages = 0, row = 0;
    const auto pages_of = [](const Length& l) {
      return (l.cache_start + l.n_rows + kKvPageTokens - 1) / kKvPageTokens;
    };
    for (const Length& length : lengths) n_pages += pages_of(length);
    memory_.resize(static_cast<std::size_t>(n_pages * layout.page_bytes()),
                   std::byte{0xff});  // NaN everywhere
    std::vector<std::int64_t> order(static_cast<std::size_t>(n_pages));
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<std::int64_t>(i);
    std::shuffle(order.begin(), order.end(), random);
    for (const Length& length : lengths) {
      SequenceRows& sequence =
          view.sequences.emplace_back(SequenceRows{row, length.n_rows, length.cache_start, {}});
      row += length.n_rows;
      for (std::int64_t p = 0; p < pages_of(length); ++p) {
        sequence.pages.push_back(memory_.data() + order.back() * layout.page_bytes());
        order.pop_back();
      }
    }
    n_rows = row;
  }

  // Random keys and values for every token any row sees.
  void fill(std::mt19937& random, int layer, float largest) {
    const auto reference = make_reference_backend();
    const std::int64_t width = std::int64_t{view.layout.n_kv_heads} * view.layout.head_dim;
    const DType type = view.layout.is_int8() ? DType::f32 : view.layout.type;
    for (const SequenceRows& sequence : view.sequences) {
      const std::int64_t n = sequence.cache_start + sequence.n_rows;
      const KvView whole{view.layout, {{0, n, 0, sequence.pages}}};
      reference->store_kv(random_numbers(random, type, n, width, largest),
                          random_numbers(random, type, n, width, largest), whole, layer);
    }
  }

  const std::vector<std::byte>& memory() const { return memory_; }

  KvView view;
  std::int64_t n_rows = 0;

 private:
  std::vector<std::byte> memory_;
};

// One test per kernel table of this build; skipped where the machine cannot run it.
class OnKernels : public ::testing::TestWithParam<std::size_t> {
 protected:
  void SetUp() override {
    if (!choice_.is_usable) GTEST_SKIP() << "this machine cannot run it: " << choice_.reason;
    cpu = with_threads(2);
  }
  std::unique_ptr<Backend> with_threads(int n_threads) const {
    return make_cpu_backend(n_threads, *choice_.table);
  }
  const cpu::KernelTable& table() const { return *choice_.table; }

  const cpu::KernelChoice choice_ = cpu::kernel_choices()[GetParam()];
  std::unique_ptr<Backend> cpu;
  std::unique_ptr<Backend> reference = make_reference_backend();
  std::mt19937 random{20250201};
};

inline std::string kernel_name(const ::testing::TestParamInfo<std::size_t>& info) {
  return cpu::kernel_choices()[info.param].table->name;
}

}  // namespace qwenvl::testing
