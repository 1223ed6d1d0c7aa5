// Image → VisionInput: the two size rules, the resize, patches.
// Before: media/ decodes.   After: prompt.cpp counts tokens, vision.cpp asks for patches.
// Mirrors fetch_image and smart_resize of qwen-vl-utils and the image processor of the reference.
#include "models/qwen2_5_vl/input/preprocess.h"

#include <algorithm>
#include <cmath>

namespace qwenvl::qwen2_5_vl {
namespace {

// qwen-vl-utils' own limits, whatever the checkpoint says: 4 and 16384 tokens of 28 × 28 pixels.
constexpr double kUtilsMinPixels = 4 * 28 * 28;
constexpr double kUtilsMaxPixels = 16384 * 28 * 28;
constexpr std::int64_t kLargestPixels = std::int64_t{1}
                                        << 28;  // beyond this no context is long enough

// Python's round(): halves to even. nearbyint in the default rounding mode does exactly that.
double half_even(double x) { return std::nearbyint(x); }

Image resized(const Image& image, PixelSize size, ResizeKernel kernel) {
  return resize_bicubic(image, static_cast<int>(size.height), static_cast<int>(size.width), kernel);
}

}  // namespace

void check_wish(const SizeWish& wish) {
  const auto positive = [](const char* name, std::int64_t value) {
    if (value < 1) fail(ErrorKind::bad_request, "{}: found {}, expected at least 1", name, value);
  };
  if (wish.resized_height.has_value() != wish.resized_width.has_value()) {
    fail(ErrorKind::bad_request,
         "resized_height and resized_width: only one is given, expected both or neither");
  }
  if (wish.resized_height && (wish.min_pixels || wish.max_pixels)) {
    fail(
        ErrorKind::bad_request,
        "resized_height/resized_width and min_pixels/max_pixels exclude each other: give one pair");
  }
  if (wish.resized_height) {
    positive("resized_height", *wish.resized_height);
    positive("resized_width", *wish.resized_width);
  }
  if (wish.min_pixels) positive("min_pixels", *wish.min_pixels);
  if (wish.max_pixels) positive("max_pixels", *wish.max_pixels);
}

PixelSize limited_size(std::int64_t height, std::int64_t width, std::int64_t factor,
                       double min_pixels, double max_pixels, ResizeRule rule) {
  if (min_pixels > max_pixels) {
    fail(ErrorKind::bad_request, "min_pixels {} is above max_pixels {}", min_pixels, max_pixels);
  }
  const PixelSize size = smart_resize(height, width, factor, min_pixels, max_pixels, rule);
  if (size.height > kLargestPixels / size.width) {
    fail(ErrorKind::bad_request,
         "image of {}×{} would be resized to {}×{}, expected at most {} pixels: lower min_pixels",
         width, height, size.width, size.height, kLargestPixels);
  }
  return size;
}

PixelSize smart_resize(std::int64_t height, std::int64_t width, std::int64_t factor,
                       double min_pixels, double max_pixels, ResizeRule rule) {
  if (height < 1 || width < 1)
    fail(ErrorKind::bad_request, "image of {}×{}: expected at least 1×1", width, height);
  const double h = static_cast<double>(height), w = static_cast<double>(width),
               f = static_cast<double>(factor);
  if (std::max(h, w) / std::min(h, w) > 200) {
    fail(ErrorKind::bad_request, "image of {}×{}: aspect ratio {:.1f}, expected at most 200", width,
         height, std::max(h, w) / std::min(h, w));
  }
  const bool is_utils = rule != ResizeRule::hf;
  double new_h = half_even(h / f) * f, new_w = half_even(w / f) * f;
  if (is_utils) {
    new_h = std::max(f, new_h);
    new_w = std::max(f, new_w);
  }
  if (new_h * new_w > max_pixels) {
    const double beta = std::sqrt(h * w / max_pixels);
    new_h = std::floor(h / beta / f) * f;
    new_w = std::floor(w / beta / f) * f;
    if (!is_utils) {
      new_h = std::max(f, new_h);
      new_w = std::max(f, new_w);
    }
  } else if (new_h * new_w < min_pixels) {
    const double beta = std::sqrt(min_pixels / (h * w));
    new_h = std::ceil(h * beta / f) * f;
    new_w = std::ceil(w * beta / f) * f;
  }
  if (new_h < f || new_w < f) {
    fail(ErrorKind::bad_request,
         "image of {}×{}: max_pixels {} leaves no pixel on one side, expected at least {}×{}",
         width, height, max_pixels, factor, factor);
  }
  // The largest exact result is far below 2^53, but a wish can ask for more than int64 holds.
  if (new_h > 1e9 || new_w > 1e9) {
    fail(ErrorKind::bad_request,
         "image of {}×{}: min_pixels {} asks for more than 10^9 pixels on a side", width, height,
         min_pixels);
  }
  return {static_cast<std::int64_t>(new_h), static_cast<std::int64_t>(new_w)};
}

ResizedSizes resized_sizes(PixelSize original, const SizeWish& wish, ResizeRule rule,
                           const VisionConfig& vision, const PreprocessorConfig& preprocessor) {
  check_wish(wish);
  const std::int64_t factor = vision.grid_pixels();
  const double checkpoint_min = static_cast<double>(preprocessor.min_pixels);
  const double checkpoint_max = static_cast<double>(preprocessor.max_pixels);
  const bool is_utils = rule != ResizeRule::hf;
  const std::int64_t height = wish.resized_height.value_or(static_cast<int>(original.height));
  const std::int64_t width = wish.resized_width.value_or(static_cast<int>(original.width));
  const PixelSize first = limited_size(height, width, factor,
                                       wish.min_pixels ? static_cast<double>(*wish.min_pixels)
                                       : is_utils      ? kUtilsMinPixels
                                                       : checkpoint_min,
                                       wish.max_pixels ? static_cast<double>(*wish.max_pixels)
                                       : is_utils      ? kUtilsMaxPixels
                                                       : checkpoint_max,
                                       rule);
  // After qwen-vl-utils the processor applies its own rule with the checkpoint's limits once more.
  return {first, is_utils ? limited_size(first.height, first.width, factor, checkpoint_min,
                                         checkpoint_max, ResizeRule::hf)
                          : first};
}

VisionInput prepare_image(const Image& image, const SizeWish& wish,
                          const PreprocessOptions& options, const VisionConfig& vision,
                          const PreprocessorConfig& preprocessor) {
  // Settled before any pixel is touched.
  const auto [first, second] =
      resized_sizes({image.height, image.width}, wish, options.rule, vision, preprocessor);
  VisionInput input;
  input.normalisation = options.normalisation;
  input.frames.push_back(resized(image, first, options.kernel));
  if (second != first) input.frames[0] = resized(input.frames[0], second, options.kernel);
  input.grid = {1, second.height / vision.patch_size, second.width / vision.patch_size};
  input.n_tokens = input.grid.n_patches() / (vision.spatial_merge_size * vision.spatial_merge_size);
  return input;
}

NormalisationTable::NormalisationTable(const PreprocessorConfig& config, Normalisation kind) {
  for (int c = 0; c < 3; ++c) {
    const float mean = static_cast<float>(config.image_mean[c]),
                std = static_cast<float>(config.image_std[c]);
    mean_[c] = mean * 255.0f;
    std_[c] = std * 255.0f;
    for (int pixel = 0; pixel < 256; ++pixel) {
      if (kind == Normalisation::slow) {
        // numpy: scaled in double, the rest in float32
        const float scaled = static_cast<float>(static_cast<double>(pixel) * (1.0 / 255.0));
        table_[c][pixel] = (scaled - mean) / std;
      } else {
        // torch: mean and std carry the 255
        table_[c][pixel] = (*this)(c, static_cast<float>(pixel));
      }
    }
  }
}

namespace {

// `frames`: std::vector<Image> or std::vector<FloatImage>
template <class Frames>
void fill_cell(const Frames& frames, const Grid& grid, int patch,
               const NormalisationTable& normalised, std::int64_t cell, float* out) {
  const std::int64_t cells_wide = grid.w / 2, cells_per_frame = grid.h / 2 * cells_wide;
  const std::int64_t t = cell / cells_per_frame, in_frame = cell % cells_per_frame;
  const int top = static_cast<int>(in_frame / cells_wide) * 2 * patch;
  const int left = static_cast<int>(in_frame % cells_wide) * 2 * patch;
  const std::size_t n_frames = frames.size();
  for (int row = 0; row < 4; ++row) {
    const int y0 = top + row / 2 * patch, x0 = left + row % 2 * patch;
    for (int c = 0; c < 3; ++c) {
      for (int frame = 0; frame < 2; ++frame) {
        // A still, and the last of an odd number of frames, serves as both of its pair.
        const auto& image = frames[std::min<std::size_t>(2 * t + frame, n_frames - 1)];
        for (int y = 0; y < patch; ++y) {
          const auto* pixels = image.row(y0 + y) + x0 * 3 + c;
          for (int x = 0; x < patch; ++x) *out++ = normalised(c, pixels[x * 3]);
        }
      }
    }
  }
}

}  // namespace

void fill_patches(const VisionInput& input, const VisionConfig& vision,
                  const NormalisationTable& normalised, std::int64_t cell, float* out) {
  if (input.float_frames.empty()) {
    fill_cell(input.frames, input.grid, vision.patch_size, normalised, cell, out);
  } else {
    fill_cell(input.float_frames, input.grid, vision.patch_size, normalised, cell, out);
  }
}

}  // namespace qwenvl::qwen2_5_vl
