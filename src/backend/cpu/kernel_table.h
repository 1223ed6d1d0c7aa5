// What an instruction set provides: one table of functions, each working on a block of rows.
// Kernels are noexcept, take valid arguments and return nothing.
#pragma once

#include <cstdint>

#include "backend/backend.h"
#include "backend/cpu/packed/packed_kernels.h"

namespace qwenvl::cpu {

// Numbers summed side by side in every dot product, whatever the vector width: the order of a sum,
// and so its bits, is the same on all instruction sets with fused multiply-add.
inline constexpr int kLanes = 16;

inline std::int64_t padded_to_lanes(std::int64_t n) { return (n + kLanes - 1) / kLanes * kLanes; }

// Row kernels of one activation type. n counts elements.
struct RowKernels {
  void (*widen)(const void* x, std::int64_t n, float* out) noexcept;   // type → float32
  void (*narrow)(const float* x, std::int64_t n, void* out) noexcept;  // float32 → type
  // scale · q → type
  void (*from_int8)(const std::int8_t* q, float scale, std::int64_t n, void* out) noexcept;
  // out = products + bias, n_rows rows of n numbers; bias may be null.
  void (*store_products)(const float* products, std::int64_t stride, std::int64_t n_rows,
                         const float* bias, std::int64_t n, void* out,
                         std::int64_t out_stride_bytes) noexcept;
  // out += what store_products would leave there.
  void (*store_added)(const float* products, std::int64_t stride, std::int64_t n_rows,
                      const float* bias, std::int64_t n, void* out,
                      std::int64_t out_stride_bytes) noexcept;
  // out = silu(gate + its bias) · (up + its bias), with all roundings of linear and silu_mul.
  void (*store_gated)(const float* gate, const float* up, std::int64_t stride, std::int64_t n_rows,
                      const float* gate_bias, const float* up_bias, std::int64_t n, void* out,
                      std::int64_t out_stride_bytes) noexcept;
  void (*add)(void* x, const void* y, std::int64_t n) noexcept;  // x += y
  void (*rms_norm)(const void* x, const float* weight, float eps, std::int64_t n,
                   void* out) noexcept;
  void (*rope)(void* x, int n_heads, std::int64_t half, const float* cos, const float* sin,
               RopeRounding rounding) noexcept;
  void (*silu_mul)(void* gate, const void* up, std::int64_t n) noexcept;
  void (*gelu)(void* x, std::int64_t n) noexcept;
};

// One step of online softmax: n_rows queries against a tile of kKvPageTokens keys.
struct AttentionTile {
  const float* q;               // [n_rows, head_dim]
  const float* keys;            // [head_dim, kKvPageTokens], transposed
  const float* values;          // [kKvPageTokens, padded head_dim]
  const std::int32_t* visible;  // [n_rows]: keys of this tile a row may see (may be ≤ 0)
  std::int64_t n_rows;
  int head_dim;
  float scale;
  float* scores;  // [n_rows, kKvPageTokens] scratch
  float* maxima;  // [n_rows] running maximum, starts at the lowest number
  float* sums;    // [n_rows] running sum of exponentials, starts at 0
  float* out;     // [n_rows, padded head_dim] running weighted sum, starts at 0
};

// One step of online softmax in bf16: n_rows queries against a tile of kKvPageTokens keys.
struct Bf16AttentionTile {
  const bf16* q;  // [n_rows, key_dim], rows q_stride numbers apart
  std::int64_t q_stride;
  const bf16* keys;             // as lay_out_keys leaves them
  const bf16* values;           // as lay_out_values leaves them
  const std::int32_t* visible;  // as in AttentionTile
  std::int64_t n_rows;
  std::int64_t key_dim, value_dim;  // the head's size, up to whole dim_step and whole 16
  float scale;
  float* scores;  // [48, kKvPageTokens] scratch
  float*
      maxima;  // [n_rows] what is taken from score · scale · log2(e), starts at the lowest number
  float* sums;  // [n_rows, 16] running sums of exponentials side by side, start at 0
  float* out;   // [whole sixteens of rows, value_dim]
};

struct Bf16Attention {
  int dim_step;      // numbers of a head that go together: zeros are put behind up to whole ones
  bool whole_tiles;  // whether whole sixteens of rows of q must be readable
  // n rows of head_dim numbers, stride_bytes apart → the layout a kernel wants, zeros behind them:
  // for heads of up to whole 32 numbers.
  void (*lay_out_keys)(const std::byte* keys, std::int64_t stride_bytes, std::int64_t n,
                       int head_dim, bf16* out) noexcept;
  void (*lay_out_values)(const std::byte* values, std::int64_t stride_bytes, std::int64_t n,
                         int head_dim, bf16* out) noexcept;
  void (*attend)(const Bf16AttentionTile& tile) noexcept;
  // out [head_dim] = gathered / the total of the 16 sums, rounded.
  void (*finish)(const float* gathered, const float* sums, int head_dim, bf16* out) noexcept;
};

// Products of bf16 rows with bf16 weights, in float32.
struct Bf16Linear {
  // n ≤ 32 rows of k weights, n_in apart → a panel of 32 · padded k numbers as multiply wants it,
  // zeros where nothing is. padded k: up to whole 32.
  void (*lay_out)(const bf16* w, std::int64_t n_in, std::int64_t n, std::int64_t k,
                  bf16* panel) noexcept;
  // c [m, 32] = a [m, padded k] · panelᵀ; whole sixteens of rows of a are readable, and of c
  // writable.
  void (*multiply)(const bf16* a, std::int64_t m, std::int64_t padded_k, const bf16* panel,
                   float* c, std::int64_t ldc) noexcept;
  std::int64_t rows_at_once;  // multiplied well before their results are stored
  // The same, bit for bit, for a few rows of a and weights where they lie, as for lay_out; reads
  // ahead into the 32 rows behind. Null: never.
  void (*multiply_few)(const bf16* a, std::int64_t m, std::int64_t padded_k, const bf16* w,
                       std::int64_t n_in, std::int64_t n, float* c,
                       std::int64_t ldc) noexcept = nullptr;
  static constexpr std::int64_t kFewRows = 4;
};

struct KernelTable {
  const char* name;
  int tile_weights;  // rows of W that one inner tile takes: blocks of weights are multiples of it
  RowKernels f32, bf16;

  // One row of k weights → float32, zero-padded to padded_to_lanes(k); rounded to bf16 on the way
  // if asked.
  void (*unpack)(const void* row, DType format, bool round_to_bf16, std::int64_t k,
                 float* out) noexcept;
  // c[m, n] = a[m, k] · w[n, k]ᵀ with k a multiple of kLanes; lda, ldw, ldc in elements.
  void (*gemm)(const float* a, std::int64_t lda, std::int64_t m, const float* w, std::int64_t ldw,
               std::int64_t n, std::int64_t k, float* c, std::int64_t ldc) noexcept;
  // The same for a few rows, reading the weights where they are stored. a is padded with zeros.
  void (*gemv)(const float* a, std::int64_t lda, std::int64_t m, const void* w, DType format,
               bool round_to_bf16, std::int64_t n, std::int64_t k, float* c,
               std::int64_t ldc) noexcept;
  void (*attention)(const AttentionTile& tile) noexcept;
  const PackedKernels* packed;
  // Where bf16 is multiplied as it is; else it is widened first.
  const Bf16Attention* bf16_attention = nullptr;
  const Bf16Linear* bf16_linear = nullptr;
};

extern const KernelTable kernels_portable;
#if defined(__x86_64__)
extern const KernelTable kernels_avx2;
extern const KernelTable kernels_avx512;
extern const Bf16Attention bf16_attention_amx;
extern const Bf16Linear bf16_linear_amx;
extern const Bf16Attention bf16_attention_avx512;
extern const Bf16Linear bf16_linear_avx512;
#elif defined(__aarch64__)
extern const KernelTable kernels_neon;
extern const Bf16Linear bf16_linear_neon;
#endif

}  // namespace qwenvl::cpu
