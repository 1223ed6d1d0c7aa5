// A video as stretches in which one kind of thing happens. Private to src/media/video.
// Before: signals.cpp measured.   After: frame_planner.cpp gives each stretch its pairs of frames.
#pragma once

#include <cstdint>
#include <vector>

#include "media/video/analysis/signals.h"
#include "media/video/video.h"
#include "qwenvl/video.h"

namespace qwenvl {

struct Segment {
  std::int64_t first = 0, end = 0;  // frames [first, end), all of one scene
  double begin_seconds = 0, end_seconds = 0;
  Moment kind = Moment::calm;
  double most_motion = 0;         // of its moments
  bool is_event = false;          // must be seen: a new scene, complete text, motion, the beginning
  bool is_text_complete = false;  // from its begin on
  // Text that still stands when the next is complete: whoever sees that one sees this one, too.
  bool is_seen_later = false;

  double seconds() const { return end_seconds - begin_seconds; }
};

// In order of time, without overlap.
std::vector<Segment> segments_of(const FrameIndex& index, const SignalTrack& track,
                                 const DynamicSampling& wish);

}  // namespace qwenvl
