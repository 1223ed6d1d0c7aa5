// The plan of a video as a plot: a row for each signal with its threshold, the chosen pairs below.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "svg.h"
#include "video_plan.h"

namespace qwenvl::cli {
namespace {

constexpr int kLeft = 90, kRight = 20, kRow = 80, kGap = 16, kPairsHeight = 60, kAxis = 60;
constexpr int kWide = svg::kWidth - kLeft - kRight;

const char* colour_of(Moment why) {
  switch (why) {
    case Moment::cut: return "#d1495b";
    case Moment::motion: return "#2a6fbb";
    case Moment::text: return "#e09f3e";
    case Moment::calm: return "#2e8b57";
    case Moment::still: return "#5c6b73";
    case Moment::even: break;
  }
  return "#6a4c93";
}

class Axis {
 public:
  Axis(double begin, double end) : begin_(begin), seconds_(std::max(end - begin, 1e-3)) {}
  double x(double seconds) const { return kLeft + kWide * (seconds - begin_) / seconds_; }
  std::size_t column(double seconds) const {
    return static_cast<std::size_t>(std::clamp(x(seconds) - kLeft, 0.0, kWide - 1.0));
  }

  std::string drawn(int top, int bottom) const {
    double step = 0.1;
    for (const double s : {0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0,
                           1800.0, 3600.0, 7200.0, 36000.0}) {
      if (seconds_ / step > 8) step = s;
    }
    std::string out;
    for (double at = std::ceil(begin_ / step) * step; at <= begin_ + seconds_ + 1e-9; at += step) {
      out += svg::line(x(at), top, x(at), bottom + 4, "#8883");
      out += svg::text(x(at), bottom + 18, clock_text(at), "middle", "#777");
    }
    return out;
  }

 private:
  double begin_, seconds_;
};

// Bars as high as the most within each pixel: long videos have many moments to one.
std::string signal_row(const Axis& axis, int top, const char* name, const VideoSignals& signals,
                       const std::vector<float>& values, double threshold, const char* colour) {
  std::vector<float> most(kWide);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::size_t column = axis.column(signals.seconds[i]);
    most[column] = std::max(most[column], values[i]);
  }
  std::string out = svg::text(kLeft - 8, top + kRow / 2.0, name, "end");
  for (std::size_t i = 0; i < most.size(); ++i) {
    if (most[i] <= 0) continue;
    const double x = kLeft + static_cast<double>(i) + 0.5;
    out += svg::line(x, top + kRow, x, top + kRow * (1 - static_cast<double>(most[i])), colour);
  }
  out += svg::line(kLeft, top + kRow, kLeft + kWide, top + kRow);
  const double y = top + kRow * (1 - threshold);
  return out + svg::line(kLeft, y, kLeft + kWide, y, "#000");
}

std::string pairs_row(const Axis& axis, int top, const VideoPlan& plan) {
  int largest = 1;
  for (const PlannedPair& pair : plan.pairs) largest = std::max(largest, pair.n_tokens);
  std::string out = svg::text(kLeft - 8, top + kPairsHeight / 2.0, "pairs", "end");
  for (const PlannedPair& pair : plan.pairs) {
    const double x = axis.x(pair.seconds);
    const double height = kPairsHeight * static_cast<double>(pair.n_tokens) / largest;
    out += svg::line(x, top + kPairsHeight, x, top + kPairsHeight - height, colour_of(pair.why));
  }
  return out + svg::line(kLeft, top + kPairsHeight, kLeft + kWide, top + kPairsHeight);
}

std::string legend(int top) {
  std::string out;
  double x = kLeft;
  for (const Moment why :
       {Moment::cut, Moment::motion, Moment::text, Moment::calm, Moment::still, Moment::even}) {
    out += svg::line(x, top - 4, x + 16, top - 4, colour_of(why));
    out += svg::text(x + 20, top, name_of(why));
    x += 90;
  }
  return out;
}

}  // namespace

std::string plot_of(const PlannedVideo& video) {
  const Axis axis(video.begin_seconds, video.end_seconds);
  const int top = svg::kHeading + 8, rows = 4 * (kRow + kGap);
  const int bottom = top + rows + kPairsHeight;
  std::string body = svg::heading(
      0, fmt::format("What happens in {}, and what is seen of it", video.facts.name),
      fmt::format(
          "{} pairs, {} tokens; black lines are thresholds; a pair is as high as its tokens",
          video.plan.pairs.size(), video.plan.n_tokens));
  body += axis.drawn(top, bottom);
  const VideoSignals& s = video.signals;
  const DynamicSampling& d = video.sampling;
  int y = top;
  const auto row = [&](const char* name, const std::vector<float>& values, double threshold,
                       Moment why) {
    body += signal_row(axis, y, name, s, values, threshold, colour_of(why));
    y += kRow + kGap;
  };
  row("cut", s.cut, d.cut_threshold, Moment::cut);
  row("motion", s.motion, d.motion_threshold, Moment::motion);
  row("text", s.text, d.text_threshold, Moment::text);
  row("stillness", s.stillness, 1 - d.change_threshold, Moment::still);
  body += pairs_row(axis, y, video.plan) + legend(bottom + 42);
  return svg::page(bottom + kAxis, body);
}

}  // namespace qwenvl::cli
