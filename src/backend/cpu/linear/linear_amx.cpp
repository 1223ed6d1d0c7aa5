// Matrix products of bf16 weights with the tiles of AMX, for any number of rows: a row's sums are
// formed in the same order whatever is computed beside it.
#if defined(__x86_64__)

#include <immintrin.h>

#include <cstdint>

#include "backend/cpu/kernel_table.h"
#include "backend/cpu/target.h"

#if defined(__clang__)
QWENVL_TARGET_BEGIN("avx512f,avx512bw,avx512dq,avx512vl,amx-tile,amx-bf16,avx2,fma")
#else
QWENVL_TARGET_BEGIN(
    "avx512f,avx512bw,avx512dq,avx512vl,amx-tile,amx-bf16,avx2,fma,prefer-vector-width=512")
#endif
namespace qwenvl::cpu {
namespace {

#include "backend/cpu/bf16_pairs_avx512.inl"
#include "backend/cpu/tiles_amx.inl"

// c = 16 or 32 rows of a · the panel.
template <bool kBoth>
inline __attribute__((always_inline)) void rows(const bf16* a, std::int64_t k, const bf16* panel,
                                                float* c, std::int64_t ldc) {
  _tile_zero(0);
  _tile_zero(1);
  if (kBoth) {
    _tile_zero(2);
    _tile_zero(3);
  }
  for (std::int64_t i = 0; i < k; i += 32, panel += 32 * kWidth) {
    _tile_loadd(6, panel, 4 * kWidth);
    _tile_loadd(4, a + i, 2 * k);
    _tile_loadd(7, panel + kWidth, 4 * kWidth);
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    if (kBoth) {
      _tile_loadd(5, a + 16 * k + i, 2 * k);
      _tile_dpbf16ps(2, 5, 6);
      _tile_dpbf16ps(3, 5, 7);
    }
  }
  _tile_stored(0, c, 4 * ldc);
  _tile_stored(1, c + 16, 4 * ldc);
  if (kBoth) {
    _tile_stored(2, c + 16 * ldc, 4 * ldc);
    _tile_stored(3, c + 16 * ldc + 16, 4 * ldc);
  }
}

void multiply(const bf16* a, std::int64_t m, std::int64_t padded_k, const bf16* panel, float* c,
              std::int64_t ldc) noexcept {
  configure_tiles();
  for (std::int64_t t = 0; t < m; t += 32) {
    if (m - t > 16) {
      rows<true>(a + t * padded_k, padded_k, panel, c + t * ldc, ldc);
    } else {
      rows<false>(a + t * padded_k, padded_k, panel, c + t * ldc, ldc);
    }
  }
  _tile_release();
}

}  // namespace

constinit const Bf16Linear bf16_linear_amx = {lay_out_panel, multiply, 32};

}  // namespace qwenvl::cpu
QWENVL_TARGET_END

#endif  // __x86_64__
