// The loops shared by all instruction sets. Included inside a target region and an anonymous
// namespace by each kernels_<isa>.cpp, which states
//   QWENVL_VECTOR_LANES  floats in a hardware vector (4, 8 or 16)
//   QWENVL_TILE_ROWS, QWENVL_TILE_WEIGHTS  the register tile of a matrix product
//   QWENVL_TILE_QUERIES  rows of the register tile of attention scores
//   QWENVL_LANES_AVX512  whether lanes_avx512.inl may be used
// Vectors are the compiler's own generic vectors; a Lanes value is always 16 floats.

#define QWENVL_INLINE inline __attribute__((always_inline))
// Register tiles are arrays indexed by loops: only fully unrolled do they live in registers.
#if defined(__clang__)
#define QWENVL_UNROLL _Pragma("clang loop unroll(full)")
#else
#define QWENVL_UNROLL _Pragma("GCC unroll 64")
#endif

constexpr int kVector = QWENVL_VECTOR_LANES;
constexpr int kParts = kLanes / kVector;

typedef float VecF __attribute__((vector_size(kVector * 4)));
typedef std::uint32_t VecU32 __attribute__((vector_size(kVector * 4)));
typedef std::int32_t VecI32 __attribute__((vector_size(kVector * 4)));
typedef std::uint16_t VecU16 __attribute__((vector_size(kVector * 2)));
typedef float Vec4 __attribute__((vector_size(16)));

struct Lanes {
  VecF part[kParts];
};

template <class To, class From>
QWENVL_INLINE To bits_as(const From& from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  __builtin_memcpy(&to, &from, sizeof to);
  return to;
}

QWENVL_INLINE VecF splat(float x) { return x - VecF{}; }

QWENVL_INLINE Lanes splat_lanes(float x) {
  Lanes out;
  for (int p = 0; p < kParts; ++p) out.part[p] = splat(x);
  return out;
}

QWENVL_INLINE VecF load_vector(const float* p) {
  VecF v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}

#if !defined(QWENVL_LANES_AVX512)
QWENVL_INLINE VecF load_vector(const bf16* p) {
  VecU16 raw;
  __builtin_memcpy(&raw, p, sizeof raw);
  return bits_as<VecF>(__builtin_convertvector(raw, VecU32) << 16);
}
#endif

QWENVL_INLINE VecF load_vector(const fp16* p) {
  VecU16 raw;
  __builtin_memcpy(&raw, p, sizeof raw);
  const VecU32 wide = __builtin_convertvector(raw, VecU32);
  const VecU32 magnitude = wide & 0x7fff;
  // Shift into place and rescale the exponent; infinities and NaN keep an all-ones exponent.
  const VecU32 finite = bits_as<VecU32>(bits_as<VecF>(magnitude << 13) * splat(0x1p112f));
  const VecU32 is_special = bits_as<VecU32>(magnitude >= 0x7c00);
  const VecU32 bits = (finite & ~is_special) | ((0x7f800000 | (magnitude << 13)) & is_special);
  return bits_as<VecF>(bits | ((wide & 0x8000) << 16));
}

// e^x = 2^n · p(r) to about one unit in the last place, |r| ≤ ln 2 / 2, p the Taylor series.
constexpr float kRoundingMagic = 12582912.0f;  // 1.5 · 2^23: adding it rounds to an integer
constexpr float kLog2E = 1.44269504f, kUpperLn2 = 0.693145752f, kLowerLn2 = 1.42860677e-6f;
constexpr float kPowerOfE[] = {1.0f / 5040, 1.0f / 720, 1.0f / 120, 1.0f / 24,
                               1.0f / 6,    0.5f,       1.0f,       1.0f};

struct PowerOfE {
  VecF mantissa;    // p(r)
  VecI32 exponent;  // n, where a float has its exponent
};

QWENVL_INLINE PowerOfE power_of_e(VecF x) {
  const VecF magic = splat(kRoundingMagic);
  const VecF n = (x * splat(kLog2E) + magic) - magic;
  VecF r = x - n * splat(kUpperLn2);
  r -= n * splat(kLowerLn2);
  VecF p = splat(kPowerOfE[0]);
  QWENVL_UNROLL
  for (int k = 1; k < 8; ++k) p = p * r + splat(kPowerOfE[k]);
  return {p, __builtin_convertvector(n, VecI32) << 23};
}

#if defined(QWENVL_LANES_AVX512)
#include "backend/cpu/lanes_avx512.inl"
#else
QWENVL_INLINE VecU32 bf16_bits(VecF x) {
  const VecU32 bits = bits_as<VecU32>(x);
  const VecU32 rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  const VecU32 is_nan = bits_as<VecU32>(x != x);
  return (rounded & ~is_nan) | (0x7fc0 & is_nan);
}

QWENVL_INLINE VecU16 to_bf16_bits(VecF x) { return __builtin_convertvector(bf16_bits(x), VecU16); }
QWENVL_INLINE VecF rounded_to_bf16(VecF x) { return bits_as<VecF>(bf16_bits(x) << 16); }
QWENVL_INLINE VecF rounded_in_passing(VecF x) { return rounded_to_bf16(x); }

// Results below the smallest normal number are 0.
QWENVL_INLINE VecF exp_vector(VecF x) {
  const VecU32 is_tiny = bits_as<VecU32>(x < splat(-87.3f));
  const VecU32 is_huge = bits_as<VecU32>(x > splat(88.7f));
  const PowerOfE e = power_of_e(bits_as<VecF>((bits_as<VecU32>(x) & ~(is_tiny | is_huge))));
  const VecU32 scaled = bits_as<VecU32>(bits_as<VecI32>(e.mantissa) + e.exponent);
  const VecU32 infinity = bits_as<VecU32>(splat(__builtin_inff()));
  return bits_as<VecF>((scaled & ~(is_tiny | is_huge)) | (infinity & is_huge));
}
#endif

QWENVL_INLINE void store_vector(float* p, VecF x) { __builtin_memcpy(p, &x, sizeof x); }

QWENVL_INLINE void store_vector(bf16* p, VecF x) {
  const auto raw = to_bf16_bits(x);
  __builtin_memcpy(p, &raw, sizeof raw);
}

template <class T>
QWENVL_INLINE VecF round_vector(VecF x);
template <>
QWENVL_INLINE VecF round_vector<float>(VecF x) {
  return x;
}
template <>
QWENVL_INLINE VecF round_vector<bf16>(VecF x) {
  return rounded_in_passing(x);
}

template <class T>
QWENVL_INLINE Lanes load_lanes(const T* p) {
  Lanes out;
  for (int i = 0; i < kParts; ++i) out.part[i] = load_vector(p + i * kVector);
  return out;
}

template <class T>
QWENVL_INLINE void store_lanes(T* p, const Lanes& x) {
  for (int i = 0; i < kParts; ++i) store_vector(p + i * kVector, x.part[i]);
}

#if !defined(QWENVL_LANES_AVX512)
// n < kLanes elements, the rest zero.
template <class T>
QWENVL_INLINE Lanes load_tail(const T* p, std::int64_t n) {
  alignas(64) T buffer[kLanes] = {};
  __builtin_memcpy(buffer, p, static_cast<std::size_t>(n) * sizeof(T));
  return load_lanes(buffer);
}

template <class T>
QWENVL_INLINE void store_tail(T* p, const Lanes& x, std::int64_t n) {
  alignas(64) T buffer[kLanes];
  store_lanes(buffer, x);
  __builtin_memcpy(p, buffer, static_cast<std::size_t>(n) * sizeof(T));
}
#endif

// Calls body(offset, count) for whole groups of kLanes and once for the rest, if there is one.
template <class Body>
QWENVL_INLINE void for_lanes(std::int64_t n, Body body) {
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) body(i, kLanes);
  if (i < n) body(i, n - i);
}

template <class T>
QWENVL_INLINE Lanes load_n(const T* p, std::int64_t n) {
  return n == kLanes ? load_lanes(p) : load_tail(p, n);
}

template <class T>
QWENVL_INLINE void store_n(T* p, const Lanes& x, std::int64_t n) {
  if (n == kLanes) {
    store_lanes(p, x);
  } else {
    store_tail(p, x, n);
  }
}

template <class T>
QWENVL_INLINE void store_two(T* p, const Lanes& x, const Lanes& next) {
  store_lanes(p, x);
  store_lanes(p + kLanes, next);
}

QWENVL_INLINE void multiply_add(Lanes& sum, const Lanes& a, const Lanes& b) {
  QWENVL_UNROLL
  for (int p = 0; p < kParts; ++p) sum.part[p] += a.part[p] * b.part[p];
}

// 16 stored lanes → 4: i + (i + 8), then i + (i + 4).
QWENVL_INLINE Vec4 folded(const float* lanes) {
  Vec4 x0, x1, x2, x3;
  __builtin_memcpy(&x0, lanes, 16);
  __builtin_memcpy(&x1, lanes + 4, 16);
  __builtin_memcpy(&x2, lanes + 8, 16);
  __builtin_memcpy(&x3, lanes + 12, 16);
  return (x0 + x2) + (x1 + x3);
}

// The last two additions of every sum: (0 + 2) + (1 + 3).
QWENVL_INLINE float total(const Lanes& x) {
  alignas(64) float lanes[kLanes];
  store_lanes(lanes, x);
  const Vec4 f = folded(lanes);
  return (f[0] + f[2]) + (f[1] + f[3]);
}

// Four totals at once, the same additions on transposed vectors.
QWENVL_INLINE Vec4 totals(const float* lanes) {
  const Vec4 a = folded(lanes), b = folded(lanes + kLanes);
  const Vec4 c = folded(lanes + 2 * kLanes), d = folded(lanes + 3 * kLanes);
  const Vec4 ab02 = __builtin_shufflevector(a, b, 0, 4, 2, 6),
             ab13 = __builtin_shufflevector(a, b, 1, 5, 3, 7);
  const Vec4 cd02 = __builtin_shufflevector(c, d, 0, 4, 2, 6),
             cd13 = __builtin_shufflevector(c, d, 1, 5, 3, 7);
  const Vec4 t0 = __builtin_shufflevector(ab02, cd02, 0, 1, 4, 5);
  const Vec4 t2 = __builtin_shufflevector(ab02, cd02, 2, 3, 6, 7);
  const Vec4 t1 = __builtin_shufflevector(ab13, cd13, 0, 1, 4, 5);
  const Vec4 t3 = __builtin_shufflevector(ab13, cd13, 2, 3, 6, 7);
  return (t0 + t2) + (t1 + t3);
}

// ---- rows ------------------------------------------------------------------------------------

template <class T>
void widen(const void* x, std::int64_t n, float* out) noexcept {
  const T* in = static_cast<const T*>(x);
  for_lanes(n, [&](std::int64_t i, std::int64_t m) { store_n(out + i, load_n(in + i, m), m); });
}

template <class T>
void narrow(const float* x, std::int64_t n, void* out) noexcept {
  T* to = static_cast<T*>(out);
  for_lanes(n, [&](std::int64_t i, std::int64_t m) { store_n(to + i, load_n(x + i, m), m); });
}

// out[r][i …] = value(r, i, count, what is there) for n_rows rows of n numbers.
template <class T, class Value>
QWENVL_INLINE void for_products(std::int64_t n_rows, std::int64_t n, void* out,
                                std::int64_t out_stride_bytes, Value value) {
  for (std::int64_t r = 0; r < n_rows; ++r) {
    T* to = reinterpret_cast<T*>(static_cast<std::byte*>(out) + r * out_stride_bytes);
    std::int64_t i = 0;
    for (; i + 2 * kLanes <= n; i += 2 * kLanes) {
      const Lanes first = value(r, i, kLanes, to + i);
      store_two(to + i, first, value(r, i + kLanes, kLanes, to + i + kLanes));
    }
    for_lanes(n - i, [&](std::int64_t rest, std::int64_t m) {
      store_n(to + i + rest, value(r, i + rest, m, to + i + rest), m);
    });
  }
}

QWENVL_INLINE Lanes with_bias(const float* products, const float* bias, std::int64_t n) {
  Lanes sum = load_n(products, n);
  if (bias) {
    const Lanes b = load_n(bias, n);
    for (int p = 0; p < kParts; ++p) sum.part[p] += b.part[p];
  }
  return sum;
}

template <class T>
void store_products(const float* products, std::int64_t stride, std::int64_t n_rows,
                    const float* bias, std::int64_t n, void* out,
                    std::int64_t out_stride_bytes) noexcept {
  for_products<T>(n_rows, n, out, out_stride_bytes,
                  [&](std::int64_t r, std::int64_t i, std::int64_t m, const T*) {
                    return with_bias(products + r * stride + i, bias ? bias + i : nullptr, m);
                  });
}

template <class T>
void store_added(const float* products, std::int64_t stride, std::int64_t n_rows, const float* bias,
                 std::int64_t n, void* out, std::int64_t out_stride_bytes) noexcept {
  for_products<T>(n_rows, n, out, out_stride_bytes,
                  [&](std::int64_t r, std::int64_t i, std::int64_t m, const T* before) {
                    const Lanes y =
                        with_bias(products + r * stride + i, bias ? bias + i : nullptr, m);
                    Lanes sum = load_n(before, m);
                    for (int p = 0; p < kParts; ++p) sum.part[p] += round_vector<T>(y.part[p]);
                    return sum;
                  });
}

QWENVL_INLINE VecF silu_vector(VecF x) { return x / (splat(1.0f) + exp_vector(-x)); }

template <class T>
void store_gated_rows(const float* gate, const float* up, std::int64_t stride, std::int64_t n_rows,
                      const float* gate_bias, const float* up_bias, std::int64_t n, void* out,
                      std::int64_t out_stride_bytes) noexcept {
  for_products<T>(n_rows, n, out, out_stride_bytes,
                  [&](std::int64_t r, std::int64_t i, std::int64_t m, const T*) {
                    const Lanes g =
                        with_bias(gate + r * stride + i, gate_bias ? gate_bias + i : nullptr, m);
                    Lanes u = with_bias(up + r * stride + i, up_bias ? up_bias + i : nullptr, m);
                    for (int p = 0; p < kParts; ++p) {
                      const VecF silu = round_vector<T>(silu_vector(round_vector<T>(g.part[p])));
                      u.part[p] = silu * round_vector<T>(u.part[p]);
                    }
                    return u;
                  });
}

template <class T>
void store_gated(const float* gate, const float* up, std::int64_t stride, std::int64_t n_rows,
                 const float* gate_bias, const float* up_bias, std::int64_t n, void* out,
                 std::int64_t out_stride_bytes) noexcept {
#if defined(QWENVL_LANES_AVX512)
  constexpr std::int64_t kRows = kTogether / 2;  // of two vectors each
  if (std::is_same_v<T, bf16> && n == 2 * kLanes) {
    for (; n_rows >= kRows; n_rows -= kRows) {
      Together g, u;
      QWENVL_EACH(i) {
        g[i] = with_bias(gate + i / 2 * stride + i % 2 * kLanes,
                         gate_bias ? gate_bias + i % 2 * kLanes : nullptr, kLanes)
                   .part[0];
        u[i] = with_bias(up + i / 2 * stride + i % 2 * kLanes,
                         up_bias ? up_bias + i % 2 * kLanes : nullptr, kLanes)
                   .part[0];
      }
      gate_each(g, u);
      QWENVL_UNROLL
      for (int r = 0; r < kRows; ++r) {
        bf16* to = reinterpret_cast<bf16*>(static_cast<std::byte*>(out) + r * out_stride_bytes);
        store_two(to, Lanes{{u[2 * r]}}, Lanes{{u[2 * r + 1]}});
      }
      gate += kRows * stride;
      up += kRows * stride;
      out = static_cast<std::byte*>(out) + kRows * out_stride_bytes;
    }
  }
#endif
  store_gated_rows<T>(gate, up, stride, n_rows, gate_bias, up_bias, n, out, out_stride_bytes);
}

template <class T>
void from_int8(const std::int8_t* q, float scale, std::int64_t n, void* out) noexcept {
  typedef std::int8_t VecI8 __attribute__((vector_size(kVector)));
  T* to = static_cast<T*>(out);
  const VecF factor = splat(scale);
  for_lanes(n, [&](std::int64_t i, std::int64_t m) {
    std::int8_t numbers[kLanes] = {};
    __builtin_memcpy(numbers, q + i, static_cast<std::size_t>(m));
    Lanes x;
    for (int p = 0; p < kParts; ++p) {
      VecI8 raw;
      __builtin_memcpy(&raw, numbers + p * kVector, sizeof raw);
      x.part[p] = __builtin_convertvector(__builtin_convertvector(raw, VecI32), VecF) * factor;
    }
    store_n(to + i, x, m);
  });
}

template <class T>
void add(void* x, const void* y, std::int64_t n) noexcept {
  T* sum = static_cast<T*>(x);
  const T* other = static_cast<const T*>(y);
  for_lanes(n, [&](std::int64_t i, std::int64_t m) {
    Lanes a = load_n(sum + i, m);
    const Lanes b = load_n(other + i, m);
    for (int p = 0; p < kParts; ++p) a.part[p] += b.part[p];
    store_n(sum + i, a, m);
  });
}

template <class T>
void rms_norm(const void* x, const float* weight, float eps, std::int64_t n, void* out) noexcept {
  const T* in = static_cast<const T*>(x);
  T* to = static_cast<T*>(out);
  Lanes squares = splat_lanes(0);
  for_lanes(n, [&](std::int64_t i, std::int64_t m) {
    const Lanes v = load_n(in + i, m);
    multiply_add(squares, v, v);
  });
  const VecF scale = splat(1.0f / __builtin_sqrtf(total(squares) / static_cast<float>(n) + eps));
  const auto normed = [&](std::int64_t i, std::int64_t m) __attribute__((always_inline)) {
    Lanes v = load_n(in + i, m);
    const Lanes w = load_n(weight + i, m);
    for (int p = 0; p < kParts; ++p) v.part[p] = w.part[p] * round_vector<T>(v.part[p] * scale);
    return v;
  };
  std::int64_t i = 0;
  for (; i + 2 * kLanes <= n; i += 2 * kLanes) {
    const Lanes first = normed(i, kLanes);
    store_two(to + i, first, normed(i + kLanes, kLanes));
  }
  for_lanes(n - i, [&](std::int64_t rest, std::int64_t m) {
    store_n(to + i + rest, normed(i + rest, m), m);
  });
}

struct Pair {
  Lanes u, v;
};

template <class Step>
QWENVL_INLINE Pair rotated(Pair x, const Lanes& cos, const Lanes& sin) {
  for (int p = 0; p < kParts; ++p) {
    const VecF cp = round_vector<Step>(cos.part[p]), sp = round_vector<Step>(sin.part[p]);
    const VecF up = x.u.part[p], vp = x.v.part[p];
    x.u.part[p] = round_vector<Step>(up * cp) - round_vector<Step>(vp * sp);
    x.v.part[p] = round_vector<Step>(vp * cp) + round_vector<Step>(up * sp);
  }
  return x;
}

template <class T, class Step>
QWENVL_INLINE void rope_head(T* x, std::int64_t half, const float* cos, const float* sin) {
  const auto rotate = [&](std::int64_t i, std::int64_t m, const Pair& from)
      __attribute__((always_inline)) {
    const Pair to = rotated<Step>(from, load_n(cos + i, m), load_n(sin + i, m));
    store_n(x + i, to.u, m);
    store_n(x + half + i, to.v, m);
  };
  const auto load = [&](std::int64_t i, std::int64_t m) __attribute__((always_inline)) {
    return Pair{load_n(x + i, m), load_n(x + half + i, m)};
  };
  const std::int64_t rest = half % kLanes, whole = half - rest;
  if (rest == 0 || half < kLanes) {
    for_lanes(half, [&](std::int64_t i, std::int64_t m) { rotate(i, m, load(i, m)); });
    return;
  }
  // The last whole group overlaps the one before, and is read before that is written: part of a
  // vector, stored, would hold up the loads of what lies beside it.
  const Pair last = load(half - kLanes, kLanes);
  for (std::int64_t i = 0; i < whole; i += kLanes) rotate(i, kLanes, load(i, kLanes));
  rotate(half - kLanes, kLanes, last);
}

template <class T>
void rope(void* x, int n_heads, std::int64_t half, const float* cos, const float* sin,
          RopeRounding rounding) noexcept {
  for (int h = 0; h < n_heads; ++h) {
    T* head = static_cast<T*>(x) + h * 2 * half;
    if (rounding == RopeRounding::each_product) {
      rope_head<T, T>(head, half, cos, sin);
    } else {
      rope_head<T, float>(head, half, cos, sin);
    }
  }
}

// erf to about one unit in the last place. Up to 1, erf(x) / x as a polynomial of x²; beyond,
// 1 − exp(−y) with y / x as a polynomial of x, up to 4, where nothing is left to add. Both
// polynomials are those with the least largest error.
QWENVL_INLINE VecF erf_vector(VecF x) {
  constexpr float kSmall[] = {7.85385491e-5f, -8.01019196e-4f, 5.18832728e-3f, -2.6853811e-2f,
                              0.112835854f,   -0.37612626f,    0.128379166f};
  constexpr float kLarge[] = {1.39622571e-5f, -3.50590184e-4f, 3.75746936e-3f, -2.40100529e-2f,
                              0.106530845f,   0.634969532f,    0.128694341f};
  const VecU32 sign = bits_as<VecU32>(x) & 0x80000000u;
  const VecF t = bits_as<VecF>(bits_as<VecU32>(x) & 0x7fffffffu), s = t * t;
  const VecF reach = t < splat(4.0f) ? t : splat(4.0f);
  VecF small = splat(kSmall[0]), large = splat(kLarge[0]);
  QWENVL_UNROLL
  for (int k = 1; k < 7; ++k) {
    small = small * s + splat(kSmall[k]);
    large = large * reach + splat(kLarge[k]);
  }
  small = small * t + t;
  large = splat(1.0f) - exp_vector(-(large * reach + reach));
  const VecF size = t > splat(1.0f) ? large : small;  // NaN is not greater, and stays
  return bits_as<VecF>(bits_as<VecU32>(size) | sign);
}

template <class T>
void gelu(void* x, std::int64_t n) noexcept {
  T* to = static_cast<T*>(x);
  for_lanes(n, [&](std::int64_t i, std::int64_t m) {
    Lanes v = load_n(to + i, m);
    for (int p = 0; p < kParts; ++p) {
      const VecF erf = erf_vector(v.part[p] * splat(0.70710678118654752f));
      v.part[p] = v.part[p] * splat(0.5f) * (splat(1.0f) + erf);
    }
    store_n(to + i, v, m);
  });
}

template <class T>
void silu_mul(void* gate, const void* up, std::int64_t n) noexcept {
  T* g = static_cast<T*>(gate);
  const T* u = static_cast<const T*>(up);
  for_lanes(n, [&](std::int64_t i, std::int64_t m) {
    Lanes x = load_n(g + i, m);
    const Lanes y = load_n(u + i, m);
    for (int p = 0; p < kParts; ++p) {
      x.part[p] = round_vector<T>(silu_vector(x.part[p])) * y.part[p];
    }
    store_n(g + i, x, m);
  });
}

// ---- matrix products -------------------------------------------------------------------------

template <class W, bool kRoundToBf16>
QWENVL_INLINE Lanes load_weights(const W* p, std::int64_t n) {
  Lanes out = load_n(p, n);
  if constexpr (kRoundToBf16) {
    for (int i = 0; i < kParts; ++i) out.part[i] = rounded_to_bf16(out.part[i]);
  }
  return out;
}

template <class W, bool kRoundToBf16>
void unpack_row(const void* row, std::int64_t k, float* out) noexcept {
  const W* w = static_cast<const W*>(row);
  for_lanes(k, [&](std::int64_t i, std::int64_t m) {
    store_lanes(out + i, load_weights<W, kRoundToBf16>(w + i, m));
  });
}

// Formats as template arguments. bf16 weights need no rounding.
template <class Body>
QWENVL_INLINE void with_format(DType format, bool round_to_bf16, Body body) {
  if (format == DType::bf16) return body(bf16{}, std::bool_constant<false>{});
  if (format == DType::f16) {
    if (round_to_bf16) return body(fp16{}, std::bool_constant<true>{});
    return body(fp16{}, std::bool_constant<false>{});
  }
  if (round_to_bf16) return body(float{}, std::bool_constant<true>{});
  return body(float{}, std::bool_constant<false>{});
}

void unpack(const void* row, DType format, bool round_to_bf16, std::int64_t k,
            float* out) noexcept {
  with_format(format, round_to_bf16, [&](auto w, auto round) {
    unpack_row<decltype(w), decltype(round)::value>(row, k, out);
  });
}

// A register tile: kM rows of a times kN rows of w, 16 partial sums each, left in `sums`.
// A function of its own with a bare loop: then, and only then, the compiler holds all sums in
// registers.
template <int kM, int kN, class W, bool kRoundToBf16>
__attribute__((noinline)) void tile_sums(const float* a, std::int64_t lda, const W* w,
                                         std::int64_t ldw, std::int64_t k, float* sums) noexcept {
  Lanes sum[kM][kN];
  QWENVL_UNROLL
  for (int m = 0; m < kM; ++m) {
    QWENVL_UNROLL
    for (int n = 0; n < kN; ++n) sum[m][n] = splat_lanes(0);
  }
  for (std::int64_t i = 0; i + kLanes <= k; i += kLanes) {
    Lanes weights[kN];
    QWENVL_UNROLL
    for (int n = 0; n < kN; ++n)
      weights[n] = load_weights<W, kRoundToBf16>(w + n * ldw + i, kLanes);
    QWENVL_UNROLL
    for (int m = 0; m < kM; ++m) {
      const Lanes row = load_lanes(a + m * lda + i);
      QWENVL_UNROLL
      for (int n = 0; n < kN; ++n) multiply_add(sum[m][n], row, weights[n]);
    }
  }
  QWENVL_UNROLL
  for (int m = 0; m < kM; ++m) {
    QWENVL_UNROLL
    for (int n = 0; n < kN; ++n) store_lanes(sums + (m * kN + n) * kLanes, sum[m][n]);
  }
}

// The last k % 16 products of every sum.
template <class W, bool kRoundToBf16>
__attribute__((noinline)) void add_rest(const float* a, std::int64_t lda, std::int64_t m,
                                        const W* w, std::int64_t ldw, std::int64_t n,
                                        std::int64_t k, float* sums) noexcept {
  const std::int64_t done = k / kLanes * kLanes;
  for (std::int64_t i = 0; i < m * n; ++i) {
    Lanes sum = load_lanes(sums + i * kLanes);
    multiply_add(sum, load_lanes(a + i / n * lda + done),
                 load_weights<W, kRoundToBf16>(w + i % n * ldw + done, k - done));
    store_lanes(sums + i * kLanes, sum);
  }
}

template <int kM, int kN, class W, bool kRoundToBf16>
QWENVL_INLINE void tile(const float* a, std::int64_t lda, const W* w, std::int64_t ldw,
                        std::int64_t k, float* c, std::int64_t ldc) {
  alignas(64) float sums[kM * kN * kLanes];
  tile_sums<kM, kN, W, kRoundToBf16>(a, lda, w, ldw, k, sums);
  if (k % kLanes != 0) add_rest<W, kRoundToBf16>(a, lda, kM, w, ldw, kN, k, sums);
  constexpr int kFours = kN / 4 * 4;
  for (int m = 0; m < kM; ++m) {
    const float* row = sums + m * kN * kLanes;
    for (int n = 0; n < kFours; n += 4) {
      const Vec4 t = totals(row + n * kLanes);
      __builtin_memcpy(c + m * ldc + n, &t, sizeof t);
    }
    for (int n = kFours; n < kN; ++n) c[m * ldc + n] = total(load_lanes(row + n * kLanes));
  }
}

// One strip of kM rows against all n weights.
template <int kM, int kN, class W, bool kRoundToBf16>
QWENVL_INLINE void strip(const float* a, std::int64_t lda, const W* w, std::int64_t ldw,
                         std::int64_t n, std::int64_t k, float* c, std::int64_t ldc) {
  std::int64_t j = 0;
  for (; j + kN <= n; j += kN)
    tile<kM, kN, W, kRoundToBf16>(a, lda, w + j * ldw, ldw, k, c + j, ldc);
  for (; j < n; ++j) tile<kM, 1, W, kRoundToBf16>(a, lda, w + j * ldw, ldw, k, c + j, ldc);
}

void gemm(const float* a, std::int64_t lda, std::int64_t m, const float* w, std::int64_t ldw,
          std::int64_t n, std::int64_t k, float* c, std::int64_t ldc) noexcept {
  constexpr int kM = QWENVL_TILE_ROWS, kN = QWENVL_TILE_WEIGHTS;
  // A few weight rows stay in the first-level cache while all rows of a pass by.
  for (std::int64_t j = 0; j < n; j += kN) {
    const std::int64_t n_here = n - j < kN ? n - j : kN;
    std::int64_t i = 0;
    for (; i + kM <= m; i += kM) {
      strip<kM, kN, float, false>(a + i * lda, lda, w + j * ldw, ldw, n_here, k, c + i * ldc + j,
                                  ldc);
    }
    for (; i < m; ++i) {
      strip<1, kN, float, false>(a + i * lda, lda, w + j * ldw, ldw, n_here, k, c + i * ldc + j,
                                 ldc);
    }
  }
}

template <class W, bool kRoundToBf16>
void gemv_of(const float* a, std::int64_t lda, std::int64_t m, const W* w, std::int64_t n,
             std::int64_t k, float* c, std::int64_t ldc) noexcept {
  constexpr int kN = QWENVL_TILE_WEIGHTS;
  // Weights against one row: all sums, and what is on its way to them, stay in registers.
  constexpr int kOneRow = kParts == 1 ? 8 : kParts == 2 ? 4 : 2;
  switch (m) {
    case 1: return strip<1, kOneRow, W, kRoundToBf16>(a, lda, w, k, n, k, c, ldc);
    case 2: return strip<2, kN, W, kRoundToBf16>(a, lda, w, k, n, k, c, ldc);
    default:
      for (std::int64_t i = 0; i < m; ++i) {
        strip<1, kOneRow, W, kRoundToBf16>(a + i * lda, lda, w, k, n, k, c + i * ldc, ldc);
      }
  }
}

void gemv(const float* a, std::int64_t lda, std::int64_t m, const void* w, DType format,
          bool round_to_bf16, std::int64_t n, std::int64_t k, float* c, std::int64_t ldc) noexcept {
  with_format(format, round_to_bf16, [&](auto type, auto round) {
    gemv_of<decltype(type), decltype(round)::value>(
        a, lda, m, static_cast<const decltype(type)*>(w), n, k, c, ldc);
  });
}

// ---- attention -------------------------------------------------------------------------------

constexpr int kKeyGroups = kKvPageTokens / kLanes;  // 4

// scores[m, 64] = q[m, D] · keys[D, 64]
template <int kM>
__attribute__((noinline)) void score_rows(const AttentionTile& t, std::int64_t first) {
  Lanes sum[kM][kKeyGroups];
  QWENVL_UNROLL
  for (int m = 0; m < kM; ++m) {
    QWENVL_UNROLL
    for (int g = 0; g < kKeyGroups; ++g) sum[m][g] = splat_lanes(0);
  }
  for (int d = 0; d < t.head_dim; ++d) {
    Lanes keys[kKeyGroups];
    QWENVL_UNROLL
    for (int g = 0; g < kKeyGroups; ++g)
      keys[g] = load_lanes(t.keys + d * kKvPageTokens + g * kLanes);
    QWENVL_UNROLL
    for (int m = 0; m < kM; ++m) {
      const Lanes q = splat_lanes(t.q[(first + m) * t.head_dim + d]);
      QWENVL_UNROLL
      for (int g = 0; g < kKeyGroups; ++g) multiply_add(sum[m][g], q, keys[g]);
    }
  }
  QWENVL_UNROLL
  for (int m = 0; m < kM; ++m) {
    QWENVL_UNROLL
    for (int g = 0; g < kKeyGroups; ++g) {
      store_lanes(t.scores + (first + m) * kKvPageTokens + g * kLanes, sum[m][g]);
    }
  }
}

QWENVL_INLINE VecF larger(VecF a, VecF b) { return a > b ? a : b; }

QWENVL_INLINE float largest_of(VecF x) {
  float largest = x[0];
  for (int i = 1; i < kVector; ++i) largest = x[i] > largest ? x[i] : largest;
  return largest;
}

// Scores → probabilities; moves the running maximum and sum on and rescales the running output.
QWENVL_INLINE void soften_row(const AttentionTile& t, std::int64_t row, std::int64_t padded) {
  float* scores = t.scores + row * kKvPageTokens;
  const int visible = t.visible[row] < kKvPageTokens ? t.visible[row] : kKvPageTokens;
  for (int j = visible < 0 ? 0 : visible; j < kKvPageTokens; ++j) scores[j] = -__builtin_inff();
  VecF maxima = splat(-__builtin_inff());
  for (int j = 0; j < kKvPageTokens; j += kVector) {
    const VecF scaled = load_vector(scores + j) * splat(t.scale);
    store_vector(scores + j, scaled);
    maxima = larger(scaled, maxima);
  }
  const float tile_largest = largest_of(maxima);
  const float largest = tile_largest > t.maxima[row] ? tile_largest : t.maxima[row];
  const VecF shift = splat(largest);
  Lanes sum = splat_lanes(0);
  for (int g = 0; g < kKeyGroups; ++g) {
    Lanes p = load_lanes(scores + g * kLanes);
    for (int i = 0; i < kParts; ++i) {
      p.part[i] = exp_vector(p.part[i] - shift);
      sum.part[i] += p.part[i];
    }
    store_lanes(scores + g * kLanes, p);
  }
  const float rescale = exp_vector(splat(t.maxima[row]) - shift)[0];
  t.maxima[row] = largest;
  t.sums[row] = t.sums[row] * rescale + total(sum);
  if (rescale == 1.0f) return;
  float* out = t.out + row * padded;
  for (std::int64_t d = 0; d < padded; d += kVector) {
    store_vector(out + d, load_vector(out + d) * splat(rescale));
  }
}

// out[m, D] += scores[m, 64] · values[64, D], kGroups groups of 16 columns from column `first_d`
// on.
template <int kM, int kGroups>
__attribute__((noinline)) void weigh_rows(const AttentionTile& t, std::int64_t first,
                                          std::int64_t first_d, std::int64_t padded) {
  Lanes sum[kM][kGroups];
  QWENVL_UNROLL
  for (int m = 0; m < kM; ++m) {
    QWENVL_UNROLL
    for (int g = 0; g < kGroups; ++g) {
      sum[m][g] = load_lanes(t.out + (first + m) * padded + first_d + g * kLanes);
    }
  }
  for (int j = 0; j < kKvPageTokens; ++j) {
    Lanes values[kGroups];
    QWENVL_UNROLL
    for (int g = 0; g < kGroups; ++g)
      values[g] = load_lanes(t.values + j * padded + first_d + g * kLanes);
    QWENVL_UNROLL
    for (int m = 0; m < kM; ++m) {
      const Lanes p = splat_lanes(t.scores[(first + m) * kKvPageTokens + j]);
      QWENVL_UNROLL
      for (int g = 0; g < kGroups; ++g) multiply_add(sum[m][g], p, values[g]);
    }
  }
  QWENVL_UNROLL
  for (int m = 0; m < kM; ++m) {
    QWENVL_UNROLL
    for (int g = 0; g < kGroups; ++g) {
      store_lanes(t.out + (first + m) * padded + first_d + g * kLanes, sum[m][g]);
    }
  }
}

template <int kM>
QWENVL_INLINE void weigh_columns(const AttentionTile& t, std::int64_t first, std::int64_t padded) {
  std::int64_t d = 0;
  for (; d + 4 * kLanes <= padded; d += 4 * kLanes) weigh_rows<kM, 4>(t, first, d, padded);
  for (; d < padded; d += kLanes) weigh_rows<kM, 1>(t, first, d, padded);
}

void attention(const AttentionTile& t) noexcept {
  constexpr int kM = QWENVL_TILE_QUERIES;
  const std::int64_t padded = padded_to_lanes(t.head_dim);
  std::int64_t i = 0;
  for (; i + kM <= t.n_rows; i += kM) score_rows<kM>(t, i);
  for (; i < t.n_rows; ++i) score_rows<1>(t, i);
  for (std::int64_t row = 0; row < t.n_rows; ++row) soften_row(t, row, padded);
  for (i = 0; i + kM <= t.n_rows; i += kM) weigh_columns<kM>(t, i, padded);
  for (; i < t.n_rows; ++i) weigh_columns<1>(t, i, padded);
}

template <class T>
constexpr RowKernels row_kernels() {
  return {&widen<T>,       &narrow<T>,      &from_int8<T>, &store_products<T>,
          &store_added<T>, &store_gated<T>, &add<T>,       &rms_norm<T>,
          &rope<T>,        &silu_mul<T>,    &gelu<T>};
}

constexpr KernelTable make_table(const char* name, const PackedKernels& packed) {
  return {name,
          QWENVL_TILE_WEIGHTS,
          row_kernels<float>(),
          row_kernels<bf16>(),
          &unpack,
          &gemm,
          &gemv,
          &attention,
          &packed,
          nullptr,
          nullptr};
}
