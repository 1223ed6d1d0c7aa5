// The kernels for 64-bit Arm: every such processor has these vectors.
#if defined(__aarch64__)

#include <cstdint>
#include <type_traits>

#include "backend/cpu/kernel_table.h"
#include "backend/cpu/target.h"

#define QWENVL_VECTOR_LANES 4
#define QWENVL_TILE_ROWS 2
#define QWENVL_TILE_WEIGHTS 3
#define QWENVL_TILE_QUERIES 1

namespace qwenvl::cpu {
namespace {
#include "backend/cpu/kernels.inl"
}  // namespace

constinit const KernelTable kernels_neon = make_table("neon", packed_portable);
}  // namespace qwenvl::cpu

#endif  // __aarch64__
