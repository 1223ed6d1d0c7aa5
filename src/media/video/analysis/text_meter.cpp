// Keeps for each block what it showed when it was calm last, and looks for strokes when it is calm
// again and shows something else.
#include "media/video/analysis/text_meter.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>

namespace qwenvl {
namespace {

constexpr int kBlock = 16;            // pixels
constexpr int kCalmSteps = 3;         // what stays as long as this is there
constexpr double kRestless = 0.015;   // share of pixels that differ in a block that changes
constexpr double kChanged = 0.04;     // the same, in one that shows something else
constexpr double kStrokes = 0.04;     // share of edges to each side
constexpr double kPlain = 0.35;       // share of pixels of the commonest grey level
constexpr double kAllRestless = 0.6;  // share of blocks: the camera moves
constexpr double kPixelLevel = 8, kNoise = 5;  // grey levels; standard deviations
constexpr int kFullShare = 24;                 // one block in so many makes the signal 1

int differing_in(const LumaImage& a, const LumaImage& b, const PixelSpan& span, int level) {
  int count = 0;
  for (int y = span.y0; y < span.y1; ++y) {
    const std::uint8_t* from = a.values.data() + static_cast<std::size_t>(y) * a.width;
    const std::uint8_t* to = b.values.data() + static_cast<std::size_t>(y) * a.width;
    for (int x = span.x0; x < span.x1; ++x) count += std::abs(from[x] - to[x]) > level ? 1 : 0;
  }
  return count;
}

// Edges from dark to bright or from bright to dark, whichever are fewer: strokes have both.
int strokes_in(const LumaImage& luma, const PixelSpan& span, int level) {
  int rising = 0, falling = 0;
  const int from = std::max(span.x0, 1), to = std::min(span.x1, luma.width - 1);
  for (int y = span.y0; y < span.y1; ++y) {
    const std::uint8_t* row = luma.values.data() + static_cast<std::size_t>(y) * luma.width;
    for (int x = from; x < to; ++x) {
      const int slope = row[x + 1] - row[x - 1];
      rising += slope > level ? 1 : 0;
      falling += slope < -level ? 1 : 0;
    }
  }
  return std::min(rising, falling);
}

// Pixels of the commonest grey levels: text stands on something plain.
int plain_in(const LumaImage& luma, const PixelSpan& span) {
  constexpr int kLevels = 8;
  std::array<int, 256 / kLevels + 1> counts{};
  for (int y = span.y0; y < span.y1; ++y) {
    const std::uint8_t* row = luma.values.data() + static_cast<std::size_t>(y) * luma.width;
    for (int x = span.x0; x < span.x1; ++x) ++counts[row[x] / kLevels];
  }
  int most = 0;
  for (std::size_t i = 0; i + 1 < counts.size(); ++i)
    most = std::max(most, counts[i] + counts[i + 1]);
  return most;
}

int pixel_level(double noise) { return static_cast<int>(std::max(kPixelLevel, kNoise * noise)); }

}  // namespace

PixelSpan TextMeter::span_of(std::size_t block) const {
  const int by = static_cast<int>(block) / across_, bx = static_cast<int>(block) % across_;
  return {by * kBlock, std::min((by + 1) * kBlock, last_.height), bx * kBlock,
          std::min((bx + 1) * kBlock, last_.width)};
}

void TextMeter::begin(const LumaImage& luma) {
  down_ = (luma.height + kBlock - 1) / kBlock;
  across_ = (luma.width + kBlock - 1) / kBlock;
  Block unknown;
  unknown.calm_since = static_cast<std::uint32_t>(moments_.size() - 1);
  blocks_.assign(static_cast<std::size_t>(down_) * across_, unknown);
  settled_ = last_ = luma;
}

// The block is calm: text that was not there before is credited to the moment since when it is.
void TextMeter::settle(std::size_t b) {
  Block& block = blocks_[b];
  const PixelSpan span = span_of(b);
  const bool shows_else =
      block.is_new_scene ||
      differing_in(settled_, last_, span, pixel_level(noise_)) > kChanged * span.area();
  const int edge = static_cast<int>(std::max(options_.stroke_level, kNoise * noise_));
  if (shows_else && strokes_in(last_, span, edge) > kStrokes * span.area() &&
      (!block.is_new_scene || plain_in(last_, span) > kPlain * span.area())) {
    const int worth = std::max(1, 255 * kFullShare / (down_ * across_));
    std::uint8_t& text = moments_[block.calm_since].text;
    text = static_cast<std::uint8_t>(std::min(255, text + worth));
  }
  for (int y = span.y0; y < span.y1; ++y) {
    const auto at = static_cast<std::ptrdiff_t>(y) * last_.width + span.x0;
    std::copy_n(last_.values.begin() + at, span.x1 - span.x0, settled_.values.begin() + at);
  }
  block.is_settled = true;
  block.is_new_scene = false;
}

void TextMeter::step(const LumaImage& luma, double pixel_noise) {
  noise_ = pixel_noise;
  if (blocks_.empty()) {
    begin(luma);
    return;
  }
  std::vector<bool> is_restless(blocks_.size());
  std::size_t n_restless = 0;
  for (std::size_t b = 0; b < blocks_.size(); ++b) {
    const PixelSpan span = span_of(b);
    is_restless[b] = differing_in(last_, luma, span, pixel_level(noise_)) > kRestless * span.area();
    n_restless += is_restless[b] ? 1 : 0;
  }
  last_ = luma;
  const bool is_all_restless =
      static_cast<double>(n_restless) > kAllRestless * static_cast<double>(blocks_.size());
  for (std::size_t b = 0; b < blocks_.size(); ++b) {
    Block& block = blocks_[b];
    if (is_restless[b]) {
      block.n_calm = 0;
      block.calm_since = static_cast<std::uint32_t>(moments_.size() - 1);
      block.is_settled = false;
      block.is_new_scene = block.is_new_scene || is_all_restless;
    } else if (!block.is_settled && ++block.n_calm >= kCalmSteps) {
      settle(b);
    }
  }
}

void TextMeter::end_scene() {
  for (std::size_t b = 0; b < blocks_.size(); ++b) {
    if (!blocks_[b].is_settled && blocks_[b].n_calm > 0) settle(b);
  }
  blocks_.clear();
}

}  // namespace qwenvl
