// The order in which the vision tower sees merged cells, and where attention may not cross.
// Mirrors get_window_index of the reference.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "models/model.h"
#include "models/qwen2_5_vl/config.h"

namespace qwenvl::qwen2_5_vl {

// Cells are groups of 2 × 2 patches, numbered t, y, x row-major over all grids one after the other.
struct WindowOrder {
  std::vector<std::int64_t> cells;    // cells[i]: the cell at place i of the window order
  std::vector<std::int64_t> windows;  // boundaries of windows in patches, 0 first
  std::vector<std::int64_t> frames;   // boundaries of temporal grids in patches, 0 first
};

WindowOrder window_order(std::span<const Grid> grids, const VisionConfig& vision);

struct RowRange {
  std::int64_t begin, end;
};

// Consecutive boundaries joined into ranges of at most 2048 rows, or of one window: what goes
// through a layer at a time.
std::vector<RowRange> chunks_of(const std::vector<std::int64_t>& boundaries);

}  // namespace qwenvl::qwen2_5_vl
