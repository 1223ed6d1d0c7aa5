// FFmpeg's objects with owners, its error codes in words, its log in ours. Private to
// src/media/video. Before: demuxer.cpp, decoder.cpp and frame_pixels.cpp call FFmpeg.   After:
// FFmpeg.
#pragma once

#include <memory>
#include <new>
#include <string>

// FFmpeg's own headers are included where its objects are looked into.
struct AVCodecContext;
struct AVFormatContext;
struct AVFrame;
struct AVIOContext;
struct AVPacket;
struct AVStream;
struct SwsContext;

namespace qwenvl {

struct FfmpegDeleter {
  void operator()(AVFormatContext* format) const;
  void operator()(AVIOContext* io) const;
  void operator()(AVCodecContext* codec) const;
  void operator()(AVPacket* packet) const;
  void operator()(AVFrame* frame) const;
  void operator()(SwsContext* scaler) const;
};

using Format = std::unique_ptr<AVFormatContext, FfmpegDeleter>;
using Io = std::unique_ptr<AVIOContext, FfmpegDeleter>;
using Codec = std::unique_ptr<AVCodecContext, FfmpegDeleter>;
using Packet = std::unique_ptr<AVPacket, FfmpegDeleter>;
using Frame = std::unique_ptr<AVFrame, FfmpegDeleter>;
using Scaler = std::unique_ptr<SwsContext, FfmpegDeleter>;

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

// Loads FFmpeg's libraries now instead of when the first video is opened.
void load_video_libraries() noexcept;

}  // namespace qwenvl
