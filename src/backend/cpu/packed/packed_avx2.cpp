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

// Eight sub-scales of a group, 32 bits wide.
inline __attribute__((always_inline)) __m256i subs(const std::byte* p, bool high) {
  const __m256i both = _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
  return _mm256_srai_epi32(high ? _mm256_slli_epi32(both, 24) : _mm256_slli_epi32(both, 28), 28);
}

// c[m][0 … 7] for kM rows of x and 8 rows of W, the e-th eight of an int4 panel.
template <int kM>
__attribute__((noinline)) void int4_eight(const PackedProduct& p, std::int64_t t,
                                          const std::byte* panel, int e, float* c) {
  const std::int8_t* a = p.a + t * p.k;
  const float* a_scales = p.a_scales + t * p.n_scales;
  const std::int64_t n_sums = p.k / kSubGroup;
  const std::int32_t* a_sums = p.a_sums + t * n_sums;
  const __m256i low_half = _mm256_set1_epi8(15), ones = _mm256_set1_epi16(1);
  __m256 sum[kM];
  QWENVL_EACH_ROW sum[m] = _mm256_setzero_ps();
  for (std::int64_t b = 0; b < p.k / kBlock; ++b, panel += kInt4Block) {
    __m256i block[kM];
    QWENVL_EACH_ROW block[m] = _mm256_setzero_si256();
    // Not unrolled: there are 16 registers.
    QWENVL_ROLLED for (int g = 0; g < 4; ++g) {
      const std::byte* numbers = panel + kInt4Header + g * 512 + e * 32;
      const std::int8_t* x = a + b * kBlock + g * 32;
      __m256i pairs[kM];  // 8 additions of at most 2 · 15 · 127: they fit into 16 bits
      QWENVL_EACH_ROW pairs[m] = _mm256_setzero_si256();
      QWENVL_ROLLED for (int s = 0; s < 4; ++s) {
        const __m256i w = load(numbers + s * 128);
        _mm_prefetch(reinterpret_cast<const char*>(numbers) + s * 128 + kAhead, _MM_HINT_T1);
        const __m256i low = _mm256_and_si256(w, low_half);
        const __m256i high = _mm256_and_si256(_mm256_srli_epi16(w, 4), low_half);
        QWENVL_EACH_ROW {
          const __m256i x_low = four_bytes(x + m * p.k + s * 8),
                        x_high = four_bytes(x + m * p.k + s * 8 + 4);
          pairs[m] = _mm256_add_epi16(pairs[m], _mm256_maddubs_epi16(low, x_low));
          pairs[m] = _mm256_add_epi16(pairs[m], _mm256_maddubs_epi16(high, x_high));
        }
      }
      const __m256i sub = subs(panel + 64 + g / 2 * 32 + e * kEight, g % 2);
      QWENVL_EACH_ROW {
        const __m256i extra = _mm256_set1_epi32(8 * a_sums[m * n_sums + b * 4 + g]);
        const __m256i group = _mm256_sub_epi32(_mm256_madd_epi16(pairs[m], ones), extra);
        block[m] = _mm256_add_epi32(block[m], _mm256_mullo_epi32(group, sub));
      }
    }
    const __m256 scale =
        _mm256_cvtph_ps(_mm_load_si128(reinterpret_cast<const __m128i*>(panel + e * kEight * 2)));
    QWENVL_EACH_ROW {
      const __m256 x_scale = _mm256_set1_ps(a_scales[m * p.n_scales + b]);
      sum[m] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(block[m]), _mm256_mul_ps(scale, x_scale), sum[m]);
    }
  }
  QWENVL_EACH_ROW _mm256_storeu_ps(c + m * kPanelRows, sum[m]);
}

template <int kM>
__attribute__((noinline)) void int8_eight(const PackedProduct& p, std::int64_t t,
                                          const std::byte* panel, int e, float* c) {
  const std::int8_t* a = p.a + t * p.k;
  const float* a_scales = p.a_scales + t * p.n_scales;
  const std::int64_t length = p.k / p.n_scales;
  const __m256 scale = _mm256_load_ps(reinterpret_cast<const float*>(panel) + e * kEight);
  const __m256i offset = _mm256_set1_epi8(static_cast<char>(0x80)), ones = _mm256_set1_epi16(1);
  const std::byte* numbers = panel + kInt8Header + e * 32;
  __m256 sum[kM];
  QWENVL_EACH_ROW sum[m] = _mm256_setzero_ps();
  for (std::int64_t b = 0; b < p.n_scales; ++b) {
    __m256i block[kM];
    QWENVL_EACH_ROW block[m] = _mm256_setzero_si256();
    for (std::int64_t i = b * length; i < (b + 1) * length; i += 4) {
      // Signs moved over to x: |w| · ±x, two of at most 127 · 127 fit into 16 bits.
      const __m256i w = _mm256_xor_si256(load(numbers + i * kPanelRows), offset);
      const __m256i size = _mm256_abs_epi8(w);
      _mm_prefetch(reinterpret_cast<const char*>(numbers) + i * kPanelRows + kAhead, _MM_HINT_T1);
      QWENVL_EACH_ROW {
        const __m256i x = _mm256_sign_epi8(four_bytes(a + m * p.k + i), w);
        block[m] =
            _mm256_add_epi32(block[m], _mm256_madd_epi16(_mm256_maddubs_epi16(size, x), ones));
      }
    }
    QWENVL_EACH_ROW {
      const __m256 x_scale = _mm256_set1_ps(a_scales[m * p.n_scales + b]);
      sum[m] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(block[m]), _mm256_mul_ps(scale, x_scale), sum[m]);
    }
  }
  QWENVL_EACH_ROW _mm256_storeu_ps(c + m * kPanelRows, sum[m]);
}

template <int kM>
void rows_of_panel(const PackedProduct& p, std::int64_t t, const std::byte* panel, float* c) {
  for (int e = 0; e < kPanelRows / kEight; ++e) {
    if (p.packing == Packing::int4) {
      int4_eight<kM>(p, t, panel, e, c + e * kEight);
    } else {
      int8_eight<kM>(p, t, panel, e, c + e * kEight);
    }
  }
}

#include "backend/cpu/packed/packed_rows.inl"

}  // namespace

constinit const PackedKernels packed_avx2 = {quantise_activations, multiply};

}  // namespace qwenvl::cpu
QWENVL_TARGET_END

#endif  // __x86_64__
