// A video through FFmpeg: frames of the index, one current at a time.
// Before: open_video() has a source.   After: frame_stream.cpp asks for the frames of a schedule.
#include "media/video/reader.h"

#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "media/video/ffmpeg/decoder.h"
#include "media/video/ffmpeg/demuxer.h"
#include "media/video/ffmpeg/frame_pixels.h"
#include "media/video/ffmpeg/functions.inl"
#include "media/video/packet_index.h"

namespace qwenvl {
namespace {

class FfmpegReader final : public VideoReader {
 public:
  FfmpegReader(VideoSource source, ReaderStyle style, const VideoLimits& limits)
      : source_(std::move(source)),
        demuxer_(source_, limits),
        index_(index_packets(demuxer_, limits)),
        info_(demuxer_.info()),
        decoder_(demuxer_, limits),
        pixels_(source_.name, demuxer_.info().rotation_degrees, style),
        current_{-1, owned<Frame>(av_frame_alloc())},
        ahead_{-1, owned<Frame>(av_frame_alloc())} {
    info_.average_fps = average_fps(style);
    info_.fingerprint = index_.fingerprint;
  }

  const VideoInfo& info() const override { return info_; }
  const FrameIndex& index() const override { return index_.frames; }
  bool move_to(std::int64_t frame) override;
  Image rgb() const override { return pixels_.rgb(*current_.pixels, info().height, info().width); }
  LumaImage luma(int height, int width) const override {
    return pixels_.luma(*current_.pixels, height, width);
  }
  std::vector<std::string> warnings() const override;
  void forget_losses() override { n_lost_ = 0; }

 private:
  struct Decoded {
    std::int64_t frame;  // of the index; -1: none
    Frame pixels;
  };

  double average_fps(ReaderStyle style) const;
  void go_before(std::int64_t frame);
  bool jump_to(const Keyframe& key, std::int64_t frame);
  void restart();
  bool decode_ahead();
  std::int64_t frame_of(const AVFrame& decoded) const;

  const VideoSource source_;
  Demuxer demuxer_;
  const PacketIndex index_;
  VideoInfo info_;
  Decoder decoder_;
  mutable FramePixels pixels_;  // keeps scalers
  Decoded current_, ahead_;
  std::int64_t last_decoded_ = -1;  // the latest frame that came out of the decoder
  bool is_at_end_ = false, is_open_ = true;
  bool may_seek_ = true;
  bool has_other_sizes_ = false;
  std::int64_t n_lost_ = 0;  // wanted frames that did not decode
};

double FfmpegReader::average_fps(ReaderStyle style) const {
  const double measured = index_.frames.average_fps(), announced = demuxer_.announced_fps();
  const double first = style == ReaderStyle::torchcodec ? measured : announced;
  const double second = style == ReaderStyle::torchcodec ? announced : measured;
  return first > 0 ? first : second > 0 ? second : kFallbackFps;
}

std::int64_t FfmpegReader::frame_of(const AVFrame& decoded) const {
  const std::int64_t following = std::min(last_decoded_ + 1, index_.frames.size() - 1);
  if (!index_.has_timestamps) return following;
  const std::int64_t timestamp = decoded.pts != AV_NOPTS_VALUE ? decoded.pts : decoded.pkt_dts;
  if (timestamp == AV_NOPTS_VALUE) return following;
  const std::vector<double>& seconds = index_.frames.seconds;
  const auto found = std::lower_bound(seconds.begin(), seconds.end(), demuxer_.seconds(timestamp));
  return std::min<std::int64_t>(found - seconds.begin(), index_.frames.size() - 1);
}

bool FfmpegReader::decode_ahead() {
  if (is_at_end_) return false;
  av_frame_unref(ahead_.pixels.get());
  ahead_.frame = -1;
  if (!decoder_.next(*ahead_.pixels)) {
    is_at_end_ = true;
    return false;
  }
  ahead_.frame = last_decoded_ = frame_of(*ahead_.pixels);
  return true;
}

void FfmpegReader::restart() {
  is_open_ = false;  // should the file not be what it was
  last_decoded_ = current_.frame = ahead_.frame = -1;
  demuxer_.rewind();
  decoder_.flush();
  is_at_end_ = false;
  is_open_ = true;
}

// Goes on from the keyframe; false where the container lands behind what was looked for.
bool FfmpegReader::jump_to(const Keyframe& key, std::int64_t frame) {
  if (!demuxer_.seek(key.timestamp)) return false;
  decoder_.flush();
  current_.frame = ahead_.frame = -1;
  last_decoded_ = key.frame - 1;
  is_at_end_ = false;
  return decode_ahead() && ahead_.frame <= frame;
}

// Sees to it that `frame` is still to come: decoding goes on from here, or from a keyframe nearer
// to it, or from the beginning.
void FfmpegReader::go_before(std::int64_t frame) {
  const bool is_behind = current_.frame > frame;
  const auto after =
      std::upper_bound(index_.keyframes.begin(), index_.keyframes.end(), frame,
                       [](std::int64_t f, const Keyframe& key) { return f < key.frame; });
  if (may_seek_ && after != index_.keyframes.begin()) {
    const Keyframe& key = *std::prev(after);
    if (!is_behind && key.frame <= last_decoded_ + 1) return;
    if (jump_to(key, frame)) return;
    may_seek_ = false;
    restart();
  } else if (is_behind) {
    restart();
  }
}

bool FfmpegReader::move_to(std::int64_t frame) {
  QWENVL_CHECK(frame >= 0 && frame < index_.frames.size(), "frame {} of {}", frame,
               index_.frames.size());
  if (!is_open_) restart();
  if (current_.frame == frame) return true;
  go_before(frame);
  while ((ahead_.frame >= 0 || decode_ahead()) && ahead_.frame <= frame) {
    std::swap(current_, ahead_);
    ahead_.frame = -1;
  }
  if (current_.frame < 0) std::swap(current_, ahead_);
  if (current_.frame < 0) {
    fail(ErrorKind::bad_file, "{}: no frame of its {} decodes ({} packets of '{}' are damaged)",
         info_.name, index_.frames.size(), decoder_.n_failures(), info().codec);
  }
  const AVCodecParameters& usual = *demuxer_.stream().codecpar;
  if (current_.pixels->width != usual.width || current_.pixels->height != usual.height)
    has_other_sizes_ = true;
  if (current_.frame == frame) return true;
  ++n_lost_;
  return false;
}

std::vector<std::string> FfmpegReader::warnings() const {
  std::vector<std::string> out = index_.warnings;
  if (info().is_interlaced)
    out.push_back("the video is interlaced: both fields of a frame are shown together, as stored");
  if (decoder_.n_failures() > 0)
    out.push_back(fmt::format("{} damaged packets did not decode", decoder_.n_failures()));
  if (n_lost_ > 0) {
    out.push_back(fmt::format(
        "{} of the chosen frames are lost: the nearest that decode stand in for them", n_lost_));
  }
  if (has_other_sizes_) {
    out.push_back(fmt::format("the size changes on the way: all frames are shown as {} x {}",
                              info().width, info().height));
  }
  return out;
}

}  // namespace

std::unique_ptr<VideoReader> open_with_ffmpeg(VideoSource source, ReaderStyle style,
                                              const VideoLimits& limits) {
  return std::make_unique<FfmpegReader>(std::move(source), style, limits);
}

}  // namespace qwenvl
