// A rotation that spreads what stands out: before keys are stored in 8 bits.
// Before: rotary positions.   After: quantise_group of packed.h, and the same rotation of queries.
//
// A few numbers of every key are many times as large as the rest, at the same places for all
// tokens. One scale for the whole head would leave the rest nothing. Rotated by a Hadamard matrix
// every number carries a part of each; and because the matrix is orthogonal, a rotated query times
// a rotated key is what query times key was. No token's numbers depend on another's, so caches can
// be shared, and rows computed in any company.
#pragma once

#include <cstdint>

namespace qwenvl {

// x = x · M in place, M orthogonal with all numbers of equal size: ±n^-1/2. Where n is no power of
// two, M consists of equal blocks of the largest power of two that divides n. The order of the sums
// is fixed.
void rotate_row(float* x, std::int64_t n) noexcept;

}  // namespace qwenvl
