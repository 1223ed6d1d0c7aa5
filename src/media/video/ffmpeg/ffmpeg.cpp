// Before: the files of this folder.   After: FFmpeg.
#include "media/video/ffmpeg/ffmpeg.h"

#include <cstdarg>
#include <mutex>

#include "core/check.h"
#include "core/log.h"
#include "media/video/ffmpeg/functions.inl"

namespace qwenvl {
namespace {

// A frame of the largest size with 16 bits of four channels.
constexpr std::size_t kMostBytesAtOnce = std::size_t{8192} * 8192 * 8;

void on_message(void* source, int level, const char* format, std::va_list arguments) {
  if (level > AV_LOG_WARNING || !is_logged(LogLevel::debug)) return;
  char line[512];
  int is_line_start = 1;
  av_log_format_line2(source, level, format, arguments, line, sizeof line, &is_line_start);
  std::string text(line);
  while (!text.empty() && text.back() == '\n') text.pop_back();
  if (!text.empty()) log(LogLevel::debug, "ffmpeg: {}", text);
}

// Structures grow from one minor version to the next: of an older one we would read what is not
// there.
void refuse_older(const char* name, unsigned found, unsigned expected) {
  const auto text = [](unsigned version) {
    return fmt::format("{}.{}", version >> 16, version >> 8 & 255);
  };
  if (found >> 8 < expected >> 8) {  // without the micro version
    fail(ErrorKind::device,
         "videos need {} {} or later, with which this program was built; found {}", name,
         text(expected), text(found));
  }
}

}  // namespace

void FfmpegDeleter::operator()(AVFormatContext* format) const { avformat_close_input(&format); }
void FfmpegDeleter::operator()(AVIOContext* io) const {
  av_freep(&io->buffer);
  avio_context_free(&io);
}
void FfmpegDeleter::operator()(AVCodecContext* codec) const { avcodec_free_context(&codec); }
void FfmpegDeleter::operator()(AVPacket* packet) const { av_packet_free(&packet); }
void FfmpegDeleter::operator()(AVFrame* frame) const { av_frame_free(&frame); }
void FfmpegDeleter::operator()(SwsContext* scaler) const { sws_freeContext(scaler); }

std::string ffmpeg_error(int code) {
  char text[AV_ERROR_MAX_STRING_SIZE] = {};
  av_strerror(code, text, sizeof text);
  return text;
}

void prepare_ffmpeg() {
  static std::once_flag once;
  std::call_once(once, [] {
    refuse_older("libavutil", avutil_version(), LIBAVUTIL_VERSION_INT);
    refuse_older("libswscale", swscale_version(), LIBSWSCALE_VERSION_INT);
    refuse_older("libavcodec", avcodec_version(), LIBAVCODEC_VERSION_INT);
    refuse_older("libavformat", avformat_version(), LIBAVFORMAT_VERSION_INT);
    av_log_set_callback(on_message);
    av_max_alloc(kMostBytesAtOnce);
  });
}

void load_video_libraries() noexcept {
  ffmpeg::avutil.try_load();
  ffmpeg::avcodec.try_load();
  ffmpeg::avformat.try_load();
  ffmpeg::swscale.try_load();
}

}  // namespace qwenvl
