// Before: the activity of the video is measured.   After: localize.cpp asks about each window.
#include "engine/video/look_plan.h"

#include <algorithm>
#include <cmath>

namespace qwenvl {
namespace {

// Less than this share of the picture is noise of the camera or the encoder.
constexpr double kLeastShare = 0.0015;
constexpr double kMarginSeconds =
    1;  // of quiet before and after what changes; less in short windows
// A window that is long enough ends in quiet as long as this. Shorter quiet may be a thing that
// stands still between coming and going.
constexpr double kQuietSeconds = 6;
constexpr double kLowestPart = 0.125;  // of the wished rate

double longest(const LookWish& wish, double fps) { return wish.most_frames / fps; }

// Begins with the quiet before a stretch and takes in those that follow, as long as there is room.
std::vector<LookWindow> cover(const std::vector<Stretch>& stretches, const LookWish& wish,
                              double fps) {
  std::vector<LookWindow> out;
  // A window lasts as long as at the full rate, so that a lower one costs less.
  const double most = longest(wish, fps), least = wish.fewest_frames / wish.fps;
  const double margin = std::min(kMarginSeconds, most / 4);
  for (std::size_t i = 0; i < stretches.size();) {
    LookWindow window{std::max(wish.begin, stretches[i].begin - margin), 0, fps, 0};
    double last = window.begin;  // the end of what changes, in this window
    for (; i < stretches.size() && stretches[i].begin < window.begin + most - margin; ++i) {
      const bool is_apart =
          stretches[i].begin - last >= kQuietSeconds && stretches[i].begin >= window.begin + least;
      if (is_apart && last > window.begin) break;
      window.weight += stretches[i].weight;
      last = stretches[i].end;
      // What is longer than the window goes on in others.
      for (; last > window.begin + most; window.begin += most - 2 * margin)
        out.push_back({window.begin, window.begin + most, fps, window.weight});
    }
    window.end = std::clamp(last + margin, window.begin + least, window.begin + most);
    window.end = std::min(window.end, wish.end);
    window.begin = std::max(wish.begin, std::min(window.begin, window.end - least));
    out.push_back(window);
  }
  return out;
}

std::int64_t pairs_of(const std::vector<LookWindow>& windows) {
  std::int64_t n = 0;
  for (const LookWindow& window : windows) n += window.n_pairs();
  return n;
}

}  // namespace

std::int64_t LookWindow::n_pairs() const {
  return std::max<std::int64_t>(2, static_cast<std::int64_t>(std::ceil((end - begin) * fps / 2)));
}

std::vector<Stretch> active_stretches(const std::vector<ChangeAt>& changes, double pause) {
  std::vector<Stretch> out;
  for (const ChangeAt& change : changes) {
    if (change.share < kLeastShare) continue;
    if (out.empty() || change.seconds - out.back().end > pause)
      out.push_back({change.seconds, change.seconds, 0});
    out.back().end = change.seconds;
    out.back().weight += change.share;
  }
  return out;
}

std::vector<LookWindow> coarse_windows(const std::vector<Stretch>& stretches,
                                       const LookWish& wish) {
  std::vector<Stretch> parts = stretches;
  if (parts.empty()) parts.push_back({wish.begin, wish.end, 0});
  double fps = wish.fps;
  std::vector<LookWindow> windows = cover(parts, wish, fps);
  while (pairs_of(windows) > wish.most_pairs && fps > wish.fps * kLowestPart) {
    fps = std::max(fps * 0.9, wish.fps * kLowestPart);
    windows = cover(parts, wish, fps);
  }
  if (pairs_of(windows) <= wish.most_pairs) return windows;
  std::stable_sort(windows.begin(), windows.end(),
                   [](const auto& a, const auto& b) { return a.weight > b.weight; });
  std::int64_t n_pairs = 0;
  std::size_t n = 0;
  while (n < windows.size() && (n_pairs += windows[n].n_pairs()) <= wish.most_pairs) ++n;
  windows.resize(n);
  std::sort(windows.begin(), windows.end(),
            [](const auto& a, const auto& b) { return a.begin < b.begin; });
  return windows;
}

LookWindow fine_window(double begin, double end, double margin, const LookWish& wish) {
  LookWindow window{std::max(wish.begin, begin - margin), std::min(wish.end, end + margin),
                    wish.fps, 0};
  const double least = wish.fewest_frames / wish.fps;
  if (window.end - window.begin < least) {
    window.end = std::min(wish.end, window.begin + least);
    window.begin = std::max(wish.begin, window.end - least);
  }
  window.fps = std::min(wish.fps, wish.most_frames / (window.end - window.begin));
  return window;
}

}  // namespace qwenvl
