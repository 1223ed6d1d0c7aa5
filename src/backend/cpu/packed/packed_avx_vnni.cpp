// Packed products with the byte dot products of AVX-VNNI, for processors that have them without
// AVX-512: sums of 4 products of an unsigned and a signed byte in each of 8 lanes, one lane a row
// of W. Codes are unsigned; what that adds to each sum, a multiple of the sum of the activations,
// is taken off again.
//
// Many rows of x go six at a time with 16 rows of W: as many sums as there are registers for; int4
// is expanded to bytes before.
#if defined(__x86_64__)

#include <immintrin.h>

#include <cstdint>
#include <utility>

#include "backend/cpu/packed/packed_kernels.h"
#include "backend/cpu/target.h"

QWENVL_TARGET_BEGIN("avx2,fma,f16c,avxvnni")
namespace qwenvl::cpu {
namespace {

#include "backend/cpu/packed/packed_ahead.inl"
#include "backend/cpu/packed/packed_quantise_avx2.inl"

inline __attribute__((always_inline)) __m256i four_bytes(const std::int8_t* p) {
  std::int32_t value;
  __builtin_memcpy(&value, p, 4);
  return _mm256_set1_epi32(value);
}

// As an instruction: through the intrinsic g++ 12 moves many sums between registers and memory. The
// encoding is stated, as assemblers prefer the one of AVX-512.
inline __attribute__((always_inline)) __m256i add_products(__m256i sums, __m256i w, __m256i x) {
  __asm__("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sums) : "x"(w), "x"(x));
  return sums;
}

inline __attribute__((always_inline)) __m256i add_codes(__m256i sums, __m256i w, __m256i x) {
  return add_products(sums, w, x);
}

inline __attribute__((always_inline)) __m256i in_32_bits(__m256i sums) { return sums; }

struct Bytes {
  __m256i w;
};

inline __attribute__((always_inline)) Bytes bytes_of(__m256i stored) { return {stored}; }

inline __attribute__((always_inline)) __m256i add_bytes(__m256i sums, Bytes w, __m256i x) {
  return add_products(sums, w.w, x);
}

inline __attribute__((always_inline)) __m256i start(std::int32_t value) {
  return _mm256_set1_epi32(value);
}

template <int kM>
constexpr int kEights = kM == 1   ? 4
                        : kM == 2 ? 2
                                  : 1;

#include "backend/cpu/packed/packed_few_rows_avx2.inl"

// ---- many rows ---------------------------------------------------------------------------------

constexpr int kTallRows = 6;                            // two registers of sums each
constexpr std::int64_t kExpandedAtOnce = 512 / kBlock;  // blocks: 16 KB, half a first-level cache

// sub · (u − 8) + 128 of 32 codes, four of each of 8 rows of W. sub, sub8: a row's sub-scale and
// eight times it, in both halves of its 32 bits.
inline __attribute__((always_inline)) __m256i expanded(__m256i codes, __m256i sub, __m256i sub8) {
  const __m256i even = _mm256_and_si256(codes, _mm256_set1_epi16(15));
  const __m256i odd = _mm256_srli_epi16(codes, 8);
  const __m256i even_product = _mm256_sub_epi16(_mm256_mullo_epi16(even, sub), sub8);
  const __m256i odd_product = _mm256_sub_epi16(_mm256_mullo_epi16(odd, sub), sub8);
  const __m256i bytes = _mm256_or_si256(_mm256_and_si256(even_product, _mm256_set1_epi16(0xff)),
                                        _mm256_slli_epi16(odd_product, 8));
  return _mm256_xor_si256(bytes, _mm256_set1_epi8(-128));
}

// Blocks of an int4 panel → bytes of 128 more than the weights, [number / 4][32][4].
void expand_int4(const std::byte* block, std::int64_t n_blocks, std::byte* out) {
  const __m256i low_half = _mm256_set1_epi8(15);
  for (std::int64_t b = 0; b < n_blocks; ++b, block += kInt4Block) {
    for (int g = 0; g < 4; ++g) {
      for (int e = 0; e < kPanelRows / kEight; ++e) {
        const __m256i low_sub = subs(block + 64 + g / 2 * 32 + e * kEight, g % 2);
        const __m256i sub = _mm256_or_si256(low_sub, _mm256_slli_epi32(low_sub, 16));
        const __m256i sub8 = _mm256_slli_epi16(sub, 3);
        const std::byte* from = block + kInt4Header + g * 512 + e * 32;
        std::byte* to = out + b * kBlock * kPanelRows + g * 1024 + e * 32;
        for (int s = 0; s < 4; ++s, from += 128, to += 256) {
          const __m256i both = load(from);
          const __m256i low = _mm256_and_si256(both, low_half);
          const __m256i high = _mm256_and_si256(_mm256_srli_epi16(both, 4), low_half);
          _mm256_store_si256(reinterpret_cast<__m256i*>(to), expanded(low, sub, sub8));
          _mm256_store_si256(reinterpret_cast<__m256i*>(to + 128), expanded(high, sub, sub8));
        }
      }
    }
  }
}

// The scales of 8 rows of W of a block, from row e · 8 on.
inline __attribute__((always_inline)) __m256 scales_of(Packing packing, const std::byte* panel,
                                                       std::int64_t block, int e) {
  if (packing != Packing::int4)
    return _mm256_load_ps(reinterpret_cast<const float*>(panel) + e * 8);
  const std::byte* scales = panel + block * kInt4Block + e * 16;
  return _mm256_cvtph_ps(_mm_load_si128(reinterpret_cast<const __m128i*>(scales)));
}

// Some blocks of a panel as unsigned bytes, 128 more than the weights.
struct TallPiece {
  const std::byte* panel;    // where the scales are
  const std::byte* numbers;  // [n_blocks · kBlock / 4][32][4]
  std::int64_t first, n_blocks;
};

template <int... kRow, class DoRow>
inline __attribute__((always_inline)) void for_rows(std::integer_sequence<int, kRow...>,
                                                    DoRow do_row) {
  (do_row(kRow), ...);
}
template <int kM, class DoRow>
inline __attribute__((always_inline)) void for_each_row(DoRow do_row) {
  for_rows(std::make_integer_sequence<int, kM>(), do_row);
}

// c[m][e · 8 … e · 8 + 15] (+)= integer sums of the blocks of a scale · scales, for kM rows of x.
template <int kM>
__attribute__((noinline)) void tall_rows(const PackedProduct& p, std::int64_t t,
                                         const TallPiece& piece, int e, float* c, Ahead& ahead) {
  const std::int64_t length = p.k / p.n_scales;
  const std::int64_t first_scale = piece.first * kBlock / length,
                     n_scales = piece.n_blocks * kBlock / length;
  const std::byte* numbers = piece.numbers + e * 32;
  const std::int8_t* x = p.a + t * p.k + piece.first * kBlock;
  for (std::int64_t s = first_scale; s < first_scale + n_scales; ++s) {
    __m256i sum[kM][2];
    for_each_row<kM>([&](int m) __attribute__((always_inline)) {
      sum[m][0] = sum[m][1] = start(p.a_starts[(t + m) * p.n_scales + s]);
    });
    ahead.fetch();
    for (const std::int8_t* end = x + length; x != end; x += 4, numbers += 4 * kPanelRows) {
      const __m256i w0 = load(numbers), w1 = load(numbers + 32);
      for_each_row<kM>([&](int m) __attribute__((always_inline)) {
        const __m256i four = four_bytes(x + m * p.k);
        sum[m][0] = add_products(sum[m][0], w0, four);
        sum[m][1] = add_products(sum[m][1], w1, four);
      });
    }
    const __m256 scale0 = scales_of(p.packing, piece.panel, s, e),
                 scale1 = scales_of(p.packing, piece.panel, s, e + 1);
    for_each_row<kM>([&](int m) __attribute__((always_inline)) {
      const float x_scale = p.a_scales[(t + m) * p.n_scales + s];
      add_scaled(sum[m][0], scale0, x_scale, s == 0, c + m * kPanelRows + e * kEight);
      add_scaled(sum[m][1], scale1, x_scale, s == 0, c + m * kPanelRows + (e + 1) * kEight);
    });
  }
}

void tall_piece(const PackedProduct& p, const TallPiece& piece, float* c, Ahead ahead) {
  constexpr std::int64_t kHalf = kTallRows / 2;  // one row by itself would take as long
  for (std::int64_t t = 0; t < p.m;) {
    const std::int64_t left = p.m - t, n = left >= kTallRows ? kTallRows
                                           : left >= kHalf   ? kHalf
                                                             : 1;
    const auto rows = n == kTallRows ? tall_rows<kTallRows>
                      : n == kHalf   ? tall_rows<kHalf>
                                     : tall_rows<1>;
    for (int e = 0; e < kPanelRows / kEight; e += 2) {
      rows(p, t, piece, e, c + t * kPanelRows, ahead);
    }
    t += n;
  }
}

void tall_panels(const PackedProduct& p) {
  const bool is_int4 = p.packing == Packing::int4;
  // Whole rows where they are read as they are: the sums of one scale must stay together.
  const std::int64_t n_all = p.k / kBlock, at_once = is_int4 ? kExpandedAtOnce : n_all;
  const std::int64_t header = is_int4 ? 0 : kInt8Header,
                     block_bytes = is_int4 ? kInt4Block : kBlock * kPanelRows;
  for (std::int64_t i = 0; i < p.n_panels; ++i) {
    const std::byte* panel = p.panels + i * p.panel_bytes;
    for (std::int64_t first = 0; first < n_all; first += at_once) {
      const std::int64_t n = n_all - first < at_once ? n_all - first : at_once;
      const std::byte* numbers = panel + header + first * block_bytes;
      const Ahead ahead(numbers + n * block_bytes, n * block_bytes,
                        p.m / kTallRows * 2 * (is_int4 ? n : p.n_scales));
      if (is_int4) expand_int4(numbers, n, p.scratch);
      tall_piece(p, {panel, is_int4 ? p.scratch : numbers, first, n}, p.c + i * p.c_panel, ahead);
    }
  }
}

void multiply_any(const PackedProduct& p) noexcept {
  (p.m < kTallRows ? multiply : tall_panels)(p);
}

}  // namespace

constinit const PackedKernels packed_avx_vnni = {quantise, multiply_any};

}  // namespace qwenvl::cpu
QWENVL_TARGET_END

#endif  // __x86_64__
