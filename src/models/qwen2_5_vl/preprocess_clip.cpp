// Frames → VisionInput: each frame goes through the loader's rules, then the video processor's.
// Before: media/ decodes.   After: prompt.cpp counts tokens, vision.cpp asks for patches.
// Mirrors fetch_video of qwen-vl-utils, for a list of frames and for a file, and
// Qwen2VLVideoProcessor.
#include <algorithm>
#include <cmath>

#include "core/log.h"
#include "models/qwen2_5_vl/preprocess.h"

namespace qwenvl::qwen2_5_vl {
namespace {

constexpr double kLowestFps = 1e-5, kHighestFps = 1e5;  // a frame a day … beyond any camera

// Limits of qwen-vl-utils in merged tokens: of a picture, and of a frame of a clip.
constexpr double kPictureMinTokens = 4, kPictureMaxTokens = 16384;
constexpr double kFrameMinTokens = 128, kFrameMaxTokens = 768;
constexpr double kTotalTokens = 128000;  // a context; a clip may fill nine tenths of it

std::int64_t even(std::int64_t n) { return n + n % 2; }

// Whether frames get the budget of a clip, after which they are float tensors.
bool has_budget(const ClipWish& wish, ResizeRule rule) {
  return rule == ResizeRule::qwen_vl_utils || (wish.is_file && rule == ResizeRule::qwen_vl_utils11);
}

// One clip's rules. `first` is the size of its first frame.
class ClipSizes {
 public:
  ClipSizes(std::int64_t n_frames, const ClipWish& wish, const PreprocessOptions& options,
            const VisionConfig& vision, const PreprocessorConfig& preprocessor)
      : n_frames_(n_frames),
        wish_(wish),
        rule_(options.rule),
        has_budget_(has_budget(wish, options.rule)),
        factor_(vision.grid_pixels()),
        preprocessor_(preprocessor) {}

  // Each frame of a list as a picture. Version 0.0.14 hands its own factor over where that of a
  // patch is expected: sizes become multiples of 56.
  PixelSize loaded(const Image& frame) const {
    if (rule_ == ResizeRule::hf || wish_.is_file) return {frame.height, frame.width};
    const std::int64_t factor = rule_ == ResizeRule::qwen_vl_utils ? 2 * factor_ : factor_;
    const double area = static_cast<double>(factor * factor);
    return wished(frame.height, frame.width, factor, kPictureMinTokens * area,
                  kPictureMaxTokens * area);
  }

  // The frames once more, with the budget of a clip.
  PixelSize budgeted(PixelSize first) const {
    if (!has_budget_) return first;
    const double area = static_cast<double>(factor_ * factor_);
    if (wish_.frame.resized_height) {
      return wished(first.height, first.width, factor_, kPictureMinTokens * area,
                    kPictureMaxTokens * area);
    }
    const double low = static_cast<double>(
        wish_.frame.min_pixels.value_or(static_cast<std::int64_t>(kFrameMinTokens * area)));
    const double total =
        wish_.total_pixels ? static_cast<double>(*wish_.total_pixels) : kTotalTokens * area * 0.9;
    double high = std::min(kFrameMaxTokens * area, total / static_cast<double>(n_frames_) * 2);
    high = std::max(high, std::trunc(low * 1.05));
    if (wish_.frame.max_pixels) {
      const double wanted = static_cast<double>(*wish_.frame.max_pixels);
      if (wanted > high) {
        log(LogLevel::warning, "clip: max_pixels {} is more than the {} a frame may have", wanted,
            high);
      }
      high = std::min(high, wanted);
    }
    if (low > high) {
      fail(ErrorKind::bad_request,
           "max_pixels: found {}, below the {} that a frame of a clip gets at least: lower "
           "min_pixels, too",
           high, low);
    }
    return limited_size(first.height, first.width, factor_, low, high, rule_);
  }

  // The video processor, which comes last.
  PixelSize processed(PixelSize first) const {
    const double low = static_cast<double>(preprocessor_.min_pixels);
    const double high = static_cast<double>(preprocessor_.max_pixels);
    if (rule_ == ResizeRule::hf) return wished(first.height, first.width, factor_, low, high);
    return limited_size(first.height, first.width, factor_, low, high, ResizeRule::hf);
  }

 private:
  PixelSize wished(std::int64_t height, std::int64_t width, std::int64_t factor, double low,
                   double high) const {
    const SizeWish& wish = wish_.frame;
    return limited_size(wish.resized_height.value_or(height), wish.resized_width.value_or(width),
                        factor, wish.min_pixels ? static_cast<double>(*wish.min_pixels) : low,
                        wish.max_pixels ? static_cast<double>(*wish.max_pixels) : high, rule_);
  }

  const std::int64_t n_frames_;  // even
  const ClipWish& wish_;
  const ResizeRule rule_;
  const bool has_budget_;
  const std::int64_t factor_;  // 28
  const PreprocessorConfig& preprocessor_;
};

void check_clip(std::int64_t n_frames, const ClipWish& wish, ResizeRule rule) {
  if (n_frames < 1) fail(ErrorKind::bad_request, "clip: found no frames, expected at least one");
  if (!(wish.fps >= kLowestFps && wish.fps <= kHighestFps)) {  // NaN, too
    fail(ErrorKind::bad_request, "fps: found {}, expected {} to {} frames a second", wish.fps,
         kLowestFps, kHighestFps);
  }
  check_wish(wish.frame);
  if (!wish.total_pixels) return;
  if (*wish.total_pixels < 1) {
    fail(ErrorKind::bad_request, "total_pixels: found {}, expected at least 1", *wish.total_pixels);
  }
  if (!has_budget(wish, rule) || wish.frame.resized_height) {
    fail(ErrorKind::bad_request,
         "total_pixels: it has a meaning with the resize rule qwen_vl_utils only (for video files "
         "also qwen_vl_utils11), and not beside resized_height and resized_width");
  }
}

struct Steps {
  PixelSize loaded, budgeted, processed;
};

Steps settle(const Image& first, const ClipSizes& sizes) {
  Steps steps{sizes.loaded(first), {}, {}};
  steps.budgeted = sizes.budgeted(steps.loaded);
  steps.processed = sizes.processed(steps.budgeted);
  return steps;
}

// The reference goes on where the loader makes other frames as large as the first.
void check_same_size(std::int64_t i, const Image& frame, PixelSize first, bool is_loaded_alike) {
  if (is_loaded_alike) {
    log(LogLevel::warning, "clip: frame {} is {}×{}, the first {}×{}: both are resized to one size",
        i + 1, frame.width, frame.height, first.width, first.height);
    return;
  }
  fail(ErrorKind::bad_request,
       "clip: frame {} is {}×{}, expected {}×{} like the first: all frames of a clip have one size",
       i + 1, frame.width, frame.height, first.width, first.height);
}

// One frame through its three sizes. After the budget's step frames are float tensors, so the last
// step neither rounds nor clamps; frames that come from elsewhere are 8-bit tensors.
void append(Image frame, const Steps& steps, const ClipWish& wish, const PreprocessOptions& options,
            VisionInput& input) {
  const auto [height, width] = steps.processed;
  if (options.rule != ResizeRule::hf && !wish.is_file) {
    frame = resize_bicubic(frame, static_cast<int>(steps.loaded.height),
                           static_cast<int>(steps.loaded.width), options.kernel);
  }
  if (steps.budgeted != steps.loaded) {
    frame = rounded(resize_bicubic_float(frame, static_cast<int>(steps.budgeted.height),
                                         static_cast<int>(steps.budgeted.width)));
  }
  if (steps.processed == steps.budgeted) {
    input.frames.push_back(std::move(frame));
  } else if (has_budget(wish, options.rule)) {
    input.float_frames.push_back(
        resize_bicubic_float(frame, static_cast<int>(height), static_cast<int>(width)));
  } else {
    input.frames.push_back(resize_bicubic(frame, static_cast<int>(height), static_cast<int>(width),
                                          ResizeKernel::torch_int16));
  }
}

}  // namespace

VisionInput prepare_clip(std::int64_t n_frames, const FrameSource& frame, const ClipWish& wish,
                         const PreprocessOptions& options, const VisionConfig& vision,
                         const PreprocessorConfig& preprocessor) {
  check_clip(n_frames, wish, options.rule);
  const ClipSizes sizes(even(n_frames), wish, options, vision, preprocessor);
  VisionInput input;
  input.is_video = true;
  input.normalisation = Normalisation::fast;  // the video processor knows no other
  input.seconds_per_grid = vision.temporal_patch_size / wish.fps;
  Steps steps{};
  PixelSize first{};
  for (std::int64_t i = 0; i < n_frames; ++i) {
    Image image = frame(i);
    if (i == 0) {
      first = {image.height, image.width};
      steps = settle(image, sizes);
      input.grid = {even(n_frames) / 2, steps.processed.height / vision.patch_size,
                    steps.processed.width / vision.patch_size};
      input.n_tokens =
          input.grid.n_patches() / (vision.spatial_merge_size * vision.spatial_merge_size);
      if (input.n_tokens > wish.max_tokens) {
        fail(ErrorKind::bad_request,
             "clip: {} frames of {}×{}, seen as {}×{}, are {} tokens, expected at most {}: give "
             "fewer frames or lower min_pixels and max_pixels",
             n_frames, image.width, image.height, steps.processed.width, steps.processed.height,
             input.n_tokens, wish.max_tokens);
      }
    }
    if (PixelSize{image.height, image.width} != first) {
      check_same_size(i, image, first, steps.loaded == sizes.loaded(image));
    }
    append(std::move(image), steps, wish, options, input);
  }
  return input;
}

}  // namespace qwenvl::qwen2_5_vl
