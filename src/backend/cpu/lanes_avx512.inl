// What AVX-512 does in fewer instructions than generic vectors: masks instead of blended copies,
// parts of vectors loaded and stored as they are. Same numbers, bit for bit. Included by
// kernels.inl.

// ---- bf16 ------------------------------------------------------------------------------------

QWENVL_INLINE VecF load_vector(const bf16* p) {
  const __m256i raw = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  return VecF(_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(raw), 16)));
}

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

// The same without masks, of which fewer are made in a cycle than of other results. A NaN stays
// one, whichever, if it comes from numbers of 16 bits or from arithmetic: only 0x7fff8000 and what
// lies behind it, read from somewhere, would not.
QWENVL_INLINE __m512i number_to_upper_half(VecF x) {
  const __m512i bits = _mm512_castps_si512(__m512(x));
  const __m512i is_odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  return _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), is_odd);
}

// For numbers that go on being computed with.
QWENVL_INLINE VecF rounded_in_passing(VecF x) {
  const __m512i upper = _mm512_set1_epi32(static_cast<int>(0xffff0000));
  return VecF(_mm512_castsi512_ps(_mm512_and_si512(number_to_upper_half(x), upper)));
}

// 32 numbers in one store.
QWENVL_INLINE void store_two(bf16* p, const Lanes& x, const Lanes& next) {
  const __m512i upper_halves = _mm512_add_epi16(
      _mm512_set_epi16(62, 60, 58, 56, 54, 52, 50, 48, 46, 44, 42, 40, 38, 36, 34, 32, 30, 28, 26,
                       24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0),
      _mm512_set1_epi16(1));
  __m512i first = number_to_upper_half(x.part[0]), second = number_to_upper_half(next.part[0]);
  const __mmask16 is_nan =
      _mm512_cmp_ps_mask(__m512(x.part[0]), __m512(next.part[0]), _CMP_UNORD_Q);
  if (__builtin_expect(is_nan != 0, 0)) {
    first = rounded_to_upper_half(x.part[0]);
    second = rounded_to_upper_half(next.part[0]);
  }
  _mm512_storeu_si512(p, _mm512_permutex2var_epi16(first, upper_halves, second));
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

// ---- silu of bf16, several vectors side by side ------------------------------------------------

// One vector takes fifty instructions that wait for each other, and a processor looks ahead at some
// two hundred. Eight vectors that go through each step together leave it work meanwhile.
constexpr int kTogether = 8;
using Together = VecF[kTogether];

#define QWENVL_EACH(i) QWENVL_UNROLL for (int i = 0; i < kTogether; ++i)

QWENVL_INLINE void round_each(Together& x) { QWENVL_EACH(i) x[i] = rounded_in_passing(x[i]); }

// x / (1 + e^-x) of numbers that are rounded to bf16, with the steps of power_of_e. What e^100 and
// e^-100 become, infinity and nothing beside 1, is what is taken for all that lies beyond; no such
// number lies between 88.7, where the generic exp ends, and the end of floats.
QWENVL_INLINE void silu_each(Together& x) {
  const VecF magic = splat(kRoundingMagic);
  Together r, n, p;
  // In this order NaN stays.
  QWENVL_EACH(i) r[i] = VecF(_mm512_max_ps(_mm512_set1_ps(-100.0f), __m512(-x[i])));
  QWENVL_EACH(i) r[i] = VecF(_mm512_min_ps(_mm512_set1_ps(100.0f), __m512(r[i])));
  QWENVL_EACH(i) n[i] = r[i] * splat(kLog2E) + magic;
  QWENVL_EACH(i) n[i] = n[i] - magic;
  QWENVL_EACH(i) r[i] -= n[i] * splat(kUpperLn2);
  QWENVL_EACH(i) r[i] -= n[i] * splat(kLowerLn2);
  QWENVL_EACH(i) p[i] = splat(kPowerOfE[0]) * r[i] + splat(kPowerOfE[1]);
  QWENVL_UNROLL
  for (int k = 2; k < 8; ++k) {
    QWENVL_EACH(i) p[i] = p[i] * r[i] + splat(kPowerOfE[k]);
  }
  QWENVL_EACH(i) p[i] = VecF(_mm512_scalef_ps(__m512(p[i]), __m512(n[i])));
  QWENVL_EACH(i) p[i] = splat(1.0f) + p[i];
  QWENVL_EACH(i) x[i] = x[i] / p[i];
}

// up = round(silu(round(gate))) · round(up).
QWENVL_INLINE void gate_each(Together& gate, Together& up) {
  round_each(gate);
  silu_each(gate);
  round_each(gate);
  round_each(up);
  QWENVL_EACH(i) up[i] = gate[i] * up[i];
}
