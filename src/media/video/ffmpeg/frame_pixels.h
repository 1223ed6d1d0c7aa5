// A decoded frame → RGB or luma. Private to src/media/video.
// Before: decoder.cpp has a frame.   After: the model resizes the picture.
#pragma once

#include "media/video/ffmpeg/ffmpeg.h"
#include "media/video/video.h"

namespace qwenvl {

// Keeps FFmpeg's scalers between frames of one kind.
class FramePixels {
 public:
  FramePixels(std::string name, int rotation_degrees, ReaderStyle style);

  // `width` and `height` are those of the video, turned: frames of another size are resized.
  Image rgb(const AVFrame& frame, int height, int width);
  LumaImage luma(const AVFrame& frame, int height, int width);

 private:
  struct Target {
    int format;  // an AVPixelFormat
    int pixel_bytes, height, width, flags;
  };
  void convert(const AVFrame& frame, const Target& target, std::vector<std::uint8_t>& out,
               Scaler& scaler);

  const std::string name_;
  const int rotation_degrees_;
  const int chroma_filter_;
  Scaler rgb_, luma_;
  std::vector<std::uint8_t> rows_;  // as the scaler writes them
};

}  // namespace qwenvl
