// One pass: decode, shrink, compare. Each moment is compared with the one before; all that needs
// longer is measured about ten times a second.
#include "media/video/analysis/signals.h"

#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "media/video/analysis/low_resolution.h"
#include "media/video/analysis/scene_meter.h"
#include "media/video/analysis/text_meter.h"

namespace qwenvl {
namespace {

constexpr int kLongSide = 480;          // pixels of the small pictures, at most
constexpr double kStepSeconds = 0.08;   // between measurements of motion and text
constexpr double kProgressSeconds = 1;  // of the video, between reports

void check(const SignalOptions& o) {
  for (const auto& [name, value] : {std::pair{"max_rate", o.max_rate},
                                    {"motion_level", o.motion_level},
                                    {"stroke_level", o.stroke_level}}) {
    if (!(value > 0 && std::isfinite(value)))
      fail(ErrorKind::bad_request, "{}: found {}, expected a number above 0", name, value);
  }
  if (!(o.flash_seconds >= 0 && std::isfinite(o.flash_seconds))) {
    fail(ErrorKind::bad_request, "flash_seconds: found {}, expected 0 or more", o.flash_seconds);
  }
}

struct Part {
  std::int64_t first, end;  // frames
};

Part part_of(const FrameIndex& index, std::optional<double> begin, std::optional<double> end) {
  for (const auto& seconds : {begin, end}) {
    if (seconds && !std::isfinite(*seconds))
      fail(ErrorKind::bad_request, "video_start, video_end: found {}, expected seconds", *seconds);
  }
  const std::vector<double>& s = index.seconds;
  Part part{0, index.size()};
  if (begin) part.first = std::lower_bound(s.begin(), s.end(), *begin) - s.begin();
  if (end) part.end = std::upper_bound(s.begin(), s.end(), *end) - s.begin();
  if (part.first >= part.end) {
    fail(ErrorKind::bad_request, "no frame between {} s and {} s of {:.2f} s of video",
         begin.value_or(0), end.value_or(index.end_seconds), index.end_seconds);
  }
  return part;
}

class Meter {
 public:
  Meter(const SignalOptions& options, SignalTrack& track)
      : moments_(track.moments), scene_(options, moments_), text_(options, moments_) {}

  void add(std::int64_t frame, double seconds, const LumaImage& luma) {
    moments_.push_back({static_cast<std::uint32_t>(frame)});
    const CellImage cells = cells_of(luma);
    const bool is_new_scene = scene_.add(cells, seconds);
    if (is_new_scene) text_.end_scene();
    if (!is_new_scene && seconds - last_step_ < kStepSeconds) return;
    last_step_ = seconds;
    const double noise = pixel_noise(luma);
    const CameraMotion camera = camera_since_last_step(cells, is_new_scene);
    scene_.step(cells, seconds, noise, camera);
    text_.step(luma, noise, camera);
  }

  void finish() {
    scene_.finish();
    text_.end_scene();
  }

 private:
  CameraMotion camera_since_last_step(const CellImage& cells, bool is_new_scene) {
    const CellImage& before = is_new_scene ? cells : step_cells_;
    const CameraMotion camera = camera_motion(before, cells);
    step_cells_ = cells;
    return camera;
  }

  std::vector<MeasuredMoment>& moments_;
  CellImage step_cells_;  // of the last step
  SceneMeter scene_;
  TextMeter text_;
  double last_step_ = 0;
};

}  // namespace

SignalTrack measure_signals(VideoReader& reader, const SignalOptions& options,
                            std::optional<double> begin_seconds, std::optional<double> end_seconds,
                            const SignalProgress& progress) {
  check(options);
  const FrameIndex& index = reader.index();
  const auto [first, end] = part_of(index, begin_seconds, end_seconds);
  const int long_side = std::max(reader.info().width, reader.info().height);
  const int factor = (long_side + kLongSide - 1) / kLongSide;
  const int height = std::max(1, reader.info().height / factor);
  const int width = std::max(1, reader.info().width / factor);
  const double begin = index.seconds[static_cast<std::size_t>(first)];
  const double all = index.seconds[static_cast<std::size_t>(end - 1)] - begin;

  SignalTrack track;
  Meter meter(options, track);
  // A frame is measured when the time of the next measurement is nearer to it than to its follower.
  const double period = 1 / options.max_rate;
  double next = begin, reported = begin;
  for (std::int64_t i = first; i < end; ++i) {
    const double seconds = index.seconds[static_cast<std::size_t>(i)];
    if (seconds < next - period / 2 && i + 1 < end) continue;
    next = std::max(next + period, seconds + period / 2);
    reader.move_to(i);
    meter.add(i, seconds, reader.luma(height, width));
    if (progress && seconds - reported >= kProgressSeconds) {
      reported = seconds;
      if (!progress(seconds - begin, all))
        fail(ErrorKind::cancelled, "{}: measuring was stopped", reader.info().name);
    }
  }
  meter.finish();
  return track;
}

}  // namespace qwenvl
