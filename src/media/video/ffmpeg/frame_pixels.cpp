// Before: decoder.cpp has a frame.   After: the model resizes the picture.
// Mirrors how torchcodec and decord have libswscale make RGB of a frame: its own matrix and range
// where it names them, those of BT.601 where it does not.
#include "media/video/ffmpeg/frame_pixels.h"

#include <algorithm>
#include <memory>

#include "core/check.h"
#include "media/video/analysis/shrink.h"
#include "media/video/ffmpeg/functions.inl"

namespace qwenvl {
namespace {

constexpr std::size_t kAlignment = 64;

// Quarter turns clockwise of n-byte pixels, [height, width].
template <int n>
std::vector<std::uint8_t> turned(const std::vector<std::uint8_t>& from, int height, int width,
                                 int degrees) {
  std::vector<std::uint8_t> out(from.size());
  const int out_width = degrees % 180 == 0 ? width : height;
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      int to_y = y, to_x = x;
      if (degrees == 90) to_y = x, to_x = height - 1 - y;
      if (degrees == 180) to_y = height - 1 - y, to_x = width - 1 - x;
      if (degrees == 270) to_y = width - 1 - x, to_x = y;
      const std::size_t source = (static_cast<std::size_t>(y) * width + x) * n;
      const std::size_t target = (static_cast<std::size_t>(to_y) * out_width + to_x) * n;
      std::copy_n(from.data() + source, n, out.data() + target);
    }
  }
  return out;
}

// Whether the first plane is the luma, a byte for each pixel.
bool has_plain_luma(const AVFrame& frame) {
  const AVPixFmtDescriptor* format = av_pix_fmt_desc_get(static_cast<AVPixelFormat>(frame.format));
  constexpr std::uint64_t kOther = AV_PIX_FMT_FLAG_RGB | AV_PIX_FMT_FLAG_PAL |
                                   AV_PIX_FMT_FLAG_HWACCEL | AV_PIX_FMT_FLAG_BITSTREAM |
                                   AV_PIX_FMT_FLAG_FLOAT | AV_PIX_FMT_FLAG_BAYER;
  return format && (format->flags & kOther) == 0 && format->comp[0].plane == 0 &&
         format->comp[0].step == 1 && format->comp[0].depth == 8;
}

int chroma_filter(ReaderStyle style) {
  return style == ReaderStyle::torchcodec ? SWS_BICUBIC : SWS_BILINEAR;
}

}  // namespace

FramePixels::FramePixels(std::string name, int rotation_degrees, ReaderStyle style)
    : name_(std::move(name)),
      rotation_degrees_(rotation_degrees),
      chroma_filter_(chroma_filter(style)) {}

void FramePixels::convert(const AVFrame& frame, const Target& target,
                          std::vector<std::uint8_t>& out, Scaler& scaler) {
  // Returns the same object while nothing changes.
  SwsContext* context = sws_getCachedContext(
      scaler.release(), frame.width, frame.height, static_cast<AVPixelFormat>(frame.format),
      target.width, target.height, static_cast<AVPixelFormat>(target.format), target.flags, nullptr,
      nullptr, nullptr);
  if (!context) {
    const char* format = av_get_pix_fmt_name(static_cast<AVPixelFormat>(frame.format));
    fail(ErrorKind::unsupported, "{}: frames of the pixel format '{}' cannot be converted", name_,
         format ? format : "?");
  }
  scaler.reset(context);
  const int* matrix = sws_getCoefficients(frame.colorspace);
  const bool is_full_range = frame.color_range == AVCOL_RANGE_JPEG;
  int *source_matrix = nullptr, *target_matrix = nullptr;
  int source_range = 0, target_range = 0, brightness = 0, contrast = 0, saturation = 0;
  if (sws_getColorspaceDetails(context, &source_matrix, &source_range, &target_matrix,
                               &target_range, &brightness, &contrast, &saturation) >= 0) {
    if (frame.color_range != AVCOL_RANGE_UNSPECIFIED) source_range = is_full_range ? 1 : 0;
    sws_setColorspaceDetails(context, matrix, source_range, matrix, target_range, brightness,
                             contrast, saturation);
  }
  // The scaler writes whole vectors: rows need room behind them.
  const std::size_t row_bytes = static_cast<std::size_t>(target.width) * target.pixel_bytes;
  const std::size_t stride = (row_bytes + 2 * kAlignment - 1) / kAlignment * kAlignment;
  rows_.resize(stride * target.height + 2 * kAlignment);
  void* first = rows_.data();
  std::size_t room = rows_.size();
  std::uint8_t* planes[4] = {
      static_cast<std::uint8_t*>(std::align(kAlignment, stride * target.height, first, room))};
  const int strides[4] = {static_cast<int>(stride)};
  const int n_rows =
      sws_scale(context, frame.data, frame.linesize, 0, frame.height, planes, strides);
  if (n_rows != target.height) {
    fail(ErrorKind::bad_file, "{}: a frame of {} x {} pixels cannot be converted to {} x {}", name_,
         frame.width, frame.height, target.width, target.height);
  }
  out.resize(row_bytes * target.height);
  for (int y = 0; y < target.height; ++y)
    std::copy_n(planes[0] + stride * y, row_bytes, out.data() + row_bytes * y);
}

Image FramePixels::rgb(const AVFrame& frame, int height, int width) {
  Image image{height, width, {}};
  const bool is_turned = rotation_degrees_ % 180 != 0;
  const int rows = is_turned ? width : height, columns = is_turned ? height : width;
  convert(frame, {AV_PIX_FMT_RGB24, 3, rows, columns, chroma_filter_}, image.rgb, rgb_);
  if (rotation_degrees_ != 0) image.rgb = turned<3>(image.rgb, rows, columns, rotation_degrees_);
  return image;
}

LumaImage FramePixels::luma(const AVFrame& frame, int height, int width) {
  LumaImage image{height, width, {}};
  const bool is_turned = rotation_degrees_ % 180 != 0;
  const int rows = is_turned ? width : height, columns = is_turned ? height : width;
  const int factor = frame.width / columns;
  if (has_plain_luma(frame) && factor >= 1 && frame.width / factor == columns &&
      frame.height / factor == rows) {
    // Ten times as fast as the scaler.
    image.values = shrink_plane(frame.data[0], frame.linesize[0], rows, columns, factor).values;
  } else {
    convert(frame, {AV_PIX_FMT_GRAY8, 1, rows, columns, SWS_AREA}, image.values, luma_);
  }
  if (rotation_degrees_ != 0)
    image.values = turned<1>(image.values, rows, columns, rotation_degrees_);
  return image;
}

}  // namespace qwenvl
