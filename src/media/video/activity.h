// When something changes in a video, from a small luma picture of each moment.
// Before: a VideoReader.   After: engine/look_plan.cpp chooses what a model looks at.
#pragma once

#include <functional>
#include <vector>

#include "media/video/video.h"

namespace qwenvl {

struct Activity {
  double seconds = 0;  // of the frame
  double share = 0;    // of the picture that differs from a moment ago, 0 … 1
};

// Returns false to stop. `done` seconds of `total`.
using ActivityProgress = std::function<bool(double done, double total)>;

// One pass over [begin, end] seconds of the video, a few frames of each second. Stopped: what was
// measured until then.
std::vector<Activity> measure_activity(VideoReader& reader, double begin, double end,
                                       const ActivityProgress& progress);

}  // namespace qwenvl
