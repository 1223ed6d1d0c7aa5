// How the plan of a video is shown. Before: video_plan.cpp asked for it.   After: a file.
#pragma once

#include <optional>
#include <string>

#include "qwenvl/engine.h"

namespace qwenvl::cli {

struct PlannedVideo {
  VideoFacts facts;
  VideoSignals signals;      // of the part that is asked about
  DynamicSampling sampling;  // whose thresholds the signals are held against
  VideoPlan plan;
  // Two frames of each second, for comparison; or why that is refused (too much for the context).
  std::optional<VideoPlan> uniform;
  std::string uniform_refusal;
  double begin_seconds = 0, end_seconds = 0;
};

// "3:07.2", with hours where there are any.
std::string clock_text(double seconds);
// Signals, thresholds and chosen pairs over time, as SVG.
std::string plot_of(const PlannedVideo& video);

}  // namespace qwenvl::cli
