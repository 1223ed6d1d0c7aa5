// What the kernels with AMX tiles share: included inside the region of a kernel file.

struct alignas(64) TileConfig {
  std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
  std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
// Eight tiles of 16 rows of 64 bytes. In static memory: g++ 12 believes that loading a
// configuration reads eight bytes of it, and would drop what a function stores into the others.
constinit const TileConfig kTileConfig;

inline void configure_tiles() { _tile_loadconfig(&kTileConfig); }

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
