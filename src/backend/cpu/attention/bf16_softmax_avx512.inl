// Attention in bf16 around its products, which AVX-512 BF16 and AMX form in their own ways: how
// keys and values are laid out, and softmax. Included inside the region of a kernel file after
// bf16_pairs_avx512.inl.

constexpr int kTokens = kKvPageTokens;
static_assert(kTokens == 64);

// ---- layout ------------------------------------------------------------------------------------

// out [padded dim / 2][64][2]: pairs of dimensions of all keys side by side, zeros where nothing
// is.
inline void lay_out_keys(const std::byte* keys, std::int64_t stride_bytes, std::int64_t n,
                         int head_dim, bf16* out) noexcept {
  for (int first = 0; first < kTokens; first += 16) {
    for (int d = 0; d < head_dim; d += 32) {
      const int here = head_dim - d < 32 ? head_dim - d : 32;
      const __mmask32 some = here == 32 ? 0xffffffffu : (1u << here) - 1;
      lay_out_pairs(keys + first * stride_bytes + 2 * d, stride_bytes, n - first, some,
                    out + (d / 2 * kTokens + first) * 2, 2 * kTokens);
    }
  }
}

// out [32][padded dim][2]: the same dimension of two tokens side by side.
inline void lay_out_values(const std::byte* values, std::int64_t stride_bytes, std::int64_t n,
                           int head_dim, bf16* out) noexcept {
  const int width = (head_dim + 15) / 16 * 16;
  // Which of the 64 numbers of two rows: 0, 32, 1, 33 … 15, 47.
  const __m512i low = _mm512_add_epi32(
      _mm512_mullo_epi32(_mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
                         _mm512_set1_epi32(0x10001)),
      _mm512_set1_epi32(0x200000));
  const __m512i high = _mm512_add_epi16(low, _mm512_set1_epi16(16));
  for (int pair = 0; pair < kTokens / 2; ++pair) {
    for (int d = 0; d < width; d += 32) {
      const int here = head_dim - d < 32 ? head_dim - d : 32;
      const __mmask32 some = here == 32 ? 0xffffffffu : (1u << here) - 1;
      const auto row = [&](int token) {
        return token < n ? _mm512_maskz_loadu_epi16(some, values + token * stride_bytes + 2 * d)
                         : _mm512_setzero_si512();
      };
      const __m512i even = row(2 * pair), odd = row(2 * pair + 1);
      bf16* to = out + (pair * width + d) * 2;
      _mm512_store_si512(to, _mm512_permutex2var_epi16(even, low, odd));
      if (d + 16 < width) _mm512_store_si512(to + 32, _mm512_permutex2var_epi16(even, high, odd));
    }
  }
}

// ---- softmax -----------------------------------------------------------------------------------

// 2^x to about 2e-7 relative, 2^-126 below that: what denormal numbers would add is nothing.
inline __attribute__((always_inline)) __m512 exp2(__m512 x) {
  x = _mm512_max_ps(_mm512_set1_ps(-126.0f), x);  // in this order NaN stays
  const __m512 n = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const __m512 r = _mm512_sub_ps(x, n);  // in [-0.5, 0.5]: least largest error with p(0) = 1
  __m512 p = _mm512_set1_ps(1.32647273e-3f);
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(9.67151299e-3f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(5.55073358e-2f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(2.40222424e-1f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(6.93147004e-1f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
  return _mm512_scalef_ps(p, n);
}

// How far scores may exceed what is taken from them before that is raised: weights up to 2^8 do no
// harm, and most tiles after the first then need no maximum of their own.
constexpr float kSlack = 8;

constexpr float kNothingYet = -3.40282347e38f;  // where maxima start

// Takes the largest score of a tile from those of the row: its weight is then 1, which rounding to
// bf16 leaves as it is. Returns what is taken.
__attribute__((noinline)) float raise_maximum(const Bf16AttentionTile& t, std::int64_t row,
                                              __m512 largest) {
  const float here = _mm512_reduce_max_ps(largest), before = t.maxima[row];
  if (before != kNothingYet) {
    const __m512 shrink = exp2(_mm512_set1_ps(before - here));
    float* sums = t.sums + 16 * row;
    _mm512_storeu_ps(sums, _mm512_mul_ps(_mm512_loadu_ps(sums), shrink));
    float* out = t.out + row * t.value_dim;
    for (std::int64_t d = 0; d < t.value_dim; d += 16) {
      _mm512_storeu_ps(out + d, _mm512_mul_ps(_mm512_loadu_ps(out + d), shrink));
    }
  }
  t.maxima[row] = here;
  return here;
}

// The keys 16 · i … of a tile that a row sees.
inline __attribute__((always_inline)) __mmask16 seen_keys(std::int32_t visible, int i) {
  const int rest = visible - 16 * i;
  return static_cast<__mmask16>(rest >= 16 ? 0xffff : rest > 0 ? (1 << rest) - 1 : 0);
}

// One row of scores → weights in bf16. Hidden keys get no weight at all.
template <bool kSeesAll>
inline __attribute__((always_inline)) void weigh_row(const Bf16AttentionTile& t, std::int64_t row,
                                                     const float* scores, bf16* weights) {
  const __m512 factor = _mm512_set1_ps(t.scale * 1.44269504f);
  const __m512 none = _mm512_set1_ps(-__builtin_inff());
  const std::int32_t visible = t.visible[row];
  __m512 s[4];
  _Pragma("GCC unroll 4") for (int i = 0; i < 4; ++i) {
    s[i] = kSeesAll ? _mm512_load_ps(scores + 16 * i)
                    : _mm512_mask_load_ps(none, seen_keys(visible, i), scores + 16 * i);
    // Rounded before anything is taken from it: of a huge score an exact product would leave what
    // rounding took from the largest.
    s[i] = _mm512_mul_ps(s[i], factor);
  }
  const __m512 largest = _mm512_max_ps(_mm512_max_ps(s[0], s[1]), _mm512_max_ps(s[2], s[3]));
  __m512 top = _mm512_set1_ps(t.maxima[row]);
  const __m512 limit = _mm512_add_ps(top, _mm512_set1_ps(kSlack));
  if (__builtin_expect(_mm512_cmp_ps_mask(largest, limit, _CMP_NLE_UQ) != 0, 0)) {
    top = _mm512_set1_ps(raise_maximum(t, row, largest));
  }
  __m512 sum = _mm512_loadu_ps(t.sums + 16 * row);
  _Pragma("GCC unroll 4") for (int i = 0; i < 4; ++i) {
    s[i] = exp2(_mm512_sub_ps(s[i], top));
    if (!kSeesAll) s[i] = _mm512_maskz_mov_ps(seen_keys(visible, i), s[i]);
  }
  // The weights as they are rounded are added up: of few keys the roundings then cancel.
  const __m512bh ones = (__m512bh)_mm512_set1_epi16(0x3f80);
  _Pragma("GCC unroll 2") for (int i = 0; i < 2; ++i) {
    const __m512bh rounded = _mm512_cvtne2ps_pbh(s[2 * i + 1], s[2 * i]);
    sum = _mm512_dpbf16_ps(sum, rounded, ones);
    _mm512_store_si512(weights + 32 * i, (__m512i)rounded);
  }
  _mm512_storeu_ps(t.sums + 16 * row, sum);
}

inline __attribute__((always_inline)) void softmax_row(const Bf16AttentionTile& t, std::int64_t row,
                                                       const float* scores, bf16* weights) {
  if (__builtin_expect(t.visible[row] >= kTokens, 1)) {
    weigh_row<true>(t, row, scores, weights);
  } else if (t.visible[row] > 0) {
    weigh_row<false>(t, row, scores, weights);
  } else {
    _mm512_store_si512(weights, _mm512_setzero_si512());
    _mm512_store_si512(weights + 32, _mm512_setzero_si512());
  }
}

// Rows [begin, end) of the n of a block from row `first` on; rows behind these n get no weight.
// scores, weights: [rows of a block][64].
inline __attribute__((always_inline)) void softmax_rows(const Bf16AttentionTile& t,
                                                        std::int64_t first, std::int64_t n,
                                                        std::int64_t begin, std::int64_t end,
                                                        const float* scores, bf16* weights) {
  for (std::int64_t r = begin; r < end; ++r) {
    if (r < n) {
      softmax_row(t, first + r, scores + r * kTokens, weights + r * kTokens);
    } else {
      _mm512_store_si512(weights + r * kTokens, _mm512_setzero_si512());
      _mm512_store_si512(weights + r * kTokens + 32, _mm512_setzero_si512());
    }
  }
}

// ---- results -----------------------------------------------------------------------------------

// out = what a row has gathered / the sum of its weights.
inline void finish(const float* gathered, const float* sums, int head_dim, bf16* out) noexcept {
  const __m512 total = _mm512_set1_ps(_mm512_reduce_add_ps(_mm512_loadu_ps(sums)));
  for (int d = 0; d < head_dim; d += 16) {
    const __m256i rounded =
        (__m256i)_mm512_cvtneps_pbh(_mm512_div_ps(_mm512_loadu_ps(gathered + d), total));
    const __mmask16 some =
        static_cast<__mmask16>(head_dim - d < 16 ? (1 << (head_dim - d)) - 1 : 0xffff);
    _mm256_mask_storeu_epi16(out + d, some, rounded);
  }
}
