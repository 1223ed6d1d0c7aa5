// Compares each moment with the one before (cuts), with a tenth of a second ago (motion) and with a
// second ago (stillness).
#include "media/video/analysis/scene_meter.h"

#include <algorithm>
#include <cmath>

namespace qwenvl {
namespace {

constexpr double kCutLevel = 10;       // grey levels: a block that differs less is the same
constexpr double kSuspectShare = 0.2;  // of blocks in place: below it no cut is looked for
constexpr double kNewScene = 0.3;      // strength from which what was before does not count
constexpr double kPendingCut = 0.12;   // the same, from which a flash may have begun
constexpr double kUsualWeight = 0.1;   // of the newest moment in usual_strength_
constexpr double kNoiseFactor = 2.5, kMostNoise = 6;
constexpr std::size_t kNoiseSteps = 24;
// Cells that the picture may shift within a step, or a second, and still be calm: slow cameras.
constexpr double kCalmShift = 0.2;
constexpr double kLongAgo = 1.0;  // seconds that stillness looks back

std::uint8_t as_byte(double share) {
  return static_cast<std::uint8_t>(std::lround(255 * std::clamp(share, 0.0, 1.0)));
}

}  // namespace

double SceneMeter::strength_of(const CellImage& cells) const {
  const double level = std::max(kCutLevel, kNoiseFactor * noise_);
  if (differences(last_, cells).share_above(level) < kSuspectShare) return 0;
  return 0.75 * unmatched_share(last_, cells, level) +
         0.25 * distance(histogram_of(last_), histogram_of(cells));
}

// A moment that looks like the one before a pending cut: that was a flash, and nothing begins here.
bool SceneMeter::withdraw_flashes(const CellImage& cells, double seconds) {
  std::erase_if(pending_, [&](const PendingCut& cut) {
    return seconds - cut.seconds > options_.flash_seconds + 1e-3;
  });
  const double level = std::max(kCutLevel, kNoiseFactor * noise_);
  for (std::size_t i = 0; i < pending_.size(); ++i) {
    if (differences(pending_[i].before, cells).share_above(level) >= kSuspectShare &&
        unmatched_share(pending_[i].before, cells, level) >= kSuspectShare) {
      continue;
    }
    for (std::size_t m = pending_[i].moment; m < moments_.size(); ++m)
      moments_[m].cut = moments_[m].motion = moments_[m].change = 0;
    pending_.erase(pending_.begin() + static_cast<std::ptrdiff_t>(i) + 1, pending_.end());
    // It stays pending: the end of the flash is no cut, either.
    return true;
  }
  return false;
}

bool SceneMeter::add(const CellImage& cells, double seconds) {
  const bool is_first = last_.values.empty();
  const double strength = is_first ? 0 : strength_of(cells);
  const double excess = std::max(0.0, strength - usual_strength_);
  const bool is_new_scene = excess >= kNewScene;
  moments_.back().cut = as_byte(excess);
  usual_strength_ += kUsualWeight * ((is_new_scene ? usual_strength_ : strength) - usual_strength_);
  const bool is_flash = withdraw_flashes(cells, seconds);
  if (excess >= kPendingCut && !is_flash) pending_.push_back({last_, moments_.size() - 1, seconds});
  last_ = cells;
  if (!is_new_scene && !is_flash) return is_first;
  // What was before tells nothing about motion from here.
  past_.clear();
  fill_from_last_step(moments_.size() - 1);
  return true;
}

// The level below which differences are noise: what a quarter of the picture stays below in most
// steps, unless single pictures are smoother than that.
void SceneMeter::learn_noise(double typical, double pixel_noise) {
  typical_.push_back(typical);
  if (typical_.size() > kNoiseSteps) typical_.pop_front();
  std::vector<double> sorted(typical_.begin(), typical_.end());
  const auto quarter = sorted.begin() + static_cast<std::ptrdiff_t>(sorted.size() / 4);
  std::nth_element(sorted.begin(), quarter, sorted.end());
  // A quarter of the absolute differences of normal noise lies below 0.45 deviations; the mean of
  // all, which blocks have, is 1.13; a cell's deviation is a quarter of its pixels'.
  const double temporal = *quarter * 1.13 / 0.45, spatial = pixel_noise / 4 * 1.13;
  noise_ = std::min({temporal, 2 * spatial, kMostNoise});
}

void SceneMeter::step(const CellImage& cells, double seconds, double pixel_noise,
                      const CameraMotion& camera) {
  double motion = 0, change = 0;
  if (!past_.empty()) {
    BlockDifferences recent = differences(past_.back().cells, cells);
    learn_noise(recent.typical, pixel_noise);
    const double level = std::max(options_.motion_level, kNoiseFactor * noise_);
    if (recent.share_above(level) > 0) {
      recent.forgive(differences(moved(past_.back().cells, camera, cells), cells));
      recent.forgive_shift(cells, kCalmShift);
    }
    motion = recent.share_above(level);
    BlockDifferences long_ago = differences(past_.front().cells, cells);
    long_ago.forgive_shift(cells, kCalmShift);
    change = long_ago.share_above(level);
  }
  for (std::size_t i = n_stepped_; i < moments_.size(); ++i) {
    moments_[i].motion = as_byte(motion);
    moments_[i].change = as_byte(change);
  }
  n_stepped_ = moments_.size();
  past_.push_back({cells, seconds});
  while (past_.size() > 1 && seconds - past_[1].seconds >= kLongAgo) past_.pop_front();
}

void SceneMeter::finish() { fill_from_last_step(moments_.size()); }

// Moments before `end` that no step will reach are like the last that one did.
void SceneMeter::fill_from_last_step(std::size_t end) {
  for (std::size_t i = std::max<std::size_t>(n_stepped_, 1); i < end; ++i) {
    moments_[i].motion = moments_[i - 1].motion;
    moments_[i].change = moments_[i - 1].change;
  }
  n_stepped_ = end;
}

}  // namespace qwenvl
