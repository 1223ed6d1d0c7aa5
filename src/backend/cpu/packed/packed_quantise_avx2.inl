// Activations → bytes, with AVX2: included inside the region of a kernel file. The same numbers as
// quantise_activations of formats/packed.cpp, bit for bit.

// Lanes i … i + 8 of n, zero behind them.
inline __attribute__((always_inline)) __m256 load_eight(const float* x, std::int64_t i,
                                                        std::int64_t n) {
  if (i + 8 <= n) return _mm256_loadu_ps(x + i);
  const __m256i left = _mm256_set1_epi32(static_cast<int>(i < n ? n - i : 0));
  const __m256i is_there = _mm256_cmpgt_epi32(left, _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  return _mm256_maskload_ps(x + i, is_there);
}

inline __attribute__((always_inline)) float largest_of(__m256 x) {
  const __m128 four = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
  const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_shuffle_ps(two, two, 1)));
}

// 32 numbers · factor to the nearest integers, as bytes.
inline __attribute__((always_inline)) __m256i rounded(const float* x, std::int64_t i,
                                                      std::int64_t n, __m256 factor) {
  __m256i numbers[4];
  for (int j = 0; j < 4; ++j) {
    numbers[j] = _mm256_cvtps_epi32(_mm256_mul_ps(load_eight(x, i + 8 * j, n), factor));
  }
  // Packing works within halves of a register.
  const __m256i mixed = _mm256_packs_epi16(_mm256_packs_epi32(numbers[0], numbers[1]),
                                           _mm256_packs_epi32(numbers[2], numbers[3]));
  return _mm256_permutevar8x32_epi32(mixed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

inline __attribute__((always_inline)) std::int32_t sum_of_bytes(__m256i bytes) {
  const __m256i pairs = _mm256_maddubs_epi16(_mm256_set1_epi8(1), bytes);
  const __m256i eight = _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
  const __m128i four =
      _mm_add_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
  const __m128i two = _mm_add_epi32(four, _mm_unpackhi_epi64(four, four));
  return _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 1)));
}

void quantise(const float* x, std::int64_t n_in, bool is_grouped, std::int8_t* q, float* scales,
              std::int32_t* sums) noexcept {
  const std::int64_t padded = (n_in + kBlock - 1) / kBlock * kBlock;
  const std::int64_t group = is_grouped ? kBlock : padded;
  const __m256 most = _mm256_set1_ps(3.40282347e38f);
  const __m256 without_sign = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff));
  for (std::int64_t begin = 0; begin < padded; begin += group) {
    __m256 largest = _mm256_setzero_ps(), strange = largest;
    for (std::int64_t i = begin; i < begin + group; i += 8) {
      const __m256 size = _mm256_and_ps(load_eight(x, i, n_in), without_sign);
      strange = _mm256_or_ps(strange, _mm256_cmp_ps(size, most, _CMP_NLE_UQ));
      largest = _mm256_max_ps(largest, size);
    }
    const float reach = largest_of(largest);
    const bool is_finite = _mm256_movemask_ps(strange) == 0;
    scales[begin / group] = is_finite ? reach * (1.0f / 127.0f) : __builtin_nanf("");
    const __m256 factor = _mm256_set1_ps(is_finite && reach > 1e-36f ? 127.0f / reach : 0.0f);
    for (std::int64_t i = begin; i < begin + group; i += 32) {
      const __m256i bytes = is_finite ? rounded(x, i, n_in, factor) : _mm256_setzero_si256();
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(q + i), bytes);
      sums[i / 32] = sum_of_bytes(bytes);
    }
  }
}
