// Images → VisionInput: the size rules, the resizes, and patches a few rows at a time.
// Before: media/ decodes.   After: prompt.cpp counts tokens, vision.cpp asks for patches.
// Mirrors fetch_image and fetch_video of qwen-vl-utils and both processors of the reference.
#pragma once

#include <array>
#include <cstdint>

#include "models/model.h"
#include "models/qwen2_5_vl/config.h"

namespace qwenvl::qwen2_5_vl {

struct PixelSize {
  std::int64_t height, width;
  bool operator==(const PixelSize&) const = default;
};

// The size nearest to the original that the model's grid allows: multiples of `factor`, the area
// within [min_pixels, max_pixels] (doubles: video budgets are fractional). Rounds half to even in
// IEEE double, in the order of operations of the reference. Throws bad_request for aspect ratios
// above 200 and for sizes that come out empty.
PixelSize smart_resize(std::int64_t height, std::int64_t width, std::int64_t factor,
                       double min_pixels, double max_pixels, ResizeRule rule);

// Throws bad_request for wishes below 1, or that exclude each other.
void check_wish(const SizeWish& wish);
// smart_resize that also refuses limits in the wrong order and sizes no context is long enough for.
PixelSize limited_size(std::int64_t height, std::int64_t width, std::int64_t factor,
                       double min_pixels, double max_pixels, ResizeRule rule);

// The sizes a picture is resized to: by the rule that was chosen, then (usually the same once more)
// by the processor's own. Throws bad_request.
struct ResizedSizes {
  PixelSize first, second;
};
ResizedSizes resized_sizes(PixelSize original, const SizeWish& wish, ResizeRule rule,
                           const VisionConfig& vision, const PreprocessorConfig& preprocessor);

VisionInput prepare_image(const Image& image, const SizeWish& wish,
                          const PreprocessOptions& options, const VisionConfig& vision,
                          const PreprocessorConfig& preprocessor);

// Frames of one clip, two to a temporal patch; one input for each run of pairs of one size.
// `preprocessor` is the video processor's.
std::vector<VisionInput> prepare_clip(std::int64_t n_frames, const FrameSource& frame,
                                      const ClipWish& wish, const PreprocessOptions& options,
                                      const VisionConfig& vision,
                                      const PreprocessorConfig& preprocessor);

// The sizes that prepare_clip settles before any frame is resized, one for each pair. Throws
// bad_request where the wishes cannot be kept.
std::vector<PairSize> clip_sizes(std::int64_t n_frames, PixelSize frame, const ClipWish& wish,
                                 const PreprocessOptions& options, const VisionConfig& vision,
                                 const PreprocessorConfig& preprocessor);
// The least that a budget makes of a pair: at min_pixels, times its detail.
PairSize least_pair_size(double detail, PixelSize frame, const ClipWish& wish,
                         const PreprocessOptions& options, const VisionConfig& vision,
                         const PreprocessorConfig& preprocessor);

// Which frames of a video with n_frames at `fps` are seen. Throws bad_request.
FrameSchedule sample_frames(std::int64_t n_frames, double fps, const SamplingWish& wish,
                            FrameRule rule);

// (pixel / 255 - mean) / std in float32, for each channel and pixel value, rounded as the "slow"
// (numpy) or "fast" (torch) processor of the reference does.
class NormalisationTable {
 public:
  NormalisationTable(const PreprocessorConfig& config, Normalisation kind);
  float operator()(int channel, std::uint8_t pixel) const { return table_[channel][pixel]; }
  // Of a value between pixels; the reference has only the fast form of this.
  float operator()(int channel, float value) const {
    return (value - mean_[channel]) / std_[channel];
  }

 private:
  std::array<std::array<float, 256>, 3> table_;
  std::array<float, 3> mean_, std_;  // times 255
};

// The four patches of one merged cell: rows [4 * cell, 4 * cell + 4) of pixel_values.
// out [4, 1176] float32, index inside a row ((channel · 2 + frame) · 14 + y) · 14 + x.
void fill_patches(const VisionInput& input, const VisionConfig& vision,
                  const NormalisationTable& normalised, std::int64_t cell, float* out);

}  // namespace qwenvl::qwen2_5_vl
