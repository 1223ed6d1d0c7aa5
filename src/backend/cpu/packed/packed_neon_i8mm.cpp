// Packed products with the matrix products of Arm (i8mm): 2 rows of x times 2 rows of W, eight
// signed bytes of each. A row without a second one takes the dot products, which waste nothing.
#if defined(__aarch64__)

#include <arm_neon.h>

#include <cstdint>

#include "backend/cpu/packed/packed_kernels.h"
#include "backend/cpu/target.h"

#if defined(__clang__)
QWENVL_TARGET_BEGIN("dotprod,i8mm")
#else
QWENVL_TARGET_BEGIN("arch=armv8.2-a+dotprod+i8mm")  // the whole name: else templates lose it
#endif
namespace qwenvl::cpu {
namespace {

#include "backend/cpu/packed/packed_dotprod_neon.inl"

constexpr int kPairs = 4;     // of rows of W that are summed side by side
constexpr int kQuarters = 4;  // of a panel: as many rows each

#define QWENVL_EACH_TWO _Pragma("GCC unroll 2") for (int m = 0; m < kTwos; ++m)
#define QWENVL_EACH_PAIR _Pragma("GCC unroll 4") for (int v = 0; v < kPairs; ++v)

// Sums of two rows of x with two rows of W lie as [x0·w0, x0·w1, x1·w0, x1·w1].
template <int kTwos>
struct Sums {
  int32x4_t of[kTwos][kPairs];
};

// What belongs to four rows of W, for two pairs of them.
inline __attribute__((always_inline)) float32x4_t for_pair(float32x4_t four, bool second) {
  const float32x2_t two = second ? vget_high_f32(four) : vget_low_f32(four);
  return vcombine_f32(two, two);
}
inline __attribute__((always_inline)) int32x4_t for_pair(int32x4_t four, bool second) {
  const int32x2_t two = second ? vget_high_s32(four) : vget_low_s32(four);
  return vcombine_s32(two, two);
}

// Eight numbers of two pairs of rows of W, of which `first` holds the first four and `second` the
// last four: added to the sums.
template <int kTwos>
inline __attribute__((always_inline)) void add_products(Sums<kTwos>& sums, int v, int8x16_t first,
                                                        int8x16_t second, const int8x16_t* x) {
  const int32x4_t a = vreinterpretq_s32_s8(first), b = vreinterpretq_s32_s8(second);
  const int8x16_t low = vreinterpretq_s8_s32(vzip1q_s32(a, b)),
                  high = vreinterpretq_s8_s32(vzip2q_s32(a, b));
  QWENVL_EACH_TWO {
    sums.of[m][v] = vmmlaq_s32(sums.of[m][v], x[m], low);
    sums.of[m][v + 1] = vmmlaq_s32(sums.of[m][v + 1], x[m], high);
  }
}

template <int kTwos>
inline __attribute__((always_inline)) void clear(Sums<kTwos>& sums) {
  QWENVL_EACH_TWO QWENVL_EACH_PAIR sums.of[m][v] = vdupq_n_s32(0);
}

// total += sums · what belongs to the rows of W · what belongs to the rows of x.
template <int kTwos>
inline __attribute__((always_inline)) void add_scaled(float32x4_t (&total)[kTwos][kPairs],
                                                      const Sums<kTwos>& sums, int v,
                                                      float32x4_t scales, const float* a_scales,
                                                      std::int64_t n_scales) {
  QWENVL_EACH_TWO {
    const float32x4_t x = vcombine_f32(vdup_n_f32(a_scales[2 * m * n_scales]),
                                       vdup_n_f32(a_scales[(2 * m + 1) * n_scales]));
    total[m][v] =
        vfmaq_f32(total[m][v], vcvtq_f32_s32(sums.of[m][v]), vmulq_f32(for_pair(scales, false), x));
    total[m][v + 1] = vfmaq_f32(total[m][v + 1], vcvtq_f32_s32(sums.of[m][v + 1]),
                                vmulq_f32(for_pair(scales, true), x));
  }
}

// Eight numbers of each two rows of x.
template <int kTwos>
inline __attribute__((always_inline)) void load_rows(const std::int8_t* a, std::int64_t k,
                                                     int8x16_t* x) {
  QWENVL_EACH_TWO x[m] = vcombine_s8(vld1_s8(a + 2 * m * k), vld1_s8(a + (2 * m + 1) * k));
}

template <int kTwos>
inline __attribute__((always_inline)) void store(const float32x4_t (&total)[kTwos][kPairs],
                                                 float* c) {
  QWENVL_EACH_TWO QWENVL_EACH_PAIR {
    vst1_f32(c + 2 * m * kPanelRows + 2 * v, vget_low_f32(total[m][v]));
    vst1_f32(c + (2 * m + 1) * kPanelRows + 2 * v, vget_high_f32(total[m][v]));
  }
}

// c[m][0 … 7] for 2 · kTwos rows of x and a quarter of an int4 panel.
template <int kTwos>
__attribute__((noinline)) void int4_quarter(const PackedProduct& p, std::int64_t t,
                                            const std::byte* panel, int quarter, float* c) {
  const std::int8_t* a = p.a + t * p.k;
  const uint8x16_t low_half = vdupq_n_u8(15);
  const int8x16_t eight = vdupq_n_s8(8);
  float32x4_t total[kTwos][kPairs];
  QWENVL_EACH_TWO QWENVL_EACH_PAIR total[m][v] = vdupq_n_f32(0);
  for (std::int64_t b = 0; b < p.k / kBlock; ++b, panel += kInt4Block) {
    Sums<kTwos> block;
    clear(block);
    for (int g = 0; g < 4; ++g) {
      Sums<kTwos> group;
      clear(group);
      for (int s = 0; s < 4; ++s) {
        const std::byte* numbers = panel + kInt4Header + g * 512 + s * 128 + quarter * 32;
        int8x16_t x[kTwos];
        load_rows<kTwos>(a + b * kBlock + g * 32 + s * 8, p.k, x);
        _Pragma("GCC unroll 2") for (int v = 0; v < kPairs; v += 2) {
          const uint8x16_t both = load(numbers + v * 8);
          add_products(group, v, vsubq_s8(vreinterpretq_s8_u8(vandq_u8(both, low_half)), eight),
                       vsubq_s8(vreinterpretq_s8_u8(vshrq_n_u8(both, 4)), eight), x);
        }
      }
      const std::byte* at = panel + 64 + g / 2 * 32 + quarter * 8;
      _Pragma("GCC unroll 2") for (int v = 0; v < kPairs; v += 2) {
        const int32x4_t sub = subs(at + v * 2, g % 2);
        QWENVL_EACH_TWO {
          block.of[m][v] = vmlaq_s32(block.of[m][v], group.of[m][v], for_pair(sub, false));
          block.of[m][v + 1] =
              vmlaq_s32(block.of[m][v + 1], group.of[m][v + 1], for_pair(sub, true));
        }
      }
    }
    const float* a_scales = p.a_scales + t * p.n_scales + b;
    _Pragma("GCC unroll 2") for (int v = 0; v < kPairs; v += 2) {
      add_scaled(total, block, v, half_scales(panel + quarter * 16 + v * 4), a_scales, p.n_scales);
    }
  }
  store(total, c);
}

template <int kTwos>
__attribute__((noinline)) void int8_quarter(const PackedProduct& p, std::int64_t t,
                                            const std::byte* panel, int quarter, float* c) {
  const std::int8_t* a = p.a + t * p.k;
  const std::int64_t length = p.k / p.n_scales;
  const std::byte* numbers = panel + kInt8Header + quarter * 32;
  const float* scales = reinterpret_cast<const float*>(panel) + quarter * 8;
  const uint8x16_t offset = vdupq_n_u8(0x80);
  const auto numbers_at = [&](std::int64_t i) __attribute__((always_inline)) {
    return vreinterpretq_s8_u8(veorq_u8(load(numbers + i), offset));
  };
  float32x4_t total[kTwos][kPairs];
  QWENVL_EACH_TWO QWENVL_EACH_PAIR total[m][v] = vdupq_n_f32(0);
  for (std::int64_t b = 0; b < p.n_scales; ++b) {
    Sums<kTwos> block;
    clear(block);
    for (std::int64_t i = b * length; i < (b + 1) * length; i += 8) {
      int8x16_t x[kTwos];
      load_rows<kTwos>(a + i, p.k, x);
      _Pragma("GCC unroll 2") for (int v = 0; v < kPairs; v += 2) {
        add_products(block, v, numbers_at(i * kPanelRows + v * 8),
                     numbers_at((i + 4) * kPanelRows + v * 8), x);
      }
    }
    _Pragma("GCC unroll 2") for (int v = 0; v < kPairs; v += 2) {
      add_scaled(total, block, v, vld1q_f32(scales + v * 2), p.a_scales + t * p.n_scales + b,
                 p.n_scales);
    }
  }
  store(total, c);
}

template <int kTwos>
void pairs_of_rows(const PackedProduct& p, std::int64_t t, const std::byte* panel, float* c) {
  for (int quarter = 0; quarter < kQuarters; ++quarter, c += kPanelRows / kQuarters) {
    if (p.packing == Packing::int4) {
      int4_quarter<kTwos>(p, t, panel, quarter, c);
    } else {
      int8_quarter<kTwos>(p, t, panel, quarter, c);
    }
  }
}

template <int kM>
void rows_of_panel(const PackedProduct& p, std::int64_t t, const std::byte* panel, float* c) {
  if constexpr (kM >= 2) pairs_of_rows<kM / 2>(p, t, panel, c);
  if constexpr (kM % 2 == 1) half_panels<1>(p, t + kM - 1, panel, c + (kM - 1) * kPanelRows);
}

#include "backend/cpu/packed/packed_rows.inl"

}  // namespace

constinit const PackedKernels packed_neon_i8mm = {quantise_activations, multiply};

}  // namespace qwenvl::cpu
QWENVL_TARGET_END

#endif  // __aarch64__
