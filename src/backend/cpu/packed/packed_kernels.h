// Products with packed weights (formats/packed.h): what an instruction set provides for them.
// Before: cpu_backend.cpp quantises activations and splits panels over threads.
// After: packed_<isa>.cpp.
#pragma once

#include <cstddef>
#include <cstdint>

#include "formats/packed.h"

namespace qwenvl::cpu {

// c = x · Wᵀ for some panels of W and all rows of x.
struct PackedProduct {
  // Quantised activations, rows up to a multiple of 16 readable: [m, k], or for kernels that take
  // tiles [m / 16][k / 64][16][64].
  const std::int8_t* a;
  const float* a_scales;       // [m, n_scales]
  const std::int32_t* a_sums;  // [m, k / 32]
  // [m, n_scales]: −128 · the sum of as many activations as have a scale. Sums with bytes of W
  // that are 128 too large start from it.
  const std::int32_t* a_starts;
  std::int64_t m;
  std::int64_t k;         // padded to whole blocks
  std::int64_t n_in;      // of these k: behind them a is zero
  std::int64_t n_scales;  // 1, or k / 128
  Packing packing;
  const std::byte* panels;
  std::int64_t panel_bytes;
  std::int64_t n_panels;
  // Weights to fetch into the cache meanwhile; 64-byte aligned, may be none.
  const std::byte* next;
  std::int64_t next_bytes;
  bool fetches_near;     // as PackedKernels says
  float* c;              // [n_panels][m, 32], 64-byte aligned; with tiles rows up to a multiple
                         // of 32 are writable
  std::int64_t c_panel;  // numbers from one panel's results to the next one's
  std::byte* scratch;    // kPackedScratchBytes, 64-byte aligned
};

inline constexpr std::int64_t kExpandedNumbers = 1024;  // of a row, expanded at a time
inline constexpr std::int64_t kPackedScratchBytes = kPanelRows * kExpandedNumbers;

struct PackedKernels {
  // As quantise_activations of formats/packed.h, bit for bit.
  void (*quantise)(const float* x, std::int64_t n_in, bool is_grouped, std::int8_t* q,
                   float* scales, std::int32_t* sums) noexcept;
  void (*multiply)(const PackedProduct& p) noexcept;
  // quantise of rows of bf16; 64 numbers and the next 64 begin `step` bytes from each other in q.
  // Also the starts of a row's sums; its sums only where is_grouped. Null: rows are widened first.
  void (*quantise_bf16)(const bf16* x, std::int64_t n_in, bool is_grouped, std::int8_t* q,
                        std::int64_t step, float* scales, std::int32_t* sums,
                        std::int32_t* starts) noexcept = nullptr;
  // Whether multiply wants the activations of m rows as tiles; null: never.
  bool (*takes_tiles)(std::int64_t m) noexcept = nullptr;
  // Rows of x after which products with int8 are best taken away; 0: as many as stay in the
  // second-level cache.
  std::int64_t int8_rows_at_once = 0;
  // Whether weights that few rows read once go through all caches. An EPYC of Zen 5 reads them
  // faster past the second-level one, and what follows then finds it as it was; on Intel's
  // processors it was kept.
  bool fetches_near = true;
};

extern const PackedKernels packed_portable;
#if defined(__x86_64__)
extern const PackedKernels packed_avx2;
extern const PackedKernels packed_avx_vnni;
extern const PackedKernels packed_avx512_vnni;
extern const PackedKernels packed_amx;
#elif defined(__aarch64__)
extern const PackedKernels packed_neon_dotprod;
extern const PackedKernels packed_neon_i8mm;
#endif

}  // namespace qwenvl::cpu
