// Cells, blocks, and their differences.
#include "media/video/analysis/low_resolution.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <numeric>

namespace qwenvl {
namespace {

constexpr int kCellPixels = 4;
constexpr int kSmallestSide = 16;  // below, a cell is a pixel
constexpr int kSearchCells = 6;    // how far a block may have moved between two moments

// Cells of block (by, bx) of `now` against those `dy`, `dx` away in `before`; 16ths of grey levels.
// False where that lies outside.
bool shifted_error(const CellImage& before, const CellImage& now, int by, int bx, int dy, int dx,
                   int& error) {
  const int y0 = by * kBlockCells, x0 = bx * kBlockCells;
  const int y1 = std::min(y0 + kBlockCells, now.height), x1 = std::min(x0 + kBlockCells, now.width);
  if (y0 + dy < 0 || x0 + dx < 0 || y1 + dy > now.height || x1 + dx > now.width) return false;
  int sum = 0;
  for (int y = y0; y < y1; ++y) {
    for (int x = x0; x < x1; ++x) sum += std::abs(now.at(y, x) - before.at(y + dy, x + dx));
  }
  error = sum / ((y1 - y0) * (x1 - x0));
  return true;
}

bool is_found(const CellImage& before, const CellImage& now, int by, int bx, int level) {
  int error = 0;
  for (int dy = -kSearchCells; dy <= kSearchCells; ++dy) {
    for (int dx = -kSearchCells; dx <= kSearchCells; ++dx) {
      if (shifted_error(before, now, by, bx, dy, dx, error) && error < level) return true;
    }
  }
  return false;
}

void add_to_blocks(const CellImage& cells, const std::vector<int>& values,
                   std::vector<float>& blocks) {
  const int across = n_blocks(cells.width);
  std::vector<int> counts(blocks.size());
  for (int y = 0; y < cells.height; ++y) {
    for (int x = 0; x < cells.width; ++x) {
      const std::size_t b = static_cast<std::size_t>(y / kBlockCells) * across +
                            static_cast<std::size_t>(x / kBlockCells);
      blocks[b] += static_cast<float>(values[static_cast<std::size_t>(y) * cells.width + x]);
      ++counts[b];
    }
  }
  for (std::size_t b = 0; b < blocks.size(); ++b)
    blocks[b] /= static_cast<float>(counts[b] * kCellUnit);
}

std::vector<int> absolute_differences(const CellImage& a, const CellImage& b) {
  std::vector<int> out(a.values.size());
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = std::abs(a.values[i] - b.values[i]);
  return out;
}

}  // namespace

CellImage cells_of(const LumaImage& luma) {
  const int side = std::min(luma.height, luma.width) < kSmallestSide ? 1 : kCellPixels;
  CellImage cells{luma.height / side, luma.width / side, {}};
  cells.values.resize(static_cast<std::size_t>(cells.height) * cells.width);
  const int weight = kCellUnit / (side * side);
  for (int y = 0; y < cells.height; ++y) {
    std::int16_t* out = cells.values.data() + static_cast<std::size_t>(y) * cells.width;
    for (int i = 0; i < side; ++i) {
      const std::uint8_t* row =
          luma.values.data() + (static_cast<std::size_t>(y) * side + i) * luma.width;
      for (int x = 0; x < cells.width; ++x) {
        int sum = 0;
        for (int j = 0; j < side; ++j) sum += row[x * side + j];
        out[x] = static_cast<std::int16_t>(out[x] + sum * weight);
      }
    }
  }
  return cells;
}

Brightness brightness_change(const CellImage& before, const CellImage& now) {
  std::int64_t sum_x = 0, sum_y = 0, sum_xx = 0, sum_xy = 0;
  for (std::size_t i = 0; i < now.values.size(); ++i) {
    const std::int64_t x = before.values[i], y = now.values[i];
    sum_x += x;
    sum_y += y;
    sum_xx += x * x;
    sum_xy += x * y;
  }
  const double n = static_cast<double>(now.values.size());
  const double mean_x = static_cast<double>(sum_x) / n, mean_y = static_cast<double>(sum_y) / n;
  const double variance = static_cast<double>(sum_xx) / n - mean_x * mean_x;
  const double covariance = static_cast<double>(sum_xy) / n - mean_x * mean_y;
  const double gain = variance > 1 ? std::clamp(covariance / variance, 0.5, 2.0) : 1;
  return {gain, mean_y - gain * mean_x};
}

CellImage adjusted(const CellImage& before, const Brightness& change) {
  CellImage out = before;
  for (std::int16_t& value : out.values) {
    const double adjusted = std::clamp(change.gain * value + change.offset, 0.0, 255.0 * kCellUnit);
    value = static_cast<std::int16_t>(adjusted);
  }
  return out;
}

double BlockDifferences::share_above(double level) const {
  const auto n = std::count_if(blocks.begin(), blocks.end(), [&](float d) { return d > level; });
  return static_cast<double>(n) / static_cast<double>(blocks.size());
}

void BlockDifferences::forgive(const BlockDifferences& other) {
  for (std::size_t b = 0; b < blocks.size(); ++b) blocks[b] = std::min(blocks[b], other.blocks[b]);
}

void BlockDifferences::forgive_shift(const CellImage& now, double cells) {
  std::vector<int> slopes(now.values.size());
  for (int y = 0; y + 1 < now.height; ++y) {
    for (int x = 0; x + 1 < now.width; ++x) {
      slopes[static_cast<std::size_t>(y) * now.width + x] = std::max(
          std::abs(now.at(y, x + 1) - now.at(y, x)), std::abs(now.at(y + 1, x) - now.at(y, x)));
    }
  }
  std::vector<float> roughness(blocks.size());
  add_to_blocks(now, slopes, roughness);
  for (std::size_t b = 0; b < blocks.size(); ++b)
    blocks[b] -= static_cast<float>(cells) * roughness[b];
}

BlockDifferences differences(const CellImage& before, const CellImage& now) {
  const std::size_t n = static_cast<std::size_t>(n_blocks(now.height)) * n_blocks(now.width);
  BlockDifferences out{std::vector<float>(n), 0};
  std::vector<int> plain = absolute_differences(before, now);
  add_to_blocks(now, plain, out.blocks);
  const auto quarter = plain.begin() + static_cast<std::ptrdiff_t>(plain.size() / 4);
  std::nth_element(plain.begin(), quarter, plain.end());
  out.typical = static_cast<double>(*quarter) / kCellUnit;
  if (std::all_of(out.blocks.begin(), out.blocks.end(), [](float d) { return d < 1; })) return out;
  std::vector<float> beyond(n);
  add_to_blocks(now, absolute_differences(adjusted(before, brightness_change(before, now)), now),
                beyond);
  for (std::size_t b = 0; b < n; ++b) out.blocks[b] = std::min(out.blocks[b], beyond[b]);
  return out;
}

double unmatched_share(const CellImage& before, const CellImage& now, double level) {
  const CellImage brighter = adjusted(before, brightness_change(before, now));
  const int most = static_cast<int>(level * kCellUnit);
  const int down = n_blocks(now.height), across = n_blocks(now.width);
  int n_unmatched = 0;
  for (int by = 0; by < down; ++by) {
    for (int bx = 0; bx < across; ++bx) {
      if (!is_found(before, now, by, bx, most) && !is_found(brighter, now, by, bx, most))
        ++n_unmatched;
    }
  }
  return static_cast<double>(n_unmatched) / (down * across);
}

Histogram histogram_of(const CellImage& cells) {
  Histogram out{};
  for (const std::int16_t value : cells.values)
    ++out[static_cast<std::size_t>(value / (4 * kCellUnit))];
  return out;
}

double distance(const Histogram& a, const Histogram& b) {
  int sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += std::abs(a[i] - b[i]);
  return sum / 2.0 / std::accumulate(a.begin(), a.end(), 0);
}

double pixel_noise(const LumaImage& luma) {
  // |second difference| of independent noise is on average 1.95 of its standard deviations; the
  // smoothest tenth of strips this short has three quarters of that.
  constexpr double kPerDeviation = 1.5;
  constexpr int kStrip = 16;
  if (luma.width < 3) return 0;
  std::vector<int> strips;
  for (int y = 0; y < luma.height; y += 2) {
    const std::uint8_t* row = luma.values.data() + static_cast<std::size_t>(y) * luma.width;
    for (int x0 = 1; x0 + kStrip < luma.width; x0 += kStrip) {
      int sum = 0;
      for (int x = x0; x < x0 + kStrip; ++x) sum += std::abs(row[x - 1] - 2 * row[x] + row[x + 1]);
      if (sum > 0) strips.push_back(sum);  // black bars and drawn areas say nothing about noise
    }
  }
  if (strips.empty()) return 0;
  const auto tenth = strips.begin() + static_cast<std::ptrdiff_t>(strips.size() / 10);
  std::nth_element(strips.begin(), tenth, strips.end());
  return *tenth / (kStrip * kPerDeviation);
}

}  // namespace qwenvl
