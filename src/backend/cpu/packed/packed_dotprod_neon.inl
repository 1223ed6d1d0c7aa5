// Half a packed panel by the byte dot products of Arm: sums of 4 products of signed bytes in each
// of 4 lanes, one lane a row of W. Included inside the region of a kernel file with dotprod.

constexpr int kSixteen = 4;  // vectors of 4 rows of W that are summed side by side

#define QWENVL_EACH_ROW _Pragma("GCC unroll 4") for (int m = 0; m < kM; ++m)
#define QWENVL_EACH_VECTOR _Pragma("GCC unroll 4") for (int v = 0; v < kSixteen; ++v)

inline __attribute__((always_inline)) int8x16_t four_bytes(const std::int8_t* p) {
  std::int32_t value;
  __builtin_memcpy(&value, p, 4);
  return vreinterpretq_s8_s32(vdupq_n_s32(value));
}

inline __attribute__((always_inline)) uint8x16_t load(const std::byte* p) {
  return vld1q_u8(reinterpret_cast<const std::uint8_t*>(p));
}

// Sub-scales of four rows of W.
inline __attribute__((always_inline)) int32x4_t subs(const std::byte* p, bool high) {
  std::uint32_t bytes;
  __builtin_memcpy(&bytes, p, 4);
  const uint16x8_t wide = vmovl_u8(vreinterpret_u8_u32(vdup_n_u32(bytes)));
  const int32x4_t both = vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(wide)));
  return vshrq_n_s32(high ? vshlq_n_s32(both, 24) : vshlq_n_s32(both, 28), 28);
}

inline __attribute__((always_inline)) float32x4_t half_scales(const std::byte* p) {
  std::uint16_t bits[4];
  __builtin_memcpy(bits, p, 8);
  const float numbers[4] = {to_float(fp16{bits[0]}), to_float(fp16{bits[1]}),
                            to_float(fp16{bits[2]}), to_float(fp16{bits[3]})};
  return vld1q_f32(numbers);
}

// c[m][0 … 15] for kM rows of x and 16 rows of W, one half of an int4 panel.
template <int kM>
__attribute__((noinline)) void int4_half(const PackedProduct& p, std::int64_t t,
                                         const std::byte* panel, int half, float* c) {
  const std::int8_t* a = p.a + t * p.k;
  const float* a_scales = p.a_scales + t * p.n_scales;
  const uint8x16_t low_half = vdupq_n_u8(15);
  const int8x16_t eight = vdupq_n_s8(8);
  float32x4_t sum[kM][kSixteen];
  QWENVL_EACH_ROW QWENVL_EACH_VECTOR sum[m][v] = vdupq_n_f32(0);
  for (std::int64_t b = 0; b < p.k / kBlock; ++b, panel += kInt4Block) {
    int32x4_t block[kM][kSixteen];
    QWENVL_EACH_ROW QWENVL_EACH_VECTOR block[m][v] = vdupq_n_s32(0);
    for (int g = 0; g < 4; ++g) {
      int32x4_t group[kM][kSixteen];
      QWENVL_EACH_ROW QWENVL_EACH_VECTOR group[m][v] = vdupq_n_s32(0);
      for (int s = 0; s < 4; ++s) {
        const std::byte* numbers = panel + kInt4Header + g * 512 + s * 128 + half * 64;
        const std::int8_t* x = a + b * kBlock + g * 32 + s * 8;
        QWENVL_EACH_VECTOR {
          const uint8x16_t both = load(numbers + v * 16);
          const int8x16_t low = vsubq_s8(vreinterpretq_s8_u8(vandq_u8(both, low_half)), eight);
          const int8x16_t high = vsubq_s8(vreinterpretq_s8_u8(vshrq_n_u8(both, 4)), eight);
          QWENVL_EACH_ROW {
            group[m][v] = vdotq_s32(group[m][v], low, four_bytes(x + m * p.k));
            group[m][v] = vdotq_s32(group[m][v], high, four_bytes(x + m * p.k + 4));
          }
        }
      }
      const std::byte* at = panel + 64 + g / 2 * 32 + half * 16;
      QWENVL_EACH_VECTOR {
        const int32x4_t sub = subs(at + v * 4, g % 2);
        QWENVL_EACH_ROW block[m][v] = vmlaq_s32(block[m][v], group[m][v], sub);
      }
    }
    QWENVL_EACH_VECTOR {
      const float32x4_t scale = half_scales(panel + half * 32 + v * 8);
      QWENVL_EACH_ROW sum[m][v] =
          vfmaq_f32(sum[m][v], vcvtq_f32_s32(block[m][v]),
                    vmulq_f32(scale, vdupq_n_f32(a_scales[m * p.n_scales + b])));
    }
  }
  QWENVL_EACH_ROW QWENVL_EACH_VECTOR vst1q_f32(c + m * kPanelRows + 4 * v, sum[m][v]);
}

template <int kM>
__attribute__((noinline)) void int8_half(const PackedProduct& p, std::int64_t t,
                                         const std::byte* panel, int half, float* c) {
  const std::int8_t* a = p.a + t * p.k;
  const float* a_scales = p.a_scales + t * p.n_scales;
  const std::int64_t length = p.k / p.n_scales;
  const std::byte* numbers = panel + kInt8Header + half * 64;
  const uint8x16_t offset = vdupq_n_u8(0x80);
  float32x4_t sum[kM][kSixteen];
  QWENVL_EACH_ROW QWENVL_EACH_VECTOR sum[m][v] = vdupq_n_f32(0);
  for (std::int64_t b = 0; b < p.n_scales; ++b) {
    int32x4_t block[kM][kSixteen];
    QWENVL_EACH_ROW QWENVL_EACH_VECTOR block[m][v] = vdupq_n_s32(0);
    for (std::int64_t i = b * length; i < (b + 1) * length; i += 4) {
      QWENVL_EACH_VECTOR {
        const int8x16_t w =
            vreinterpretq_s8_u8(veorq_u8(load(numbers + i * kPanelRows + v * 16), offset));
        QWENVL_EACH_ROW block[m][v] = vdotq_s32(block[m][v], w, four_bytes(a + m * p.k + i));
      }
    }
    QWENVL_EACH_VECTOR {
      const float32x4_t scale =
          vld1q_f32(reinterpret_cast<const float*>(panel) + half * 16 + v * 4);
      QWENVL_EACH_ROW sum[m][v] =
          vfmaq_f32(sum[m][v], vcvtq_f32_s32(block[m][v]),
                    vmulq_f32(scale, vdupq_n_f32(a_scales[m * p.n_scales + b])));
    }
  }
  QWENVL_EACH_ROW QWENVL_EACH_VECTOR vst1q_f32(c + m * kPanelRows + 4 * v, sum[m][v]);
}

template <int kM>
void half_panels(const PackedProduct& p, std::int64_t t, const std::byte* panel, float* c) {
  for (int half = 0; half < 2; ++half) {
    if (p.packing == Packing::int4) {
      int4_half<kM>(p, t, panel, half, c + half * 16);
    } else {
      int8_half<kM>(p, t, panel, half, c + half * 16);
    }
  }
}
