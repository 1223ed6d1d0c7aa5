// Before: engine/answers/excerpts.cpp knows which part.   After: FFmpeg encodes and writes.
#include "media/video/clip_writer.h"

#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "core/new_file.h"
#include "media/video/ffmpeg/ffmpeg.h"
#include "media/video/ffmpeg/functions.inl"

namespace qwenvl {
namespace {

constexpr AVRational kClock = {1, 90000};
constexpr int kMostFrameRate = 1000;  // that an encoder is told

struct OutputDeleter {
  void operator()(AVFormatContext* format) const {
    if (format->pb) avio_closep(&format->pb);
    avformat_free_context(format);
  }
};
using Output = std::unique_ptr<AVFormatContext, OutputDeleter>;

class ClipWriter {
 public:
  ClipWriter(const std::string& path, int height, int width, double fps)
      : path_(path),
        file_(path),
        height_(height),
        width_(width),
        packet_(owned<Packet>(av_packet_alloc())) {
    prepare_ffmpeg();
    AVFormatContext* format = nullptr;
    check(avformat_alloc_output_context2(&format, nullptr, "mp4", nullptr), "set up");
    output_.reset(format);
    open_encoder(fps);
    open_file();
    frame_ = owned<Frame>(av_frame_alloc());
    frame_->format = codec_->pix_fmt;
    frame_->width = codec_->width;
    frame_->height = codec_->height;
    check(av_frame_get_buffer(frame_.get(), 0), "set up");
  }

  void add(const Image& image, double seconds);
  void finish();
  std::string encoder() const { return codec_->codec->name; }

 private:
  void open_encoder(double fps);
  void open_file();
  void drain();
  void check(int status, const char* what) const {
    if (status == AVERROR(ENOMEM)) throw std::bad_alloc();
    if (status >= 0) return;
    fail(ErrorKind::device, "{}: the clip cannot be {}: {}", quoted(path_), what,
         ffmpeg_error(status));
  }

  const std::string path_;
  NewFile file_;  // before output_, which writes it
  const int height_, width_;
  Output output_;
  Codec codec_;
  Packet packet_;
  Frame frame_;
  Scaler scaler_;
  std::int64_t last_ = -1;  // time of the latest frame
};

void ClipWriter::open_encoder(double fps) {
  // Small sides are enlarged: encoders take nothing below a block.
  const auto side = [](int n) { return std::max(16, n / 2 * 2); };
  for (const char* name : {"libx264", "libopenh264", "mpeg4"}) {
    const AVCodec* encoder = avcodec_find_encoder_by_name(name);
    if (!encoder) continue;
    codec_ = owned<Codec>(avcodec_alloc_context3(encoder));
    codec_->width = side(width_);
    codec_->height = side(height_);
    codec_->pix_fmt = AV_PIX_FMT_YUV420P;
    codec_->time_base = kClock;
    const double rate = std::clamp(fps, 1.0, static_cast<double>(kMostFrameRate));
    codec_->framerate = {static_cast<int>(std::lround(rate * 1000)), 1000};
    codec_->colorspace = AVCOL_SPC_SMPTE170M;  // what libswscale makes of RGB unless told otherwise
    codec_->color_range = AVCOL_RANGE_MPEG;
    codec_->gop_size = 48;
    codec_->max_b_frames = 0;
    const bool is_mpeg4 = std::string(name) == "mpeg4";
    if (is_mpeg4) {
      // Its clock has 16 bits only.
      codec_->time_base = {1, 60000};
      codec_->flags |= AV_CODEC_FLAG_QSCALE;
      codec_->global_quality = 3 * FF_QP2LAMBDA;
    }
    if ((output_->oformat->flags & AVFMT_GLOBALHEADER) != 0)
      codec_->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
    av_opt_set(codec_->priv_data, "crf", "18", 0);  // only libx264 has these
    av_opt_set(codec_->priv_data, "preset", "veryfast", 0);
    if (avcodec_open2(codec_.get(), encoder, nullptr) >= 0) return;
  }
  fail(ErrorKind::unsupported,
       "{}: this FFmpeg encodes neither H.264 nor MPEG-4: clips cannot be cut", quoted(path_));
}

void ClipWriter::open_file() {
  AVStream* stream = avformat_new_stream(output_.get(), nullptr);
  if (!stream) throw std::bad_alloc();
  stream->time_base = kClock;
  stream->avg_frame_rate = codec_->framerate;
  check(avcodec_parameters_from_context(stream->codecpar, codec_.get()), "set up");
  check(avio_open(&output_->pb, ("file:" + file_.path()).c_str(), AVIO_FLAG_WRITE), "opened");
  check(avformat_write_header(output_.get(), nullptr), "begun");
}

void ClipWriter::add(const Image& image, double seconds) {
  scaler_.reset(sws_getCachedContext(scaler_.release(), image.width, image.height, AV_PIX_FMT_RGB24,
                                     codec_->width, codec_->height, codec_->pix_fmt, SWS_BICUBIC,
                                     nullptr, nullptr, nullptr));
  if (!scaler_) throw std::bad_alloc();
  check(av_frame_make_writable(frame_.get()), "encoded");
  const std::uint8_t* rows[] = {image.rgb.data()};
  const int strides[] = {3 * image.width};
  sws_scale(scaler_.get(), rows, strides, 0, image.height, frame_->data, frame_->linesize);
  const AVRational clock = codec_->time_base;
  const auto time = static_cast<std::int64_t>(std::llround(seconds * clock.den / clock.num));
  last_ = std::max(last_ + 1, time);  // encoders insist
  frame_->pts = last_;
  check(avcodec_send_frame(codec_.get(), frame_.get()), "encoded");
  drain();
}

void ClipWriter::drain() {
  for (;;) {
    const int status = avcodec_receive_packet(codec_.get(), packet_.get());
    if (status == AVERROR(EAGAIN) || status == AVERROR_EOF) return;
    check(status, "encoded");
    packet_->stream_index = 0;
    av_packet_rescale_ts(packet_.get(), codec_->time_base, output_->streams[0]->time_base);
    check(av_interleaved_write_frame(output_.get(), packet_.get()), "written");
  }
}

void ClipWriter::finish() {
  check(avcodec_send_frame(codec_.get(), nullptr), "encoded");
  drain();
  check(av_write_trailer(output_.get()), "completed");
  check(avio_closep(&output_->pb), "completed");
  file_.keep();
}

}  // namespace

WrittenClip write_clip(VideoReader& reader, double begin, double end, const std::string& path) {
  const FrameIndex& index = reader.index();
  const auto at = [&](double seconds) {
    return std::lower_bound(index.seconds.begin(), index.seconds.end(), seconds) -
           index.seconds.begin();
  };
  const std::int64_t first = std::min<std::int64_t>(at(begin), index.size() - 1);
  const std::int64_t last = std::clamp<std::int64_t>(at(end), first + 1, index.size());
  const auto shown = [&](std::int64_t i) { return index.seconds[static_cast<std::size_t>(i)]; };
  WrittenClip written{last - first, shown(first),
                      last < index.size() ? shown(last) : index.end_seconds, ""};
  ClipWriter writer(path, reader.info().height, reader.info().width, reader.info().average_fps);
  for (std::int64_t i = first; i < last; ++i) {
    reader.move_to(i);
    writer.add(reader.rgb(), shown(i) - written.begin);
  }
  writer.finish();
  written.encoder = writer.encoder();
  return written;
}

}  // namespace qwenvl
