// A container file → the packets of its video. Private to src/media/video.
// Before: reader.cpp has a source.   After: packet_index.cpp looks at the packets, decoder.cpp
// decodes them.
#pragma once

#include <cstdint>
#include <string>

#include "media/video/ffmpeg/byte_reader.h"
#include "media/video/ffmpeg/ffmpeg.h"
#include "media/video/video.h"

namespace qwenvl {

class Demuxer {
 public:
  // The source must outlive it.
  Demuxer(const VideoSource& source, const VideoLimits& limits);

  const VideoInfo& info() const { return info_; }
  const AVStream& stream() const;
  double seconds(std::int64_t timestamp) const;  // of a timestamp of the stream
  double announced_fps() const;                  // on average; 0: none, or more than permitted
  double announced_seconds() const;              // what the container says; 0: nothing

  // The next packet of the video; false at the end of what can be read.
  bool read(AVPacket& packet);
  // Places that could not be read so far.
  std::int64_t n_damaged_places() const { return n_damaged_places_; }
  // Goes on with the keyframe at or before the timestamp; false where the container cannot.
  bool seek(std::int64_t timestamp);
  void rewind();

 private:
  void open();
  void choose_stream();
  void describe();

  const std::string name_;
  const VideoLimits limits_;
  ByteReader bytes_;
  Io io_;
  Format format_;  // after io_, which it uses
  int stream_ = -1;
  std::int64_t n_damaged_places_ = 0;
  VideoInfo info_;
};

// The name of the container that the bytes begin like; "": of none that FFmpeg knows.
std::string container_of(const VideoSource& source);

}  // namespace qwenvl
