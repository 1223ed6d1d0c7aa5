// Attention with the bf16 dot products of AVX-512: 4 queries against 64 keys at a time, softmax
// between the scores and the weighted sums of values.
#if defined(__x86_64__)

#include <immintrin.h>

#include <cstdint>

#include "backend/cpu/kernel_table.h"
#include "backend/cpu/target.h"

#if defined(__clang__)
QWENVL_TARGET_BEGIN("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma")
#else
QWENVL_TARGET_BEGIN(
    "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma,prefer-vector-width=512")
#endif
namespace qwenvl::cpu {
namespace {

#include "backend/cpu/bf16_pairs_avx512.inl"

// Uses the pairs above.
#include "backend/cpu/attention/bf16_softmax_avx512.inl"

constexpr int kM = 4;  // queries of a tile; queries, weights and results lie in whole sixteens

#define QWENVL_EACH_ROW _Pragma("GCC unroll 4") for (int m = 0; m < kM; ++m)
#define QWENVL_EACH_VECTOR _Pragma("GCC unroll 5") for (int v = 0; v < kVectors; ++v)

// The queries of a tile; the last one stands for those that are not there.
struct Queries {
  Queries(const Bf16AttentionTile& t, std::int64_t first) {
    QWENVL_EACH_ROW {
      const std::int64_t row = first + m < t.n_rows ? first + m : t.n_rows - 1;
      rows[m] = t.q + row * t.q_stride;
    }
  }
  const bf16* rows[kM];
};

// scores [kM][64] = q · kᵀ.
__attribute__((noinline)) void score_rows(const Bf16AttentionTile& t, const Queries& q,
                                          float* scores) {
  constexpr int kVectors = kTokens / 16;
  __m512 sum[kM][kVectors];
  QWENVL_EACH_ROW QWENVL_EACH_VECTOR sum[m][v] = _mm512_setzero_ps();
  const bf16* keys = t.keys;
  const bf16* rows[kM];
  QWENVL_EACH_ROW rows[m] = q.rows[m];
  const std::int64_t dim = t.key_dim;
  for (std::int64_t d = 0; d < dim; d += 2, keys += 2 * kTokens) {
    __m512bh key[kVectors];
    QWENVL_EACH_VECTOR key[v] = (__m512bh)_mm512_load_si512(keys + 32 * v);
    QWENVL_EACH_ROW {
      const __m512bh x = (__m512bh)same_pair(rows[m] + d);
      QWENVL_EACH_VECTOR sum[m][v] = _mm512_dpbf16_ps(sum[m][v], x, key[v]);
    }
  }
  QWENVL_EACH_ROW QWENVL_EACH_VECTOR _mm512_store_ps(scores + m * kTokens + 16 * v, sum[m][v]);
}

// out [kM][16 · kVectors] += weights [kM][64] · the values' columns from d on.
template <int kVectors>
__attribute__((noinline)) void gather_rows(const Bf16AttentionTile& t, const bf16* weights,
                                           std::int64_t d, float* out) {
  const std::int64_t dim = t.value_dim;
  __m512 sum[kM][kVectors];
  QWENVL_EACH_ROW QWENVL_EACH_VECTOR sum[m][v] = _mm512_loadu_ps(out + m * dim + d + 16 * v);
  const bf16* values = t.values + 2 * d;
  for (int j = 0; j < kTokens; j += 2, values += 2 * dim) {
    __m512bh value[kVectors];
    QWENVL_EACH_VECTOR value[v] = (__m512bh)_mm512_loadu_si512(values + 32 * v);
    QWENVL_EACH_ROW {
      const __m512bh weight = (__m512bh)same_pair(weights + m * kTokens + j);
      QWENVL_EACH_VECTOR sum[m][v] = _mm512_dpbf16_ps(sum[m][v], weight, value[v]);
    }
  }
  QWENVL_EACH_ROW QWENVL_EACH_VECTOR _mm512_storeu_ps(out + m * dim + d + 16 * v, sum[m][v]);
}

void gather(const Bf16AttentionTile& t, const bf16* weights, float* out) {
  std::int64_t d = 0;
  if (t.value_dim == 80) {  // the tower's heads, without a narrow rest
    gather_rows<5>(t, weights, 0, out);
    return;
  }
  for (; d + 64 <= t.value_dim; d += 64) gather_rows<4>(t, weights, d, out);
  for (; d < t.value_dim; d += 16) gather_rows<1>(t, weights, d, out);
}

// The scores of the next queries are formed between the softmax of the last and their weighted
// sums: of two steps that follow each other none waits for the other.
void attend(const Bf16AttentionTile& t) noexcept {
  float* scores[2] = {t.scores, t.scores + kM * kTokens};
  bf16* weights = reinterpret_cast<bf16*>(t.scores + 2 * kM * kTokens);  // [kM][64]
  score_rows(t, Queries(t, 0), scores[0]);
  for (std::int64_t first = 0, turn = 0; first < t.n_rows; first += kM, turn ^= 1) {
    const std::int64_t n = t.n_rows - first < kM ? t.n_rows - first : kM;
    softmax_rows(t, first, n, 0, kM, scores[turn], weights);
    if (first + kM < t.n_rows) score_rows(t, Queries(t, first + kM), scores[turn ^ 1]);
    gather(t, weights, t.out + first * t.value_dim);
  }
}

}  // namespace

constinit const Bf16Attention bf16_attention_avx512 = {16,     false, lay_out_keys, lay_out_values,
                                                       attend, finish};

}  // namespace qwenvl::cpu
QWENVL_TARGET_END

#endif  // __x86_64__
