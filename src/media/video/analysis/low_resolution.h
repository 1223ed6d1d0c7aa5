// Small pictures of a video, as cells and blocks, and what differs between two of them.
// Private to src/media/video. Before: signals.cpp has shrunk a frame.   After: scene_meter.cpp and
// text_meter.cpp.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "media/video/video.h"

namespace qwenvl {

// Means of 4 x 4 pixels (of single pixels where the picture is tiny) in sixteenths of grey levels.
struct CellImage {
  int height = 0, width = 0;
  std::vector<std::int16_t> values;

  std::int16_t at(int y, int x) const { return values[static_cast<std::size_t>(y) * width + x]; }
};

constexpr int kCellUnit = 16;   // of a CellImage: one grey level
constexpr int kBlockCells = 4;  // a block is 4 x 4 cells; at the edges, what is left

CellImage cells_of(const LumaImage& luma);
inline int n_blocks(int cells) { return (cells + kBlockCells - 1) / kBlockCells; }

// Brightness of `now` as gain · before + offset, by least squares, the gain within 0.5 … 2.
struct Brightness {
  double gain = 1, offset = 0;
};
Brightness brightness_change(const CellImage& before, const CellImage& now);
CellImage adjusted(const CellImage& before, const Brightness& change);

// Mean absolute difference of each block, in grey levels: as it is or beyond the change of
// brightness, whichever is less. `typical` is what a quarter of the cells stays below.
struct BlockDifferences {
  std::vector<float> blocks;
  double typical = 0;

  double share_above(double level) const;
  // Keeps of each block the smaller difference.
  void forgive(const BlockDifferences& other);
  // Takes away what a shift of the picture by so many cells could explain.
  void forgive_shift(const CellImage& now, double cells);
};
BlockDifferences differences(const CellImage& before, const CellImage& now);

// Share of the blocks of `now` that are found nowhere near their place in `before` with an error
// below `level`: neither moved nor merely brighter.
double unmatched_share(const CellImage& before, const CellImage& now, double level);

// Half the sum of absolute differences of the histograms: 0 alike … 1 nothing in common.
using Histogram = std::array<int, 64>;
Histogram histogram_of(const CellImage& cells);
double distance(const Histogram& a, const Histogram& b);

// Standard deviation of a pixel's noise in grey levels, from how rough the smoothest tenth of the
// picture is.
double pixel_noise(const LumaImage& luma);

}  // namespace qwenvl
