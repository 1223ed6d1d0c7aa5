// Few rows of x times packed weights, 8 rows of W to a vector of 256 bits: included inside the
// region of a kernel file, after its verbs
//   four_bytes(p)             the same four bytes of x in all lanes
//   add_codes(sums, w, x)     sums + products of unsigned 4-bit codes and bytes of x, of at most 32
//                             numbers
//   in_32_bits(sums)          those sums, one integer a row of W
//   Bytes bytes_of(w)         int8 weights as stored, prepared once for all rows of x
//   add_bytes(sums, w, x)     sums + their products with bytes of x, one integer a row of W
//   start(value)              where those sums start, given what they start from with bytes 128
//                             too large
//   kEights<kM>               how many times 8 rows of W go at once with kM rows of x: as many sums
//                             as there are registers for
//
// A panel is read once, in order, whatever the number of rows: kEights · 8 of its 32 rows are
// multiplied at a time, all of a block before the next.

constexpr int kEight = 8;  // rows of W in a vector
// Bytes of weights fetched ahead: from memory into the second-level cache across the borders of
// pages, where the processor's own prefetching ends, and from there into the first.
constexpr int kFarAhead = 4096, kNearAhead = 768;

#if defined(__clang__)
#define QWENVL_ROLLED _Pragma("clang loop unroll(disable)")
#else
#define QWENVL_ROLLED _Pragma("GCC unroll 1")
#endif
#define QWENVL_EACH_ROW _Pragma("GCC unroll 4") for (int m = 0; m < kM; ++m)
#define QWENVL_EACH_EIGHT _Pragma("GCC unroll 4") for (int j = 0; j < kE; ++j)

inline __attribute__((always_inline)) __m256i load(const std::byte* p) {
  return _mm256_load_si256(reinterpret_cast<const __m256i*>(p));
}

inline __attribute__((always_inline)) void prefetch(const std::byte* p) {
  _mm_prefetch(reinterpret_cast<const char*>(p) + kFarAhead, _MM_HINT_T1);
  _mm_prefetch(reinterpret_cast<const char*>(p) + kNearAhead, _MM_HINT_T0);
}

// Eight sub-scales of a group, each as the low half of 32 bits with nothing above it.
inline __attribute__((always_inline)) __m256i subs(const std::byte* p, bool high) {
  const __m256i both = _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
  const __m256i top = _mm256_slli_epi16(both, high ? 8 : 12);
  return _mm256_srai_epi16(high ? _mm256_and_si256(top, _mm256_set1_epi16(-4096)) : top, 12);
}

// c[0 … 7] = what is there, or 0 if this is the first block, + sums · scales.
inline __attribute__((always_inline)) void add_scaled(__m256i sums, __m256 scale, float x_scale,
                                                      bool is_first, float* c) {
  const __m256 before = is_first ? _mm256_setzero_ps() : _mm256_loadu_ps(c);
  const __m256 both = _mm256_mul_ps(scale, _mm256_set1_ps(x_scale));
  _mm256_storeu_ps(c, _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums), both, before));
}

// c[m][e · 8 …] for kM rows of x and one block of an int4 panel.
template <int kM>
inline __attribute__((always_inline)) void int4_block(const PackedProduct& p, std::int64_t t,
                                                      const std::byte* panel, std::int64_t b, int e,
                                                      float* c) {
  constexpr int kE = kEights<kM>;
  const std::int8_t* x = p.a + t * p.k + b * kBlock;
  const std::int32_t* x_sums = p.a_sums + t * (p.k / kSubGroup) + b * 4;
  const __m256i low_half = _mm256_set1_epi8(15);
  __m256i block[kM][kE];
  QWENVL_EACH_ROW QWENVL_EACH_EIGHT block[m][j] = _mm256_setzero_si256();
  // Not unrolled: there are 16 registers.
  QWENVL_ROLLED for (int g = 0; g < 4; ++g, x += 32) {
    const std::byte* numbers = panel + kInt4Header + g * 512 + e * 32;
    __m256i sums[kM][kE];
    QWENVL_EACH_ROW QWENVL_EACH_EIGHT sums[m][j] = _mm256_setzero_si256();
    QWENVL_ROLLED for (int s = 0; s < 4; ++s) {
      const std::byte* w = numbers + s * 128;
      __m256i codes[kE];
      QWENVL_EACH_EIGHT {
        if ((e + j) % 2 == 0) prefetch(w + j * 32);
        codes[j] = _mm256_and_si256(load(w + j * 32), low_half);
      }
      QWENVL_EACH_ROW {
        const __m256i four = four_bytes(x + m * p.k + s * 8);
        QWENVL_EACH_EIGHT sums[m][j] = add_codes(sums[m][j], codes[j], four);
      }
      QWENVL_EACH_EIGHT {
        codes[j] = _mm256_and_si256(_mm256_srli_epi16(load(w + j * 32), 4), low_half);
      }
      QWENVL_EACH_ROW {
        const __m256i four = four_bytes(x + m * p.k + s * 8 + 4);
        QWENVL_EACH_EIGHT sums[m][j] = add_codes(sums[m][j], codes[j], four);
      }
    }
    QWENVL_EACH_EIGHT {
      const __m256i sub = subs(panel + 64 + g / 2 * 32 + (e + j) * kEight, g % 2);
      QWENVL_EACH_ROW {
        // A group's sum fits into 16 bits, so one 16-bit multiplication scales it.
        const __m256i extra = _mm256_set1_epi32(8 * x_sums[m * (p.k / kSubGroup) + g]);
        const __m256i group = _mm256_sub_epi32(in_32_bits(sums[m][j]), extra);
        block[m][j] = _mm256_add_epi32(block[m][j], _mm256_madd_epi16(group, sub));
      }
    }
  }
  QWENVL_EACH_EIGHT {
    const __m256 scale = _mm256_cvtph_ps(
        _mm_load_si128(reinterpret_cast<const __m128i*>(panel + (e + j) * kEight * 2)));
    QWENVL_EACH_ROW add_scaled(block[m][j], scale, p.a_scales[(t + m) * p.n_scales + b], b == 0,
                               c + m * kPanelRows + (e + j) * kEight);
  }
}

template <int kM>
__attribute__((noinline)) void int4_panel(const PackedProduct& p, std::int64_t t,
                                          const std::byte* panel, float* c) {
  for (std::int64_t b = 0; b < p.k / kBlock; ++b, panel += kInt4Block) {
    prefetch(panel);
    prefetch(panel + 64);
    for (int e = 0; e < kPanelRows / kEight; e += kEights<kM>) int4_block<kM>(p, t, panel, b, e, c);
  }
}

// block += products of kBlock numbers of kM rows of x and 8 · kE rows of W.
template <int kM, int kE>
inline __attribute__((always_inline)) void int8_sums(const PackedProduct& p, const std::int8_t* x,
                                                     const std::byte* numbers,
                                                     __m256i (&block)[kM][kE]) {
  QWENVL_ROLLED for (std::int64_t i = 0; i < kBlock; i += 4, numbers += 4 * kPanelRows) {
    QWENVL_EACH_EIGHT {
      const Bytes w = bytes_of(load(numbers + j * 32));
      if (j % 2 == 0) prefetch(numbers + j * 32);
      QWENVL_EACH_ROW block[m][j] = add_bytes(block[m][j], w, four_bytes(x + m * p.k + i));
    }
  }
}

// Where a scale is shared by more than a block, c keeps the integer sums of the blocks before.
template <int kM>
__attribute__((noinline)) void int8_panel(const PackedProduct& p, std::int64_t t,
                                          const std::byte* panel, float* c) {
  constexpr int kE = kEights<kM>;
  const std::int8_t* x = p.a + t * p.k;
  const std::int64_t n_blocks = p.k / kBlock, per_scale = n_blocks / p.n_scales;
  const float* scales = reinterpret_cast<const float*>(panel);
  for (std::int64_t b = 0; b < n_blocks; ++b, x += kBlock) {
    const std::byte* numbers = panel + kInt8Header + b * kBlock * kPanelRows;
    const std::int64_t s = b / per_scale;
    for (int e = 0; e < kPanelRows / kEight; e += kE) {
      __m256i block[kM][kE];
      QWENVL_EACH_ROW QWENVL_EACH_EIGHT {
        const float* at = c + m * kPanelRows + (e + j) * kEight;
        block[m][j] = b % per_scale == 0 ? start(p.a_starts[(t + m) * p.n_scales + s])
                                         : _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at));
      }
      int8_sums<kM, kE>(p, x, numbers + e * 32, block);
      QWENVL_EACH_ROW QWENVL_EACH_EIGHT {
        float* at = c + m * kPanelRows + (e + j) * kEight;
        if ((b + 1) % per_scale == 0) {
          const __m256 scale = _mm256_load_ps(scales + (e + j) * kEight);
          add_scaled(block[m][j], scale, p.a_scales[(t + m) * p.n_scales + s], s == 0, at);
        } else {
          _mm256_storeu_si256(reinterpret_cast<__m256i*>(at), block[m][j]);
        }
      }
    }
  }
}

template <int kM>
void rows_of_panel(const PackedProduct& p, std::int64_t t, const std::byte* panel, float* c) {
  (p.packing == Packing::int4 ? int4_panel<kM> : int8_panel<kM>)(p, t, panel, c);
}

#include "backend/cpu/packed/packed_rows.inl"
