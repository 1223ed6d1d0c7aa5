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
inline void lay_out_values(const std::byte* values, std::int64_t stride_bytes, std::int64_t n,
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

// The same of rows [first, first + n); the other rows of a block get no weight. scores, weights:
// [kBlockRows][64].
template <std::int64_t kBlockRows>
inline __attribute__((always_inline)) void softmax_rows(const Bf16AttentionTile& t,
                                                        std::int64_t first, std::int64_t n,
                                                        const float* scores, bf16* weights) {
  for (std::int64_t r = 0; r < n; ++r) {
    softmax_row(t, first + r, scores + r * kTokens, weights + r * kTokens);
  }
  for (std::int64_t r = n; r < kBlockRows; ++r) {
    _mm512_store_si512(weights + r * kTokens, _mm512_setzero_si512());
    _mm512_store_si512(weights + r * kTokens + 32, _mm512_setzero_si512());
  }
}
