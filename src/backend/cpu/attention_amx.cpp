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

#include "backend/cpu/tiles_amx.inl"

constexpr int kTokens = kKvPageTokens;
constexpr int kRows = 16;  // queries of a tile
static_assert(kTokens == 64);

// ---- layout ------------------------------------------------------------------------------------

// out [padded dim / 2][64][2]: pairs of dimensions of all keys side by side, zeros where nothing
// is.
void lay_out_keys(const std::byte* keys, std::int64_t stride_bytes, std::int64_t n, int head_dim,
                  bf16* out) noexcept {
  for (int d = 0; d < head_dim; d += 32) {
    const int here = head_dim - d < 32 ? head_dim - d : 32;
    const __mmask32 some = here == 32 ? 0xffffffffu : (1u << here) - 1;
    for (int first = 0; first < kTokens; first += 16) {
      lay_out_pairs(keys + first * stride_bytes + 2 * d, stride_bytes, n - first, some,
                    out + (d / 2 * kTokens + first) * 2, 2 * kTokens);
    }
  }
}

// out [32][padded dim][2]: the same dimension of two tokens side by side.
void lay_out_values(const std::byte* values, std::int64_t stride_bytes, std::int64_t n,
                    int head_dim, bf16* out) noexcept {
  const int width = (head_dim + 15) / 16 * 16;
  for (int pair = 0; pair < kTokens / 2; ++pair) {
    for (int d = 0; d < width; d += 16) {
      const int here = head_dim - d < 16 ? head_dim - d : 16;
      const __mmask16 some = static_cast<__mmask16>((1u << here) - 1);
      const auto row = [&](int token) {
        return token < n ? _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(
                               some, values + token * stride_bytes + 2 * d))
                         : _mm512_setzero_si512();
      };
      const __m512i both = _mm512_or_si512(row(2 * pair), _mm512_slli_epi32(row(2 * pair + 1), 16));
      _mm512_store_si512(out + (pair * width + d) * 2, both);
    }
  }
}

// ---- softmax -----------------------------------------------------------------------------------

// 2^x for x ≤ 0 to about 2e-7 relative; 0 below -126, also for -infinity.
inline __attribute__((always_inline)) __m512 exp2(__m512 x) {
  const __mmask16 is_normal = _mm512_cmp_ps_mask(x, _mm512_set1_ps(-126.0f), _CMP_GE_OQ);
  const __m512 n = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const __m512 r = _mm512_sub_ps(x, n);  // in [-0.5, 0.5]: powers of ln 2 over factorials
  __m512 p = _mm512_set1_ps(1.54035304e-4f);
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.33335581e-3f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(9.61812911e-3f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(5.55041087e-2f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(2.40226507e-1f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(6.93147181e-1f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
  return _mm512_maskz_scalef_ps(is_normal, p, n);
}

// One row of scores → weights in bf16; scales what the row has gathered when its maximum grows.
inline __attribute__((always_inline)) void softmax_row(const Bf16AttentionTile& t, std::int64_t row,
                                                       const float* scores, bf16* weights) {
  const std::int32_t visible = t.visible[row];
  if (visible <= 0) {
    _mm512_store_si512(weights, _mm512_setzero_si512());
    _mm512_store_si512(weights + 32, _mm512_setzero_si512());
    return;
  }
  const __m512 factor = _mm512_set1_ps(t.scale * 1.44269504f);
  const __m512 none = _mm512_set1_ps(-__builtin_inff());
  __m512 s[4];
  __m512 largest = none;
  _Pragma("GCC unroll 4") for (int i = 0; i < 4; ++i) {
    const int rest = visible - 16 * i;
    const __mmask16 seen = static_cast<__mmask16>(rest >= 16 ? 0xffff
                                                  : rest > 0 ? (1 << rest) - 1
                                                             : 0);
    s[i] = _mm512_mask_mul_ps(none, seen, _mm512_load_ps(scores + 16 * i), factor);
    largest = _mm512_max_ps(largest, s[i]);
  }
  const float before = t.maxima[row], here = _mm512_reduce_max_ps(largest);
  const float maximum = here > before ? here : before;
  const __m512 top = _mm512_set1_ps(maximum);
  __m512 sum = _mm512_setzero_ps();
  _Pragma("GCC unroll 4") for (int i = 0; i < 4; ++i) {
    s[i] = exp2(_mm512_sub_ps(s[i], top));
    sum = _mm512_add_ps(sum, s[i]);
  }
  _mm512_store_si512(weights, (__m512i)_mm512_cvtne2ps_pbh(s[1], s[0]));
  _mm512_store_si512(weights + 32, (__m512i)_mm512_cvtne2ps_pbh(s[3], s[2]));
  float gathered = t.sums[row];
  if (maximum > before) {
    const float shrink = _mm512_cvtss_f32(exp2(_mm512_set1_ps(before - maximum)));
    gathered *= shrink;
    float* out = t.out + row * t.value_dim;
    for (std::int64_t d = 0; d < t.value_dim; d += 16) {
      _mm512_storeu_ps(out + d, _mm512_mul_ps(_mm512_loadu_ps(out + d), _mm512_set1_ps(shrink)));
    }
  }
  t.maxima[row] = maximum;
  t.sums[row] = gathered + _mm512_reduce_add_ps(sum);
}

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
    for (std::int64_t r = 0; r < n; ++r) {
      softmax_row(t, first + r, t.scores + r * kTokens, weights + r * kTokens);
    }
    for (std::int64_t r = n; r < kRows; ++r) {
      _mm512_store_si512(weights + r * kTokens, _mm512_setzero_si512());
      _mm512_store_si512(weights + r * kTokens + 32, _mm512_setzero_si512());
    }
    gather(t, weights, t.out + first * t.value_dim);
  }
  _tile_release();
}

}  // namespace

constinit const Bf16Attention bf16_attention_amx = {lay_out_keys, lay_out_values, attend};

}  // namespace qwenvl::cpu
QWENVL_TARGET_END

#endif  // __x86_64__
