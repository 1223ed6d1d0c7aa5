// Merged cells in window order, with the boundaries of windows and frames.
// Before: preprocess.cpp knows the grid.   After: vision.cpp keeps its rows in this order.
// Mirrors get_window_index of the reference.
#include "models/qwen2_5_vl/input/windows.h"

#include <algorithm>

namespace qwenvl::qwen2_5_vl {

WindowOrder window_order(std::span<const Grid> grids, const VisionConfig& vision) {
  const std::int64_t side = vision.window_size / vision.grid_pixels();  // cells along a window
  WindowOrder order;
  order.windows.push_back(0);
  order.frames.push_back(0);
  std::int64_t first_cell = 0;
  for (const Grid& grid : grids) {
    const std::int64_t high = grid.h / 2, wide = grid.w / 2;
    for (std::int64_t t = 0; t < grid.t; ++t) {
      // Windows row by row; those on the right and lower edge are smaller, none is empty.
      for (std::int64_t top = 0; top < high; top += side) {
        for (std::int64_t left = 0; left < wide; left += side) {
          for (std::int64_t y = top; y < std::min(high, top + side); ++y) {
            for (std::int64_t x = left; x < std::min(wide, left + side); ++x) {
              order.cells.push_back(first_cell + (t * high + y) * wide + x);
            }
          }
          order.windows.push_back(4 * static_cast<std::int64_t>(order.cells.size()));
        }
      }
      order.frames.push_back(4 * static_cast<std::int64_t>(order.cells.size()));
    }
    first_cell += grid.t * high * wide;
  }
  return order;
}

std::vector<RowRange> chunks_of(const std::vector<std::int64_t>& boundaries) {
  constexpr std::int64_t kChunkPatches = 2048;
  std::vector<RowRange> chunks;
  std::int64_t begin = 0;
  for (std::size_t i = 1; i < boundaries.size(); ++i) {
    const bool is_last = i + 1 == boundaries.size();
    if (is_last || boundaries[i + 1] - begin > kChunkPatches) {
      chunks.push_back({begin, boundaries[i]});
      begin = boundaries[i];
    }
  }
  return chunks;
}

}  // namespace qwenvl::qwen2_5_vl
