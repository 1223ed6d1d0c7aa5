// Attention with the bf16 tiles of AMX: 16 queries against 64 keys at a time.
// The scores and the weighted sums of values are tile products with float32 sums; softmax between
// them runs on 16 floats at once, which takes longest: tiles form the scores of the next queries
// meanwhile.
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

// Tiles 0 to 3: [16][64] = q · kᵀ, summed over 32 dimensions in each step.
inline __attribute__((always_inline)) void begin_scores() {
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
}

inline __attribute__((always_inline)) void score_step(const Bf16AttentionTile& t, const bf16* q,
                                                      std::int64_t d) {
  const bf16* keys = t.keys + d * kTokens;
  _tile_loadd(4, q + d, 2 * t.q_stride);
  _tile_loadd(5, keys, 4 * kTokens);
  _tile_dpbf16ps(0, 4, 5);
  _tile_loadd(6, keys + 32, 4 * kTokens);
  _tile_dpbf16ps(1, 4, 6);
  _tile_loadd(7, keys + 64, 4 * kTokens);
  _tile_dpbf16ps(2, 4, 7);
  _tile_loadd(5, keys + 96, 4 * kTokens);
  _tile_dpbf16ps(3, 4, 5);
}

inline __attribute__((always_inline)) void store_scores(float* scores) {
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
  float* scores[2] = {t.scores, t.scores + kRows * kTokens};                // [16][64] each
  bf16* weights = reinterpret_cast<bf16*>(t.scores + 2 * kRows * kTokens);  // [16][64]
  const std::int64_t n_steps = t.key_dim / 32, rows_per_step = (kRows + n_steps - 1) / n_steps;
  begin_scores();
  for (std::int64_t d = 0; d < t.key_dim; d += 32) score_step(t, t.q, d);
  store_scores(scores[0]);
  for (std::int64_t first = 0, turn = 0; first < t.n_rows; first += kRows, turn ^= 1) {
    const std::int64_t n = t.n_rows - first < kRows ? t.n_rows - first : kRows;
    const bool has_next = first + kRows < t.n_rows;
    const bf16* next = t.q + (first + kRows) * t.q_stride;
    begin_scores();
    for (std::int64_t step = 0; step < n_steps; ++step) {
      if (has_next) score_step(t, next, 32 * step);
      const std::int64_t begin = step * rows_per_step, end = begin + rows_per_step;
      softmax_rows(t, first, n, begin, end < kRows ? end : kRows, scores[turn], weights);
    }
    if (has_next) store_scores(scores[turn ^ 1]);
    gather(t, weights, t.out + first * t.value_dim);
  }
  _tile_release();
}

}  // namespace

constinit const Bf16Attention bf16_attention_amx = {32,     true,  lay_out_keys, lay_out_values,
                                                    attend, finish};

}  // namespace qwenvl::cpu
QWENVL_TARGET_END

#endif  // __x86_64__
