// Frames → VisionInput: each frame goes through the loader's rules, then the video processor's.
// Before: media/ decodes, clip_sizes.cpp settles sizes.   After: prompt.cpp counts tokens,
// vision.cpp asks for patches. Mirrors fetch_video of qwen-vl-utils, for a list of frames and for a
// file, and Qwen2VLVideoProcessor.
#include "core/log.h"
#include "models/qwen2_5_vl/input/clip_sizes.h"

namespace qwenvl::qwen2_5_vl {
namespace {

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
void append(Image frame, const ClipSteps& steps, const ClipWish& wish,
            const PreprocessOptions& options, VisionInput& input) {
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

void check_fits(std::int64_t n_frames, PixelSize first, const ClipSizes& sizes,
                const ClipWish& wish) {
  if (sizes.n_tokens() <= wish.max_tokens) return;
  const PixelSize seen = sizes.of_pair(0).processed;
  fail(ErrorKind::bad_request,
       "clip: {} frames of {}×{}, seen as {}×{}, are {} tokens, expected at most {}: give fewer "
       "frames or lower min_pixels and max_pixels",
       n_frames, first.width, first.height, seen.width, seen.height, sizes.n_tokens(),
       wish.max_tokens);
}

// The input that pairs from `first_pair` on go to, as long as their sizes do not change.
VisionInput begin_input(std::int64_t first_pair, const ClipSteps& steps, const ClipWish& wish,
                        const VisionConfig& vision) {
  VisionInput input;
  input.is_video = true;
  input.normalisation = Normalisation::fast;  // the video processor knows no other
  input.seconds_per_grid = wish.pair_seconds.empty() ? vision.temporal_patch_size / wish.fps : 0;
  input.first_pair = first_pair;
  input.grid = {0, steps.processed.height / vision.patch_size,
                steps.processed.width / vision.patch_size};
  return input;
}

void count_pair(std::int64_t pair, std::int64_t n_tokens, const ClipWish& wish,
                VisionInput& input) {
  ++input.grid.t;
  input.n_tokens += n_tokens;
  if (!wish.pair_seconds.empty())
    input.pair_seconds.push_back(wish.pair_seconds[static_cast<std::size_t>(pair)]);
}

}  // namespace

std::vector<VisionInput> prepare_clip(std::int64_t n_frames, const FrameSource& frame,
                                      const ClipWish& wish, const PreprocessOptions& options,
                                      const VisionConfig& vision,
                                      const PreprocessorConfig& preprocessor) {
  check_clip(n_frames, wish, options.rule);
  std::vector<VisionInput> inputs;
  std::optional<ClipSizes> sizes;
  PixelSize first{};
  for (std::int64_t i = 0; i < n_frames; ++i) {
    Image image = frame(i);
    if (i == 0) {
      first = {image.height, image.width};
      sizes.emplace(n_frames, first, wish, options, vision, preprocessor);
      check_fits(n_frames, first, *sizes, wish);
    }
    const ClipSteps& steps = sizes->of_pair(i / 2);
    if (const PixelSize size{image.height, image.width}; size != first)
      check_same_size(i, image, first, sizes->of_pair(0).loaded == sizes->loaded(size));
    if (i % 2 == 0) {
      if (i == 0 || steps != sizes->of_pair(i / 2 - 1))
        inputs.push_back(begin_input(i / 2, steps, wish, vision));
      count_pair(i / 2, sizes->n_tokens(steps), wish, inputs.back());
    }
    append(std::move(image), steps, wish, options, inputs.back());
  }
  return inputs;
}

std::vector<PairSize> clip_sizes(std::int64_t n_frames, PixelSize frame, const ClipWish& wish,
                                 const PreprocessOptions& options, const VisionConfig& vision,
                                 const PreprocessorConfig& preprocessor) {
  check_clip(n_frames, wish, options.rule);
  const ClipSizes sizes(n_frames, frame, wish, options, vision, preprocessor);
  check_fits(n_frames, frame, sizes, wish);
  std::vector<PairSize> out;
  for (std::int64_t pair = 0; pair < (n_frames + 1) / 2; ++pair) {
    const ClipSteps& steps = sizes.of_pair(pair);
    out.push_back({steps.processed.height, steps.processed.width, sizes.n_tokens(steps)});
  }
  return out;
}

PairSize least_pair_size(double detail, PixelSize frame, const ClipWish& wish,
                         const PreprocessOptions& options, const VisionConfig& vision,
                         const PreprocessorConfig& preprocessor) {
  ClipWish one = wish;
  one.pair_seconds = one.pair_detail = {};
  one.budget_tokens = {};
  one.fps = 1;  // time has no influence
  const ClipSizes sizes(2, frame, one, options, vision, preprocessor);
  const ClipSteps steps = sizes.least(detail);
  return {steps.processed.height, steps.processed.width, sizes.n_tokens(steps)};
}

}  // namespace qwenvl::qwen2_5_vl
