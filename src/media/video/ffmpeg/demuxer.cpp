// Opens a container through our own reader of bytes, finds its video, and reads the packets.
// Before: video.cpp has a source.   After: packet_index.cpp, decoder.cpp.
#include "media/video/ffmpeg/demuxer.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>

#include "core/check.h"
#include "media/video/ffmpeg/functions.inl"

namespace qwenvl {
namespace {

constexpr int kIoBufferBytes = 64 << 10;
constexpr int kProbeBytes = 1 << 20;
constexpr int kMostReadFailures = 16;  // without a packet between them

// Containers that are lists of other files or need a network or a script. None of them could open
// anything (no protocol is permitted), but this way the message says why.
constexpr std::array<std::string_view, 16> kReferringFormats = {
    "hls",    "dash", "concat", "concatf", "sdp",      "rtsp",        "rtp",
    "sap",    "imf",  "mlv",    "vobsub",  "avisynth", "vapoursynth", "webm_dash_manifest",
    "image2", "lavfi"};

bool is_referring(std::string_view names) {
  while (!names.empty()) {
    const std::string_view name = names.substr(0, names.find(','));
    if (std::find(kReferringFormats.begin(), kReferringFormats.end(), name) !=
        kReferringFormats.end()) {
      return true;
    }
    names.remove_prefix(std::min(names.size(), name.size() + 1));
  }
  return false;
}

int on_read(void* opaque, std::uint8_t* out, int n) {
  ByteReader& bytes = *static_cast<ByteReader*>(opaque);
  const std::int64_t n_read =
      bytes.read({reinterpret_cast<std::byte*>(out), static_cast<std::size_t>(n)});
  if (n_read < 0) return AVERROR(EIO);
  return n_read == 0 ? AVERROR_EOF : static_cast<int>(n_read);
}

std::int64_t on_seek(void* opaque, std::int64_t offset, int whence) {
  ByteReader& bytes = *static_cast<ByteReader*>(opaque);
  if (whence == AVSEEK_SIZE) return bytes.size();
  const int from = whence & ~AVSEEK_FORCE;
  const std::int64_t base = from == SEEK_CUR   ? bytes.position()
                            : from == SEEK_END ? bytes.size()
                                               : 0;
  std::int64_t target = 0;
  if (__builtin_add_overflow(base, offset, &target) || target < 0) return AVERROR(EINVAL);
  bytes.move_to(target);
  return target;
}

int refuse_to_open(AVFormatContext*, AVIOContext**, const char*, int, AVDictionary**) {
  return AVERROR(EPERM);
}

Io make_io(ByteReader& bytes) {
  auto* buffer = static_cast<unsigned char*>(av_malloc(kIoBufferBytes));
  if (!buffer) throw std::bad_alloc();
  AVIOContext* io =
      avio_alloc_context(buffer, kIoBufferBytes, 0, &bytes, on_read, nullptr, on_seek);
  if (!io) av_free(buffer);
  return owned<Io>(io);
}

const AVInputFormat* probe(AVIOContext* io) {
  const AVInputFormat* format = nullptr;
  const int score = av_probe_input_buffer2(io, &format, "", nullptr, 0, kProbeBytes);
  // Scores this low only say that nothing speaks against it.
  return score > AVPROBE_SCORE_RETRY / 2 ? format : nullptr;
}

// The display matrix that the container carries, if any.
const std::int32_t* display_matrix(const AVStream& stream) {
#if LIBAVFORMAT_VERSION_INT >= AV_VERSION_INT(60, 15, 100)
  const AVPacketSideData* data =
      av_packet_side_data_get(stream.codecpar->coded_side_data, stream.codecpar->nb_coded_side_data,
                              AV_PKT_DATA_DISPLAYMATRIX);
  return data && data->size >= 36 ? reinterpret_cast<const std::int32_t*>(data->data) : nullptr;
#else
  std::size_t n_bytes = 0;
  const std::uint8_t* data = av_stream_get_side_data(&stream, AV_PKT_DATA_DISPLAYMATRIX, &n_bytes);
  return data && n_bytes >= 36 ? reinterpret_cast<const std::int32_t*>(data) : nullptr;
#endif
}

int rotation_of(const AVStream& stream) {
  const std::int32_t* matrix = display_matrix(stream);
  if (!matrix) return 0;
  const double counterclockwise = av_display_rotation_get(matrix);
  if (!std::isfinite(counterclockwise)) return 0;
  const int quarters = static_cast<int>(std::lround(-counterclockwise / 90));
  return ((quarters % 4) + 4) % 4 * 90;
}

void check_size(const std::string& name, int width, int height, const VideoLimits& limits) {
  if (width >= 1 && height >= 1 && width <= limits.max_side_px && height <= limits.max_side_px &&
      std::int64_t{width} * height <= limits.max_pixels) {
    return;
  }
  fail(ErrorKind::bad_file,
       "{}: frames of {} x {} pixels, expected 1 x 1 to {} pixels in all and {} a side", name,
       width, height, limits.max_pixels, limits.max_side_px);
}

}  // namespace

std::string container_of(const VideoSource& source) {
  prepare_ffmpeg();
  ByteReader bytes(source);
  const Io io = make_io(bytes);
  const AVInputFormat* format = probe(io.get());
  return format ? format->name : "";
}

Demuxer::Demuxer(const VideoSource& source, const VideoLimits& limits)
    : name_(source.name), limits_(limits), bytes_(source) {
  prepare_ffmpeg();
  if (bytes_.size() == 0)
    fail(ErrorKind::bad_file, "{}: is empty (0 bytes), expected a video", name_);
  io_ = make_io(bytes_);
  open();
  choose_stream();
  describe();
}

void Demuxer::open() {
  const AVInputFormat* container = probe(io_.get());
  if (!container) {
    fail(ErrorKind::bad_file, "{}: not a video: its {} bytes begin like no container FFmpeg knows",
         name_, bytes_.size());
  }
  if ((container->flags & AVFMT_NOFILE) != 0 || is_referring(container->name)) {
    fail(ErrorKind::unsupported,
         "{}: is of the kind '{}', which names other files or streams; expected a file that holds "
         "the video itself",
         name_, container->name);
  }
  AVFormatContext* format = owned<Format>(avformat_alloc_context()).release();
  format->pb = io_.get();
  format->io_open = refuse_to_open;
  format->protocol_whitelist = av_strdup("none");
  // Corrupt packets are kept: what decodes of them is used.
  int status = avformat_open_input(&format, "", container, nullptr);  // frees it on failure
  if (status < 0) {
    fail(ErrorKind::bad_file, "{}: cannot be opened as {}: {} (damaged or cut off?)", name_,
         container->name, ffmpeg_error(status));
  }
  format_.reset(format);
  // What the headers claim is checked before decoders look at frames for what they do not say.
  for (unsigned i = 0; i < format->nb_streams; ++i) {
    const AVCodecParameters& claimed = *format->streams[i]->codecpar;
    if (claimed.codec_type == AVMEDIA_TYPE_VIDEO && (claimed.width != 0 || claimed.height != 0))
      check_size(name_, claimed.width, claimed.height, limits_);
  }
  status = avformat_find_stream_info(format, nullptr);
  if (status < 0) {
    fail(ErrorKind::bad_file, "{}: the streams cannot be read: {}", name_, ffmpeg_error(status));
  }
}

void Demuxer::choose_stream() {
  bool has_sound = false, has_unknown = false;
  for (unsigned i = 0; i < format_->nb_streams; ++i) {
    const AVMediaType type = format_->streams[i]->codecpar->codec_type;
    has_sound = has_sound || type == AVMEDIA_TYPE_AUDIO;
    has_unknown = has_unknown || type == AVMEDIA_TYPE_VIDEO;
  }
  stream_ = av_find_best_stream(format_.get(), AVMEDIA_TYPE_VIDEO, -1, -1, nullptr, 0);
  const bool is_cover = stream_ >= 0 && (stream().disposition & AV_DISPOSITION_ATTACHED_PIC) != 0;
  if (stream_ < 0 || is_cover) {
    const char* what = has_sound     ? "holds sound but no video"
                       : has_unknown ? "holds video that cannot be read"
                                     : "holds no video";
    fail(ErrorKind::bad_file, "{}: {} ({}), expected a stream of pictures", name_, what,
         format_->iformat->name);
  }
  for (unsigned i = 0; i < format_->nb_streams; ++i) {
    if (static_cast<int>(i) != stream_) format_->streams[i]->discard = AVDISCARD_ALL;
  }
}

void Demuxer::describe() {
  const AVCodecParameters& codec = *stream().codecpar;
  check_size(name_, codec.width, codec.height, limits_);
  info_.name = name_;
  info_.container = format_->iformat->name;
  info_.codec = avcodec_get_name(codec.codec_id);
  info_.rotation_degrees = rotation_of(stream());
  info_.width = codec.width;
  info_.height = codec.height;
  if (info_.rotation_degrees % 180 != 0) std::swap(info_.width, info_.height);
  info_.is_interlaced = codec.field_order > AV_FIELD_PROGRESSIVE;
}

const AVStream& Demuxer::stream() const { return *format_->streams[stream_]; }

double Demuxer::seconds(std::int64_t timestamp) const {
  // Multiplied first, as torchcodec does.
  return static_cast<double>(timestamp) * stream().time_base.num / stream().time_base.den;
}

double Demuxer::announced_fps() const {
  const AVRational rate = stream().avg_frame_rate;
  const double fps = rate.num > 0 && rate.den > 0 ? av_q2d(rate) : 0;
  return fps <= limits_.max_fps ? fps : 0;
}

double Demuxer::announced_seconds() const {
  if (stream().duration > 0) return seconds(stream().duration);
  const bool is_all = format_->nb_streams == 1;  // else it may be the sound's
  return is_all && format_->duration > 0 ? static_cast<double>(format_->duration) / AV_TIME_BASE
                                         : 0;
}

bool Demuxer::read(AVPacket& packet) {
  for (int n_failures = 0; n_failures < kMostReadFailures;) {
    av_packet_unref(&packet);
    const int status = av_read_frame(format_.get(), &packet);
    if (status == AVERROR_EOF) return false;
    if (status < 0) {  // also for memory: packets that claim more than prepare_ffmpeg() permits
      ++n_failures;    // some containers find their way again
      ++n_damaged_places_;
    } else if (packet.stream_index == stream_) {
      return true;
    }
  }
  return false;
}

void Demuxer::rewind() {
  // Opened anew: not every container can seek, and this way all is as it was the first time.
  format_.reset();
  io_.reset();
  bytes_.move_to(0);
  io_ = make_io(bytes_);
  open();
  choose_stream();
}

bool Demuxer::seek(std::int64_t timestamp) {
  return av_seek_frame(format_.get(), stream_, timestamp, AVSEEK_FLAG_BACKWARD) >= 0;
}

}  // namespace qwenvl
