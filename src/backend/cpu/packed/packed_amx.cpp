// Packed products with the tile registers of AMX: 16 rows of x times 16 rows of W, 64 numbers deep,
// in one instruction. For few rows the byte dot products of AVX-512 VNNI do the same sums sooner.
//
// A panel is already laid out as tiles want it: the same four numbers of 32 rows side by side.
// Panels with a scale for each block are first expanded to signed bytes, sub · (u − 8) being one.
//
// What bounds the speed is not the tiles but how they are filled, and what happens to their sums:
//  · a piece of a panel stays in the first-level cache while all rows of x go over it, whose tiles
//    are loaded past that cache (the "T1" hint) from the second-level one, where they stay while
//    the panels of a task go over them;
//  · the next panel is fetched from memory meanwhile;
//  · sums are scaled and added while tiles form the next ones.
#if defined(__x86_64__)

#include <immintrin.h>

#include <cstdint>

#include "backend/cpu/packed/packed_kernels.h"
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

#include "backend/cpu/packed/packed_ahead.inl"
#include "backend/cpu/packed/packed_many_rows_avx512.inl"
#include "backend/cpu/packed/packed_quantise_avx512.inl"
#include "backend/cpu/tiles_amx.inl"

// For fewer rows most of a tile would be empty.
bool takes_tiles(std::int64_t m) noexcept { return m > 6; }

constexpr std::int64_t kTile = 16 * 64;    // bytes
constexpr std::int64_t kRows = 32;         // of x and of W in a step
constexpr std::int64_t kInt8Piece = 1280;  // numbers of a row of W in the first-level cache

// ---- tiles -------------------------------------------------------------------------------------
// 0 to 3: sums of x rows 0, 0, 16, 16 · W rows 0, 16, 0, 16; only 0 and 1 when there are at most 16
// rows of x (kBoth false). 4 and 5: x. 6 and 7: W.

template <bool kBoth>
inline __attribute__((always_inline)) void zero_sums() {
  _tile_zero(0);
  _tile_zero(1);
  if (kBoth) {
    _tile_zero(2);
    _tile_zero(3);
  }
}

template <bool kBoth>
inline __attribute__((always_inline)) void load_sums(const std::int32_t* sums) {
  _tile_loadd(0, sums, 64);
  _tile_loadd(1, sums + 256, 64);
  if (kBoth) {
    _tile_loadd(2, sums + 512, 64);
    _tile_loadd(3, sums + 768, 64);
  }
}

template <bool kBoth>
inline __attribute__((always_inline)) void store_sums(std::int32_t* sums) {
  _tile_stored(0, sums, 64);
  _tile_stored(1, sums + 256, 64);
  if (kBoth) {
    _tile_stored(2, sums + 512, 64);
    _tile_stored(3, sums + 768, 64);
  }
}

// sums += 64 numbers of x · of W, unsigned. a, a2: tiles of x. numbers: [16][32][4].
template <bool kBoth>
inline __attribute__((always_inline)) void step(const std::int8_t* a, const std::int8_t* a2,
                                                const std::byte* numbers) {
  _tile_loadd(6, numbers, 128);
  _tile_stream_loadd(4, a, 64);
  _tile_loadd(7, numbers + 64, 128);
  _tile_dpbsud(0, 4, 6);
  _tile_dpbsud(1, 4, 7);
  if (kBoth) {
    _tile_stream_loadd(5, a2, 64);
    _tile_dpbsud(2, 5, 6);
    _tile_dpbsud(3, 5, 7);
  }
}

// ---- sums → results ----------------------------------------------------------------------------

// Integer sums that wait for their scales while tiles form the next ones.
struct Pending {
  const std::int32_t* sums = nullptr;  // as store_sums leaves them
  std::int64_t n_rows = 0;
  const float* x_scales = nullptr;         // x_stride apart
  const std::int32_t* x_starts = nullptr;  // what the sums of unsigned weights lack
  std::int64_t x_stride = 0;
  __m512 scale0{}, scale1{};  // of the rows of W
  float* c = nullptr;         // [n_rows, 32]
  bool is_first = true;       // nothing is in c yet
};

// n rows from `begin` on, all of them in the same tile.
template <bool kUnsigned, bool kFirst>
inline __attribute__((always_inline)) void add_rows_of_tile(const Pending& p, std::int64_t begin,
                                                            std::int64_t n) {
  const std::int32_t* sums = p.sums + (begin & 16) * 32 + (begin & 15) * 16;
  const float* x_scale = p.x_scales + begin * p.x_stride;
  const std::int32_t* x_start = kUnsigned ? p.x_starts + begin * p.x_stride : nullptr;
  float* c = p.c + begin * kPanelRows;
  const __m512 scale0 = p.scale0, scale1 = p.scale1;
  _Pragma("GCC unroll 4") for (; n > 0; --n, sums += 16, x_scale += p.x_stride, c += kPanelRows) {
    __m512i sum0 = _mm512_load_si512(sums), sum1 = _mm512_load_si512(sums + 256);
    if (kUnsigned) {
      const __m512i start = _mm512_set1_epi32(*x_start);
      sum0 = _mm512_add_epi32(sum0, start);
      sum1 = _mm512_add_epi32(sum1, start);
      x_start += p.x_stride;
    }
    add_scaled<kFirst>(sum0, sum1, scale0, scale1, *x_scale, c);
  }
}

template <bool kUnsigned>
inline __attribute__((always_inline)) void add_rows(const Pending& p, std::int64_t begin,
                                                    std::int64_t end) {
  if (p.is_first) {
    add_rows_of_tile<kUnsigned, true>(p, begin, end - begin);
  } else {
    add_rows_of_tile<kUnsigned, false>(p, begin, end - begin);
  }
}

// All rows from `begin` on.
template <bool kUnsigned>
inline __attribute__((always_inline)) void add_rest(const Pending& p, std::int64_t begin) {
  if (begin < 16) {
    add_rows<kUnsigned>(p, begin, p.n_rows < 16 ? p.n_rows : 16);
    begin = 16;
  }
  add_rows<kUnsigned>(p, begin, p.n_rows);
}

// ---- int8: one scale for a row of x, one for a row of W -----------------------------------------

// A piece of a panel: n numbers of each row from `first` on.
struct Int8Piece {
  std::int64_t first, n;
  const std::byte* numbers;
  bool is_first, is_last;
};

// Sums of a piece; those of the pieces before it are in `raw`, where they stay until the last.
template <bool kBoth>
inline __attribute__((always_inline)) void int8_rows(const Int8Piece& piece, const std::int8_t* a,
                                                     const std::int8_t* a2, std::int32_t* raw,
                                                     std::int32_t* sums, const Pending& pending,
                                                     Ahead& ahead) {
  if (piece.is_first) {
    zero_sums<kBoth>();
  } else {
    load_sums<kBoth>(raw);
  }
  constexpr std::int64_t kRowsPerStep = 2;
  std::int64_t done = 0;
  for (std::int64_t i = 0; i < piece.n; i += 64) {
    step<kBoth>(a + i * 16, a2 + i * 16, piece.numbers + i * kPanelRows);
    ahead.fetch();
    const std::int64_t end =
        done + kRowsPerStep < pending.n_rows ? done + kRowsPerStep : pending.n_rows;
    add_rows<true>(pending, done, end);
    done = end;
  }
  store_sums<kBoth>(piece.is_last ? sums : raw);
  add_rest<true>(pending, done);
}

void int8_piece(const PackedProduct& p, const std::byte* panel, const Int8Piece& piece, float* c,
                Ahead ahead) {
  alignas(64) std::int32_t sums[2][kRows * kPanelRows];
  Pending pending;
  for (std::int64_t t = 0, turn = 0; t < p.m; t += kRows, turn ^= 1) {
    const std::int64_t n_rows = p.m - t < kRows ? p.m - t : kRows;
    const std::int8_t* a = p.a + t * p.k + piece.first * 16;
    const std::int8_t* a2 = a + 16 * p.k;
    std::int32_t* raw = reinterpret_cast<std::int32_t*>(c + t * kPanelRows);
    if (n_rows > 16) {
      int8_rows<true>(piece, a, a2, raw, sums[turn], pending, ahead);
    } else {
      int8_rows<false>(piece, a, a2, raw, sums[turn], pending, ahead);
    }
    if (!piece.is_last) continue;
    pending = {sums[turn],
               n_rows,
               p.a_scales + t,
               p.a_starts + t,
               1,
               _mm512_load_ps(panel),
               _mm512_load_ps(panel + 64),
               c + t * kPanelRows,
               true};
  }
  add_rest<true>(pending, 0);
}

void int8_panels(const PackedProduct& p) {
  const std::int64_t n_pieces = (p.k + kInt8Piece - 1) / kInt8Piece,
                     length = (p.k / 64 + n_pieces - 1) / n_pieces * 64;
  const std::int64_t n_row_blocks = (p.m + kRows - 1) / kRows;
  for (std::int64_t first = 0; first < p.k; first += length) {
    for (std::int64_t i = 0; i < p.n_panels; ++i) {
      const std::byte* panel = p.panels + i * p.panel_bytes;
      const std::int64_t n = p.k - first < length ? p.k - first : length;
      const Int8Piece piece{first, n, panel + kInt8Header + first * kPanelRows, first == 0,
                            first + n == p.k};
      const Ahead ahead(next_of(p, i, piece.numbers, n * kPanelRows), n * kPanelRows,
                        n_row_blocks * (n / 64));
      int8_piece(p, panel, piece, p.c + i * p.c_panel, ahead);
    }
  }
}

// ---- int4 and int8_grouped: scales for each block -----------------------------------------------

// The same of an int8_grouped panel: u − 128.
void expand_int8(const std::byte* numbers, std::int64_t n_blocks, std::byte* out) {
  const __m512i sign = _mm512_set1_epi8(-128);
  for (std::int64_t i = 0; i < n_blocks * kBlock * kPanelRows; i += 64) {
    _mm512_store_si512(out + i, _mm512_xor_si512(_mm512_load_si512(numbers + i), sign));
  }
}

// Sums of a block; those of the block before are scaled and added in four parts between the tiles,
// so that no run of other instructions is longer than the processor looks ahead.
template <bool kBoth>
inline __attribute__((always_inline)) void block_rows(const std::int8_t* a, const std::int8_t* a2,
                                                      const std::byte* numbers, std::int32_t* sums,
                                                      const Pending& pending, Ahead& ahead) {
  const auto add = [&](std::int64_t begin) __attribute__((always_inline)) {
    const std::int64_t n = pending.n_rows - begin;
    if (n > 0) add_rows<false>(pending, begin, begin + (n < 8 ? n : 8));
  };
  zero_sums<kBoth>();
  for (int half = 0; half < 2; ++half, a += kTile, a2 += kTile, numbers += 64 * kPanelRows) {
    _tile_loadd(6, numbers, 128);
    _tile_stream_loadd(4, a, 64);
    _tile_loadd(7, numbers + 64, 128);
    _tile_dpbssd(0, 4, 6);
    _tile_dpbssd(1, 4, 7);
    add(16 * half);
    if (kBoth) {
      _tile_stream_loadd(5, a2, 64);
      _tile_dpbssd(2, 5, 6);
      _tile_dpbssd(3, 5, 7);
    }
    add(16 * half + 8);
  }
  store_sums<kBoth>(sums);
  ahead.fetch();
}

// n blocks of a panel from `first` on, expanded in p.scratch.
void grouped_piece(const PackedProduct& p, const std::byte* panel, std::int64_t first,
                   std::int64_t n, float* c, Ahead ahead) {
  alignas(64) std::int32_t sums[2][kRows * kPanelRows];
  Pending pending;
  std::int64_t turn = 0;
  for (std::int64_t t = 0; t < p.m; t += kRows) {
    const std::int64_t n_rows = p.m - t < kRows ? p.m - t : kRows;
    const std::int8_t* a = p.a + t * p.k + first * 2 * kTile;
    for (std::int64_t b = 0; b < n; ++b, a += 2 * kTile, turn ^= 1) {
      const std::byte* numbers = p.scratch + b * kBlock * kPanelRows;
      if (n_rows > 16) {
        block_rows<true>(a, a + 16 * p.k, numbers, sums[turn], pending, ahead);
      } else {
        block_rows<false>(a, a + 16 * p.k, numbers, sums[turn], pending, ahead);
      }
      pending.sums = sums[turn];
      pending.n_rows = n_rows;
      pending.x_scales = p.a_scales + t * p.n_scales + first + b;
      pending.x_stride = p.n_scales;
      pending.scale0 = scales_of(p.packing, panel, first + b, 0);
      pending.scale1 = scales_of(p.packing, panel, first + b, 1);
      pending.c = c + t * kPanelRows;
      pending.is_first = first + b == 0;
    }
  }
  add_rest<false>(pending, 0);
}

void grouped_panels(const PackedProduct& p) {
  constexpr std::int64_t kBlocks = 4;  // beside the sums and rows of x in the first-level cache
  static_assert(kBlocks * kBlock <= kExpandedNumbers);
  const bool is_int4 = p.packing == Packing::int4;
  const std::int64_t header = is_int4 ? 0 : kInt8Header,
                     block_bytes = is_int4 ? kInt4Block : kBlock * kPanelRows;
  const std::int64_t n_row_blocks = (p.m + kRows - 1) / kRows;
  for (std::int64_t first = 0; first < p.k / kBlock; first += kBlocks) {
    const std::int64_t n = p.k / kBlock - first < kBlocks ? p.k / kBlock - first : kBlocks;
    for (std::int64_t i = 0; i < p.n_panels; ++i) {
      const std::byte* panel = p.panels + i * p.panel_bytes;
      const std::byte* blocks = panel + header + first * block_bytes;
      (is_int4 ? expand_int4<false> : expand_int8)(blocks, n, p.scratch);
      const Ahead ahead(next_of(p, i, blocks, n * block_bytes), n * block_bytes, n_row_blocks * n);
      grouped_piece(p, panel, first, n, p.c + i * p.c_panel, ahead);
    }
  }
}

void multiply(const PackedProduct& p) noexcept {
  if (!takes_tiles(p.m)) {
    packed_avx512_vnni.multiply(p);
    return;
  }
  configure_tiles();
  (p.packing == Packing::int8 ? int8_panels : grouped_panels)(p);
  _tile_release();
}

}  // namespace

constinit const PackedKernels packed_amx = {quantise, multiply, quantise_bf16, takes_tiles};

}  // namespace qwenvl::cpu
QWENVL_TARGET_END

#endif  // __x86_64__
