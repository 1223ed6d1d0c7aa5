// The readers behind open_video(). Private to src/media/video.
// Before: video.cpp has told the kinds of file apart.   After: the readers open them.
#pragma once

#include <memory>

#include "media/video/video.h"

namespace qwenvl {

std::unique_ptr<VideoReader> open_with_ffmpeg(VideoSource source, ReaderStyle style,
                                              const VideoLimits& limits);
std::unique_ptr<VideoReader> open_webp(const VideoSource& source, ReaderStyle style,
                                       const VideoLimits& limits);

}  // namespace qwenvl
