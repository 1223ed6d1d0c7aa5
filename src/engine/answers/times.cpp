// Times of answers in seconds of the original video.
// Before: text/time_spans.cpp finds them.   After: the command line prints them and cuts clips.
#include "qwenvl/times.h"

#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "engine/guard.h"
#include "text/time_spans.h"

namespace qwenvl {
namespace {

// When the model's second `t` is shown. The model counts frames at an even rate; the frames it saw
// may lie a little apart from that (the last frame of a video is always among them). Nothing lies
// behind the video's end.
double video_second(double t, const ClipInfo& clip) {
  const std::vector<double>& shown = clip.frame_seconds;
  const double place = t * clip.fps;
  const auto last = static_cast<double>(shown.size() - 1);
  if (place >= last) {
    const double step = (shown.back() - shown.front()) / last;
    const double second = shown.back() + std::min(place - last, 1.0) * step;
    return clip.n_video_frames > 0 ? std::min(second, clip.video_end_seconds) : second;
  }
  const auto before = static_cast<std::size_t>(place);
  return shown[before] + (place - std::floor(place)) * (shown[before + 1] - shown[before]);
}

TimeSpan in_video(TimeSpan span, const ClipInfo& clip) {
  // Of an uneven schedule the model is told the true times, counted from the first frame.
  const bool is_uneven = std::any_of(clip.pairs.begin(), clip.pairs.end(),
                                     [](const auto& pair) { return pair.why != Moment::even; });
  if (is_uneven && !clip.frame_seconds.empty()) {
    const double begin = clip.frame_seconds.front();
    const double end = std::max(clip.frame_seconds.back(), begin + clip.seconds);
    span.is_outside = begin + span.begin >= end && span.begin > 0;
    span.begin = std::clamp(begin + span.begin, begin, end);
    span.end = std::clamp(begin + span.end, span.begin, end);
    return span;
  }
  if (!(clip.fps > 0) || clip.n_frames < 1) {
    fail(ErrorKind::bad_request, "clip {}: {} frames at {} a second, expected what a reply reports",
         quoted(clip.name), clip.n_frames, clip.fps);
  }
  const double seen = clip.n_frames / clip.fps;
  span.is_outside = span.begin >= seen && span.begin > 0;
  span.begin = std::clamp(span.begin, 0.0, seen);
  span.end = std::clamp(span.end, span.begin, seen);
  if (clip.frame_seconds.size() < 2) return span;
  span.begin = video_second(span.begin, clip);
  span.end = video_second(span.end, clip);
  return span;
}

}  // namespace

std::vector<TimeSpan> find_times(const std::string& answer) {
  return guarded([&] {
    std::vector<TimeSpan> out;
    for (FoundSpan& found : scan_spans(answer))
      out.push_back({found.begin, found.end, std::move(found.description), found.is_moment});
    return out;
  });
}

TimeSpan to_video_time(const TimeSpan& span, const ClipInfo& clip) {
  return guarded([&] { return in_video(span, clip); });
}

std::string clock_text(double seconds) {
  return guarded([&] {
    if (!(std::abs(seconds) < 1e12))
      fail(ErrorKind::bad_request, "time: found {}, expected seconds", seconds);
    const auto hundredths = static_cast<long long>(std::llround(std::max(seconds, 0.0) * 100));
    const long long whole = hundredths / 100;
    const std::string rest =
        fmt::format("{:02}:{:02}.{:02}", whole / 60 % 60, whole % 60, hundredths % 100);
    return whole < 3600 ? rest : fmt::format("{}:{}", whole / 3600, rest);
  });
}

}  // namespace qwenvl
