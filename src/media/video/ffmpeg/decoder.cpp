// Before: demuxer.cpp reads packets.   After: reader.cpp picks frames, frame_pixels.cpp converts
// them.
#include "media/video/ffmpeg/decoder.h"

#include <algorithm>

#include "core/check.h"
#include "core/thread_pool.h"
#include "media/video/ffmpeg/functions.inl"

namespace qwenvl {
namespace {

// Each thread holds frames of its own, so more would cost memory rather than save time.
constexpr int kMostThreads = 4;

}  // namespace

Decoder::Decoder(Demuxer& demuxer, const VideoLimits& limits)
    : demuxer_(demuxer), limits_(limits), packet_(owned<Packet>(av_packet_alloc())) {
  open();
}

void Decoder::open() {
  const VideoInfo& info = demuxer_.info();
  const AVCodecParameters& parameters = *demuxer_.stream().codecpar;
  const AVCodec* decoder = avcodec_find_decoder(parameters.codec_id);
  if (!decoder) {
    fail(ErrorKind::unsupported, "{}: this FFmpeg has no decoder for '{}' video", info.name,
         info.codec);
  }
  codec_ = owned<Codec>(avcodec_alloc_context3(decoder));
  int status = avcodec_parameters_to_context(codec_.get(), &parameters);
  codec_->pkt_timebase = demuxer_.stream().time_base;
  codec_->thread_count = std::min(available_cores(), kMostThreads);
  codec_->max_pixels = limits_.max_pixels;  // checked for every frame before memory is taken
  if (status >= 0) status = avcodec_open2(codec_.get(), decoder, nullptr);
  if (status == AVERROR(ENOMEM)) throw std::bad_alloc();
  if (status < 0) {
    fail(ErrorKind::bad_file, "{}: the '{}' decoder refuses the stream: {}", info.name, info.codec,
         ffmpeg_error(status));
  }
}

void Decoder::feed() {
  const bool has_packet = demuxer_.read(*packet_);
  const int status = avcodec_send_packet(codec_.get(), has_packet ? packet_.get() : nullptr);
  if (status == AVERROR(ENOMEM)) throw std::bad_alloc();
  if (status < 0 && status != AVERROR_EOF) ++n_failures_;
  is_at_end_ = !has_packet;
}

bool Decoder::next(AVFrame& frame) {
  for (;;) {
    const int status = avcodec_receive_frame(codec_.get(), &frame);
    if (status >= 0) return true;
    if (status == AVERROR(ENOMEM)) throw std::bad_alloc();
    if (status == AVERROR_EOF) return false;
    if (status == AVERROR(EAGAIN)) {
      if (is_at_end_) return false;
      feed();
    } else {
      ++n_failures_;
      if (is_at_end_) return false;
      feed();
    }
  }
}

void Decoder::flush() {
  avcodec_flush_buffers(codec_.get());
  is_at_end_ = false;
}

}  // namespace qwenvl
