// One pass over all packets → when each frame is shown.
// Before: demuxer.cpp reads packets.   After: reader.cpp finds frames with it.
// Mirrors how torchcodec (seek mode "exact") counts frames and measures a video's length; unlike
// it, repairs timestamps that are missing, repeated or run backwards, and says so.
#include "media/video/packet_index.h"

#include <xxhash.h>

#include <algorithm>

#include "core/check.h"
#include "media/video/ffmpeg/functions.inl"

namespace qwenvl {
namespace {

constexpr double kShortfall = 0.95;      // of the announced length; what is below is missing
constexpr double kLongestSeconds = 1e9;  // thirty years: what is above cannot be meant

struct PacketTime {
  std::int64_t begin, end;
  bool is_key;
};

// Packets in order of the file, as timestamps that only go on: where a file begins to count anew
// (joined recordings), what follows is moved behind what came before.
class PacketTimes {
 public:
  void add(const AVPacket& packet) {
    const bool has_pts = packet.pts != AV_NOPTS_VALUE;
    std::int64_t begin = has_pts ? packet.pts : packet.dts;
    if (!has_pts) ++n_without_pts;
    if (begin == AV_NOPTS_VALUE) {
      ++n_without_any;
      begin = 0;
    }
    if (packet.dts != AV_NOPTS_VALUE) {
      if (packet.dts < last_dts_) {
        ++n_restarts;
        shift_ = saturated(latest_end_, -begin);
      }
      last_dts_ = packet.dts;
    }
    begin = saturated(begin, shift_);
    const std::int64_t end = saturated(begin, std::max<std::int64_t>(packet.duration, 0));
    latest_end_ = times.empty() ? end : std::max(latest_end_, end);
    times.push_back({begin, end, (packet.flags & AV_PKT_FLAG_KEY) != 0});
  }

  std::vector<PacketTime> times;
  std::int64_t n_without_pts = 0, n_without_any = 0, n_restarts = 0;

 private:
  static std::int64_t saturated(std::int64_t a, std::int64_t b) {
    constexpr std::int64_t kMost = std::int64_t{1} << 60;
    return std::clamp(std::clamp(a, -kMost, kMost) + std::clamp(b, -kMost, kMost), -kMost, kMost);
  }

  std::int64_t last_dts_ = INT64_MIN, latest_end_ = 0, shift_ = 0;
};

// Frames with one time share the time until the next.
std::int64_t spread_repeated(FrameIndex& frames) {
  std::int64_t n_repeated = 0;
  std::vector<double>& s = frames.seconds;
  for (std::size_t first = 0; first < s.size();) {
    std::size_t next = first + 1;
    while (next < s.size() && s[next] <= s[first]) ++next;
    const std::size_t n = next - first;
    const double until = next < s.size() ? s[next] : std::max(frames.end_seconds, s[first]);
    const double from = s[first];
    for (std::size_t i = 1; i < n; ++i) {
      s[first + i] = from + (until - from) * static_cast<double>(i) / static_cast<double>(n);
    }
    n_repeated += static_cast<std::int64_t>(n) - 1;
    first = next;
  }
  return n_repeated;
}

void count_evenly(FrameIndex& frames, double fps) {
  for (std::size_t i = 0; i < frames.seconds.size(); ++i)
    frames.seconds[i] = static_cast<double>(i) / fps;
  frames.end_seconds = static_cast<double>(frames.seconds.size()) / fps;
}

void warn_of_repairs(const PacketTimes& packets, std::int64_t n_repeated, double fps,
                     PacketIndex& index) {
  const std::int64_t n = index.frames.size();
  if (packets.n_without_any > 0) {
    index.warnings.push_back(fmt::format(
        "{} of {} frames have no time: all are taken to follow each other at {:.6g} a second",
        packets.n_without_any, n, fps));
    return;
  }
  if (packets.n_restarts > 0) {
    index.warnings.push_back(
        fmt::format("the file's clock runs backwards {} times: what follows is taken to go on "
                    "without a gap",
                    packets.n_restarts));
  }
  if (n_repeated > 0) {
    index.warnings.push_back(
        fmt::format("{} of {} frames repeat the time of another: they are spread until the next",
                    n_repeated, n));
  }
}

// `n_hidden` frames are there, but the file asks not to show them.
void warn_of_losses(const Demuxer& demuxer, std::int64_t n_hidden, PacketIndex& index) {
  if (demuxer.n_damaged_places() > 0) {
    index.warnings.push_back(fmt::format("the container is damaged: {} places could not be read",
                                         demuxer.n_damaged_places()));
  }
  const std::int64_t n_announced = demuxer.stream().nb_frames;
  const std::int64_t n = index.frames.size();
  // Some containers count a late beginning in.
  const double seconds = index.frames.end_seconds - std::min(index.frames.seconds.front(), 0.0);
  if (n_announced > 0 &&
      static_cast<double>(n + n_hidden) < kShortfall * static_cast<double>(n_announced)) {
    index.warnings.push_back(
        fmt::format("the file is incomplete: it announces {} frames and holds {}", n_announced, n));
  } else if (n_hidden == 0 && seconds < kShortfall * demuxer.announced_seconds()) {
    index.warnings.push_back(
        fmt::format("the file is incomplete: it announces {:.2f} s of video and holds {:.2f} s",
                    demuxer.announced_seconds(), seconds));
  }
}

}  // namespace

double FrameIndex::average_fps() const {
  if (seconds.empty() || !(end_seconds > seconds.front())) return 0;
  return static_cast<double>(seconds.size()) / (end_seconds - seconds.front());
}

PacketIndex index_packets(Demuxer& demuxer, const VideoLimits& limits) {
  const std::string& name = demuxer.info().name;
  PacketTimes packets;
  PacketIndex out;
  std::int64_t n_hidden = 0;
  const Packet packet = owned<Packet>(av_packet_alloc());
  while (demuxer.read(*packet)) {
    out.fingerprint =
        XXH3_64bits_withSeed(packet->data, static_cast<std::size_t>(packet->size), out.fingerprint);
    if ((packet->flags & AV_PKT_FLAG_DISCARD) != 0) {
      ++n_hidden;
      continue;
    }
    packets.add(*packet);
    if (static_cast<std::int64_t>(packets.times.size()) > limits.max_frames) {
      fail(ErrorKind::bad_file, "{}: more than {} frames, the most a video may have", name,
           limits.max_frames);
    }
  }
  if (packets.times.empty()) {
    fail(ErrorKind::bad_file, "{}: the video stream holds no frames (cut off or damaged?)", name);
  }
  std::stable_sort(packets.times.begin(), packets.times.end(),
                   [](const PacketTime& a, const PacketTime& b) { return a.begin < b.begin; });

  out.frames.seconds.reserve(packets.times.size());
  out.frames.end_seconds = demuxer.seconds(packets.times.front().end);
  for (const PacketTime& time : packets.times) {
    out.frames.seconds.push_back(demuxer.seconds(time.begin));
    out.frames.end_seconds = std::max(out.frames.end_seconds, demuxer.seconds(time.end));
  }
  const double announced_fps = demuxer.announced_fps();
  const double fps = announced_fps > 0 ? announced_fps : kFallbackFps;
  if (packets.n_without_any > 0) count_evenly(out.frames, fps);
  const std::int64_t n_repeated = spread_repeated(out.frames);
  out.has_timestamps = packets.n_without_pts == 0 && packets.n_restarts == 0 && n_repeated == 0;
  if (out.has_timestamps) {
    for (std::size_t i = 0; i < packets.times.size(); ++i) {
      if (packets.times[i].is_key)
        out.keyframes.push_back({static_cast<std::int64_t>(i), packets.times[i].begin});
    }
  }
  if (out.frames.end_seconds - out.frames.seconds.front() > kLongestSeconds ||
      out.frames.average_fps() > limits.max_fps) {
    fail(ErrorKind::bad_file,
         "{}: {} frames from {:.6g} s to {:.6g} s, expected at most {:.0f} frames a second and "
         "thirty years",
         name, out.frames.size(), out.frames.seconds.front(), out.frames.end_seconds,
         limits.max_fps);
  }
  warn_of_repairs(packets, n_repeated, fps, out);
  warn_of_losses(demuxer, n_hidden, out);
  demuxer.rewind();
  return out;
}

}  // namespace qwenvl
