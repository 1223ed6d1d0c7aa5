// Matrix products of bf16 weights with the matrix products of Arm (bfmmla): 2 rows of x times 2
// rows of W, four numbers of each. A row's sums are formed in the same order whatever is computed
// beside it; how the instruction rounds them is its own.
#if defined(__aarch64__)

#include <arm_neon.h>

#include <cstdint>

#include "backend/cpu/kernel_table.h"
#include "backend/cpu/target.h"

#if defined(__clang__)
QWENVL_TARGET_BEGIN("bf16")
#else
QWENVL_TARGET_BEGIN("arch=armv8.2-a+bf16")  // the whole name: else templates lose it
#endif
namespace qwenvl::cpu {
namespace {

constexpr std::int64_t kWidth = 32;  // rows of W in a panel
constexpr int kPairs = 4;            // of rows of W that are summed side by side

inline __attribute__((always_inline)) bfloat16x8_t load(const bf16* p) {
  return vreinterpretq_bf16_u16(vld1q_u16(reinterpret_cast<const std::uint16_t*>(p)));
}

// Four numbers of each of two rows.
inline __attribute__((always_inline)) bfloat16x8_t two_rows(const bf16* first, const bf16* second) {
  return vreinterpretq_bf16_u16(
      vcombine_u16(vld1_u16(reinterpret_cast<const std::uint16_t*>(first)),
                   vld1_u16(reinterpret_cast<const std::uint16_t*>(second))));
}

// panel [padded k / 4][32][4]
void lay_out(const bf16* w, std::int64_t n_in, std::int64_t n, std::int64_t k,
             bf16* panel) noexcept {
  for (std::int64_t i = 0; i < (k + 31) / 32 * 32; i += 4, panel += 4 * kWidth) {
    for (std::int64_t row = 0; row < kWidth; ++row) {
      bf16* to = panel + 4 * row;
      if (row < n && i + 4 <= k) {
        __builtin_memcpy(static_cast<void*>(to), w + row * n_in + i, 4 * sizeof(bf16));
        continue;
      }
      for (std::int64_t j = 0; j < 4; ++j) {
        to[j] = row < n && i + j < k ? w[row * n_in + i + j] : bf16{};
      }
    }
  }
}

// c = 2 · kTwos rows of a · 2 · kPairs rows of the panel.
template <int kTwos>
__attribute__((noinline)) void rows(const bf16* a, std::int64_t k, const bf16* panel, float* c,
                                    std::int64_t ldc) {
  float32x4_t sum[kTwos][kPairs];  // two of x's rows, each times two of W's
  _Pragma("GCC unroll 4") for (int m = 0; m < kTwos; ++m) {
    _Pragma("GCC unroll 4") for (int v = 0; v < kPairs; ++v) sum[m][v] = vdupq_n_f32(0);
  }
  for (std::int64_t i = 0; i < k; i += 4, panel += 4 * kWidth) {
    bfloat16x8_t w[kPairs];
    _Pragma("GCC unroll 4") for (int v = 0; v < kPairs; ++v) w[v] = load(panel + 8 * v);
    _Pragma("GCC unroll 4") for (int m = 0; m < kTwos; ++m) {
      const bfloat16x8_t x = two_rows(a + 2 * m * k + i, a + (2 * m + 1) * k + i);
      _Pragma("GCC unroll 4") for (int v = 0; v < kPairs; ++v) {
        sum[m][v] = vbfmmlaq_f32(sum[m][v], x, w[v]);
      }
    }
  }
  _Pragma("GCC unroll 4") for (int m = 0; m < kTwos; ++m) {
    _Pragma("GCC unroll 4") for (int v = 0; v < kPairs; ++v) {
      vst1_f32(c + 2 * m * ldc + 2 * v, vget_low_f32(sum[m][v]));
      vst1_f32(c + (2 * m + 1) * ldc + 2 * v, vget_high_f32(sum[m][v]));
    }
  }
}

void multiply(const bf16* a, std::int64_t m, std::int64_t padded_k, const bf16* panel, float* c,
              std::int64_t ldc) noexcept {
  for (std::int64_t column = 0; column < kWidth; column += 2 * kPairs) {
    const bf16* numbers = panel + 4 * column;
    std::int64_t t = 0;
    for (; m - t > 2; t += 8) {
      rows<4>(a + t * padded_k, padded_k, numbers, c + t * ldc + column, ldc);
    }
    if (t < m) rows<1>(a + t * padded_k, padded_k, numbers, c + t * ldc + column, ldc);
  }
}

}  // namespace

constinit const Bf16Linear bf16_linear_neon = {lay_out, multiply, 32};

}  // namespace qwenvl::cpu
QWENVL_TARGET_END

#endif  // __aarch64__
