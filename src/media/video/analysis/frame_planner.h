// Signals → the frames worth seeing, within a budget: many where much happens, few where little
// does. Pure: no video is read, nothing is remembered. docs/frame_sampling.md states the rules.
// Before: signals.cpp measured.   After: the model sizes the pairs, frame_stream.cpp decodes them.
#pragma once

#include <cstdint>
#include <functional>

#include "media/video/analysis/signals.h"
#include "media/video/video.h"
#include "qwenvl/video.h"

namespace qwenvl {

struct PlanBudget {
  std::int64_t max_tokens = 0;
  std::int64_t max_frames = 0;
  // Tokens of a pair with so many times the usual pixels; does not fall as the detail grows.
  std::function<std::int64_t(double detail)> pair_tokens;
};

struct PlannedFrames {
  FrameSchedule schedule;
  std::int64_t n_tokens = 0;
  double share = 1;             // of the wished rates that the budget permits
  std::int64_t n_events = 0;    // cuts, texts and stretches of motion, and the beginning
  std::int64_t n_left_out = 0;  // of those, that even one pair each was too much for
};

// Never more than the budget: the rates of all kinds shrink by one share, but every event keeps a
// pair; where there are more events than pairs, the most telling of each group of neighbours keeps
// it. Pairs lie within one scene. Where all rates turn out alike, `even` makes the schedule.
// `track` holds at least one moment. Throws bad_request for budgets below one pair, and for rates
// that make no sense.
PlannedFrames plan_frames(const FrameIndex& index, const SignalTrack& track,
                          const DynamicSampling& wish, const PlanBudget& budget,
                          const std::function<FrameSchedule(double fps)>& even);

}  // namespace qwenvl
