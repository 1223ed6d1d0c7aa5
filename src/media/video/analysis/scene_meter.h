// Cuts, motion and stillness: how the small picture of a moment differs from those before it.
// Private to src/media/video. Before: low_resolution.cpp.   After: signals.cpp collects moments.
#pragma once

#include <cstddef>
#include <deque>
#include <vector>

#include "media/video/analysis/camera_motion.h"
#include "media/video/analysis/low_resolution.h"
#include "media/video/analysis/signals.h"

namespace qwenvl {

class SceneMeter {
 public:
  // `moments` outlives it; the last one is always the one that is measured.
  SceneMeter(const SignalOptions& options, std::vector<MeasuredMoment>& moments)
      : options_(options), moments_(moments) {}

  // Whether the picture of the last moment belongs to another scene than the one before.
  bool add(const CellImage& cells, double seconds);
  // Fills in the moments since the last step: about every tenth of a second.
  // `pixel_noise`: of this picture. `camera`: since the last step.
  void step(const CellImage& cells, double seconds, double pixel_noise, const CameraMotion& camera);
  // The moments after the last step are like it.
  void finish();

 private:
  struct Past {
    CellImage cells;
    double seconds;
  };
  struct PendingCut {
    CellImage before;
    std::size_t moment;
    double seconds;
  };

  double strength_of(const CellImage& cells) const;
  bool withdraw_flashes(const CellImage& cells, double seconds);
  void fill_from_last_step(std::size_t end);
  void learn_noise(double typical, double pixel_noise);

  const SignalOptions options_;
  std::vector<MeasuredMoment>& moments_;
  CellImage last_;             // of the moment before
  double usual_strength_ = 0;  // of the moments around, which a cut has to exceed
  std::vector<PendingCut> pending_;
  std::deque<Past> past_;  // steps of the last second
  std::size_t n_stepped_ = 0;
  std::deque<double> typical_;  // of the last steps
  double noise_ = 0;            // mean absolute difference of cells that nothing happens to
};

}  // namespace qwenvl
