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
