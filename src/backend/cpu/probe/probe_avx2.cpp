// The probe's loops for x86-64 with AVX2 and FMA, and for AVX-VNNI.
#if defined(__x86_64__)

#include <immintrin.h>

#include "backend/cpu/probe/probe_table.h"
#include "backend/cpu/target.h"

// Twelve sums side by side hide the latency of the instruction. Written out, because an array of
// registers would be kept in memory; and in assembly, so that no compiler merges equal sums.
#define QWENVL_EACH_SUM(step) \
  step(0) step(1) step(2) step(3) step(4) step(5) step(6) step(7) step(8) step(9) step(10) step(11)

QWENVL_TARGET_BEGIN("avx2,fma")
namespace qwenvl::cpu {
namespace {

void f32_peak(std::int64_t n) noexcept {
  const __m256 a = _mm256_set1_ps(1.0f), b = _mm256_set1_ps(0.5f);
#define QWENVL_ZERO(i) __m256 sum##i = _mm256_setzero_ps();
#define QWENVL_STEP(i) __asm__ volatile("vfmadd231ps %1, %2, %0" : "+x"(sum##i) : "x"(a), "x"(b));
  QWENVL_EACH_SUM(QWENVL_ZERO)
  for (; n > 0; --n) {
    QWENVL_EACH_SUM(QWENVL_STEP)
  }
#undef QWENVL_STEP
#undef QWENVL_ZERO
}

// u8 · s8 → s16 pairs → s32, three instructions for 32 products. Four chains of three.
void int8_peak(std::int64_t n) noexcept {
  const __m256i a = _mm256_set1_epi8(1), b = _mm256_set1_epi8(2), ones = _mm256_set1_epi16(1);
#define QWENVL_ZERO(i) __m256i sum##i = _mm256_setzero_si256();
#define QWENVL_STEP(i)                \
  {                                   \
    __m256i pairs;                    \
    __asm__ volatile(                 \
        "vpmaddubsw %2, %3, %1\n\t"   \
        "vpmaddwd %1, %4, %1\n\t"     \
        "vpaddd %1, %0, %0"           \
        : "+x"(sum##i), "=&x"(pairs)  \
        : "x"(a), "x"(b), "x"(ones)); \
  }
  QWENVL_ZERO(0) QWENVL_ZERO(1) QWENVL_ZERO(2) QWENVL_ZERO(3) for (; n > 0; --n) {
    QWENVL_STEP(0) QWENVL_STEP(1) QWENVL_STEP(2) QWENVL_STEP(3)
  }
#undef QWENVL_STEP
#undef QWENVL_ZERO
}

// The encoding is stated, as assemblers prefer the one of AVX-512.
void vnni_peak(std::int64_t n) noexcept {
  const __m256i a = _mm256_set1_epi8(1), b = _mm256_set1_epi8(2);
#define QWENVL_ZERO(i) __m256i sum##i = _mm256_setzero_si256();
#define QWENVL_STEP(i) \
  __asm__ volatile("%{vex%} vpdpbusd %1, %2, %0" : "+x"(sum##i) : "x"(a), "x"(b));
  QWENVL_EACH_SUM(QWENVL_ZERO)
  for (; n > 0; --n) {
    QWENVL_EACH_SUM(QWENVL_STEP)
  }
#undef QWENVL_STEP
#undef QWENVL_ZERO
}

std::uint64_t read(const std::byte* begin, std::size_t n_bytes, int n_streams) noexcept {
  const std::size_t stride = n_bytes / static_cast<std::size_t>(n_streams);
  __m256i even = _mm256_setzero_si256(), odd = even;
  for (std::size_t at = 0; at < stride; at += 64) {
    for (int s = 0; s < n_streams; ++s) {
      const std::byte* from = begin + static_cast<std::size_t>(s) * stride + at;
      _mm_prefetch(reinterpret_cast<const char*>(from + 1024), _MM_HINT_T1);
      const __m256i* line = reinterpret_cast<const __m256i*>(from);
      even = _mm256_xor_si256(even, _mm256_load_si256(line));
      odd = _mm256_xor_si256(odd, _mm256_load_si256(line + 1));
    }
  }
  alignas(32) std::uint64_t parts[4];
  _mm256_store_si256(reinterpret_cast<__m256i*>(parts), _mm256_xor_si256(even, odd));
  return parts[0] ^ parts[1] ^ parts[2] ^ parts[3];
}

}  // namespace

constinit const PeakLoop kAvx2Int8{"AVX2 int8", 4 * 32 * 2, &int8_peak};
constinit const PeakLoop kAvxVnniInt8{"AVX-VNNI", 12 * 32 * 2, &vnni_peak};
constinit const PeakLoop kAvx2F32{"AVX2 float32", 12 * 8 * 2, &f32_peak};
constinit const ReadLoop kAvx2Read{"AVX2", &read};
}  // namespace qwenvl::cpu
QWENVL_TARGET_END

#endif  // __x86_64__
