// What is behind a Video: its reader, one user at a time.
// Before: video.cpp opens it.   After: media_inputs.cpp decodes the frames of clips.
#pragma once

#include <memory>
#include <mutex>

#include "media/video/video.h"
#include "qwenvl/video.h"

namespace qwenvl {

struct Video::State {
  std::mutex mutex;  // guards the reader's position: held while frames are decoded
  std::unique_ptr<VideoReader> reader;
  VideoFacts facts;
};

// The reader of a video, held for a while: others wait.
class VideoLease {
 public:
  explicit VideoLease(Video& video) : lock_(video.state_->mutex), reader_(*video.state_->reader) {}
  VideoReader& reader() { return reader_; }

 private:
  const std::lock_guard<std::mutex> lock_;
  VideoReader& reader_;
};

}  // namespace qwenvl
