// Activations → bytes, with AVX-512: included inside the region of a kernel file. The same numbers
// as quantise_activations of formats/packed.cpp, bit for bit.

inline __attribute__((always_inline)) __m512 load_some(const float* x, std::int64_t n) {
  return n >= 16 ? _mm512_loadu_ps(x)
                 : _mm512_maskz_loadu_ps(static_cast<__mmask16>(n > 0 ? (1u << n) - 1 : 0), x);
}

void quantise(const float* x, std::int64_t n_in, bool is_grouped, std::int8_t* q, float* scales,
              std::int32_t* sums) noexcept {
  const std::int64_t padded = (n_in + kBlock - 1) / kBlock * kBlock;
  const std::int64_t group = is_grouped ? kBlock : padded;
  const __m512 most = _mm512_set1_ps(3.40282347e38f);
  for (std::int64_t begin = 0; begin < padded; begin += group) {
    __m512 largest = _mm512_setzero_ps();
    __mmask16 strange = 0;
    for (std::int64_t i = begin; i < begin + group; i += 16) {
      const __m512 size = _mm512_abs_ps(load_some(x + i, n_in - i));
      strange = static_cast<__mmask16>(strange | _mm512_cmp_ps_mask(size, most, _CMP_NLE_UQ));
      largest = _mm512_max_ps(largest, size);
    }
    const float reach = _mm512_reduce_max_ps(largest);
    const bool is_finite = strange == 0;
    scales[begin / group] = is_finite ? reach * (1.0f / 127.0f) : __builtin_nanf("");
    const float inverse = is_finite && reach > 1e-36f ? 127.0f / reach : 0.0f;
    for (std::int64_t i = begin; i < begin + group; i += 32) {
      const __m512 factor = _mm512_set1_ps(inverse);
      const __m512i nothing = _mm512_setzero_si512();
      const __m512i low =
          is_finite ? _mm512_cvtps_epi32(_mm512_mul_ps(load_some(x + i, n_in - i), factor))
                    : nothing;
      const __m512i high =
          is_finite
              ? _mm512_cvtps_epi32(_mm512_mul_ps(load_some(x + i + 16, n_in - i - 16), factor))
              : nothing;
      _mm_storeu_si128(reinterpret_cast<__m128i*>(q + i), _mm512_cvtepi32_epi8(low));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(q + i + 16), _mm512_cvtepi32_epi8(high));
      sums[i / 32] = _mm512_reduce_add_epi32(_mm512_add_epi32(low, high));
    }
  }
}

// ---- rows of bf16 ------------------------------------------------------------------------------

// Numbers [i, i + 32) of n, zero behind them.
inline __attribute__((always_inline)) __m512i load_bf16(const bf16* x, std::int64_t i,
                                                        std::int64_t n) {
  if (i + 32 <= n) return _mm512_loadu_si512(x + i);
  return _mm512_maskz_loadu_epi16(i < n ? (1u << (n - i)) - 1 : 0, x + i);
}

// 16 of them times the factor, to the nearest integers.
inline __attribute__((always_inline)) __m512i scaled(__m256i x, __m512 factor) {
  const __m512i bits = _mm512_slli_epi32(_mm512_cvtepu16_epi32(x), 16);
  return _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_castsi512_ps(bits), factor));
}

// 64 numbers within ±127 in four vectors → bytes in order.
inline __attribute__((always_inline)) __m512i bytes_of(const __m512i (&x)[4]) {
  const __m512i order = _mm512_set_epi32(15, 11, 7, 3, 14, 10, 6, 2, 13, 9, 5, 1, 12, 8, 4, 0);
  const __m512i pairs =
      _mm512_packs_epi16(_mm512_packs_epi32(x[0], x[1]), _mm512_packs_epi32(x[2], x[3]));
  return _mm512_permutexvar_epi32(order, pairs);
}

// Eight sums of 8 bytes each, all of the bytes 128 larger.
inline __attribute__((always_inline)) __m512i sums_of_eight(__m512i bytes) {
  return _mm512_sad_epu8(_mm512_xor_si512(bytes, _mm512_set1_epi8(-128)), _mm512_setzero_si512());
}

// Sums of the first and of the last 32 of 64 bytes; returns both together.
inline __attribute__((always_inline)) std::int32_t add_up(__m512i bytes, std::int32_t* sums) {
  const __m512i eights = sums_of_eight(bytes);
  const __m512i sixteens = _mm512_add_epi64(eights, _mm512_unpackhi_epi64(eights, eights));
  const __m512i halves =
      _mm512_add_epi64(sixteens, _mm512_shuffle_i64x2(sixteens, sixteens, 0b10110001));
  sums[0] = _mm512_cvtsi512_si32(halves) - 32 * 128;
  sums[1] = _mm_cvtsi128_si32(_mm512_extracti32x4_epi32(halves, 2)) - 32 * 128;
  return sums[0] + sums[1];
}

// The sizes of bf16 numbers are in the order of their bits without the sign, infinity and NaN
// behind all others.
template <bool kGrouped>
inline __attribute__((always_inline)) void quantise_groups(const bf16* x, std::int64_t n_in,
                                                           std::int8_t* q, std::int64_t step,
                                                           float* scales, std::int32_t* sums,
                                                           std::int32_t* starts) {
  const std::int64_t padded = (n_in + kBlock - 1) / kBlock * kBlock;
  const std::int64_t group = kGrouped ? kBlock : padded;
  const __m512i without_sign = _mm512_set1_epi16(0x7fff);
  for (std::int64_t begin = 0; begin < padded; begin += group) {
    __m512i largest = _mm512_setzero_si512();
    for (std::int64_t i = begin; i < begin + group; i += 32) {
      largest = _mm512_max_epu16(largest, _mm512_and_si512(load_bf16(x, i, n_in), without_sign));
    }
    const __m512i odd = _mm512_srli_epi32(largest, 16);
    const __m512i even = _mm512_and_si512(largest, _mm512_set1_epi32(0xffff));
    const std::uint32_t most = _mm512_reduce_max_epu32(_mm512_max_epu32(odd, even));
    const bool is_finite = most < 0x7f80;
    const float reach =
        _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128(static_cast<int>(most << 16))));
    scales[begin / group] = is_finite ? reach * (1.0f / 127.0f) : __builtin_nanf("");
    const __m512 factor = _mm512_set1_ps(is_finite && reach > 1e-36f ? 127.0f / reach : 0.0f);
    std::int32_t total = 0;
    __m512i eights = _mm512_setzero_si512();
    for (std::int64_t i = begin; i < begin + group; i += 64) {
      const __m512i first = load_bf16(x, i, n_in), second = load_bf16(x, i + 32, n_in);
      const __m512i numbers[4] = {scaled(_mm512_castsi512_si256(first), factor),
                                  scaled(_mm512_extracti64x4_epi64(first, 1), factor),
                                  scaled(_mm512_castsi512_si256(second), factor),
                                  scaled(_mm512_extracti64x4_epi64(second, 1), factor)};
      const __m512i bytes = is_finite ? bytes_of(numbers) : _mm512_setzero_si512();
      _mm512_storeu_si512(q + i / 64 * step, bytes);
      if (kGrouped) {
        total += add_up(bytes, sums + i / 32);
      } else {
        eights = _mm512_add_epi64(eights, sums_of_eight(bytes));
      }
    }
    if (!kGrouped) {
      total = static_cast<std::int32_t>(_mm512_reduce_add_epi64(eights) - 128 * group);
    }
    starts[begin / group] = -128 * total;
  }
}

void quantise_bf16(const bf16* x, std::int64_t n_in, bool is_grouped, std::int8_t* q,
                   std::int64_t step, float* scales, std::int32_t* sums,
                   std::int32_t* starts) noexcept {
  if (is_grouped) {
    quantise_groups<true>(x, n_in, q, step, scales, sums, starts);
  } else {
    quantise_groups<false>(x, n_in, q, step, scales, sums, starts);
  }
}
