// When something changes in a video. Before: a VideoReader.   After: engine/look_plan.cpp.
#include "media/video/activity.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <deque>

namespace qwenvl {
namespace {

constexpr double kStepSeconds = 0.125;  // between measured frames
constexpr std::size_t kLookBack = 2;    // compared with the frame so many steps before
constexpr int kShortSide = 36;          // of the small picture
constexpr int kMostSide = 144;
constexpr int kChange = 9;  // of 255: what noise does not reach once it is averaged over a cell

std::pair<int, int> small_size(int height, int width) {
  const double scale = static_cast<double>(kShortSide) / std::min(height, width);
  const auto side = [&](int n) {
    return std::clamp(static_cast<int>(std::lround(n * scale)), 1, kMostSide);
  };
  return {side(height), side(width)};
}

double changed_share(const LumaImage& a, const LumaImage& b) {
  std::size_t n = 0;
  for (std::size_t i = 0; i < a.values.size(); ++i)
    n += std::abs(int{a.values[i]} - int{b.values[i]}) > kChange ? 1 : 0;
  return static_cast<double>(n) / static_cast<double>(std::max<std::size_t>(a.values.size(), 1));
}

}  // namespace

std::vector<Activity> measure_activity(VideoReader& reader, double begin, double end,
                                       const ActivityProgress& progress) {
  const std::vector<double>& seconds = reader.index().seconds;
  const auto [height, width] = small_size(reader.info().height, reader.info().width);
  std::deque<LumaImage> before;
  std::vector<Activity> out;
  double next = begin;
  for (std::size_t i = 0; i < seconds.size() && seconds[i] <= end; ++i) {
    if (seconds[i] < next) continue;
    next = seconds[i] + kStepSeconds * 0.999;  // so that rates that divide evenly do
    reader.move_to(static_cast<std::int64_t>(i));
    LumaImage now = reader.luma(height, width);
    out.push_back({seconds[i], before.empty() ? 0 : changed_share(before.front(), now)});
    before.push_back(std::move(now));
    if (before.size() > kLookBack) before.pop_front();
    if (progress && !progress(seconds[i] - begin, end - begin)) break;
  }
  return out;
}

}  // namespace qwenvl
