// Attention with the bf16 tiles of AMX: 16 queries against 64 keys at a time.
// The scores and the weighted sums of values are tile products with float32 sums; softmax between
// them runs on 16 floats at once.
#if defined(__x86_64__)

#include <immintrin.h>

#include <cstdint>

#include "backend/cpu/kernel_table.h"
#include "backend/cpu/target.h"

#if defined(__clang__)
QWENVL_TARGET_BEGIN("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,amx-tile,amx-bf16,avx2,fma")
#else
QWENVL_TARGET_BEGIN(
    "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,amx-tile,amx-bf16,avx2,fma,"
    "prefer-vector-width=512")
#endif
namespace qwenvl::cpu {
namespace {

#include "backend/cpu/bf16_pairs_avx512.inl"
#include "backend/cpu/tiles_amx.inl"

// Uses the pairs above.
#include "backend/cpu/attention/bf16_softmax_avx512.inl"

constexpr int kRows = 16;  // queries of a tile

// ---- tiles -------------------------------------------------------------------------------------

// scores [16][64] = q · kᵀ.
inline __attribute__((always_inline)) void score(const Bf16AttentionTile& t, const bf16* q,
                                                 float* scores) {
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (std::int64_t d = 0; d < t.key_dim; d += 32) {
    const bf16* keys = t.keys + d * kTokens;
    _tile_loadd(4, q + d, 2 * t.key_dim);
    _tile_loadd(5, keys, 4 * kTokens);
    _tile_dpbf16ps(0, 4, 5);
    _tile_loadd(6, keys + 32, 4 * kTokens);
    _tile_dpbf16ps(1, 4, 6);
    _tile_loadd(7, keys + 64, 4 * kTokens);
    _tile_dpbf16ps(2, 4, 7);
    _tile_loadd(5, keys + 96, 4 * kTokens);
    _tile_dpbf16ps(3, 4, 5);
  }
  _tile_stored(0, scores, 4 * kTokens);
  _tile_stored(1, scores + 16, 4 * kTokens);
  _tile_stored(2, scores + 32, 4 * kTokens);
  _tile_stored(3, scores + 48, 4 * kTokens);
}

// out [16][value_dim] += weights [16][64] · values.
inline __attribute__((always_inline)) void gather(const Bf16AttentionTile& t, const bf16* weights,
                                                  float* out) {
  const std::int64_t stride = 4 * t.value_dim;
  _tile_loadd(4, weights, 2 * kTokens);
  _tile_loadd(5, weights + 32, 2 * kTokens);
  const bf16* low = t.values;
  const bf16* high = t.values + 16 * t.value_dim * 2;
  std::int64_t d = 0;
  for (; d + 32 <= t.value_dim; d += 32) {
    _tile_loadd(0, out + d, stride);
    _tile_loadd(1, out + d + 16, stride);
    _tile_loadd(6, low + 2 * d, stride);
    _tile_dpbf16ps(0, 4, 6);
    _tile_loadd(7, low + 2 * d + 32, stride);
    _tile_dpbf16ps(1, 4, 7);
    _tile_loadd(6, high + 2 * d, stride);
    _tile_dpbf16ps(0, 5, 6);
    _tile_loadd(7, high + 2 * d + 32, stride);
    _tile_dpbf16ps(1, 5, 7);
    _tile_stored(0, out + d, stride);
    _tile_stored(1, out + d + 16, stride);
  }
  if (d < t.value_dim) {
    _tile_loadd(0, out + d, stride);
    _tile_loadd(6, low + 2 * d, stride);
    _tile_dpbf16ps(0, 4, 6);
    _tile_loadd(7, high + 2 * d, stride);
    _tile_dpbf16ps(0, 5, 7);
    _tile_stored(0, out + d, stride);
  }
}

void attend(const Bf16AttentionTile& t) noexcept {
  configure_tiles();
  bf16* weights = reinterpret_cast<bf16*>(t.scores + kRows * kTokens);  // [16][64]
  for (std::int64_t first = 0; first < t.n_rows; first += kRows) {
    const std::int64_t n = t.n_rows - first < kRows ? t.n_rows - first : kRows;
    score(t, t.q + first * t.key_dim, t.scores);
    softmax_rows<kRows>(t, first, n, t.scores, weights);
    gather(t, weights, t.out + first * t.value_dim);
  }
  _tile_release();
}

}  // namespace

constinit const Bf16Attention bf16_attention_amx = {lay_out_keys, lay_out_values, attend};

}  // namespace qwenvl::cpu
QWENVL_TARGET_END

#endif  // __x86_64__
