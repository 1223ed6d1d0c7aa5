// Matrix products of bf16 weights with the dot products of AVX-512 BF16, for any number of rows: a
// row's sums are formed in the same order whatever is computed beside it. The instruction adds two
// products at a time, rounds each sum to even and takes denormals for zeros.
#if defined(__x86_64__)

#include <immintrin.h>

#include <cstdint>

#include "backend/cpu/kernel_table.h"
#include "backend/cpu/target.h"

#if defined(__clang__)
QWENVL_TARGET_BEGIN("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma")
#else
QWENVL_TARGET_BEGIN(
    "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma,prefer-vector-width=512")
#endif
namespace qwenvl::cpu {
namespace {

#include "backend/cpu/bf16_pairs_avx512.inl"

#define QWENVL_EACH_ROW _Pragma("GCC unroll 12") for (int m = 0; m < kM; ++m)

// sum += products of the pairs of w and x in each lane. As an instruction: through the intrinsic
// g++ 12 keeps some of many sums in memory.
inline __attribute__((always_inline)) void add_products(__m512& sum, __m512i w, __m512i x) {
  asm("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(x), "v"(w));
}

// c = kM rows of a · the panel.
template <int kM>
__attribute__((noinline)) void panel_rows(const bf16* a, std::int64_t k, const bf16* panel,
                                          float* c, std::int64_t ldc) {
  __m512 low[kM], high[kM];
  QWENVL_EACH_ROW low[m] = high[m] = _mm512_setzero_ps();
  for (std::int64_t i = 0; i < k; i += 2, panel += 2 * kWidth) {
    const __m512i w_low = _mm512_load_si512(panel), w_high = _mm512_load_si512(panel + kWidth);
    QWENVL_EACH_ROW {
      const __m512i x = same_pair(a + m * k + i);
      add_products(low[m], w_low, x);
      add_products(high[m], w_high, x);
    }
  }
  QWENVL_EACH_ROW {
    _mm512_storeu_ps(c + m * ldc, low[m]);
    _mm512_storeu_ps(c + m * ldc + 16, high[m]);
  }
}

void multiply(const bf16* a, std::int64_t m, std::int64_t padded_k, const bf16* panel, float* c,
              std::int64_t ldc) noexcept {
  std::int64_t t = 0;
  for (; t + 12 <= m; t += 12) panel_rows<12>(a + t * padded_k, padded_k, panel, c + t * ldc, ldc);
  if (t + 8 <= m) panel_rows<8>(a + t * padded_k, padded_k, panel, c + t * ldc, ldc), t += 8;
  if (t + 4 <= m) panel_rows<4>(a + t * padded_k, padded_k, panel, c + t * ldc, ldc), t += 4;
  for (; t < m; ++t) panel_rows<1>(a + t * padded_k, padded_k, panel, c + t * ldc, ldc);
}

// Numbers of a row that are fetched ahead, into the rows of the next panel at the end.
constexpr std::int64_t kAhead = 512;

// kM rows of a · up to 32 rows of W as they are stored: transposed in registers, 32 numbers of 16
// rows at a time, and summed in the order of panel_rows.
template <int kM>
__attribute__((noinline)) void stored_rows(const bf16* a, std::int64_t padded_k, const bf16* w,
                                           std::int64_t n_in, std::int64_t n, float* c,
                                           std::int64_t ldc) {
  __m512 sum[2][kM];
  QWENVL_EACH_ROW sum[0][m] = sum[1][m] = _mm512_setzero_ps();
  for (std::int64_t i = 0; i < padded_k; i += 32) {
    const std::int64_t here = n_in - i < 32 ? n_in - i : 32, ahead = i + kAhead;
    const __mmask32 some = here == 32 ? 0xffffffffu : (1u << here) - 1;
    const bf16* next = ahead < n_in ? w + ahead : w + kWidth * n_in + (ahead - n_in);
    _Pragma("GCC unroll 2") for (int half = 0; half < 2; ++half) {
      __m512i r[16];
      _Pragma("GCC unroll 16") for (int j = 0; j < 16; ++j) {
        const std::int64_t row = 16 * half + j;
        r[j] =
            row < n ? _mm512_maskz_loadu_epi16(some, w + row * n_in + i) : _mm512_setzero_si512();
        _mm_prefetch(reinterpret_cast<const char*>(next + row * n_in), _MM_HINT_T1);
      }
      transpose(r);
      _Pragma("GCC unroll 16") for (int p = 0; p < 16; ++p) {
        QWENVL_EACH_ROW add_products(sum[half][m], r[p], same_pair(a + m * padded_k + i + 2 * p));
      }
    }
  }
  QWENVL_EACH_ROW {
    _mm512_storeu_ps(c + m * ldc, sum[0][m]);
    _mm512_storeu_ps(c + m * ldc + 16, sum[1][m]);
  }
}

void multiply_few(const bf16* a, std::int64_t m, std::int64_t padded_k, const bf16* w,
                  std::int64_t n_in, std::int64_t n, float* c, std::int64_t ldc) noexcept {
  switch (m) {
    case 1: return stored_rows<1>(a, padded_k, w, n_in, n, c, ldc);
    case 2: return stored_rows<2>(a, padded_k, w, n_in, n, c, ldc);
    case 3: return stored_rows<3>(a, padded_k, w, n_in, n, c, ldc);
    default: return stored_rows<4>(a, padded_k, w, n_in, n, c, ldc);
  }
}
static_assert(Bf16Linear::kFewRows == 4);

}  // namespace

constinit const Bf16Linear bf16_linear_avx512 = {lay_out_panel, multiply, 48, multiply_few};

}  // namespace qwenvl::cpu
QWENVL_TARGET_END

#endif  // __x86_64__
