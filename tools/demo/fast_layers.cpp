// The parts of a training step that are not matrix products of whole layers, for x86 processors with
// bfloat16 tiles (AMX): normalisation, attention within segments, SwiGLU and cross entropy, forward
// and backward.
//
// Before: fast_layers.py compiles this file and passes pointers.   After: nothing.
// Rows are tokens or patches. bfloat16 values are held as their upper halves of float32.
// An attention segment is a run of query rows; its keys are `shared` rows (all visible) and then its
// own rows (all visible, or with `causal` each only to itself and later ones). Segments that share
// rows form a group, and one thread sums the group's gradients, so results do not depend on threads.

#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

namespace {

using bf16 = std::uint16_t;

constexpr int kSize = 64;     // channels of a head in scratch, zeros above the true count
constexpr int kQueries = 64;  // query rows of a block

struct Segment {
  std::int32_t first, count, shared_first, shared_count;
};
struct Group {
  std::int32_t first_segment, segment_count;
  std::int32_t first_row, row_count;
};

__m512 load16(const bf16* p) {
  const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
}

void store16(bf16* p, __m512 value) {
  const __m256bh halves = _mm512_cvtneps_pbh(value);
  std::memcpy(p, &halves, sizeof(halves));
}

float to_float(bf16 value) {
  const std::uint32_t bits = std::uint32_t{value} << 16;
  float result;
  std::memcpy(&result, &bits, sizeof(result));
  return result;
}

bf16 to_bf16(float value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return static_cast<bf16>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

// e^x to about 1e-5 relative, for x <= 88; nothing smaller than e^-87.
__m512 exp16(__m512 x) {
  x = _mm512_max_ps(x, _mm512_set1_ps(-87.0f));
  const __m512 scaled = _mm512_mul_ps(x, _mm512_set1_ps(1.44269504f));
  const __m512 whole = _mm512_roundscale_ps(scaled, 0);
  const __m512 rest =
      _mm512_mul_ps(_mm512_sub_ps(scaled, whole), _mm512_set1_ps(0.69314718f));
  __m512 sum = _mm512_set1_ps(1.0f / 720);
  for (const float term : {1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1.0f, 1.0f}) {
    sum = _mm512_fmadd_ps(sum, rest, _mm512_set1_ps(term));
  }
  return _mm512_scalef_ps(sum, whole);
}

// ---- tiles -------------------------------------------------------------------------------------

struct alignas(64) TileConfig {
  std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
  std::uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

// c [m, n] = a [m, k] · b, where b holds pairs of rows side by side: [k / 2, n, 2]. m and n are
// multiples of 32, k of 32. The tiles must be configured.
void multiply(const bf16* a, int a_stride, const bf16* b, int n, float* c, int c_stride, int m,
              int k, bool add) {
  for (int i = 0; i < m; i += 32) {
    for (int j = 0; j < n; j += 32) {
      float* corner = c + i * c_stride + j;
      const int step = c_stride * 4;
      if (add) {
        _tile_loadd(0, corner, step);
        _tile_loadd(1, corner + 16, step);
        _tile_loadd(2, corner + 16 * c_stride, step);
        _tile_loadd(3, corner + 16 * c_stride + 16, step);
      } else {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
      }
      for (int p = 0; p < k; p += 32) {
        _tile_loadd(4, a + i * a_stride + p, a_stride * 2);
        _tile_loadd(5, a + (i + 16) * a_stride + p, a_stride * 2);
        _tile_loadd(6, b + p * n + j * 2, n * 4);
        _tile_loadd(7, b + p * n + j * 2 + 32, n * 4);
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
      }
      _tile_stored(0, corner, step);
      _tile_stored(1, corner + 16, step);
      _tile_stored(2, corner + 16 * c_stride, step);
      _tile_stored(3, corner + 16 * c_stride + 16, step);
    }
  }
}

// out [16, 16] = in [16, 16] with rows and columns exchanged; strides in elements of 4 bytes.
void transpose16(const void* in, int in_stride, void* out, int out_stride) {
  __m512i r[16], t[16];
  const auto* from = static_cast<const std::int32_t*>(in);
  for (int i = 0; i < 16; ++i) r[i] = _mm512_loadu_si512(from + i * in_stride);
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {
    r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
    r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
    r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
  for (int i = 0; i < 4; ++i) {
    const __m512i a = _mm512_shuffle_i32x4(r[i], r[i + 4], 0x88);
    const __m512i b = _mm512_shuffle_i32x4(r[i], r[i + 4], 0xdd);
    const __m512i c = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0x88);
    const __m512i d = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0xdd);
    t[i] = _mm512_shuffle_i32x4(a, c, 0x88);
    t[i + 8] = _mm512_shuffle_i32x4(a, c, 0xdd);
    t[i + 4] = _mm512_shuffle_i32x4(b, d, 0x88);
    t[i + 12] = _mm512_shuffle_i32x4(b, d, 0xdd);
  }
  auto* to = static_cast<std::int32_t*>(out);
  for (int i = 0; i < 16; ++i) _mm512_storeu_si512(to + i * out_stride, t[i]);
}

// x [n, 64] as the right factor of a product over channels: [32, n, 2].
void pack_channels(const bf16* x, int n, bf16* out) {
  for (int i = 0; i < n; i += 16) {
    for (int pair = 0; pair < kSize / 2; pair += 16) {
      transpose16(x + i * kSize + 2 * pair, kSize / 2, out + (pair * n + i) * 2, n);
    }
  }
}

// x [n, width] as the right factor of a product over rows: [n / 2, width, 2].
void pack_rows(const bf16* x, int n, int width, bf16* out) {
  for (int i = 0; i < n; i += 2) {
    const bf16* even = x + i * width;
    for (int j = 0; j < width; j += 16) {
      const auto low = _mm512_cvtepu16_epi32(
          _mm256_loadu_si256(reinterpret_cast<const __m256i*>(even + j)));
      const auto high = _mm512_cvtepu16_epi32(
          _mm256_loadu_si256(reinterpret_cast<const __m256i*>(even + width + j)));
      _mm512_storeu_si512(out + i * width + j * 2,
                          _mm512_or_si512(low, _mm512_slli_epi32(high, 16)));
    }
  }
}

// [32, n, 2] from pack_channels as plain rows of channels: [64, n].
void channel_rows(const bf16* packed, int n, bf16* out) {
  for (int pair = 0; pair < kSize / 2; ++pair) {
    for (int i = 0; i < n; i += 16) {
      const __m512i both = _mm512_loadu_si512(packed + (pair * n + i) * 2);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + 2 * pair * n + i),
                          _mm512_cvtepi32_epi16(both));
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + (2 * pair + 1) * n + i),
                          _mm512_cvtepi32_epi16(_mm512_srli_epi32(both, 16)));
    }
  }
}

int round_up(int n) { return (n + 31) / 32 * 32; }

// ---- attention ---------------------------------------------------------------------------------

struct Attention {
  const bf16* qkv;  // [n, (heads + 2 * kept) * size]: query, key and value heads
  const float* cos;  // [n, size]
  const float* sin;
  const Segment* segments;
  const Group* groups;
  int group_count, heads, kept, size;
  bool causal;

  int row() const { return (heads + 2 * kept) * size; }
  float scale() const { return 1.0f / std::sqrt(static_cast<float>(size)); }
};

__mmask16 lanes(int count) { return count >= 16 ? 0xffff : (1u << count) - 1; }

__m512 load_some(const bf16* p, __mmask16 m) {
  const __m256i halves = _mm256_maskz_loadu_epi16(m, p);
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
}

void store_some(bf16* p, __mmask16 m, __m512 value) {
  const __m256bh halves = _mm512_cvtneps_pbh(value);
  __m256i bits;
  std::memcpy(&bits, &halves, sizeof(bits));
  _mm256_mask_storeu_epi16(p, m, bits);
}

// One head of `count` rows from `first`: rotated (queries, keys) or plain, in [count, 64].
void take_head(const Attention& a, int head, bool turn, int first, int count, bf16* out) {
  const int half = a.size / 2;
  for (int i = 0; i < count; ++i) {
    const bf16* x = a.qkv + static_cast<std::int64_t>(first + i) * a.row() + head * a.size;
    bf16* y = out + i * kSize;
    if (turn) {
      // Both halves have the same angles.
      const float* cos = a.cos + static_cast<std::int64_t>(first + i) * a.size;
      const float* sin = a.sin + static_cast<std::int64_t>(first + i) * a.size;
      for (int d = 0; d < half; d += 16) {
        const __mmask16 m = lanes(half - d);
        const __m512 one = load_some(x + d, m), two = load_some(x + half + d, m);
        const __m512 c = _mm512_maskz_loadu_ps(m, cos + d), s = _mm512_maskz_loadu_ps(m, sin + d);
        store_some(y + d, m, _mm512_fmsub_ps(one, c, _mm512_mul_ps(two, s)));
        store_some(y + half + d, m, _mm512_fmadd_ps(two, c, _mm512_mul_ps(one, s)));
      }
    } else {
      std::copy_n(x, a.size, y);
    }
    std::fill(y + a.size, y + kSize, bf16{0});
  }
}

// Gradient of one rotated head back to qkv's gradient. in: [count, 64].
void give_head(const Attention& a, int head, bool turn, int first, int count, const float* in,
               bf16* d_qkv) {
  const int half = a.size / 2;
  for (int i = 0; i < count; ++i) {
    bf16* y = d_qkv + static_cast<std::int64_t>(first + i) * a.row() + head * a.size;
    const float* g = in + i * kSize;
    const float* cos = a.cos + static_cast<std::int64_t>(first + i) * a.size;
    const float* sin = a.sin + static_cast<std::int64_t>(first + i) * a.size;
    for (int d = 0; d < half; d += 16) {
      const __mmask16 m = lanes(half - d);
      __m512 one = _mm512_maskz_loadu_ps(m, g + d), two = _mm512_maskz_loadu_ps(m, g + half + d);
      if (turn) {
        const __m512 c = _mm512_maskz_loadu_ps(m, cos + d), s = _mm512_maskz_loadu_ps(m, sin + d);
        const __m512 turned = _mm512_fmadd_ps(one, c, _mm512_mul_ps(two, s));
        two = _mm512_fmsub_ps(two, c, _mm512_mul_ps(one, s));
        one = turned;
      }
      store_some(y + d, m, one);
      store_some(y + half + d, m, two);
    }
  }
}

// The keys (or values) of a segment: shared rows, own rows, zeros up to a multiple of 32.
void gather_rows(const bf16* group_rows, int group_first, const Segment& s, int padded, bf16* out) {
  const bf16* shared = group_rows + (s.shared_first - group_first) * kSize;
  const bf16* own = group_rows + (s.first - group_first) * kSize;
  std::copy_n(shared, s.shared_count * kSize, out);
  std::copy_n(own, s.count * kSize, out + s.shared_count * kSize);
  const int count = s.shared_count + s.count;
  std::fill(out + count * kSize, out + padded * kSize, bf16{0});
}

struct Scratch {
  std::vector<bf16> k, v, keys, values, q, d_out, packed_keys, packed_values, weights;
  std::vector<bf16> packed_q, rows_q, packed_d_out, rows_d_out, d_scores, packed_scores, channels;
  std::vector<float> scores, d_weights, out, d_k, d_v, d_keys, d_values, turned;

  template <typename T>
  static T* room(std::vector<T>& v, std::size_t n) {
    if (v.size() < n) v.resize(n);
    return v.data();
  }
};

Scratch& scratch() {
  thread_local Scratch s;
  return s;
}

// scores [queries, keys] to weights before the division by their sum. Row i sees the first
// first_allowed + step · i keys. Fills the logarithm of each row's sum, and 1 / sum.
void soften(const float* scores, int keys, int count, int first_allowed, int step, float scale,
            bf16* weights, float* log_sum, int log_stride, float* inverse) {
  for (int i = 0; i < count; ++i) {
    const float* s = scores + i * keys;
    bf16* w = weights + i * keys;
    const int allowed = std::min(keys, first_allowed + step * i);
    __m512 most = _mm512_set1_ps(-1e30f);
    for (int j = 0; j < allowed; j += 16) {
      const __mmask16 m = allowed - j >= 16 ? 0xffff : (1u << (allowed - j)) - 1;
      most = _mm512_mask_max_ps(most, m, most, _mm512_loadu_ps(s + j));
    }
    const float top = _mm512_reduce_max_ps(most) * scale;
    __m512 sum = _mm512_setzero_ps();
    int j = 0;
    for (; j < allowed; j += 16) {
      const __mmask16 m = allowed - j >= 16 ? 0xffff : (1u << (allowed - j)) - 1;
      const __m512 e = _mm512_maskz_mov_ps(
          m, exp16(_mm512_fmsub_ps(_mm512_loadu_ps(s + j), _mm512_set1_ps(scale),
                                   _mm512_set1_ps(top))));
      sum = _mm512_add_ps(sum, e);
      store16(w + j, e);
    }
    std::fill(w + j, w + keys, bf16{0});
    const float total = _mm512_reduce_add_ps(sum);
    log_sum[i * log_stride] = top + std::log(total);
    inverse[i] = 1.0f / total;
  }
}

// The rotated keys and the values of a group, in scratch.
std::pair<const bf16*, const bf16*> take_keys_and_values(const Attention& a, const Group& group,
                                                         int kept) {
  Scratch& t = scratch();
  const int rows = group.row_count;
  bf16* k = Scratch::room(t.k, rows * kSize);
  bf16* v = Scratch::room(t.v, rows * kSize);
  take_head(a, a.heads + kept, true, group.first_row, rows, k);
  take_head(a, a.heads + a.kept + kept, false, group.first_row, rows, v);
  return {k, v};
}

void attend_forward(const Attention& a, const Group& group, int kept, bf16* out, float* log_sum) {
  Scratch& t = scratch();
  const auto [k, v] = take_keys_and_values(a, group, kept);
  const int per = a.heads / a.kept;
  for (int index = 0; index < group.segment_count; ++index) {
    const Segment& s = a.segments[group.first_segment + index];
    const int n = round_up(s.shared_count + s.count);
    bf16* keys = Scratch::room(t.keys, n * kSize);
    bf16* packed_keys = Scratch::room(t.packed_keys, n * kSize);
    bf16* packed_values = Scratch::room(t.packed_values, n * kSize);
    gather_rows(v, group.first_row, s, n, keys);
    pack_rows(keys, n, kSize, packed_values);
    gather_rows(k, group.first_row, s, n, keys);
    pack_channels(keys, n, packed_keys);
    bf16* q = Scratch::room(t.q, kQueries * kSize);
    bf16* weights = Scratch::room(t.weights, kQueries * n);
    float* scores = Scratch::room(t.scores, kQueries * n);
    float* result = Scratch::room(t.out, kQueries * kSize);
    float inverse[kQueries];
    for (int head = kept * per; head < (kept + 1) * per; ++head) {
      for (int begin = 0; begin < s.count; begin += kQueries) {
        const int count = std::min(kQueries, s.count - begin), padded = round_up(count);
        take_head(a, head, true, s.first + begin, count, q);
        std::fill(q + count * kSize, q + padded * kSize, bf16{0});
        multiply(q, kSize, packed_keys, n, scores, n, padded, kSize, false);
        const int allowed = s.shared_count + (a.causal ? begin + 1 : s.count);
        const std::int64_t row = s.first + begin;
        soften(scores, n, count, allowed, a.causal, a.scale(), weights,
               log_sum + row * a.heads + head, a.heads, inverse);
        std::fill(weights + count * n, weights + padded * n, bf16{0});
        multiply(weights, n, packed_values, kSize, result, kSize, padded, n, false);
        for (int i = 0; i < count; ++i) {
          bf16* y = out + (row + i) * a.heads * a.size + head * a.size;
          for (int c = 0; c < a.size; c += 16) {
            store16(y + c, _mm512_mul_ps(_mm512_loadu_ps(result + i * kSize + c),
                                         _mm512_set1_ps(inverse[i])));
          }
        }
      }
    }
  }
}

// Weights and gradients of scores of a block, both as [keys, kQueries].
// scores, d_weights: [keys, kQueries]. key j is seen by query i when i >= j - shared (causal).
void soften_backward(const float* scores, const float* d_weights, int keys, int key_count,
                     int count, int begin, int shared, bool causal, float scale,
                     const float* log_sum, const float* delta, bf16* weights, bf16* d_scores) {
  for (int j = 0; j < keys; ++j) {
    const int from = causal ? std::max(0, j - shared - begin) : 0;
    for (int i = 0; i < kQueries; i += 16) {
      const __mmask16 below = count - i >= 16 ? 0xffff : count > i ? (1u << (count - i)) - 1 : 0;
      const __mmask16 above =
          from <= i ? 0xffff : from - i >= 16 ? 0 : static_cast<__mmask16>(0xffffu << (from - i));
      const __mmask16 m = j < key_count ? below & above : 0;
      const int place = j * kQueries + i;
      if (m == 0) {
        store16(weights + place, _mm512_setzero_ps());
        store16(d_scores + place, _mm512_setzero_ps());
        continue;
      }
      const __m512 s = _mm512_fmsub_ps(_mm512_loadu_ps(scores + place), _mm512_set1_ps(scale),
                                       _mm512_loadu_ps(log_sum + i));
      const __m512 w = _mm512_maskz_mov_ps(m, exp16(s));
      const __m512 g = _mm512_sub_ps(_mm512_loadu_ps(d_weights + place), _mm512_loadu_ps(delta + i));
      store16(weights + place, w);
      store16(d_scores + place,
              _mm512_maskz_mul_ps(m, _mm512_mul_ps(w, g), _mm512_set1_ps(scale)));
    }
  }
}

struct Upstream {
  const bf16* out;    // [n, heads * size]
  const bf16* d_out;  // the same
  const float* log_sum;  // [n, heads]
};

// One head of one block of queries of a segment.
void block_backward(const Attention& a, const Upstream& u, const Segment& s, int head, int begin,
                    int n, bf16* d_qkv) {
  Scratch& t = scratch();
  const int count = std::min(kQueries, s.count - begin);
  const std::int64_t row = s.first + begin;
  bf16* q = Scratch::room(t.q, kQueries * kSize);
  bf16* d_out = Scratch::room(t.d_out, kQueries * kSize);
  take_head(a, head, true, s.first + begin, count, q);
  std::fill(q + count * kSize, q + kQueries * kSize, bf16{0});
  std::fill(d_out, d_out + kQueries * kSize, bf16{0});
  float log_sum[kQueries] = {}, delta[kQueries] = {};
  for (int i = 0; i < count; ++i) {
    const std::int64_t place = (row + i) * a.heads * a.size + head * a.size;
    __m512 sum = _mm512_setzero_ps();
    for (int c = 0; c < a.size; c += 16) {
      sum = _mm512_fmadd_ps(load16(u.out + place + c), load16(u.d_out + place + c), sum);
    }
    std::copy_n(u.d_out + place, a.size, d_out + i * kSize);
    delta[i] = _mm512_reduce_add_ps(sum);
    log_sum[i] = u.log_sum[(row + i) * a.heads + head];
  }
  bf16* packed_q = Scratch::room(t.packed_q, kQueries * kSize);
  bf16* rows_q = Scratch::room(t.rows_q, kQueries * kSize);
  bf16* packed_d = Scratch::room(t.packed_d_out, kQueries * kSize);
  bf16* rows_d = Scratch::room(t.rows_d_out, kQueries * kSize);
  pack_channels(q, kQueries, packed_q);
  pack_rows(q, kQueries, kSize, rows_q);
  pack_channels(d_out, kQueries, packed_d);
  pack_rows(d_out, kQueries, kSize, rows_d);
  float* scores = Scratch::room(t.scores, n * kQueries);
  float* d_weights = Scratch::room(t.d_weights, n * kQueries);
  bf16* weights = Scratch::room(t.weights, n * kQueries);
  bf16* d_scores = Scratch::room(t.d_scores, n * kQueries);
  multiply(t.keys.data(), kSize, packed_q, kQueries, scores, kQueries, n, kSize, false);
  multiply(t.values.data(), kSize, packed_d, kQueries, d_weights, kQueries, n, kSize, false);
  soften_backward(scores, d_weights, n, s.shared_count + s.count, count, begin, s.shared_count,
                  a.causal, a.scale(), log_sum, delta, weights, d_scores);
  multiply(weights, kQueries, rows_d, kSize, t.d_values.data(), kSize, n, kQueries, true);
  multiply(d_scores, kQueries, rows_q, kSize, t.d_keys.data(), kSize, n, kQueries, true);
  bf16* packed = Scratch::room(t.packed_scores, n * kQueries);
  pack_rows(d_scores, n, kQueries, packed);
  float* by_channel = Scratch::room(t.out, kSize * kQueries);
  float* d_q = Scratch::room(t.turned, kSize * kQueries);
  multiply(t.channels.data(), n, packed, kQueries, by_channel, kQueries, kSize, n, false);
  for (int i = 0; i < kQueries; i += 16) {
    for (int c = 0; c < kSize; c += 16) {
      transpose16(by_channel + c * kQueries + i, kQueries, d_q + i * kSize + c, kSize);
    }
  }
  give_head(a, head, true, s.first + begin, count, d_q, d_qkv);
}

void add_rows(const float* from, int count, float* to) {
  for (int i = 0; i < count * kSize; ++i) to[i] += from[i];
}

void attend_backward(const Attention& a, const Upstream& u, const Group& group, int kept,
                     bf16* d_qkv) {
  Scratch& t = scratch();
  const int rows = group.row_count, per = a.heads / a.kept;
  const auto [k, v] = take_keys_and_values(a, group, kept);
  t.d_k.assign(rows * kSize, 0.0f);
  t.d_v.assign(rows * kSize, 0.0f);
  for (int index = 0; index < group.segment_count; ++index) {
    const Segment& s = a.segments[group.first_segment + index];
    const int n = round_up(s.shared_count + s.count);
    bf16* keys = Scratch::room(t.keys, n * kSize);
    bf16* values = Scratch::room(t.values, n * kSize);
    bf16* packed_keys = Scratch::room(t.packed_keys, n * kSize);
    bf16* channels = Scratch::room(t.channels, n * kSize);
    gather_rows(k, group.first_row, s, n, keys);
    gather_rows(v, group.first_row, s, n, values);
    pack_channels(keys, n, packed_keys);
    channel_rows(packed_keys, n, channels);
    t.d_keys.assign(n * kSize, 0.0f);
    t.d_values.assign(n * kSize, 0.0f);
    for (int head = kept * per; head < (kept + 1) * per; ++head) {
      for (int begin = 0; begin < s.count; begin += kQueries) {
        block_backward(a, u, s, head, begin, n, d_qkv);
      }
    }
    const int shared = (s.shared_first - group.first_row) * kSize;
    const int own = (s.first - group.first_row) * kSize;
    add_rows(t.d_keys.data(), s.shared_count, t.d_k.data() + shared);
    add_rows(t.d_values.data(), s.shared_count, t.d_v.data() + shared);
    add_rows(t.d_keys.data() + s.shared_count * kSize, s.count, t.d_k.data() + own);
    add_rows(t.d_values.data() + s.shared_count * kSize, s.count, t.d_v.data() + own);
  }
  give_head(a, a.heads + kept, true, group.first_row, rows, t.d_k.data(), d_qkv);
  give_head(a, a.heads + a.kept + kept, false, group.first_row, rows, t.d_v.data(), d_qkv);
}

template <typename Work>
void for_groups(const Attention& a, Work&& work) {
#pragma omp parallel
  {
    static const TileConfig config;
    _tile_loadconfig(&config);
#pragma omp for schedule(dynamic, 1) nowait
    for (int item = 0; item < a.group_count * a.kept; ++item) {
      work(a.groups[item / a.kept], item % a.kept);
    }
    _tile_release();
  }
}

}  // namespace

extern "C" {

// Asks the system for the tiles; 0 when this process may use them.
int fast_layers_start() {
  constexpr int kRequest = 0x1023, kTileData = 18;
  return static_cast<int>(syscall(SYS_arch_prctl, kRequest, kTileData));
}

void attention_forward(const bf16* qkv, const float* cos, const float* sin,
                       const std::int32_t* segments, const std::int32_t* groups, int group_count,
                       int heads, int kept, int size, int causal, bf16* out, float* log_sum) {
  const Attention a{qkv,         cos,   sin,  reinterpret_cast<const Segment*>(segments),
                    reinterpret_cast<const Group*>(groups),
                    group_count, heads, kept, size,
                    causal != 0};
  for_groups(a, [&](const Group& group, int head) { attend_forward(a, group, head, out, log_sum); });
}

void attention_backward(const bf16* qkv, const float* cos, const float* sin,
                        const std::int32_t* segments, const std::int32_t* groups, int group_count,
                        int heads, int kept, int size, int causal, const bf16* out,
                        const bf16* d_out, const float* log_sum, bf16* d_qkv) {
  const Attention a{qkv,         cos,   sin,  reinterpret_cast<const Segment*>(segments),
                    reinterpret_cast<const Group*>(groups),
                    group_count, heads, kept, size,
                    causal != 0};
  const Upstream u{out, d_out, log_sum};
  for_groups(a, [&](const Group& group, int head) { attend_backward(a, u, group, head, d_qkv); });
}

// out = x · scale · weight with scale [n] = 1 / rms(x). width is a multiple of 16.
void norm_forward(const float* x, const float* weight, int n, int width, bf16* out, float* scale) {
#pragma omp parallel for
  for (int i = 0; i < n; ++i) {
    const float* row = x + static_cast<std::int64_t>(i) * width;
    __m512 sum = _mm512_setzero_ps();
    for (int c = 0; c < width; c += 16) {
      const __m512 value = _mm512_loadu_ps(row + c);
      sum = _mm512_fmadd_ps(value, value, sum);
    }
    scale[i] = 1.0f / std::sqrt(_mm512_reduce_add_ps(sum) / width + 1e-6f);
    for (int c = 0; c < width; c += 16) {
      const __m512 value = _mm512_mul_ps(_mm512_loadu_ps(row + c), _mm512_set1_ps(scale[i]));
      store16(out + static_cast<std::int64_t>(i) * width + c,
              _mm512_mul_ps(value, _mm512_loadu_ps(weight + c)));
    }
  }
}

// Adds to d_x [n, width]; writes d_weight [parts, width], to be summed over the parts.
void norm_backward(const float* x, const float* weight, const float* scale, const bf16* d_out,
                   int n, int width, int parts, float* d_x, float* d_weight) {
#pragma omp parallel for schedule(static)
  for (int part = 0; part < parts; ++part) {
    float* sums = d_weight + static_cast<std::int64_t>(part) * width;
    std::fill(sums, sums + width, 0.0f);
    const int end = static_cast<int>(static_cast<std::int64_t>(n) * (part + 1) / parts);
    for (int i = static_cast<int>(static_cast<std::int64_t>(n) * part / parts); i < end; ++i) {
      const std::int64_t start = static_cast<std::int64_t>(i) * width;
      const __m512 s = _mm512_set1_ps(scale[i]);
      __m512 dot = _mm512_setzero_ps();
      for (int c = 0; c < width; c += 16) {
        const __m512 unit = _mm512_mul_ps(_mm512_loadu_ps(x + start + c), s);
        const __m512 g = load16(d_out + start + c);
        dot = _mm512_fmadd_ps(_mm512_mul_ps(g, _mm512_loadu_ps(weight + c)), unit, dot);
        _mm512_storeu_ps(sums + c, _mm512_fmadd_ps(g, unit, _mm512_loadu_ps(sums + c)));
      }
      const __m512 mean = _mm512_set1_ps(_mm512_reduce_add_ps(dot) / width);
      for (int c = 0; c < width; c += 16) {
        const __m512 unit = _mm512_mul_ps(_mm512_loadu_ps(x + start + c), s);
        const __m512 g = _mm512_mul_ps(load16(d_out + start + c), _mm512_loadu_ps(weight + c));
        const __m512 inner = _mm512_fnmadd_ps(unit, mean, g);
        _mm512_storeu_ps(d_x + start + c,
                         _mm512_fmadd_ps(inner, s, _mm512_loadu_ps(d_x + start + c)));
      }
    }
  }
}

// both [n, 2 * width] holds gate and up; out [n, width] = silu(gate) · up.
void gate_forward(const bf16* both, int n, int width, bf16* out) {
#pragma omp parallel for
  for (int i = 0; i < n; ++i) {
    const bf16* gate = both + static_cast<std::int64_t>(i) * 2 * width;
    for (int c = 0; c < width; c += 16) {
      const __m512 g = load16(gate + c);
      const __m512 e = exp16(_mm512_sub_ps(_mm512_setzero_ps(), g));
      const __m512 silu = _mm512_div_ps(g, _mm512_add_ps(e, _mm512_set1_ps(1.0f)));
      store16(out + static_cast<std::int64_t>(i) * width + c,
              _mm512_mul_ps(silu, load16(gate + width + c)));
    }
  }
}

void gate_backward(const bf16* both, const bf16* d_out, int n, int width, bf16* d_both) {
#pragma omp parallel for
  for (int i = 0; i < n; ++i) {
    const std::int64_t start = static_cast<std::int64_t>(i) * 2 * width;
    const __m512 one = _mm512_set1_ps(1.0f);
    for (int c = 0; c < width; c += 16) {
      const __m512 g = load16(both + start + c), u = load16(both + start + width + c);
      const __m512 d = load16(d_out + static_cast<std::int64_t>(i) * width + c);
      const __m512 e = exp16(_mm512_sub_ps(_mm512_setzero_ps(), g));
      const __m512 sigmoid = _mm512_div_ps(one, _mm512_add_ps(e, one));
      const __m512 silu = _mm512_mul_ps(g, sigmoid);
      const __m512 slope = _mm512_fmadd_ps(silu, _mm512_sub_ps(one, sigmoid), sigmoid);
      store16(d_both + start + c, _mm512_mul_ps(_mm512_mul_ps(d, u), slope));
      store16(d_both + start + width + c, _mm512_mul_ps(d, silu));
    }
  }
}

// logits [n, classes] in rows `stride` apart are replaced by their gradient, weight[i] · (softmax -
// target); loss [n] is the cross entropy, right [n] whether the target is the likeliest.
void cross_entropy(bf16* logits, const std::int64_t* targets, const float* weight, int n,
                   int classes, std::int64_t stride, int per_row, float* loss,
                   std::uint8_t* right) {
#pragma omp parallel for
  for (int i = 0; i < n; ++i) {
    bf16* row = logits + i / per_row * stride + static_cast<std::int64_t>(i % per_row) * classes;
    const int whole = classes / 16 * 16, rest = classes - whole;
    const __mmask16 tail = (1u << rest) - 1;
    const auto at = [&](int c) {
      if (c < whole) return load16(row + c);
      const __m256i halves = _mm256_maskz_loadu_epi16(tail, row + c);
      const __m512 value =
          _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
      return _mm512_mask_mov_ps(_mm512_set1_ps(-1e30f), tail, value);
    };
    __m512 most = _mm512_set1_ps(-1e30f);
    for (int c = 0; c < classes; c += 16) most = _mm512_max_ps(most, at(c));
    const float top = _mm512_reduce_max_ps(most);
    __m512 sum = _mm512_setzero_ps();
    for (int c = 0; c < classes; c += 16) {
      sum = _mm512_add_ps(sum, exp16(_mm512_sub_ps(at(c), _mm512_set1_ps(top))));
    }
    const float log_sum = top + std::log(_mm512_reduce_add_ps(sum));
    const float target = to_float(row[targets[i]]);
    loss[i] = log_sum - target;
    right[i] = target >= top;
    const __m512 factor = _mm512_set1_ps(weight[i]);
    for (int c = 0; c < classes; c += 16) {
      const __m512 p = exp16(_mm512_sub_ps(at(c), _mm512_set1_ps(log_sum)));
      const __m512 g = _mm512_mul_ps(p, factor);
      if (c < whole) {
        store16(row + c, g);
      } else {
        bf16 last[16];
        store16(last, g);
        std::copy_n(last, rest, row + c);
      }
    }
    row[targets[i]] = to_bf16((std::exp(-loss[i]) - 1.0f) * weight[i]);
  }
}

}  // extern "C"
