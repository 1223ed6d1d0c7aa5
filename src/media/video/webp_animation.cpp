// An animated WebP as a video, with libwebp: FFmpeg decodes it from version 8 on only.
// Before: video.cpp recognised the bytes.   After: frame_stream.cpp asks for frames of a schedule.
// Frames are whole canvases with their transparency dropped, as in Pillow's convert("RGB").
#include <webp/demux.h>
#include <xxhash.h>

#include <algorithm>
#include <cstring>

#include "core/check.h"
#include "media/video/ffmpeg/byte_reader.h"
#include "media/video/ffmpeg/frame_pixels.h"
#include "media/video/ffmpeg/functions.inl"
#include "media/video/reader.h"

namespace qwenvl {
namespace {

constexpr std::int64_t kMostFileBytes = 512 << 20;  // libwebp wants all in memory
constexpr int kUsualMilliseconds = 100;             // of frames that state no duration
constexpr std::size_t kRiffHeaderBytes = 8;

struct DecoderDeleter {
  void operator()(WebPAnimDecoder* decoder) const { WebPAnimDecoderDelete(decoder); }
};
struct DemuxerDeleter {
  void operator()(WebPDemuxer* demuxer) const { WebPDemuxDelete(demuxer); }
};
using AnimationDecoder = std::unique_ptr<WebPAnimDecoder, DecoderDeleter>;
using Container = std::unique_ptr<WebPDemuxer, DemuxerDeleter>;

std::vector<std::byte> all_bytes(const VideoSource& source) {
  ByteReader reader(source);
  if (reader.size() > kMostFileBytes) {
    fail(ErrorKind::bad_file, "{}: the animation has {} bytes, expected at most {}", source.name,
         reader.size(), kMostFileBytes);
  }
  std::vector<std::byte> bytes(static_cast<std::size_t>(reader.size()));
  for (std::size_t n = 0; n < bytes.size();) {
    const std::int64_t n_read = reader.read(std::span(bytes).subspan(n));
    if (n_read <= 0) fail(ErrorKind::device, "{}: cannot be read to its end", source.name);
    n += static_cast<std::size_t>(n_read);
  }
  return bytes;
}

class WebpReader final : public VideoReader {
 public:
  WebpReader(const VideoSource& source, ReaderStyle style, const VideoLimits& limits)
      : bytes_(all_bytes(source)), pixels_(source.name, 0, style) {
    info_.name = source.name;
    info_.container = info_.codec = "webp";
    info_.fingerprint = XXH3_64bits(bytes_.data(), bytes_.size());
    list_frames(limits);
    cut_behind_last_frame();
    const WebPData data{start(), bytes_.size()};
    decoder_.reset(WebPAnimDecoderNew(&data, nullptr));
    if (!decoder_) fail_damaged("its frames cannot be read");
  }

  const VideoInfo& info() const override { return info_; }
  const FrameIndex& index() const override { return index_; }
  bool move_to(std::int64_t frame) override;
  Image rgb() const override { return pixels_.rgb(*canvas_, info_.height, info_.width); }
  LumaImage luma(int height, int width) const override {
    return pixels_.luma(*canvas_, height, width);
  }
  std::vector<std::string> warnings() const override;

 private:
  const std::uint8_t* start() const { return reinterpret_cast<const std::uint8_t*>(bytes_.data()); }
  [[noreturn]] void fail_damaged(const char* what) const {
    fail(ErrorKind::bad_file, "{}: damaged WebP: {} (cut off?)", info_.name, what);
  }
  void check_size(const VideoLimits& limits) const;
  void list_frames(const VideoLimits& limits);
  void add_frame(const WebPIterator& frame);
  void cut_behind_last_frame();
  bool decode_next();

  std::vector<std::byte> bytes_;
  mutable FramePixels pixels_;  // keeps scalers
  VideoInfo info_;
  FrameIndex index_;
  std::size_t end_of_frames_ = 0;
  std::int64_t end_milliseconds_ = 0;  // of the frames listed so far
  std::int64_t n_without_duration_ = 0, n_lost_ = 0;
  AnimationDecoder decoder_;
  Frame canvas_ = owned<Frame>(av_frame_alloc());  // looks at the decoder's, which it does not own
  std::int64_t current_ = -1;
  bool is_cut_off_ = false, is_at_end_ = false;
};

void WebpReader::check_size(const VideoLimits& limits) const {
  const int width = info_.width, height = info_.height;
  if (width < 1 || height < 1 || width > limits.max_side_px || height > limits.max_side_px ||
      std::int64_t{width} * height > limits.max_pixels) {
    fail(ErrorKind::bad_file, "{}: frames of {} x {} pixels, expected at most {} in all",
         info_.name, width, height, limits.max_pixels);
  }
}

void WebpReader::add_frame(const WebPIterator& frame) {
  if (frame.duration <= 0) ++n_without_duration_;
  index_.seconds.push_back(static_cast<double>(end_milliseconds_) / 1000);
  end_milliseconds_ += frame.duration > 0 ? frame.duration : kUsualMilliseconds;
  index_.end_seconds = static_cast<double>(end_milliseconds_) / 1000;
  end_of_frames_ = static_cast<std::size_t>(frame.fragment.bytes + frame.fragment.size - start());
}

void WebpReader::list_frames(const VideoLimits& limits) {
  const WebPData data{start(), bytes_.size()};
  WebPDemuxState state = WEBP_DEMUX_PARSE_ERROR;
  const Container container(WebPDemuxPartial(&data, &state));
  if (!container || state < WEBP_DEMUX_PARSED_HEADER) fail_damaged("its header cannot be read");
  info_.width = static_cast<int>(WebPDemuxGetI(container.get(), WEBP_FF_CANVAS_WIDTH));
  info_.height = static_cast<int>(WebPDemuxGetI(container.get(), WEBP_FF_CANVAS_HEIGHT));
  check_size(limits);
  is_cut_off_ = state != WEBP_DEMUX_DONE;
  WebPIterator frame{};
  for (int ok = WebPDemuxGetFrame(container.get(), 1, &frame);
       ok && frame.complete && index_.size() < limits.max_frames; ok = WebPDemuxNextFrame(&frame)) {
    add_frame(frame);
  }
  WebPDemuxReleaseIterator(&frame);
  if (index_.size() == 0) fail_damaged("no frame is complete");
  info_.average_fps = index_.average_fps();
}

// The decoder refuses files that are cut off: what is there is made a whole file of fewer frames.
void WebpReader::cut_behind_last_frame() {
  if (!is_cut_off_) return;
  end_of_frames_ += end_of_frames_ % 2;  // chunks are padded
  bytes_.resize(end_of_frames_);
  const std::size_t n = end_of_frames_ - kRiffHeaderBytes;
  for (std::size_t i = 0; i < 4; ++i) bytes_[4 + i] = static_cast<std::byte>(n >> 8 * i & 0xff);
}

bool WebpReader::decode_next() {
  std::uint8_t* canvas = nullptr;
  int end_milliseconds = 0;
  if (is_at_end_ || !WebPAnimDecoderGetNext(decoder_.get(), &canvas, &end_milliseconds)) {
    is_at_end_ = true;
    return false;
  }
  canvas_->format = AV_PIX_FMT_RGBA;
  canvas_->width = info_.width;
  canvas_->height = info_.height;
  canvas_->data[0] = canvas;
  canvas_->linesize[0] = 4 * info_.width;
  ++current_;
  return true;
}

bool WebpReader::move_to(std::int64_t frame) {
  QWENVL_CHECK(frame >= 0 && frame < index_.size(), "frame {} of {}", frame, index_.size());
  if (frame < current_) {  // every frame is drawn over the one before it
    WebPAnimDecoderReset(decoder_.get());
    current_ = -1;
    is_at_end_ = false;
  }
  while (current_ < frame && decode_next()) continue;
  if (current_ < 0) fail_damaged("no frame decodes");
  if (current_ == frame) return true;
  ++n_lost_;
  return false;
}

std::vector<std::string> WebpReader::warnings() const {
  std::vector<std::string> out;
  if (is_cut_off_) {
    out.push_back(fmt::format("the file is incomplete: {} frames of it are whole", index_.size()));
  }
  if (n_without_duration_ > 0) {
    out.push_back(fmt::format("{} of {} frames have no duration: each is taken to last {} ms",
                              n_without_duration_, index_.size(), kUsualMilliseconds));
  }
  if (n_lost_ > 0) {
    out.push_back(fmt::format(
        "{} of the chosen frames are lost: the last that decodes stands in for them", n_lost_));
  }
  return out;
}

}  // namespace

std::unique_ptr<VideoReader> open_webp(const VideoSource& source, ReaderStyle style,
                                       const VideoLimits& limits) {
  return std::make_unique<WebpReader>(source, style, limits);
}

}  // namespace qwenvl
