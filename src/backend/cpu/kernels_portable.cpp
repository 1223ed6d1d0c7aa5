// The kernels for any machine: the compiler's baseline instructions.
#include <cstdint>
#include <type_traits>

#include "backend/cpu/kernel_table.h"
#include "backend/cpu/target.h"

#define QWENVL_VECTOR_LANES 4
#define QWENVL_TILE_ROWS 1
#define QWENVL_TILE_WEIGHTS 2
#define QWENVL_TILE_QUERIES 1

namespace qwenvl::cpu {
namespace {
#include "backend/cpu/kernels.inl"
}  // namespace

constinit const KernelTable kernels_portable = make_table("portable", packed_portable);
}  // namespace qwenvl::cpu
