// What AVX-512 does in fewer instructions than generic vectors: masks instead of blended copies,
// parts of vectors loaded and stored as they are. Same numbers, bit for bit. Included by
// kernels.inl.

// ---- bf16 ------------------------------------------------------------------------------------

// Rounded to nearest, ties to even, in the upper halves; what the lower halves hold is not stated.
// NaN becomes the one quiet NaN.
QWENVL_INLINE __m512i rounded_to_upper_half(VecF x) {
  const __m512i bits = _mm512_castps_si512(__m512(x));
  const __mmask16 is_odd = _mm512_test_epi32_mask(bits, _mm512_set1_epi32(0x10000));
  const __m512i half = _mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff));
  const __m512i rounded = _mm512_mask_add_epi32(half, is_odd, half, _mm512_set1_epi32(1));
  const __mmask16 is_nan = _mm512_cmp_ps_mask(__m512(x), __m512(x), _CMP_UNORD_Q);
  return _mm512_mask_mov_epi32(rounded, is_nan, _mm512_set1_epi32(0x7fc00000));
}

QWENVL_INLINE __m256i to_bf16_bits(VecF x) {
  return _mm512_cvtepi32_epi16(_mm512_srli_epi32(rounded_to_upper_half(x), 16));
}

QWENVL_INLINE VecF rounded_to_bf16(VecF x) {
  const __m512i upper = _mm512_set1_epi32(static_cast<int>(0xffff0000));
  return VecF(_mm512_castsi512_ps(_mm512_and_si512(rounded_to_upper_half(x), upper)));
}

// ---- parts of vectors ------------------------------------------------------------------------

QWENVL_INLINE __mmask16 first_lanes(std::int64_t n) {
  return static_cast<__mmask16>((1u << n) - 1);
}

QWENVL_INLINE Lanes load_tail(const float* p, std::int64_t n) {
  return {{VecF(_mm512_maskz_loadu_ps(first_lanes(n), p))}};
}

QWENVL_INLINE Lanes load_tail(const bf16* p, std::int64_t n) {
  const __m512i wide = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(first_lanes(n), p));
  return {{VecF(_mm512_castsi512_ps(_mm512_slli_epi32(wide, 16)))}};
}

QWENVL_INLINE Lanes load_tail(const fp16* p, std::int64_t n) {
  alignas(32) fp16 buffer[kLanes];
  const __m256i bits = _mm256_maskz_loadu_epi16(first_lanes(n), p);
  __builtin_memcpy(buffer, &bits, sizeof bits);
  return {{load_vector(buffer)}};
}

QWENVL_INLINE void store_tail(float* p, const Lanes& x, std::int64_t n) {
  _mm512_mask_storeu_ps(p, first_lanes(n), __m512(x.part[0]));
}

QWENVL_INLINE void store_tail(bf16* p, const Lanes& x, std::int64_t n) {
  _mm256_mask_storeu_epi16(p, first_lanes(n), to_bf16_bits(x.part[0]));
}

// ---- exp -------------------------------------------------------------------------------------

// As the generic one. Lanes that end as 0 or infinity may hold anything on the way.
QWENVL_INLINE VecF exp_vector(VecF x) {
  const __mmask16 is_not_tiny = _mm512_cmp_ps_mask(__m512(x), _mm512_set1_ps(-87.3f), _CMP_NLT_UQ);
  const __mmask16 is_huge = _mm512_cmp_ps_mask(__m512(x), _mm512_set1_ps(88.7f), _CMP_GT_OQ);
  const PowerOfE e = power_of_e(x);
  const __m512i scaled = _mm512_maskz_add_epi32(
      is_not_tiny, _mm512_castps_si512(__m512(e.mantissa)), __m512i(e.exponent));
  const __m512 infinity = _mm512_set1_ps(__builtin_inff());
  return VecF(_mm512_mask_mov_ps(_mm512_castsi512_ps(scaled), is_huge, infinity));
}
