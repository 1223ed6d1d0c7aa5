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

}  // namespace qwenvl
