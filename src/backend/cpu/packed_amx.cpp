// Packed products with the tile registers of AMX: 16 rows of x times 16 rows of W, 64 numbers deep,
// in one instruction. For few rows the byte dot products of AVX-512 VNNI do the same sums sooner.
//
// A panel is already laid out as tiles want it: the same four numbers of 32 rows side by side. int4
// panels are expanded first, sub · (u − 8) being a byte.
#if defined(__x86_64__)

#include <immintrin.h>

#include <cstdint>

#include "backend/cpu/packed_kernels.h"
#include "backend/cpu/target.h"
#include "core/numbers.h"

#if defined(__clang__)
QWENVL_TARGET_BEGIN("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,amx-tile,amx-int8,avx2,fma,f16c")
#else
QWENVL_TARGET_BEGIN(
    "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,amx-tile,amx-int8,avx2,fma,f16c,"
    "prefer-vector-width=512")
#endif
namespace qwenvl::cpu {
namespace {

#include "backend/cpu/packed_quantise_avx512.inl"
#include "backend/cpu/tiles_amx.inl"

constexpr std::int64_t kFewRows = 6;  // up to here tiles would be mostly empty

using Sums = std::int32_t[4][16][16];  // as tiles 0 to 3: x rows 0, 0, 16, 16 · W rows 0, 16, 0, 16

// Tiles 0 to 3 = 32 (or 16) rows of x · 32 rows of W over `n` numbers. numbers: [n / 4][32][4].
template <bool kUnsigned, bool kBoth>
inline __attribute__((always_inline)) void tile_sums(const std::int8_t* a, std::int64_t lda,
                                                     const std::byte* numbers, std::int64_t n) {
  _tile_zero(0);
  _tile_zero(1);
  if (kBoth) {
    _tile_zero(2);
    _tile_zero(3);
  }
  for (std::int64_t i = 0; i < n; i += 64, numbers += 64 * kPanelRows) {
    _tile_loadd(6, numbers, 128);
    _tile_loadd(4, a + i, lda);
    _tile_loadd(7, numbers + 64, 128);
    if (kUnsigned) {
      _tile_dpbsud(0, 4, 6);
      _tile_dpbsud(1, 4, 7);
    } else {
      _tile_dpbssd(0, 4, 6);
      _tile_dpbssd(1, 4, 7);
    }
    if (kBoth) {
      _tile_loadd(5, a + 16 * lda + i, lda);
      if (kUnsigned) {
        _tile_dpbsud(2, 5, 6);
        _tile_dpbsud(3, 5, 7);
      } else {
        _tile_dpbssd(2, 5, 6);
        _tile_dpbssd(3, 5, 7);
      }
    }
  }
}

template <bool kBoth>
inline __attribute__((always_inline)) void store_sums(Sums& sums) {
  _tile_stored(0, sums[0], 64);
  _tile_stored(1, sums[1], 64);
  if (kBoth) {
    _tile_stored(2, sums[2], 64);
    _tile_stored(3, sums[3], 64);
  }
}

// 32 (or fewer) rows of x from row t on, the W rows of one panel, one block or all numbers: where
// the integer sums go.
struct Step {
  std::int64_t t, n_rows;
  std::int64_t scale_at;         // which of a row's activation scales
  std::int64_t sums_at, n_sums;  // which sums of activations to take off, 128 times each
  __m512 scale0, scale1;         // of the panel's rows
  float* c;
  bool is_first;  // c is written, not added to
};

template <bool kUnsigned, bool kBoth>
inline __attribute__((always_inline)) void add_sums(const PackedProduct& p, const Step& step,
                                                    const Sums& sums) {
  const std::int64_t n_rows = kBoth ? step.n_rows : (step.n_rows < 16 ? step.n_rows : 16);
  for (std::int64_t r = 0; r < n_rows; ++r) {
    const std::int64_t t = step.t + r;
    __m512i sum0 = _mm512_load_si512(sums[r / 16 * 2][r % 16]);
    __m512i sum1 = _mm512_load_si512(sums[r / 16 * 2 + 1][r % 16]);
    if (kUnsigned) {
      std::int32_t x_sum = 0;
      for (std::int64_t i = 0; i < step.n_sums; ++i) {
        x_sum += p.a_sums[t * (p.k / kSubGroup) + step.sums_at + i];
      }
      const __m512i extra = _mm512_set1_epi32(128 * x_sum);
      sum0 = _mm512_sub_epi32(sum0, extra);
      sum1 = _mm512_sub_epi32(sum1, extra);
    }
    const __m512 x_scale = _mm512_set1_ps(p.a_scales[t * p.n_scales + step.scale_at]);
    float* c = step.c + r * p.ldc;
    const __m512 before0 = step.is_first ? _mm512_setzero_ps() : _mm512_loadu_ps(c);
    const __m512 before1 = step.is_first ? _mm512_setzero_ps() : _mm512_loadu_ps(c + 16);
    _mm512_storeu_ps(
        c, _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum0), _mm512_mul_ps(step.scale0, x_scale), before0));
    _mm512_storeu_ps(c + 16, _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum1),
                                             _mm512_mul_ps(step.scale1, x_scale), before1));
  }
}

// One panel of int8 weights against all rows, in `p.n_scales` pieces.
void int8_panel(const PackedProduct& p, const std::byte* panel, float* c, Sums& sums) {
  const std::int64_t length = p.k / p.n_scales;
  Step step{};
  step.scale0 = _mm512_load_ps(panel);
  step.scale1 = _mm512_load_ps(panel + 64);
  step.n_sums = length / kSubGroup;
  for (std::int64_t t = 0; t < p.m; t += 32) {
    step.t = t;
    step.n_rows = p.m - t < 32 ? p.m - t : 32;
    step.c = c + t * p.ldc;
    for (std::int64_t b = 0; b < p.n_scales; ++b) {
      const std::int8_t* a = p.a + t * p.k + b * length;
      const std::byte* numbers = panel + kInt8Header + b * length * kPanelRows;
      step.scale_at = b;
      step.sums_at = b * step.n_sums;
      step.is_first = b == 0;
      if (step.n_rows > 16) {
        tile_sums<true, true>(a, p.k, numbers, length);
        store_sums<true>(sums);
        add_sums<true, true>(p, step, sums);
      } else {
        tile_sums<true, false>(a, p.k, numbers, length);
        store_sums<false>(sums);
        add_sums<true, false>(p, step, sums);
      }
    }
  }
}

// Products sub · (u − 8) of 32 even bytes; the odd ones are added in place.
// codes: 64 values of 4 bits; sub, sub8: the sub-scales and eight times them, 16 bits wide.
inline __attribute__((always_inline)) __m512i expanded(__m512i codes, __m512i sub, __m512i sub8) {
  const __m512i even = _mm512_and_si512(codes, _mm512_set1_epi16(15));
  const __m512i odd = _mm512_srli_epi16(codes, 8);
  const __m512i even_product = _mm512_sub_epi16(_mm512_mullo_epi16(even, sub), sub8);
  const __m512i odd_product = _mm512_sub_epi16(_mm512_mullo_epi16(odd, sub), sub8);
  // The low bytes of the even and of the odd products, side by side.
  return _mm512_mask_blend_epi8(0xaaaaaaaaaaaaaaaaull, even_product,
                                _mm512_slli_epi16(odd_product, 8));
}

// 16 sub-scales, each twice as 16 bits: one for each of the two pairs of bytes of a row.
inline __attribute__((always_inline)) __m512i wide_subs(const std::byte* p, int high) {
  const __m512i both = _mm512_cvtepu8_epi32(_mm_load_si128(reinterpret_cast<const __m128i*>(p)));
  const __m512i value = _mm512_srai_epi32(_mm512_slli_epi32(both, high ? 24 : 28), 28);
  return _mm512_or_si512(_mm512_and_si512(value, _mm512_set1_epi32(0xffff)),
                         _mm512_slli_epi32(value, 16));
}

// Blocks of an int4 panel → bytes, [number / 4][32][4].
void expand(const std::byte* block, std::int64_t n_blocks, std::byte* out) {
  const __m512i low_half = _mm512_set1_epi8(15);
  for (std::int64_t b = 0; b < n_blocks; ++b, block += kInt4Block) {
    for (int g = 0; g < 4; ++g) {
      const std::byte* at = block + 64 + g / 2 * 32;
      for (int half = 0; half < 2; ++half) {  // 16 rows of W
        const __m512i sub = wide_subs(at + half * 16, g % 2), sub8 = _mm512_slli_epi16(sub, 3);
        const std::byte* from = block + kInt4Header + g * 512 + half * 64;
        std::byte* to = out + b * kBlock * kPanelRows + g * 1024 + half * 64;
        for (int s = 0; s < 4; ++s, from += 128, to += 256) {
          const __m512i both = _mm512_load_si512(from);
          const __m512i low = _mm512_and_si512(both, low_half);
          const __m512i high = _mm512_and_si512(_mm512_srli_epi16(both, 4), low_half);
          _mm512_store_si512(to, expanded(low, sub, sub8));
          _mm512_store_si512(to + 128, expanded(high, sub, sub8));
        }
      }
    }
  }
}

// All panels of a task, kExpandedNumbers of each at a time: what is expanded stays near.
void int4_panels(const PackedProduct& p, Sums& sums) {
  const std::int64_t n_blocks = p.k / kBlock, at_once = kExpandedNumbers / kBlock;
  const std::int64_t panel_room = kExpandedNumbers * kPanelRows;
  for (std::int64_t first = 0; first < n_blocks; first += at_once) {
    const std::int64_t n = n_blocks - first < at_once ? n_blocks - first : at_once;
    for (std::int64_t i = 0; i < p.n_panels; ++i) {
      expand(p.panels + i * p.panel_bytes + first * kInt4Block, n, p.scratch + i * panel_room);
    }
    for (std::int64_t t = 0; t < p.m; t += 32) {
      Step step{};
      step.t = t;
      step.n_rows = p.m - t < 32 ? p.m - t : 32;
      for (std::int64_t i = 0; i < p.n_panels; ++i) {
        step.c = p.c + t * p.ldc + i * kPanelRows;
        const std::byte* block = p.panels + i * p.panel_bytes + first * kInt4Block;
        for (std::int64_t b = first; b < first + n; ++b, block += kInt4Block) {
          const std::byte* numbers = p.scratch + i * panel_room + (b - first) * kBlock * kPanelRows;
          step.scale_at = b;
          step.is_first = b == 0;
          step.scale0 = _mm512_cvtph_ps(_mm256_load_si256(reinterpret_cast<const __m256i*>(block)));
          step.scale1 =
              _mm512_cvtph_ps(_mm256_load_si256(reinterpret_cast<const __m256i*>(block + 32)));
          const std::int8_t* a = p.a + t * p.k + b * kBlock;
          if (step.n_rows > 16) {
            tile_sums<false, true>(a, p.k, numbers, kBlock);
            store_sums<true>(sums);
            add_sums<false, true>(p, step, sums);
          } else {
            tile_sums<false, false>(a, p.k, numbers, kBlock);
            store_sums<false>(sums);
            add_sums<false, false>(p, step, sums);
          }
        }
      }
    }
  }
}

void multiply(const PackedProduct& p) noexcept {
  if (p.m <= kFewRows) {
    packed_avx512_vnni.multiply(p);
    return;
  }
  configure_tiles();
  alignas(64) Sums sums;
  if (p.packing == Packing::int4) {
    int4_panels(p, sums);
  } else {
    for (std::int64_t i = 0; i < p.n_panels; ++i) {
      int8_panel(p, p.panels + i * p.panel_bytes, p.c + i * kPanelRows, sums);
    }
  }
  _tile_release();
}

}  // namespace

constinit const PackedKernels packed_amx = {quantise, multiply};

}  // namespace qwenvl::cpu
QWENVL_TARGET_END

#endif  // __x86_64__
