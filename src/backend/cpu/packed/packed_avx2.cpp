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

#include "backend/cpu/packed/packed_quantise_avx2.inl"

inline __attribute__((always_inline)) __m256i four_bytes(const std::int8_t* p) {
  std::int32_t value;
  __builtin_memcpy(&value, p, 4);
  return _mm256_set1_epi32(value);
}

// In pairs, 16 bits wide: 8 additions of at most 2 · 15 · 127 fit.
inline __attribute__((always_inline)) __m256i add_codes(__m256i sums, __m256i w, __m256i x) {
  return _mm256_add_epi16(sums, _mm256_maddubs_epi16(w, x));
}

inline __attribute__((always_inline)) __m256i in_32_bits(__m256i sums) {
  return _mm256_madd_epi16(sums, _mm256_set1_epi16(1));
}

// Two products of an unsigned and a signed byte may exceed 16 bits, of bytes within ±127 not: the
// signs of W move over to x.
struct Bytes {
  __m256i w, size;
};

inline __attribute__((always_inline)) Bytes bytes_of(__m256i stored) {
  const __m256i w = _mm256_xor_si256(stored, _mm256_set1_epi8(static_cast<char>(0x80)));
  return {w, _mm256_abs_epi8(w)};
}

inline __attribute__((always_inline)) __m256i add_bytes(__m256i sums, Bytes w, __m256i x) {
  const __m256i pairs = _mm256_maddubs_epi16(w.size, _mm256_sign_epi8(x, w.w));
  return _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

inline __attribute__((always_inline)) __m256i start(std::int32_t) { return _mm256_setzero_si256(); }

template <int kM>
constexpr int kEights = kM == 1   ? 4
                        : kM == 2 ? 2
                                  : 1;

#include "backend/cpu/packed/packed_few_rows_avx2.inl"

}  // namespace

constinit const PackedKernels packed_avx2 = {quantise, multiply};

}  // namespace qwenvl::cpu
QWENVL_TARGET_END

#endif  // __x86_64__
