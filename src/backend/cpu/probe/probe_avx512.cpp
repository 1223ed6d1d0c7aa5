// The probe's loops for x86-64 with AVX-512, its int8 (VNNI) and its bf16 products.
#if defined(__x86_64__)

#include <immintrin.h>

#include "backend/cpu/probe/probe_table.h"
#include "backend/cpu/target.h"

// Twenty sums side by side hide the latency of the instruction. Written out, because an array of
// registers would be kept in memory; and in assembly, so that no compiler merges equal sums.
#define QWENVL_EACH_SUM(step)                                                              \
  step(0) step(1) step(2) step(3) step(4) step(5) step(6) step(7) step(8) step(9) step(10) \
      step(11) step(12) step(13) step(14) step(15) step(16) step(17) step(18) step(19)
#define QWENVL_ZERO(i) __m512i sum##i = _mm512_setzero_si512();

QWENVL_TARGET_BEGIN("avx512f")
namespace qwenvl::cpu {
namespace {

constexpr int kSums = 20;

// n times one instruction on each sum; `a` and `b` are 32 bits of its operands.
#define QWENVL_PEAK(name, step, a_bits, b_bits)                                 \
  void name(std::int64_t n) noexcept {                                          \
    const __m512i a = _mm512_set1_epi32(a_bits), b = _mm512_set1_epi32(b_bits); \
    QWENVL_EACH_SUM(QWENVL_ZERO)                                                \
    for (; n > 0; --n) {                                                        \
      QWENVL_EACH_SUM(step)                                                     \
    }                                                                           \
  }
#define QWENVL_F32(i) __asm__ volatile("vfmadd231ps %1, %2, %0" : "+v"(sum##i) : "v"(a), "v"(b));
#define QWENVL_INT8(i) __asm__ volatile("vpdpbusd %1, %2, %0" : "+v"(sum##i) : "v"(a), "v"(b));
#define QWENVL_BF16(i) __asm__ volatile("vdpbf16ps %1, %2, %0" : "+v"(sum##i) : "v"(a), "v"(b));

QWENVL_PEAK(f32_peak, QWENVL_F32, 0x3f800000, 0x3f000000)
QWENVL_PEAK(int8_peak, QWENVL_INT8, 0x01010101, 0x02020202)
QWENVL_PEAK(bf16_peak, QWENVL_BF16, 0x3f803f80, 0x3f003f00)

std::uint64_t read(const std::byte* begin, std::size_t n_bytes, int n_streams) noexcept {
  const std::size_t stride = n_bytes / static_cast<std::size_t>(n_streams);
  __m512i even = _mm512_setzero_si512(), odd = even;
  for (std::size_t at = 0; at < stride; at += 128) {
    for (int s = 0; s < n_streams; ++s) {
      const std::byte* from = begin + static_cast<std::size_t>(s) * stride + at;
      _mm_prefetch(reinterpret_cast<const char*>(from + 1024), _MM_HINT_T1);
      _mm_prefetch(reinterpret_cast<const char*>(from + 1088), _MM_HINT_T1);
      even = _mm512_xor_si512(even, _mm512_load_si512(from));
      odd = _mm512_xor_si512(odd, _mm512_load_si512(from + 64));
    }
  }
  alignas(64) std::uint64_t parts[8];
  _mm512_store_si512(parts, _mm512_xor_si512(even, odd));
  std::uint64_t sum = 0;
  for (const std::uint64_t part : parts) sum ^= part;
  return sum;
}

}  // namespace

constinit const PeakLoop kAvx512VnniInt8{"AVX-512 VNNI", kSums * 64 * 2, &int8_peak};
constinit const PeakLoop kAvx512Bf16{"AVX-512 BF16", kSums * 32 * 2, &bf16_peak};
constinit const PeakLoop kAvx512F32{"AVX-512 float32", kSums * 16 * 2, &f32_peak};
constinit const ReadLoop kAvx512Read{"AVX-512", &read};
}  // namespace qwenvl::cpu
QWENVL_TARGET_END

#endif  // __x86_64__
