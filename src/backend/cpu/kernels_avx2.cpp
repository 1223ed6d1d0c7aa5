// The kernels for x86-64 with AVX2 and FMA.
#if defined(__x86_64__)

#include <cstdint>
#include <type_traits>

#include "backend/cpu/kernel_table.h"
#include "backend/cpu/target.h"

#define QWENVL_VECTOR_LANES 8
#define QWENVL_TILE_ROWS 2
#define QWENVL_TILE_WEIGHTS 2
#define QWENVL_TILE_QUERIES 1

QWENVL_TARGET_BEGIN("avx2,fma")
namespace qwenvl::cpu {
namespace {
#include "backend/cpu/kernels.inl"
}  // namespace

constinit const KernelTable kernels_avx2 = make_table("avx2", packed_avx2);
}  // namespace qwenvl::cpu
QWENVL_TARGET_END

#endif  // __x86_64__
