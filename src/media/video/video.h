// A video as its frames in order of time: what is known about it, when each frame is shown, and the
// pixels of the frames that were chosen.
// Before: a path, or bytes that were fetched.   After: the model's sampler makes a FrameSchedule
// from the FrameIndex, and FrameStream (frame_stream.h) hands its frames over.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "media/image.h"
#include "qwenvl/video.h"

namespace qwenvl {

// Which reader of the reference is followed where they differ.
enum class ReaderStyle {
  torchcodec,  // the rate is measured; chroma is enlarged by a bicubic filter
  decord,      // the rate is what the file claims; chroma is enlarged by a bilinear filter
};

struct VideoLimits {
  std::int64_t max_pixels = 8192 * 8192;  // of a frame
  std::int64_t max_side_px = 16'383;
  std::int64_t max_frames = 1 << 24;  // three days at 60 a second
  double max_fps = 1e5;
};

// What the file says about itself.
struct VideoInfo {
  std::string name;
  std::string container, codec;  // in FFmpeg's words
  int width = 0, height = 0;     // as shown: turned
  int rotation_degrees = 0;      // clockwise, that the file asks for: 0, 90, 180 or 270
  double average_fps = 0;        // never 0
  bool is_interlaced = false;
  std::uint64_t fingerprint = 0;  // of its packets: tells videos of one name and length apart
};

// When each frame is shown.
struct FrameIndex {
  std::vector<double> seconds;  // ascending
  double end_seconds = 0;       // of the last frame

  std::int64_t size() const { return static_cast<std::int64_t>(seconds.size()); }
  // Frames by time from the first's begin to the last's end; 0 where no time passes.
  double average_fps() const;
};

// Which frames are wanted: what a sampler decides and a reader carries out.
// Frames 2k and 2k + 1 are a pair: the model sees them as one temporal patch.
struct FrameSchedule {
  std::vector<std::int64_t> frames;  // of the index, ascending; one may be wanted twice
  double fps = 0;                    // what the model is told their rate is, where it is even
  // Uneven schedules: when each pair's first frame is shown, in seconds after the first pair's.
  // Empty: evenly, at `fps`.
  std::vector<double> pair_seconds;
  std::vector<double> pair_detail;   // pixels of each pair compared with the usual; empty: all 1
  std::vector<Moment> pair_moments;  // why each pair was chosen; empty: evenly
};

// 8-bit luma, [height, width].
struct LumaImage {
  int height = 0, width = 0;
  std::vector<std::uint8_t> values;
};

// One frame is current at a time. Not for several threads at once.
class VideoReader {
 public:
  virtual ~VideoReader() = default;
  virtual const VideoInfo& info() const = 0;
  virtual const FrameIndex& index() const = 0;

  // Makes a frame of the index the current one; quick for later frames, and it seeks where that is
  // quicker than decoding all between. False: this frame is lost, and the one before it that
  // decodes (at the beginning the one after) stands in. Throws bad_file when none decodes.
  virtual bool move_to(std::int64_t frame) = 0;
  virtual Image rgb() const = 0;  // of the current frame, turned as the file asks
  // The same, shrunk to this size: quickly where it is the original's, divided by a whole number
  // and rounded down.
  virtual LumaImage luma(int height, int width) const = 0;

  // What was repaired, lost or left as it is, so far; each in one sentence.
  virtual std::vector<std::string> warnings() const = 0;
  // Frames that are wanted from now on are those of another request.
  virtual void forget_losses() {}
};

// Bytes that a video is in: a file on disk, read as it is needed, or memory.
struct VideoSource {
  std::string name;  // for messages
  std::string path;  // "": `bytes` is the file
  std::vector<std::byte> bytes;
};

// Anything FFmpeg reads, and animated WebP. Throws bad_file, unsupported, out_of_memory; sizes and
// rates are checked before memory is taken for them. No other file is ever opened, whatever a
// playlist in the source may name. The whole file is read once, to know when each frame is shown.
std::unique_ptr<VideoReader> open_video(VideoSource source, ReaderStyle style,
                                        const VideoLimits& limits = {});

// Whether the bytes are a video or sound in a container that FFmpeg knows (an animation of several
// frames, too). Reads no more than the beginning of most sources.
bool is_video(const VideoSource& source);

}  // namespace qwenvl
