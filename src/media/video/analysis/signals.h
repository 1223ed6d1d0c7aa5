// What happens in a video, measured in one pass over its luma at low resolution: cuts, motion, text
// that appears, stillness. docs/frame_sampling.md says how each is measured.
// Before: a VideoReader decodes.   After: frame_planner.cpp decides which frames are worth seeing.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "media/video/video.h"

namespace qwenvl {

struct SignalOptions {
  double max_rate = 32;  // frames measured in a second, at most; faster videos are thinned out
  // Grey levels (of 255) by which a block has to differ, beyond brightness and noise, to have
  // moved.
  double motion_level = 4;
  // Grey levels by which neighbouring pixels differ at the edge of a stroke.
  double stroke_level = 20;
  double flash_seconds = 0.2;  // what is as before after this time was no cut
};

// One measured frame. Signals are shares, 0 … 255 for 0 … 1.
struct MeasuredMoment {
  std::uint32_t frame;      // of the FrameIndex
  std::uint8_t cut = 0;     // how much of the picture has nothing to do with the moment before
  std::uint8_t motion = 0;  // blocks that change within a tenth of a second
  std::uint8_t text = 0;    // blocks with strokes that are complete from now on; 1/24 of all is 1
  std::uint8_t change = 0;  // blocks that differ from a second ago; its opposite is stillness
  std::uint8_t text_gone = 0;  // blocks whose strokes begin to go away, counted as for text
};

constexpr double share_of(std::uint8_t value) { return value / 255.0; }

struct SignalTrack {
  std::vector<MeasuredMoment> moments;  // in order of time
};

// Seconds of the part that were measured, of how many; false stops (throws cancelled).
using SignalProgress = std::function<bool(double done, double all)>;

// Frames shown within [begin, end] seconds; unset: from the first, to the last. The reader's
// current frame is another one afterwards. Memory: 12 bytes a moment, and a second of small
// pictures.
SignalTrack measure_signals(VideoReader& reader, const SignalOptions& options,
                            std::optional<double> begin_seconds = {},
                            std::optional<double> end_seconds = {},
                            const SignalProgress& progress = {});

}  // namespace qwenvl
