// FFmpeg's objects with owners, its error codes in words, its log in ours. Private to
// src/media/video. Before: demuxer.cpp, decoder.cpp and frame_pixels.cpp call FFmpeg.   After:
// FFmpeg.
#pragma once

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libswscale/swscale.h>
}

#include <cstdint>
#include <memory>
#include <new>
#include <string>

namespace qwenvl {

struct FormatDeleter {
  void operator()(AVFormatContext* format) const { avformat_close_input(&format); }
};
struct IoDeleter {
  void operator()(AVIOContext* io) const {
    av_freep(&io->buffer);
    avio_context_free(&io);
  }
};
struct CodecDeleter {
  void operator()(AVCodecContext* codec) const { avcodec_free_context(&codec); }
};
struct PacketDeleter {
  void operator()(AVPacket* packet) const { av_packet_free(&packet); }
};
struct FrameDeleter {
  void operator()(AVFrame* frame) const { av_frame_free(&frame); }
};
struct ScalerDeleter {
  void operator()(SwsContext* scaler) const { sws_freeContext(scaler); }
};

using Format = std::unique_ptr<AVFormatContext, FormatDeleter>;
using Io = std::unique_ptr<AVIOContext, IoDeleter>;
using Codec = std::unique_ptr<AVCodecContext, CodecDeleter>;
using Packet = std::unique_ptr<AVPacket, PacketDeleter>;
using Frame = std::unique_ptr<AVFrame, FrameDeleter>;
using Scaler = std::unique_ptr<SwsContext, ScalerDeleter>;

template <class Owner>
Owner owned(typename Owner::pointer object) {
  if (!object) throw std::bad_alloc();
  return Owner(object);
}

// "Invalid data found when processing input"
std::string ffmpeg_error(int code);

// Once per process: FFmpeg's messages go to our log (debug) instead of standard error, and no
// single allocation of FFmpeg's is larger than any permitted frame needs.
void prepare_ffmpeg();

}  // namespace qwenvl
