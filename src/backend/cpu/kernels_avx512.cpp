// The kernels for x86-64 with AVX-512 (F, BW, DQ, VL) and FMA.
#if defined(__x86_64__)

#include <immintrin.h>

#include <cstdint>
#include <type_traits>

#include "backend/cpu/kernel_table.h"
#include "backend/cpu/target.h"

#define QWENVL_VECTOR_LANES 16
#define QWENVL_TILE_ROWS 4
#define QWENVL_TILE_WEIGHTS 6
#define QWENVL_TILE_QUERIES 4
#define QWENVL_LANES_AVX512

// g++ splits wide vectors unless told otherwise; clang does not know the option and would drop all.
#if defined(__clang__)
QWENVL_TARGET_BEGIN("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")
#else
QWENVL_TARGET_BEGIN("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,prefer-vector-width=512")
#endif
namespace qwenvl::cpu {
namespace {
#include "backend/cpu/kernels.inl"
}  // namespace

constinit const KernelTable kernels_avx512 = make_table("avx512", packed_avx2);
}  // namespace qwenvl::cpu
QWENVL_TARGET_END

#endif  // __x86_64__
