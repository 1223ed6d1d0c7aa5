// Rounds a matrix so that its products with the inputs seen change least (docs/quantisation.md).
// Before: calibration.cpp has collected how the inputs vary.   After: quantize.cpp writes panels.
//
// With H = Σ x xᵀ, factored as H = U · D · Uᵀ (U unit upper triangular, D diagonal), and the misses
// E = W − W', the outputs' squared error is
//   ‖X Eᵀ‖² = tr(E H Eᵀ) = Σ_k D_k · ‖(E U)_k‖²,   (E U)_k = E_k + Σ_{j < k} E_j U_jk
// so column k is rounded to W_k + Σ_{j < k} E_j U_jk, and D_k says how much a miss there matters.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "backend/backend.h"
#include "engine/quantize/input_moment.h"

namespace qwenvl {

// rows [n_out, n_in] float32 → panels; afterwards rows hold what was missed. `moment` is used up.
// The bytes do not depend on the number of threads.
void pack_with_feedback(Backend& backend, Packing packing, const Tensor& rows, InputMoment& moment,
                        std::span<std::byte> panels);

// H's factors for the columns of one chunk, block by block.
struct ColumnFactors {
  struct Block {
    std::int64_t first = 0, n = 0;  // columns, counted from the chunk's first
    std::vector<float> importance;  // [n]: D
    std::vector<float> within;      // [n, n]: U of the block's own columns
    std::vector<float> before;      // [n, first]: U of all columns before it, transposed
  };
  std::vector<Block> blocks;
};
ColumnFactors factor_columns(Backend& backend, InputMoment::Chunk& chunk);

}  // namespace qwenvl
