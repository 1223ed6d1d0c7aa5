// Pictures and clips on their way into a model: what may be wished for, and what comes out.
// Before: media/ decodes.   After: models/<name>/ lays out prompts and encodes.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "media/image.h"
#include "media/resize.h"

namespace qwenvl {

// Patches along time, height and width.
struct Grid {
  std::int64_t t = 1, h = 0, w = 0;
  std::int64_t n_patches() const { return t * h * w; }
  bool operator==(const Grid&) const = default;
};

struct SizeWish {
  std::optional<std::int64_t> min_pixels, max_pixels;
  std::optional<int> resized_height, resized_width;  // both or neither
};

enum class Normalisation { slow, fast };
// qwen_vl_utils11 (until version 0.0.11) differs from qwen_vl_utils in clips only.
enum class ResizeRule { qwen_vl_utils, qwen_vl_utils11, hf };
// How many frames of a video are seen, and which.
enum class FrameRule {
  qwen_vl_utils,  // spread over the video, its first and last among them
  hf,             // the video processor's: the first, then in equal steps; the last is not reached
};
enum class TemporalIds { true_time, whole_seconds };

// The switches on which versions of the reference disagree; the defaults are the published
// README's.
struct PreprocessOptions {
  ResizeRule rule = ResizeRule::qwen_vl_utils;
  ResizeKernel kernel = ResizeKernel::pillow;
  Normalisation normalisation = Normalisation::slow;
  TemporalIds temporal_ids = TemporalIds::true_time;
  FrameRule frame_rule = FrameRule::qwen_vl_utils;
};

// Which part of a video is seen and how closely; fps and n_frames exclude each other.
struct SamplingWish {
  std::optional<double> fps;
  std::optional<std::int64_t> n_frames, min_frames, max_frames;
  std::optional<double> begin_seconds, end_seconds;
};

struct ClipWish {
  SizeWish frame;
  std::optional<std::int64_t> total_pixels;  // of all frames, as a budget
  double fps = 2;                            // at which the frames were sampled
  bool is_file = false;         // frames of a video, not pictures in files of their own
  std::int64_t max_tokens = 0;  // of the context: more are refused before the frames are resized
  std::optional<std::int64_t> budget_tokens;  // frames are made smaller until they are no more
  // Of pairs of frames, as in FrameSchedule; empty: evenly, all alike.
  std::vector<double> pair_seconds, pair_detail;
};

// What a pair of frames becomes.
struct PairSize {
  std::int64_t height = 0, width = 0;
  std::int64_t n_tokens = 0;
};

// The frames of a clip, asked for once each and in order, so that one is held in its own size.
using FrameSource = std::function<Image(std::int64_t index)>;

// Pixels as the model wants them, not yet turned into patches: those are made a few rows at a time.
// A still, or pairs of frames of one size. A clip in which sizes change is several inputs, one
// after the other in the same place of the prompt.
struct VisionInput {
  // All of the processed size, in one of the two forms: 1 for a still, any number for a clip, whose
  // last frame serves twice where the number is odd.
  std::vector<Image> frames;
  std::vector<FloatImage> float_frames;
  Grid grid;
  std::int64_t n_tokens = 0;  // rows in the language model
  bool is_video = false;
  double seconds_per_grid = 1.0;  // true time between two temporal patches
  // Where pairs follow unevenly: when each is shown, in seconds after the clip's first.
  std::vector<double> pair_seconds;
  std::int64_t first_pair = 0;  // of the clip's; above 0 in an input that goes on with the clip
  Normalisation normalisation = Normalisation::slow;

  int height() const { return frames.empty() ? float_frames.at(0).height : frames[0].height; }
  int width() const { return frames.empty() ? float_frames.at(0).width : frames[0].width; }
};

}  // namespace qwenvl
