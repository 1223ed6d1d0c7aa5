// Which parts of a long video a model looks at, and how closely, under a budget. Pure functions.
// Before: the activity of the video is measured.   After: localize.cpp asks about each window.
#pragma once

#include <cstdint>
#include <vector>

namespace qwenvl {

// A stretch of time in which things change, with less than a pause of quiet in between.
struct Stretch {
  double begin = 0, end = 0;  // seconds
  double weight = 0;          // how much changes, summed up
};

// Moments with their shares (0 … 1) → stretches. `pause` seconds of quiet end one.
struct ChangeAt {
  double seconds = 0, share = 0;
};
std::vector<Stretch> active_stretches(const std::vector<ChangeAt>& changes, double pause);

struct LookWish {
  double begin = 0, end = 0;  // of the video's part
  double fps = 1;             // at which windows are seen, less where the budget demands it
  int most_frames = 16;       // of a window
  int fewest_frames = 8;
  std::int64_t most_pairs = 0;  // of frames, of all windows together
};

struct LookWindow {
  double begin = 0, end = 0;  // seconds
  double fps = 0;
  double weight = 0;

  std::int64_t n_pairs() const;
};

// Windows over the active stretches, in order of time; over everything where nothing is active.
// What exceeds the budget is first seen at lower rates, down to an eighth; then the windows with
// the least activity are left out.
std::vector<LookWindow> coarse_windows(const std::vector<Stretch>& stretches, const LookWish& wish);

// A window around [begin, end], with a margin, at wish.fps or as many frames as it may have.
LookWindow fine_window(double begin, double end, double margin, const LookWish& wish);

}  // namespace qwenvl
