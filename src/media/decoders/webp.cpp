// WebP → RGB with libwebp: lossy, lossless, with alpha; the first frame of an animation.
// Before: image.cpp recognised the bytes.   After: exif.cpp may turn the picture.
// Mirrors Pillow's WebP plugin: the mode is RGBA exactly when the header announces alpha, and a
// frame smaller than the canvas lies on transparent black.
#include <webp/decode.h>
#include <webp/demux.h>

#include <cstring>
#include <memory>

#include "core/check.h"
#include "media/decoders/decoders.h"
#include "media/decoders/exif.h"

namespace qwenvl {
namespace {

constexpr const char* kIncomplete = "the data is incomplete or not WebP (truncated file?)";

struct DemuxerDeleter {
  void operator()(WebPDemuxer* demuxer) const { WebPDemuxDelete(demuxer); }
};
using Demuxer = std::unique_ptr<WebPDemuxer, DemuxerDeleter>;

// Zero until the iterator is filled, released in any case.
struct FrameIterator {
  WebPIterator frame{};
  ~FrameIterator() { WebPDemuxReleaseIterator(&frame); }
};

int find_orientation(const WebPDemuxer* demuxer) {
  int orientation = 0;
  WebPChunkIterator chunk{};
  if (WebPDemuxGetChunk(demuxer, "EXIF", 1, &chunk)) {
    orientation = exif_orientation({chunk.chunk.bytes, chunk.chunk.size});
    WebPDemuxReleaseChunkIterator(&chunk);
  }
  if (orientation == 0 && WebPDemuxGetChunk(demuxer, "XMP ", 1, &chunk)) {
    orientation =
        xmp_orientation({reinterpret_cast<const char*>(chunk.chunk.bytes), chunk.chunk.size});
    WebPDemuxReleaseChunkIterator(&chunk);
  }
  return orientation;
}

struct Rgba {
  std::unique_ptr<std::uint8_t[]> pixels;  // not initialised: written by libwebp or never read
  int width, height;
};

Rgba decode_frame(const DecodeJob& job, const WebPIterator& frame) {
  WebPBitstreamFeatures features;
  if (WebPGetFeatures(frame.fragment.bytes, frame.fragment.size, &features) != VP8_STATUS_OK) {
    fail_damaged(job, "the frame header cannot be read");
  }
  if (features.width != frame.width || features.height != frame.height) {
    fail_damaged(job, fmt::format("a frame is {} x {} pixels, its header says {} x {}",
                                  features.width, features.height, frame.width, frame.height));
  }
  Rgba out{nullptr, frame.width, frame.height};
  const std::size_t stride = std::size_t{4} * frame.width;
  const std::size_t n_bytes = stride * frame.height;
  out.pixels.reset(new std::uint8_t[n_bytes]);
  if (!WebPDecodeRGBAInto(frame.fragment.bytes, frame.fragment.size, out.pixels.get(), n_bytes,
                          static_cast<int>(stride))) {
    fail_damaged(job, "the compressed pixels cannot be decoded");
  }
  return out;
}

}  // namespace

Decoded decode_webp(const DecodeJob& job) {
  const WebPData data{job.data(), job.size()};
  WebPBitstreamFeatures features;
  if (WebPGetFeatures(data.bytes, data.size, &features) != VP8_STATUS_OK)
    fail_damaged(job, kIncomplete);
  check_image_size(job, features.width, features.height);
  const Demuxer demuxer(WebPDemux(&data));
  if (!demuxer) fail_damaged(job, kIncomplete);
  const int width = static_cast<int>(WebPDemuxGetI(demuxer.get(), WEBP_FF_CANVAS_WIDTH));
  const int height = static_cast<int>(WebPDemuxGetI(demuxer.get(), WEBP_FF_CANVAS_HEIGHT));
  check_image_size(job, width, height);
  FrameIterator iterator;
  const WebPIterator& frame = iterator.frame;
  if (!WebPDemuxGetFrame(demuxer.get(), 1, &iterator.frame) || !frame.complete) {
    fail_damaged(job, kIncomplete);
  }
  if (frame.x_offset < 0 || frame.y_offset < 0 || frame.width > width - frame.x_offset ||
      frame.height > height - frame.y_offset) {
    fail_damaged(job, "the first frame reaches outside the canvas");
  }
  const Rgba rgba = decode_frame(job, frame);

  Decoded out{reserve_image(width, height)};
  const Loader loader = features.has_alpha ? job.loader : Loader::hf;
  const std::uint8_t transparent[4] = {0, 0, 0, 0};
  for (int y = 0; y < height; ++y) {
    std::uint8_t* rgb = append_row(out.image);
    const bool has_pixels = y >= frame.y_offset && y < frame.y_offset + frame.height;
    if (!has_pixels || frame.width < width) {
      for (int x = 0; x < width; ++x) rgb_from_rgba(rgb + 3 * x, transparent, 1, loader);
    }
    if (has_pixels) {
      const std::size_t offset = std::size_t{4} * rgba.width * (y - frame.y_offset);
      rgb_from_rgba(rgb + 3 * frame.x_offset, rgba.pixels.get() + offset, frame.width, loader);
    }
  }
  out.orientation = find_orientation(demuxer.get());
  return out;
}

}  // namespace qwenvl
