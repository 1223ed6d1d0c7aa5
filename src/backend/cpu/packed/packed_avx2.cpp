// Packed products with AVX2: bytes multiplied and added in pairs, 8 rows of W at a time. Also for
// processors with AVX-512 but without its byte dot products.
#if defined(__x86_64__)

#include <immintrin.h>

#include <cstdint>

#include "backend/cpu/packed/packed_kernels.h"
#include "backend/cpu/target.h"

QWENVL_TARGET_BEGIN("avx2,fma,f16c")
namespace qwenvl::cpu {
namespace {

constexpr int kEight = 8;  // rows of W in a vector
constexpr int kAhead = 2048;

#if defined(__clang__)
#define QWENVL_ROLLED _Pragma("clang loop unroll(disable)")
#else
#define QWENVL_ROLLED _Pragma("GCC unroll 1")
#endif
#define QWENVL_EACH_ROW _Pragma("GCC unroll 4") for (int m = 0; m < kM; ++m)

inline __attribute__((always_inline)) __m256i four_bytes(const std::int8_t* p) {
  std::int32_t value;
  __builtin_memcpy(&value, p, 4);
  return _mm256_set1_epi32(value);
}

inline __attribute__((always_inline)) __m256i load(const std::byte* p) {
  return _mm256_load_si256(reinterpret_cast<const __m256i*>(p));
}

// Eight sub-scales of a group, each as the low half of 32 bits with nothing above it.
inline __attribute__((always_inline)) __m256i subs(const std::byte* p, bool high) {
  const __m256i both = _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
  const __m256i top = _mm256_slli_epi16(both, high ? 8 : 12);
  return _mm256_srai_epi16(high ? _mm256_and_si256(top, _mm256_set1_epi16(-4096)) : top, 12);
}

// Fetches the line a quarter of a panel's step begins with.
inline __attribute__((always_inline)) void prefetch(const std::byte* p) {
  _mm_prefetch(reinterpret_cast<const char*>(p) + kAhead, _MM_HINT_T1);
}

// c[m][e · 8 …] = what is there unless this is the first block, and 0 then, + sums · scales.
inline __attribute__((always_inline)) void add_scaled(__m256i sums, __m256 scale, float x_scale,
                                                      bool is_first, float* c) {
  const __m256 before = is_first ? _mm256_setzero_ps() : _mm256_loadu_ps(c);
  const __m256 both = _mm256_mul_ps(scale, _mm256_set1_ps(x_scale));
  _mm256_storeu_ps(c, _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums), both, before));
}

// A panel is read once, in order, whatever the number of rows: kEights · 8 of its 32 rows are
// multiplied at a time, those of a block one after the other.
template <int kM>
constexpr int kEights = kM == 1 ? 4 : 1;  // as many sums as there are registers for

// c[m][e · 8 …] for kM rows of x and one block of an int4 panel.
template <int kM>
inline __attribute__((always_inline)) void int4_block(const PackedProduct& p, std::int64_t t,
                                                      const std::byte* panel, std::int64_t b,
                                                      int e, float* c) {
  constexpr int kE = kEights<kM>;
  const std::int8_t* x = p.a + t * p.k + b * kBlock;
  const std::int32_t* x_sums = p.a_sums + t * (p.k / kSubGroup) + b * 4;
  const __m256i low_half = _mm256_set1_epi8(15), ones = _mm256_set1_epi16(1);
  __m256i block[kM][kE];
  QWENVL_EACH_ROW for (int j = 0; j < kE; ++j) block[m][j] = _mm256_setzero_si256();
  // Not unrolled: there are 16 registers.
  QWENVL_ROLLED for (int g = 0; g < 4; ++g, x += 32) {
    const std::byte* numbers = panel + kInt4Header + g * 512 + e * 32;
    __m256i pairs[kM][kE];  // 8 additions of at most 2 · 15 · 127: they fit into 16 bits
    QWENVL_EACH_ROW for (int j = 0; j < kE; ++j) pairs[m][j] = _mm256_setzero_si256();
    QWENVL_ROLLED for (int s = 0; s < 4; ++s) {
      _Pragma("GCC unroll 4") for (int j = 0; j < kE; ++j) {
        const __m256i w = load(numbers + s * 128 + j * 32);
        if ((e + j) % 2 == 0) prefetch(numbers + s * 128 + j * 32);
        const __m256i low = _mm256_and_si256(w, low_half);
        const __m256i high = _mm256_and_si256(_mm256_srli_epi16(w, 4), low_half);
        QWENVL_EACH_ROW {
          const __m256i x_low = four_bytes(x + m * p.k + s * 8),
                        x_high = four_bytes(x + m * p.k + s * 8 + 4);
          pairs[m][j] = _mm256_add_epi16(pairs[m][j], _mm256_maddubs_epi16(low, x_low));
          pairs[m][j] = _mm256_add_epi16(pairs[m][j], _mm256_maddubs_epi16(high, x_high));
        }
      }
    }
    _Pragma("GCC unroll 4") for (int j = 0; j < kE; ++j) {
      const __m256i sub = subs(panel + 64 + g / 2 * 32 + (e + j) * kEight, g % 2);
      QWENVL_EACH_ROW {
        // A group's sum fits into 16 bits, so one 16-bit multiplication scales it.
        const __m256i extra = _mm256_set1_epi32(8 * x_sums[m * (p.k / kSubGroup) + g]);
        const __m256i group = _mm256_sub_epi32(_mm256_madd_epi16(pairs[m][j], ones), extra);
        block[m][j] = _mm256_add_epi32(block[m][j], _mm256_madd_epi16(group, sub));
      }
    }
  }
  _Pragma("GCC unroll 4") for (int j = 0; j < kE; ++j) {
    const __m256 scale = _mm256_cvtph_ps(
        _mm_load_si128(reinterpret_cast<const __m128i*>(panel + (e + j) * kEight * 2)));
    QWENVL_EACH_ROW add_scaled(block[m][j], scale, p.a_scales[(t + m) * p.n_scales + b], b == 0,
                               c + m * kPanelRows + (e + j) * kEight);
  }
}

template <int kM>
__attribute__((noinline)) void int4_panel(const PackedProduct& p, std::int64_t t,
                                          const std::byte* panel, float* c) {
  for (std::int64_t b = 0; b < p.k / kBlock; ++b, panel += kInt4Block) {
    prefetch(panel);
    prefetch(panel + 64);
    for (int e = 0; e < kPanelRows / kEight; e += kEights<kM>) int4_block<kM>(p, t, panel, b, e, c);
  }
}

// block += products of kBlock numbers of kM rows of x and 8 · kE rows of W.
template <int kM, int kE>
inline __attribute__((always_inline)) void int8_sums(const PackedProduct& p, const std::int8_t* x,
                                                     const std::byte* numbers,
                                                     __m256i (&block)[kM][kE]) {
  const __m256i offset = _mm256_set1_epi8(static_cast<char>(0x80)), ones = _mm256_set1_epi16(1);
  QWENVL_ROLLED for (std::int64_t i = 0; i < kBlock; i += 4, numbers += 4 * kPanelRows) {
    _Pragma("GCC unroll 4") for (int j = 0; j < kE; ++j) {
      // Signs moved over to x: |w| · ±x, two of at most 127 · 127 fit into 16 bits.
      const __m256i w = _mm256_xor_si256(load(numbers + j * 32), offset);
      const __m256i size = _mm256_abs_epi8(w);
      if (j % 2 == 0) prefetch(numbers + j * 32);
      QWENVL_EACH_ROW {
        const __m256i signed_x = _mm256_sign_epi8(four_bytes(x + m * p.k + i), w);
        const __m256i pairs = _mm256_maddubs_epi16(size, signed_x);
        block[m][j] = _mm256_add_epi32(block[m][j], _mm256_madd_epi16(pairs, ones));
      }
    }
  }
}

// Where a scale is shared by more than a block, c keeps the integer sums of the blocks before.
template <int kM>
__attribute__((noinline)) void int8_panel(const PackedProduct& p, std::int64_t t,
                                          const std::byte* panel, float* c) {
  constexpr int kE = kEights<kM>;
  const std::int8_t* x = p.a + t * p.k;
  const std::int64_t n_blocks = p.k / kBlock, per_scale = n_blocks / p.n_scales;
  const float* scales = reinterpret_cast<const float*>(panel);
  for (std::int64_t b = 0; b < n_blocks; ++b, x += kBlock) {
    const std::byte* numbers = panel + kInt8Header + b * kBlock * kPanelRows;
    const std::int64_t s = b / per_scale;
    for (int e = 0; e < kPanelRows / kEight; e += kE) {
      __m256i block[kM][kE];
      QWENVL_EACH_ROW for (int j = 0; j < kE; ++j) {
        const float* at = c + m * kPanelRows + (e + j) * kEight;
        block[m][j] = b % per_scale == 0
                          ? _mm256_setzero_si256()
                          : _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at));
      }
      int8_sums<kM, kE>(p, x, numbers + e * 32, block);
      QWENVL_EACH_ROW for (int j = 0; j < kE; ++j) {
        float* at = c + m * kPanelRows + (e + j) * kEight;
        if ((b + 1) % per_scale == 0) {
          const __m256 scale = _mm256_load_ps(scales + (e + j) * kEight);
          add_scaled(block[m][j], scale, p.a_scales[(t + m) * p.n_scales + s], s == 0, at);
        } else {
          _mm256_storeu_si256(reinterpret_cast<__m256i*>(at), block[m][j]);
        }
      }
    }
  }
}

template <int kM>
void rows_of_panel(const PackedProduct& p, std::int64_t t, const std::byte* panel, float* c) {
  (p.packing == Packing::int4 ? int4_panel<kM> : int8_panel<kM>)(p, t, panel, c);
}

#include "backend/cpu/packed/packed_rows.inl"

}  // namespace

constinit const PackedKernels packed_avx2 = {quantise_activations, multiply};

}  // namespace qwenvl::cpu
QWENVL_TARGET_END

#endif  // __x86_64__
