// Text that appears or changes: blocks with strokes that were not there and then stay.
// Private to src/media/video. Before: low_resolution.h.   After: signals.cpp collects moments.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "media/video/analysis/camera_motion.h"
#include "media/video/analysis/low_resolution.h"
#include "media/video/analysis/signals.h"

namespace qwenvl {

// Rows [y0, y1), columns [x0, x1) of a picture.
struct PixelSpan {
  int y0, y1, x0, x1;
  int area() const { return (y1 - y0) * (x1 - x0); }
};

// Pixels that what a block shows has moved down and across.
struct PixelShift {
  double y = 0, x = 0;
};

class TextMeter {
 public:
  TextMeter(const SignalOptions& options, std::vector<MeasuredMoment>& moments)
      : options_(options), moments_(moments) {}

  // About every tenth of a second: the picture of the last moment, and how the camera moved since
  // the last step.
  void step(const LumaImage& luma, double pixel_noise, const CameraMotion& camera);
  // What appeared just before the end of a scene counts, too; the next step begins another.
  void end_scene();

 private:
  struct Block {
    int n_calm = 0;                // steps since anything changed in it
    bool is_settled = false;       // `settled_` holds what is in it
    bool is_new_scene = true;      // nothing is known about what was in it before
    std::uint32_t calm_since = 0;  // moment
    std::uint32_t restless_since = 0;
    CameraMotion camera;  // since `settled_` was shown
  };

  void begin(const LumaImage& luma);
  PixelSpan span_of(std::size_t block) const;
  PixelShift shift_of(std::size_t block, const CameraMotion& camera) const;
  void keep(std::size_t block);
  bool is_restless(std::size_t block, const LumaImage& luma, const CameraMotion& camera) const;
  void settle(std::size_t block);
  void credit(std::uint8_t& signal) const;

  const SignalOptions options_;
  std::vector<MeasuredMoment>& moments_;
  int down_ = 0, across_ = 0;
  double noise_ = 0;  // of a pixel
  double cell_pixels_ = 1;
  LumaImage last_;     // of the last step
  LumaImage settled_;  // what each block showed when it was calm last
  std::vector<Block> blocks_;
};

}  // namespace qwenvl
