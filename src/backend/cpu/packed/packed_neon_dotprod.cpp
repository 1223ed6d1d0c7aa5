// Packed products with the byte dot products of Arm (dotprod).
#if defined(__aarch64__)

#include <arm_neon.h>

#include <cstdint>

#include "backend/cpu/packed/packed_kernels.h"
#include "backend/cpu/target.h"

#if defined(__clang__)
QWENVL_TARGET_BEGIN("dotprod")
#else
QWENVL_TARGET_BEGIN("arch=armv8.2-a+dotprod")  // the whole name: else templates lose it
#endif
namespace qwenvl::cpu {
namespace {

#include "backend/cpu/packed/packed_dotprod_neon.inl"

template <int kM>
void rows_of_panel(const PackedProduct& p, std::int64_t t, const std::byte* panel, float* c) {
  half_panels<kM>(p, t, panel, c);
}

#include "backend/cpu/packed/packed_rows.inl"

}  // namespace

constinit const PackedKernels packed_neon_dotprod = {quantise_activations, multiply};

}  // namespace qwenvl::cpu
QWENVL_TARGET_END

#endif  // __aarch64__
