// How many frames of a video are seen, and which: evenly spaced.
// Before: media/video knows how many frames there are.   After: preprocess_clip.cpp takes the
// frames. Mirrors smart_nframes and calculate_video_frame_range of qwen-vl-utils, and sample_frames
// of Qwen2VLVideoProcessor, with the arithmetic of torch.linspace and torch.arange in float32.
#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "models/qwen2_5_vl/input/preprocess.h"

namespace qwenvl::qwen2_5_vl {
namespace {

constexpr double kDefaultFps = 2;
constexpr std::int64_t kFewestFrames = 4, kMostFrames = 768;  // unless something else is wished

struct FrameRange {
  std::int64_t first, last, n;
};

std::int64_t floor_even(double n) { return static_cast<std::int64_t>(std::floor(n / 2)) * 2; }
std::int64_t ceil_even(double n) { return static_cast<std::int64_t>(std::ceil(n / 2)) * 2; }
std::int64_t nearest_even(double n) { return static_cast<std::int64_t>(std::nearbyint(n / 2)) * 2; }

void check(std::int64_t n_frames, const SamplingWish& wish, FrameRule rule) {
  if (n_frames < 2) {
    fail(ErrorKind::bad_request,
         "the video has {} frame, expected at least 2: give it as a picture instead", n_frames);
  }
  if (wish.fps && wish.n_frames)
    fail(ErrorKind::bad_request, "fps and nframes exclude each other: give one of them");
  if (wish.fps && !(*wish.fps > 0 && std::isfinite(*wish.fps)))
    fail(ErrorKind::bad_request, "fps: found {}, expected a rate above 0", *wish.fps);
  for (const auto& [name, value] : {std::pair{"nframes", wish.n_frames},
                                    {"min_frames", wish.min_frames},
                                    {"max_frames", wish.max_frames}}) {
    if (value && (*value < 1 || *value > n_frames * 2 + 1'000'000)) {
      fail(ErrorKind::bad_request, "{}: found {}, expected a number of frames, at least 1", name,
           *value);
    }
  }
  if (wish.n_frames && (wish.min_frames || wish.max_frames)) {
    fail(ErrorKind::bad_request,
         "min_frames and max_frames bound what follows from fps; they do nothing beside nframes");
  }
  for (const auto& seconds : {wish.begin_seconds, wish.end_seconds}) {
    if (!seconds) continue;
    if (!std::isfinite(*seconds))
      fail(ErrorKind::bad_request, "video_start, video_end: found {}, expected seconds", *seconds);
    if (rule == FrameRule::hf) {
      fail(ErrorKind::bad_request,
           "video_start, video_end: the frame rule hf knows no parts of videos; expected the rule "
           "qwen_vl_utils");
    }
  }
}

FrameRange wished_range(std::int64_t n_frames, double fps, const SamplingWish& wish) {
  const double length = static_cast<double>(n_frames) / fps;
  FrameRange range{0, n_frames - 1, n_frames};
  if (wish.begin_seconds) {
    const double begin = std::clamp(*wish.begin_seconds, 0.0, length);
    range.first = static_cast<std::int64_t>(std::ceil(begin * fps));
  }
  if (wish.end_seconds) {
    const double end = std::clamp(*wish.end_seconds, 0.0, length);
    range.last = std::min(static_cast<std::int64_t>(std::floor(end * fps)), n_frames - 1);
  }
  if ((wish.begin_seconds || wish.end_seconds) && range.first >= range.last) {
    fail(ErrorKind::bad_request,
         "video_start {} and video_end {} leave no two frames of {} at {:.6g} a second ({:.2f} s)",
         wish.begin_seconds.value_or(0), wish.end_seconds.value_or(length), n_frames, fps, length);
  }
  range.n = range.last - range.first + 1;
  return range;
}

std::int64_t checked_count(std::int64_t n, std::int64_t n_frames) {
  if (n >= 2 && n <= n_frames) return n;
  fail(ErrorKind::bad_request,
       "the wishes give {} frames, expected 2 to the {} there are: change nframes, fps, min_frames "
       "or max_frames",
       n, n_frames);
}

std::int64_t smart_count(std::int64_t n_frames, double fps, const SamplingWish& wish) {
  if (wish.n_frames)
    return checked_count(nearest_even(static_cast<double>(*wish.n_frames)), n_frames);
  const double low =
      static_cast<double>(ceil_even(static_cast<double>(wish.min_frames.value_or(kFewestFrames))));
  const double high = static_cast<double>(
      floor_even(static_cast<double>(wish.max_frames.value_or(std::min(kMostFrames, n_frames)))));
  // nframes = total_frames / video_fps * fps
  const double total = static_cast<double>(n_frames);
  const double wanted = total / fps * wish.fps.value_or(kDefaultFps);
  return checked_count(floor_even(std::min(std::min(std::max(wanted, low), high), total)),
                       n_frames);
}

// torch.linspace(first, last, n).round(): float32, from both ends, each with one rounding.
std::vector<std::int64_t> spread(std::int64_t first, std::int64_t last, std::int64_t n) {
  const float begin = static_cast<float>(first), end = static_cast<float>(last);
  const float step = (end - begin) / static_cast<float>(n - 1);
  std::vector<std::int64_t> out;
  for (std::int64_t i = 0; i < n; ++i) {
    const float x = i < n / 2 ? std::fma(step, static_cast<float>(i), begin)
                              : std::fma(-step, static_cast<float>(n - 1 - i), end);
    // Beyond 2^24 frames float32 would leave the range.
    out.push_back(std::clamp(static_cast<std::int64_t>(std::nearbyint(x)), first, last));
  }
  return out;
}

// torch.arange(0, total, total / n).int(): vectors of eight start from a float32, two at a time;
// the rest is computed in double. Rounding may give one frame more than was wished.
std::vector<std::int64_t> stepped(std::int64_t n_frames, std::int64_t n) {
  constexpr std::int64_t kLanes = 8, kBlock = 2 * kLanes;
  const double step = static_cast<double>(n_frames) / static_cast<double>(n);
  const auto size = static_cast<std::int64_t>(std::ceil(static_cast<double>(n_frames) / step));
  std::vector<std::int64_t> out;
  for (std::int64_t i = 0; i < size; ++i) {
    double x = step * static_cast<double>(i);
    if (i < size / kBlock * kBlock) {
      const float base = static_cast<float>(step * static_cast<double>(i / kLanes * kLanes));
      x = static_cast<double>(base) + static_cast<double>(i % kLanes) * step;
    }
    out.push_back(std::min(static_cast<std::int64_t>(static_cast<float>(x)), n_frames - 1));
  }
  return out;
}

FrameSchedule processor_schedule(std::int64_t n_frames, double fps, const SamplingWish& wish) {
  std::int64_t n = 0;
  if (wish.n_frames) {
    n = nearest_even(static_cast<double>(*wish.n_frames));
  } else {
    const double total = static_cast<double>(n_frames);
    const double low = static_cast<double>(wish.min_frames.value_or(kFewestFrames));
    const double high = static_cast<double>(
        floor_even(static_cast<double>(std::min(wish.max_frames.value_or(kMostFrames), n_frames))));
    const double wanted = total / fps * wish.fps.value_or(kDefaultFps);
    n = floor_even(std::min(std::min(std::max(wanted, low), high), total));
  }
  // The processor tells the model what was wished, not what came out.
  return {stepped(n_frames, checked_count(n, n_frames)), wish.fps.value_or(kDefaultFps)};
}

}  // namespace

FrameSchedule sample_frames(std::int64_t n_frames, double fps, const SamplingWish& wish,
                            FrameRule rule) {
  check(n_frames, wish, rule);
  if (rule == FrameRule::hf) return processor_schedule(n_frames, fps, wish);
  const FrameRange range = wished_range(n_frames, fps, wish);
  const std::int64_t n = smart_count(range.n, fps, wish);
  // sample_fps = nframes / max(total_frames, 1e-6) * video_fps
  return {spread(range.first, range.last, n),
          static_cast<double>(n) / static_cast<double>(range.n) * fps};
}

}  // namespace qwenvl::qwen2_5_vl
