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
constexpr double kStrokes = 0.03;     // share of edges to each side
constexpr double kPlain = 0.35;       // share of pixels of the commonest grey level
constexpr double kAllRestless = 0.6;  // share of blocks: the camera moves
constexpr double kPixelLevel = 8, kNoise = 5;        // grey levels; standard deviations
constexpr double kNoShift = 0.05, kSeenShift = 0.5;  // pixels
constexpr int kFullShare = 24;                       // one block in so many makes the signal 1,
constexpr int kMostWorth = 12;  // of 255; but in small pictures, too, text has three blocks

int differing_in(const LumaImage& a, const LumaImage& b, const PixelSpan& span, int level) {
  int count = 0;
  for (int y = span.y0; y < span.y1; ++y) {
    const std::uint8_t* from = a.values.data() + static_cast<std::size_t>(y) * a.width;
    const std::uint8_t* to = b.values.data() + static_cast<std::size_t>(y) * a.width;
    for (int x = span.x0; x < span.x1; ++x) count += std::abs(from[x] - to[x]) > level ? 1 : 0;
  }
  return count;
}

// Marks the pixels of a block of `to` that are not what `from` shows there, nor what it shows at
// (y, x) less the shift: between the pixels around that place. Returns how many.
class Differing {
 public:
  int mark(const LumaImage& from, const LumaImage& to, const PixelSpan& span, int level,
           const PixelShift& shift) {
    int count = 0;
    const bool is_shifted = std::abs(shift.y) > kNoShift || std::abs(shift.x) > kNoShift;
    for (int y = span.y0; y < span.y1; ++y) {
      for (int x = span.x0; x < span.x1; ++x) {
        const bool differs =
            std::abs(at(from, y, x) - at(to, y, x)) > level &&
            !(is_shifted && is_between(from, y - shift.y, x - shift.x, at(to, y, x), level));
        is_marked_[index(span, y, x)] = differs;
        count += differs ? 1 : 0;
      }
    }
    return count;
  }

  void mark_all() { is_marked_.fill(true); }

  bool is_marked(const PixelSpan& span, int y, int x) const {
    return x >= span.x0 && x < span.x1 && is_marked_[index(span, y, x)];
  }

 private:
  static int at(const LumaImage& luma, int y, int x) {
    return luma.values[static_cast<std::size_t>(y) * luma.width + x];
  }
  static std::size_t index(const PixelSpan& span, int y, int x) {
    return static_cast<std::size_t>((y - span.y0) * kBlock + x - span.x0);
  }
  static bool is_between(const LumaImage& from, double y, double x, int value, int level) {
    const int y0 = std::clamp(static_cast<int>(std::floor(y)), 0, from.height - 1);
    const int x0 = std::clamp(static_cast<int>(std::floor(x)), 0, from.width - 1);
    const int y1 = std::min(y0 + 1, from.height - 1), x1 = std::min(x0 + 1, from.width - 1);
    const auto [least, most] =
        std::minmax({at(from, y0, x0), at(from, y0, x1), at(from, y1, x0), at(from, y1, x1)});
    return value >= least - level && value <= most + level;
  }

  std::array<bool, kBlock * kBlock> is_marked_;
};

// Edges of what differs, from dark to bright or from bright to dark, whichever are fewer: strokes
// have both.
int strokes_in(const LumaImage& luma, const PixelSpan& span, int level,
               const Differing& differing) {
  int rising = 0, falling = 0;
  const int from = std::max(span.x0, 1), to = std::min(span.x1, luma.width - 1);
  for (int y = span.y0; y < span.y1; ++y) {
    const std::uint8_t* row = luma.values.data() + static_cast<std::size_t>(y) * luma.width;
    for (int x = from; x < to; ++x) {
      const int slope = row[x + 1] - row[x - 1];
      if (std::abs(slope) <= level) continue;
      if (!differing.is_marked(span, y, x - 1) && !differing.is_marked(span, y, x + 1)) continue;
      ++(slope > 0 ? rising : falling);
    }
  }
  return std::min(rising, falling);
}

// Text stands on something plain, or is plain itself where it is new: has the commonest grey levels
// in much of it.
bool is_plain(const LumaImage& luma, const PixelSpan& span, const Differing* within) {
  constexpr int kLevels = 8;
  std::array<int, 256 / kLevels + 1> counts{};
  int n = 0;
  for (int y = span.y0; y < span.y1; ++y) {
    const std::uint8_t* row = luma.values.data() + static_cast<std::size_t>(y) * luma.width;
    for (int x = span.x0; x < span.x1; ++x) {
      if (within && !within->is_marked(span, y, x)) continue;
      ++counts[row[x] / kLevels];
      ++n;
    }
  }
  int most = 0;
  for (std::size_t i = 0; i + 1 < counts.size(); ++i)
    most = std::max(most, counts[i] + counts[i + 1]);
  return most > kPlain * n;
}

int pixel_level(double noise) { return static_cast<int>(std::max(kPixelLevel, kNoise * noise)); }

}  // namespace

PixelSpan TextMeter::span_of(std::size_t block) const {
  const int by = static_cast<int>(block) / across_, bx = static_cast<int>(block) % across_;
  return {by * kBlock, std::min((by + 1) * kBlock, last_.height), bx * kBlock,
          std::min((bx + 1) * kBlock, last_.width)};
}

PixelShift TextMeter::shift_of(std::size_t block, const CameraMotion& camera) const {
  const PixelSpan span = span_of(block);
  return {cell_pixels_ * camera.down_at((span.y0 + span.y1) / 2.0 / cell_pixels_),
          cell_pixels_ * camera.across_at((span.x0 + span.x1) / 2.0 / cell_pixels_)};
}

void TextMeter::begin(const LumaImage& luma) {
  down_ = (luma.height + kBlock - 1) / kBlock;
  across_ = (luma.width + kBlock - 1) / kBlock;
  Block unknown;
  unknown.calm_since = unknown.restless_since = static_cast<std::uint32_t>(moments_.size() - 1);
  blocks_.assign(static_cast<std::size_t>(down_) * across_, unknown);
  settled_ = last_ = luma;
}

// From now on, what the block shows is what was there before.
void TextMeter::keep(std::size_t b) {
  const PixelSpan span = span_of(b);
  for (int y = span.y0; y < span.y1; ++y) {
    const auto at = static_cast<std::ptrdiff_t>(y) * last_.width + span.x0;
    std::copy_n(last_.values.begin() + at, span.x1 - span.x0, settled_.values.begin() + at);
  }
  blocks_[b].camera = {};
}

void TextMeter::credit(std::uint8_t& signal) const {
  const int worth = std::clamp(255 * kFullShare / (down_ * across_), 1, kMostWorth);
  signal = static_cast<std::uint8_t>(std::min(255, signal + worth));
}

// The block is calm: text that was not there before is credited to the moment since when it is.
void TextMeter::settle(std::size_t b) {
  Block& block = blocks_[b];
  const PixelSpan span = span_of(b);
  const PixelShift shift = shift_of(b, block.camera);
  const bool is_from_outside =
      span.y0 - shift.y < -kSeenShift || span.y1 - shift.y > last_.height + kSeenShift ||
      span.x0 - shift.x < -kSeenShift || span.x1 - shift.x > last_.width + kSeenShift;
  const bool is_unknown = block.is_new_scene || is_from_outside;
  Differing differing;
  const bool shows_else =
      differing.mark(settled_, last_, span, pixel_level(noise_), shift) > kChanged * span.area();
  const int edge = static_cast<int>(std::max(options_.stroke_level, kNoise * noise_));
  const double least = kStrokes * span.area();
  if (shows_else && strokes_in(settled_, span, edge, differing) > least)
    credit(moments_[block.restless_since].text_gone);
  if (block.is_new_scene) differing.mark_all();
  if ((block.is_new_scene || shows_else) && strokes_in(last_, span, edge, differing) > least &&
      (is_plain(last_, span, nullptr) || (!is_unknown && is_plain(last_, span, &differing)))) {
    credit(moments_[block.calm_since].text);
  }
  keep(b);
  block.is_settled = true;
  block.is_new_scene = false;
}

bool TextMeter::is_restless(std::size_t b, const LumaImage& luma,
                            const CameraMotion& camera) const {
  const PixelSpan span = span_of(b);
  const double most = kRestless * span.area();
  const int level = pixel_level(noise_);
  if (differing_in(last_, luma, span, level) <= most) return false;
  return Differing().mark(last_, luma, span, level, shift_of(b, camera)) > most;
}

void TextMeter::step(const LumaImage& luma, double pixel_noise, const CameraMotion& camera) {
  noise_ = pixel_noise;
  cell_pixels_ = camera.centre_x > 0 ? luma.width / (2 * camera.centre_x) : 1;
  if (blocks_.empty()) {
    begin(luma);
    return;
  }
  std::vector<bool> restless(blocks_.size());
  for (std::size_t b = 0; b < blocks_.size(); ++b) restless[b] = is_restless(b, luma, camera);
  last_ = luma;
  const auto n_restless = std::count(restless.begin(), restless.end(), true);
  const auto now = static_cast<std::uint32_t>(moments_.size() - 1);
  const bool is_all_restless =
      static_cast<double>(n_restless) > kAllRestless * static_cast<double>(blocks_.size());
  for (std::size_t b = 0; b < blocks_.size(); ++b) {
    Block& block = blocks_[b];
    block.camera.add(camera);
    if (restless[b]) {
      if (block.is_settled) block.restless_since = now;
      block.n_calm = 0;
      block.calm_since = now;
      block.is_settled = false;
      block.is_new_scene = block.is_new_scene || is_all_restless;
    } else if (!block.is_settled) {
      if (++block.n_calm >= kCalmSteps) settle(b);
    } else {
      // What a slow camera moves in is not new.
      const PixelShift shift = shift_of(b, block.camera);
      if (std::abs(shift.y) > kSeenShift || std::abs(shift.x) > kSeenShift) keep(b);
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
