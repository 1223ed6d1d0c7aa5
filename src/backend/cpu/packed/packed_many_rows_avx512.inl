// What the AVX-512 kernels for many rows share: included inside the region of a kernel file. int4
// is expanded to bytes once for all rows, and sums are scaled and added in one order, so that all
// of the kernels give the same bits.

// The scales of 16 of the 32 rows of W of a block, the first or the last.
inline __attribute__((always_inline)) __m512 scales_of(Packing packing, const std::byte* panel,
                                                       std::int64_t block, int half) {
  if (packing != Packing::int4) return _mm512_load_ps(panel + half * 64);
  const std::byte* scales = panel + block * kInt4Block + half * 32;
  return _mm512_cvtph_ps(_mm256_load_si256(reinterpret_cast<const __m256i*>(scales)));
}

// c[0 … 31] = what is there, or 0 if this is the first block, + sums · scales of W · x_scale.
template <bool kFirst>
inline __attribute__((always_inline)) void add_scaled(__m512i sum0, __m512i sum1, __m512 scale0,
                                                      __m512 scale1, float x_scale, float* c) {
  const __m512 x = _mm512_set1_ps(x_scale);
  const __m512 before0 = kFirst ? _mm512_setzero_ps() : _mm512_load_ps(c);
  const __m512 before1 = kFirst ? _mm512_setzero_ps() : _mm512_load_ps(c + 16);
  _mm512_store_ps(c, _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum0), _mm512_mul_ps(scale0, x), before0));
  _mm512_store_ps(c + 16,
                  _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum1), _mm512_mul_ps(scale1, x), before1));
}

// Products sub · (u − 8) of 32 even bytes; the odd ones are added in place.
// codes: 64 values of 4 bits; sub, sub8: the sub-scales and eight times them, 16 bits wide.
inline __attribute__((always_inline)) __m512i expanded(__m512i codes, __m512i sub, __m512i sub8) {
  const __m512i even = _mm512_and_si512(codes, _mm512_set1_epi16(15));
  const __m512i odd = _mm512_srli_epi16(codes, 8);
  const __m512i even_product = _mm512_sub_epi16(_mm512_mullo_epi16(even, sub), sub8);
  const __m512i odd_product = _mm512_sub_epi16(_mm512_mullo_epi16(odd, sub), sub8);
  // The low bytes of the even and of the odd products, side by side.
  return _mm512_mask_blend_epi8(0xaaaaaaaaaaaaaaaaull, even_product,
                                _mm512_slli_epi16(odd_product, 8));
}

// 16 sub-scales, each twice as 16 bits: one for each of the two pairs of bytes of a row.
inline __attribute__((always_inline)) __m512i wide_subs(const std::byte* p, int high) {
  const __m512i both = _mm512_cvtepu8_epi32(_mm_load_si128(reinterpret_cast<const __m128i*>(p)));
  const __m512i value = _mm512_srai_epi32(_mm512_slli_epi32(both, high ? 24 : 28), 28);
  return _mm512_or_si512(_mm512_and_si512(value, _mm512_set1_epi32(0xffff)),
                         _mm512_slli_epi32(value, 16));
}

// Blocks of an int4 panel → signed bytes, or such bytes plus 128, [number / 4][32][4].
template <bool kPlus128>
void expand_int4(const std::byte* block, std::int64_t n_blocks, std::byte* out) {
  const __m512i flipped = _mm512_set1_epi8(kPlus128 ? -128 : 0);
  const __m512i low_half = _mm512_set1_epi8(15);
  for (std::int64_t b = 0; b < n_blocks; ++b, block += kInt4Block) {
    for (int g = 0; g < 4; ++g) {
      const std::byte* at = block + 64 + g / 2 * 32;
      for (int half = 0; half < 2; ++half) {  // 16 rows of W
        const __m512i sub = wide_subs(at + half * 16, g % 2), sub8 = _mm512_slli_epi16(sub, 3);
        const std::byte* from = block + kInt4Header + g * 512 + half * 64;
        std::byte* to = out + b * kBlock * kPanelRows + g * 1024 + half * 64;
        for (int s = 0; s < 4; ++s, from += 128, to += 256) {
          const __m512i both = _mm512_load_si512(from);
          const __m512i low = _mm512_and_si512(both, low_half);
          const __m512i high = _mm512_and_si512(_mm512_srli_epi16(both, 4), low_half);
          _mm512_store_si512(to, _mm512_xor_si512(expanded(low, sub, sub8), flipped));
          _mm512_store_si512(to + 128, _mm512_xor_si512(expanded(high, sub, sub8), flipped));
        }
      }
    }
  }
}
