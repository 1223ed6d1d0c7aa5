// Bf16 numbers laid out in pairs, as the bf16 products of AVX-512 and AMX take them: included
// inside the region of a kernel file.

// 16 rows of 16 numbers of 32 bits, transposed.
inline __attribute__((always_inline)) void transpose(__m512i (&r)[16]) {
  __m512i t[16];
  _Pragma("GCC unroll 8") for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
  }
  _Pragma("GCC unroll 4") for (int i = 0; i < 16; i += 4) {
    r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
    r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
    r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
  _Pragma("GCC unroll 4") for (int i = 0; i < 4; ++i) {
    const __m512i low0 = _mm512_shuffle_i32x4(r[i], r[i + 4], 0x88),
                  low1 = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0x88),
                  high0 = _mm512_shuffle_i32x4(r[i], r[i + 4], 0xdd),
                  high1 = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0xdd);
    t[i] = _mm512_shuffle_i32x4(low0, low1, 0x88);
    t[i + 8] = _mm512_shuffle_i32x4(low0, low1, 0xdd);
    t[i + 4] = _mm512_shuffle_i32x4(high0, high1, 0x88);
    t[i + 12] = _mm512_shuffle_i32x4(high0, high1, 0xdd);
  }
  _Pragma("GCC unroll 16") for (int i = 0; i < 16; ++i) r[i] = t[i];
}

// 16 rows of up to 32 bf16 numbers → 16 pairs of numbers, each of all rows side by side, `stride`
// numbers apart; zeros for rows that are not there.
inline __attribute__((always_inline)) void lay_out_pairs(const std::byte* rows,
                                                         std::int64_t stride_bytes, std::int64_t n,
                                                         __mmask32 some, bf16* out,
                                                         std::int64_t stride) {
  __m512i r[16];
  _Pragma("GCC unroll 16") for (int j = 0; j < 16; ++j) {
    r[j] = j < n ? _mm512_maskz_loadu_epi16(some, rows + j * stride_bytes) : _mm512_setzero_si512();
  }
  transpose(r);
  _Pragma("GCC unroll 16") for (int p = 0; p < 16; ++p) _mm512_store_si512(out + p * stride, r[p]);
}

constexpr std::int64_t kWidth = 32;  // rows of W in a panel of bf16

// Bf16Linear::lay_out: panel [padded k / 2][32][2], zeros where nothing is.
inline void lay_out_panel(const bf16* w, std::int64_t n_in, std::int64_t n, std::int64_t k,
                          bf16* panel) noexcept {
  for (std::int64_t half = 0; half < kWidth; half += 16) {  // row after row, as they lie
    for (std::int64_t i = 0; i < k; i += 32) {
      const std::int64_t here = k - i < 32 ? k - i : 32;
      const __mmask32 some = here == 32 ? 0xffffffffu : (1u << here) - 1;
      lay_out_pairs(reinterpret_cast<const std::byte*>(w + half * n_in + i), 2 * n_in, n - half,
                    some, panel + i * kWidth + 2 * half, 2 * kWidth);
    }
  }
}

// One pair of numbers in all sixteen places.
inline __attribute__((always_inline)) __m512i same_pair(const bf16* p) {
  std::int32_t pair;
  __builtin_memcpy(&pair, p, sizeof pair);
  return _mm512_set1_epi32(pair);
}
