// When each frame is shown and where decoding can begin. Private to src/media/video.
// Before: demuxer.cpp reads packets.   After: reader.cpp finds frames with it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "media/video/ffmpeg/demuxer.h"
#include "media/video/video.h"

namespace qwenvl {

constexpr double kFallbackFps = 25;  // FFmpeg's, for streams that say nothing

// A place from which decoding can begin.
struct Keyframe {
  std::int64_t frame;      // of the index
  std::int64_t timestamp;  // in units of the stream
};

struct PacketIndex {
  FrameIndex frames;
  std::vector<Keyframe> keyframes;  // empty where frames have to be counted
  // Whether a frame is known by its timestamp; else (they are missing, repeated or run backwards)
  // by counting frames from the beginning.
  bool has_timestamps = true;
  std::vector<std::string> warnings;
  std::uint64_t fingerprint = 0;  // of all packets
};

// Reads all packets once, and rewinds.
PacketIndex index_packets(Demuxer& demuxer, const VideoLimits& limits);

}  // namespace qwenvl
