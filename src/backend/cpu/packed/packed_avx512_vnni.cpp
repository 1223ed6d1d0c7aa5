// Packed products with the byte dot products of AVX-512 VNNI: sums of 4 products of an unsigned and
// a signed byte in each of 16 lanes, one lane a row of W.
//
// Up to four rows of x go over a panel at once, so that one token and a few cost the same bytes of
// weights. Many rows go twelve at a time: as many sums as hide the latency of a product and leave
// the loading of numbers behind the multiplying; int4 is expanded to bytes before, and goes six
// rows at a time, so that the sums of all blocks stay in registers. Codes are unsigned; what that
// adds to each sum, a multiple of the sum of the activations, is where the sums start.
#if defined(__x86_64__)

#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <utility>

#include "backend/cpu/packed/packed_kernels.h"
#include "backend/cpu/target.h"

#if defined(__clang__)
QWENVL_TARGET_BEGIN("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")
#else
QWENVL_TARGET_BEGIN(
    "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c,prefer-vector-width=512")
#endif
namespace qwenvl::cpu {
namespace {

#include "backend/cpu/packed/packed_ahead.inl"
#include "backend/cpu/packed/packed_many_rows_avx512.inl"
#include "backend/cpu/packed/packed_quantise_avx512.inl"

// In assembly, x (of one row) times both halves of W's rows: for the two kernels below.
#define QWENVL_ADD_PRODUCTS(sum0, sum1, x)       \
  "vpbroadcastd " x ", %%zmm26\n\t"              \
  "vpdpbusd %%zmm26, %%zmm24, %%zmm" sum0 "\n\t" \
  "vpdpbusd %%zmm26, %%zmm25, %%zmm" sum1 "\n\t"
#include "backend/cpu/packed/packed_six_rows_avx512.inl"
#include "backend/cpu/packed/packed_twelve_rows_avx512.inl"
#undef QWENVL_ADD_PRODUCTS

// Bytes of weights fetched ahead across the borders of pages, where the processor's own prefetching
// ends. Either from memory into the second-level cache and from there into the first, or at once
// into the first only: what everybody else needs then stays in the second.
template <int kM>
constexpr int kFarAhead = kM < 3 ? 4096 : 8192;  // more rows need more time ahead
constexpr int kNearAhead = 768;
template <int kM>
constexpr int kPassingAhead = kM < 3 ? 6144 : 8192;

#define QWENVL_EACH_ROW _Pragma("GCC unroll 4") for (int m = 0; m < kM; ++m)

inline __attribute__((always_inline)) __m512i four_bytes(const std::int8_t* p) {
  std::int32_t value;
  __builtin_memcpy(&value, p, 4);
  return _mm512_set1_epi32(value);
}

template <int kM, bool kNear>
inline __attribute__((always_inline)) void prefetch(const std::byte* p) {
  const char* from = reinterpret_cast<const char*>(p);
  if (kNear) {
    _mm_prefetch(from + kFarAhead<kM>, _MM_HINT_T1);
    _mm_prefetch(from + kNearAhead, _MM_HINT_T0);
  } else {
    _mm_prefetch(from + kPassingAhead<kM>, _MM_HINT_NTA);
  }
}

// 16 sub-scales of a group as numbers in the low halves of 16 lanes.
inline __attribute__((always_inline)) __m512i subs(const std::byte* p, bool high) {
  const __m512i both = _mm512_cvtepu8_epi32(_mm_load_si128(reinterpret_cast<const __m128i*>(p)));
  const __m512i moved = high ? _mm512_slli_epi32(both, 24) : _mm512_slli_epi32(both, 28);
  return _mm512_srli_epi32(_mm512_srai_epi32(moved, 12), 16);  // sign-extended to 16 bits
}

// sum += integer sums of a block · scales of W · scale of each row of x.
template <int kM>
inline __attribute__((always_inline)) void add_block(const float* x_scales, std::int64_t stride,
                                                     const __m512i (&block)[kM][2], __m512 scale0,
                                                     __m512 scale1, __m512 (&sum)[kM][2]) {
  QWENVL_EACH_ROW {
    const __m512 x_scale = _mm512_set1_ps(x_scales[m * stride]);
    sum[m][0] =
        _mm512_fmadd_ps(_mm512_cvtepi32_ps(block[m][0]), _mm512_mul_ps(scale0, x_scale), sum[m][0]);
    sum[m][1] =
        _mm512_fmadd_ps(_mm512_cvtepi32_ps(block[m][1]), _mm512_mul_ps(scale1, x_scale), sum[m][1]);
  }
}

template <int kM>
inline __attribute__((always_inline)) void store_rows(const __m512 (&sum)[kM][2], float* c) {
  QWENVL_EACH_ROW {
    _mm512_storeu_ps(c + m * kPanelRows, sum[m][0]);
    _mm512_storeu_ps(c + m * kPanelRows + 16, sum[m][1]);
  }
}

// c[m][0 … 31] for kM rows of x and one int4 panel.
template <int kM, bool kNear>
__attribute__((noinline)) void int4_panel(const PackedProduct& p, std::int64_t t,
                                          const std::byte* panel, float* c) {
  const std::int8_t* a = p.a + t * p.k;
  const float* a_scales = p.a_scales + t * p.n_scales;
  const std::int32_t* a_sums = p.a_sums + t * (p.k / kSubGroup);
  const std::int64_t n_sums = p.k / kSubGroup;
  const __m512i low_half = _mm512_set1_epi8(15);
  __m512 sum[kM][2];
  QWENVL_EACH_ROW sum[m][0] = sum[m][1] = _mm512_setzero_ps();
  for (std::int64_t b = 0; b < p.k / kBlock; ++b, panel += kInt4Block) {
    __m512i block[kM][2];
    QWENVL_EACH_ROW block[m][0] = block[m][1] = _mm512_setzero_si512();
    prefetch<kM, kNear>(panel);
    prefetch<kM, kNear>(panel + 64);
    for (int g = 0; g < 4; ++g) {
      __m512i group[kM][2];
      QWENVL_EACH_ROW group[m][0] = group[m][1] =
          _mm512_set1_epi32(-8 * a_sums[m * n_sums + b * 4 + g]);
      const std::byte* numbers = panel + kInt4Header + g * 512;
      const std::int8_t* x = a + b * kBlock + g * 32;
      _Pragma("GCC unroll 4") for (int s = 0; s < 4; ++s) {
        const __m512i w0 = _mm512_load_si512(numbers + s * 128);
        const __m512i w1 = _mm512_load_si512(numbers + s * 128 + 64);
        prefetch<kM, kNear>(numbers + s * 128);
        prefetch<kM, kNear>(numbers + s * 128 + 64);
        const __m512i low0 = _mm512_and_si512(w0, low_half), low1 = _mm512_and_si512(w1, low_half),
                      high0 = _mm512_and_si512(_mm512_srli_epi16(w0, 4), low_half),
                      high1 = _mm512_and_si512(_mm512_srli_epi16(w1, 4), low_half);
        QWENVL_EACH_ROW {
          const __m512i x_low = four_bytes(x + m * p.k + s * 8),
                        x_high = four_bytes(x + m * p.k + s * 8 + 4);
          group[m][0] = _mm512_dpbusd_epi32(group[m][0], low0, x_low);
          group[m][1] = _mm512_dpbusd_epi32(group[m][1], low1, x_low);
          group[m][0] = _mm512_dpbusd_epi32(group[m][0], high0, x_high);
          group[m][1] = _mm512_dpbusd_epi32(group[m][1], high1, x_high);
        }
      }
      // A group's sum fits into 16 bits, so one 16-bit multiplication scales it.
      const std::byte* at = panel + 64 + g / 2 * 32;
      const __m512i sub0 = subs(at, g % 2), sub1 = subs(at + 16, g % 2);
      QWENVL_EACH_ROW {
        block[m][0] = _mm512_add_epi32(block[m][0], _mm512_madd_epi16(group[m][0], sub0));
        block[m][1] = _mm512_add_epi32(block[m][1], _mm512_madd_epi16(group[m][1], sub1));
      }
    }
    const __m512 scale0 =
        _mm512_cvtph_ps(_mm256_load_si256(reinterpret_cast<const __m256i*>(panel)));
    const __m512 scale1 =
        _mm512_cvtph_ps(_mm256_load_si256(reinterpret_cast<const __m256i*>(panel + 32)));
    add_block<kM>(a_scales + b, p.n_scales, block, scale0, scale1, sum);
  }
  store_rows<kM>(sum, c);
}

// sum += products of four bytes of w and of x in each lane. As an instruction: through the
// intrinsic g++ 12 moves many sums between registers and memory, at half the speed.
inline __attribute__((always_inline)) void add_products(__m512i& sum, __m512i w, __m512i x) {
  asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(w), "v"(x));
}

// The integer sums of `n` numbers of kM rows of x and one int8 panel.
template <int kM, bool kNear>
inline __attribute__((always_inline)) void int8_sums(const PackedProduct& p, const std::int8_t* x,
                                                     const std::byte* numbers, std::int64_t n,
                                                     __m512i (&sum)[kM][2]) {
  for (std::int64_t i = 0; i < n; i += 4, numbers += 128) {
    const __m512i w0 = _mm512_load_si512(numbers), w1 = _mm512_load_si512(numbers + 64);
    prefetch<kM, kNear>(numbers);
    prefetch<kM, kNear>(numbers + 64);
    QWENVL_EACH_ROW {
      const __m512i four = four_bytes(x + m * p.k + i);
      add_products(sum[m][0], w0, four);
      add_products(sum[m][1], w1, four);
    }
  }
}

template <int kM, bool kNear>
__attribute__((noinline)) void int8_panel(const PackedProduct& p, std::int64_t t,
                                          const std::byte* panel, float* c) {
  const std::int8_t* a = p.a + t * p.k;
  const float* a_scales = p.a_scales + t * p.n_scales;
  const std::int64_t length = p.k / p.n_scales;
  const __m512 scale0 = _mm512_load_ps(panel), scale1 = _mm512_load_ps(panel + 64);
  const std::byte* numbers = panel + kInt8Header;
  __m512 sum[kM][2];
  QWENVL_EACH_ROW sum[m][0] = sum[m][1] = _mm512_setzero_ps();
  for (std::int64_t b = 0; b < p.n_scales; ++b) {
    __m512i block[kM][2];
    QWENVL_EACH_ROW block[m][0] = block[m][1] =
        _mm512_set1_epi32(p.a_starts[(t + m) * p.n_scales + b]);
    int8_sums<kM, kNear>(p, a + b * length, numbers + b * length * kPanelRows, length, block);
    add_block<kM>(a_scales + b, p.n_scales, block, scale0, scale1, sum);
  }
  store_rows<kM>(sum, c);
}

template <int kM>
void rows_of_panel(const PackedProduct& p, std::int64_t t, const std::byte* panel, float* c) {
  const bool is_int4 = p.packing == Packing::int4;
  if (p.fetches_near) {
    (is_int4 ? int4_panel<kM, true> : int8_panel<kM, true>)(p, t, panel, c);
  } else {
    (is_int4 ? int4_panel<kM, false> : int8_panel<kM, false>)(p, t, panel, c);
  }
}

#include "backend/cpu/packed/packed_rows.inl"

// ---- many rows ---------------------------------------------------------------------------------

constexpr std::int64_t kTallRows = 12;                   // two registers of sums each, of 32
constexpr std::int64_t kExpandedAtOnce = 1024 / kBlock;  // blocks of int4

// Some blocks of a panel as unsigned bytes, 128 more than the weights.
struct TallPiece {
  const std::byte* panel;    // where the scales are
  const std::byte* numbers;  // [n_blocks · kBlock / 4][32][4]
  std::int64_t first, n_blocks;
};

// do_row(0), do_row(1) … one after the other: a loop of twelve, unrolled by the compiler, would
// keep the sums in memory.
template <int... kRow, class DoRow>
inline __attribute__((always_inline)) void for_rows(std::integer_sequence<int, kRow...>,
                                                    DoRow do_row) {
  (do_row(kRow), ...);
}
template <int kM, class DoRow>
inline __attribute__((always_inline)) void for_each_row(DoRow do_row) {
  for_rows(std::make_integer_sequence<int, kM>(), do_row);
}

// c[m][0 … 31] (+)= integer sums of the blocks of a scale · scales, for kM rows of x.
template <int kM>
__attribute__((noinline)) void tall_rows(const PackedProduct& p, std::int64_t t,
                                         const TallPiece& piece, float* c, Ahead& ahead) {
  const std::int64_t length = p.k / p.n_scales;
  const std::int64_t first_scale = piece.first * kBlock / length,
                     n_scales = piece.n_blocks * kBlock / length;
  const std::byte* numbers = piece.numbers;
  const std::int8_t* x = p.a + t * p.k + piece.first * kBlock;
  for (std::int64_t s = first_scale; s < first_scale + n_scales; ++s) {
    __m512i sum[kM][2];
    for_each_row<kM>([&](int m) __attribute__((always_inline)) {
      sum[m][0] = sum[m][1] = _mm512_set1_epi32(p.a_starts[(t + m) * p.n_scales + s]);
    });
    for (const std::int8_t* all = x + length; x != all;) {
      ahead.fetch();
      for (const std::int8_t* end = x + kBlock; x != end; x += 4, numbers += 128) {
        const __m512i w0 = _mm512_load_si512(numbers), w1 = _mm512_load_si512(numbers + 64);
        for_each_row<kM>([&](int m) __attribute__((always_inline)) {
          const __m512i four = four_bytes(x + m * p.k);
          add_products(sum[m][0], w0, four);
          add_products(sum[m][1], w1, four);
        });
      }
    }
    const __m512 scale0 = scales_of(p.packing, piece.panel, s, 0),
                 scale1 = scales_of(p.packing, piece.panel, s, 1);
    const auto add_all = [&]<bool kFirst>() __attribute__((always_inline)) {
      for_each_row<kM>([&](int m) __attribute__((always_inline)) {
        add_scaled<kFirst>(sum[m][0], sum[m][1], scale0, scale1,
                           p.a_scales[(t + m) * p.n_scales + s], c + m * kPanelRows);
      });
    };
    if (s == 0) {
      add_all.template operator()<true>();
    } else {
      add_all.template operator()<false>();
    }
  }
}

using TallRows = void (*)(const PackedProduct&, std::int64_t, const TallPiece&, float*, Ahead&);

template <int... kRow>
void some_rows(std::integer_sequence<int, kRow...>, std::int64_t n, const PackedProduct& p,
               std::int64_t t, const TallPiece& piece, float* c, Ahead& ahead) {
  static constexpr TallRows kOfSize[] = {tall_rows<kRow + 1>...};
  kOfSize[n - 1](p, t, piece, c + t * kPanelRows, ahead);
}

// How many rows come next. Few at the end would wait for each other's sums, so the last twelve are
// shared with them.
std::int64_t next_rows(std::int64_t rest) {
  return rest <= kTallRows ? rest : rest <= kTallRows + 5 ? (rest + 1) / 2 : kTallRows;
}

void int4_piece(const PackedProduct& p, const TallPiece& piece, float* c, Ahead& ahead) {
  std::int64_t t = 0;
  for (; t + kRowsOfSix <= p.m; t += kRowsOfSix) {
    const std::int64_t scale = t * p.n_scales + piece.first;
    SixRows rows{p.a + t * p.k + piece.first * kBlock,
                 p.k,
                 piece.numbers,
                 piece.panel + piece.first * kInt4Block,
                 p.a_scales + scale,
                 p.a_starts + scale,
                 p.n_scales * std::int64_t{sizeof(float)},
                 piece.n_blocks,
                 ahead.next(),
                 ahead.lines_at_once(),
                 c + t * kPanelRows,
                 piece.first == 0};
    six_rows(rows);
    ahead.move_to(rows.next);
  }
  if (t < p.m) {
    some_rows(std::make_integer_sequence<int, kRowsOfSix - 1>(), p.m - t, p, t, piece, c, ahead);
  }
}

// Whole rows are read as they are: the sums of one scale must stay together.
void int8_rows(const PackedProduct& p, std::int64_t t, std::int64_t n, const std::byte* panel,
               float* c, Ahead& ahead) {
  if (n == kTallRows && p.n_scales == 1) {
    for (std::int64_t i = 0; i < p.k / kBlock; ++i) ahead.fetch();
    twelve_rows({p.a + t * p.k, p.k, panel + kInt8Header, (p.n_in + 3) / 4,
                 reinterpret_cast<const float*>(panel), p.a_scales + t, p.a_starts + t,
                 c + t * kPanelRows});
  } else {
    some_rows(std::make_integer_sequence<int, kTallRows>(), n, p, t,
              {panel, panel + kInt8Header, 0, p.k / kBlock}, c, ahead);
  }
}

void int8_panels(const PackedProduct& p) {
  Ahead ahead(p.next, p.next_bytes,
              (p.m + kTallRows - 1) / kTallRows * (p.k / kBlock) * p.n_panels);
  for (std::int64_t i = 0; i < p.n_panels; ++i) {
    for (std::int64_t t = 0; t < p.m;) {
      const std::int64_t n = next_rows(p.m - t);
      int8_rows(p, t, n, p.panels + i * p.panel_bytes, p.c + i * p.c_panel, ahead);
      t += n;
    }
  }
}

// A piece of all rows of x stays in the second-level cache while all panels go over it.
void int4_panels(const PackedProduct& p) {
  const std::int64_t n_all = p.k / kBlock;
  for (std::int64_t first = 0; first < n_all; first += kExpandedAtOnce) {
    const std::int64_t n = n_all - first < kExpandedAtOnce ? n_all - first : kExpandedAtOnce;
    for (std::int64_t i = 0; i < p.n_panels; ++i) {
      const std::byte* panel = p.panels + i * p.panel_bytes;
      const std::byte* blocks = panel + first * kInt4Block;
      Ahead ahead(next_of(p, i, blocks, n * kInt4Block), n * kInt4Block, p.m / kRowsOfSix * n);
      expand_int4<true>(blocks, n, p.scratch);
      int4_piece(p, {panel, p.scratch, first, n}, p.c + i * p.c_panel, ahead);
    }
  }
}

void multiply_any(const PackedProduct& p) noexcept {
  if (p.m < kTallRows) {
    multiply(p);
  } else if (p.packing == Packing::int4) {
    int4_panels(p);
  } else {
    int8_panels(p);
  }
}

}  // namespace

// Results of so few rows are still in the first-level cache when they are stored, and what storing
// waits for comes while the next rows are multiplied.
constinit const PackedKernels packed_avx512_vnni = {quantise, multiply_any, quantise_bf16, nullptr,
                                                    2 * kTallRows};

}  // namespace qwenvl::cpu
QWENVL_TARGET_END

#endif  // __x86_64__
