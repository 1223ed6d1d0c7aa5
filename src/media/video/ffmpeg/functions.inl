// FFmpeg's functions that we call, loaded when the first video is opened. Include it instead of
// FFmpeg's own headers wherever one of them is called; one that is not listed here does not link.
// Before: the files of src/media/video call them.   After: FFmpeg.
#pragma once

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/display.h>
#include <libavutil/frame.h>
#include <libavutil/opt.h>
#include <libavutil/pixdesc.h>
#include <libswscale/swscale.h>
}

#include "core/delayed_library.h"

// The major version whose headers were compiled with; prepare_ffmpeg() refuses an older minor one.
#if defined(__APPLE__)
#define QWENVL_FFMPEG_FILE(name, version) "lib" name "." AV_STRINGIFY(version) ".dylib"
#else
#define QWENVL_FFMPEG_FILE(name, version) "lib" name ".so." AV_STRINGIFY(version)
#endif
#define QWENVL_FFMPEG_LIBRARY(name, version)        \
  inline constinit DelayedLibrary name(             \
      QWENVL_FFMPEG_FILE(#name, version), "videos", \
      "FFmpeg's libraries (Debian: lib" #name AV_STRINGIFY(version) ")")
#define QWENVL_FFMPEG(library, function) \
  inline constinit const DelayedFunction<decltype(::function)> function(ffmpeg::library, #function)

namespace qwenvl {

// Some have attributes (what they allocate, that their result counts) that a type does not carry.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wignored-attributes"

namespace ffmpeg {
QWENVL_FFMPEG_LIBRARY(avutil, LIBAVUTIL_VERSION_MAJOR);
QWENVL_FFMPEG_LIBRARY(avcodec, LIBAVCODEC_VERSION_MAJOR);
QWENVL_FFMPEG_LIBRARY(avformat, LIBAVFORMAT_VERSION_MAJOR);
QWENVL_FFMPEG_LIBRARY(swscale, LIBSWSCALE_VERSION_MAJOR);
}  // namespace ffmpeg

QWENVL_FFMPEG(avutil, av_display_rotation_get);
QWENVL_FFMPEG(avutil, av_frame_alloc);
QWENVL_FFMPEG(avutil, av_frame_free);
QWENVL_FFMPEG(avutil, av_frame_get_buffer);
QWENVL_FFMPEG(avutil, av_frame_make_writable);
QWENVL_FFMPEG(avutil, av_frame_unref);
QWENVL_FFMPEG(avutil, av_free);
QWENVL_FFMPEG(avutil, av_freep);
QWENVL_FFMPEG(avutil, av_get_pix_fmt_name);
QWENVL_FFMPEG(avutil, av_log_format_line2);
QWENVL_FFMPEG(avutil, av_log_set_callback);
QWENVL_FFMPEG(avutil, av_malloc);
QWENVL_FFMPEG(avutil, av_max_alloc);
QWENVL_FFMPEG(avutil, av_opt_set);
QWENVL_FFMPEG(avutil, av_pix_fmt_desc_get);
QWENVL_FFMPEG(avutil, av_strdup);
QWENVL_FFMPEG(avutil, av_strerror);
QWENVL_FFMPEG(avutil, avutil_version);

QWENVL_FFMPEG(avcodec, avcodec_version);
QWENVL_FFMPEG(avcodec, av_packet_alloc);
QWENVL_FFMPEG(avcodec, av_packet_free);
QWENVL_FFMPEG(avcodec, av_packet_rescale_ts);
QWENVL_FFMPEG(avcodec, av_packet_unref);
#if LIBAVFORMAT_VERSION_INT >= AV_VERSION_INT(60, 15, 100)
QWENVL_FFMPEG(avcodec, av_packet_side_data_get);
#endif
QWENVL_FFMPEG(avcodec, avcodec_alloc_context3);
QWENVL_FFMPEG(avcodec, avcodec_find_decoder);
QWENVL_FFMPEG(avcodec, avcodec_find_encoder_by_name);
QWENVL_FFMPEG(avcodec, avcodec_flush_buffers);
QWENVL_FFMPEG(avcodec, avcodec_free_context);
QWENVL_FFMPEG(avcodec, avcodec_get_name);
QWENVL_FFMPEG(avcodec, avcodec_open2);
QWENVL_FFMPEG(avcodec, avcodec_parameters_from_context);
QWENVL_FFMPEG(avcodec, avcodec_parameters_to_context);
QWENVL_FFMPEG(avcodec, avcodec_receive_frame);
QWENVL_FFMPEG(avcodec, avcodec_receive_packet);
QWENVL_FFMPEG(avcodec, avcodec_send_frame);
QWENVL_FFMPEG(avcodec, avcodec_send_packet);

QWENVL_FFMPEG(avformat, avformat_version);
QWENVL_FFMPEG(avformat, av_find_best_stream);
QWENVL_FFMPEG(avformat, av_interleaved_write_frame);
QWENVL_FFMPEG(avformat, av_probe_input_buffer2);
QWENVL_FFMPEG(avformat, av_read_frame);
QWENVL_FFMPEG(avformat, av_seek_frame);
#if LIBAVFORMAT_VERSION_INT < AV_VERSION_INT(60, 15, 100)
QWENVL_FFMPEG(avformat, av_stream_get_side_data);
#endif
QWENVL_FFMPEG(avformat, av_write_trailer);
QWENVL_FFMPEG(avformat, avformat_alloc_context);
QWENVL_FFMPEG(avformat, avformat_alloc_output_context2);
QWENVL_FFMPEG(avformat, avformat_close_input);
QWENVL_FFMPEG(avformat, avformat_find_stream_info);
QWENVL_FFMPEG(avformat, avformat_free_context);
QWENVL_FFMPEG(avformat, avformat_new_stream);
QWENVL_FFMPEG(avformat, avformat_open_input);
QWENVL_FFMPEG(avformat, avformat_write_header);
QWENVL_FFMPEG(avformat, avio_alloc_context);
QWENVL_FFMPEG(avformat, avio_closep);
QWENVL_FFMPEG(avformat, avio_context_free);
QWENVL_FFMPEG(avformat, avio_open);

QWENVL_FFMPEG(swscale, sws_freeContext);
QWENVL_FFMPEG(swscale, sws_getCachedContext);
QWENVL_FFMPEG(swscale, sws_getCoefficients);
QWENVL_FFMPEG(swscale, sws_getColorspaceDetails);
QWENVL_FFMPEG(swscale, sws_scale);
QWENVL_FFMPEG(swscale, sws_setColorspaceDetails);
QWENVL_FFMPEG(swscale, swscale_version);

#pragma GCC diagnostic pop

}  // namespace qwenvl
