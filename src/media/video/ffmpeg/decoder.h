// Packets → frames in order of time. Private to src/media/video.
// Before: demuxer.cpp reads packets.   After: reader.cpp picks frames, frame_pixels.cpp converts
// them.
#pragma once

#include <cstdint>

#include "media/video/ffmpeg/demuxer.h"
#include "media/video/ffmpeg/ffmpeg.h"
#include "media/video/video.h"

namespace qwenvl {

class Decoder {
 public:
  // The demuxer must outlive it.
  Decoder(Demuxer& demuxer, const VideoLimits& limits);

  // The next frame that decodes; false at the end. What does not decode is counted and left out.
  bool next(AVFrame& frame);
  std::int64_t n_failures() const { return n_failures_; }
  // After the demuxer has moved to another place.
  void flush();

 private:
  void open();
  void feed();

  Demuxer& demuxer_;
  const VideoLimits limits_;
  Codec codec_;
  Packet packet_;
  bool is_at_end_ = false;
  std::int64_t n_failures_ = 0;
};

}  // namespace qwenvl
