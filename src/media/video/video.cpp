// Which bytes are a video, and what reads them.
// Before: a path, or bytes that were fetched.   After: reader.cpp.
#include "media/video/video.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <new>

#include "core/check.h"
#include "media/video/ffmpeg/byte_reader.h"
#include "media/video/ffmpeg/demuxer.h"
#include "media/video/reader.h"

namespace qwenvl {

namespace {

// What the beginning of the source claims to be; "": no picture.
std::string picture_format(const VideoSource& source) {
  std::array<std::byte, 64> start{};
  const std::int64_t n = std::max<std::int64_t>(ByteReader(source).read(start), 0);
  const std::string format = image_format(std::span(start).first(static_cast<std::size_t>(n)));
  if (format != "webp") return format;
  // An extended header (VP8X) has a bit for animations; the others never move.
  constexpr std::byte kAnimation{2};
  const bool is_extended = std::memcmp(start.data() + 12, "VP8X", 4) == 0;
  return is_extended && (start[20] & kAnimation) != std::byte{} ? "webp animation" : format;
}

}  // namespace

std::unique_ptr<VideoReader> open_video(VideoSource source, ReaderStyle style,
                                        const VideoLimits& limits) {
  const std::string name = source.name;
  try {
    if (picture_format(source).starts_with("webp")) return open_webp(source, style, limits);
    return open_with_ffmpeg(std::move(source), style, limits);
  } catch (const std::bad_alloc&) {
    fail(ErrorKind::out_of_memory, "{}: not enough memory to open this video", name);
  }
}

bool is_video(const VideoSource& source) {
  const std::string picture = picture_format(source);
  if (picture == "gif" || picture == "webp animation") {
    try {
      return open_video(source, ReaderStyle::torchcodec)->index().size() > 1;
    } catch (const Error& error) {
      // Without FFmpeg nobody knows: its first frame would be a silent answer about something else.
      if (error.kind() == ErrorKind::device) {
        fail(ErrorKind::device, "{}: whether it moves cannot be told: {}", source.name,
             error.what());
      }
      return false;  // a picture, if anything
    }
  }
  if (!picture.empty()) return false;
  const std::string container = container_of(source);
  return !container.empty() && !container.ends_with("_pipe");  // those are pictures of rarer kinds
}

}  // namespace qwenvl
