// A part of a video → a file of its own, exact to the frame.
// Before: engine/answers/excerpts.cpp knows which part.   After: FFmpeg encodes and writes.
//
// Copying packets could begin at keyframes only, seconds before the event; so frames are decoded
// and encoded again, with the times they have.
#pragma once

#include <cstdint>
#include <string>

#include "media/video/video.h"

namespace qwenvl {

struct WrittenClip {
  std::int64_t n_frames = 0;
  double begin = 0, end = 0;  // seconds of the video: of its first frame, and after its last
  std::string encoder;
};

// The frames shown within [begin, end), at least one, without sound: H.264 where this FFmpeg has an
// encoder for it (the first frame is a keyframe), else MPEG-4, in an MP4 file. Odd sizes lose a row
// or column. The file appears when it is complete (core/new_file.h). Throws unsupported, device.
WrittenClip write_clip(VideoReader& reader, double begin, double end, const std::string& path);

}  // namespace qwenvl
