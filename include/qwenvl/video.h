// Videos that are opened once and asked about many times, and how their frames are chosen.
//
//   auto video = qwenvl::Video::open("match.mp4");
//   Clip clip;
//   clip.video = video;                                   // any number of clips, of any engine
//   clip.options.video_start = 60, clip.options.video_end = 90;
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace qwenvl {

struct VideoSource;

// How closely a moment is looked at depends on what happens in it. Unlike spacing keeps time right:
// the model is told when each pair of frames is shown.
struct DynamicSampling {
  // Frames of a second.
  double cut_fps = 15;          // around a cut from one scene to the next
  double motion_fps = 10;       // where things move
  double text_fps = 24;         // where text appears or changes
  double calm_fps = 2;          // where little happens
  double still_fps = 0.5;       // where nothing does
  double around_seconds = 0.5;  // how far around a cut, and around text that appears
  double text_detail = 2;       // pixels of a frame with text, compared with the others'
  // How strong a signal (VideoSignals) has to be.
  double cut_threshold = 0.3;
  double motion_threshold = 0.01;
  double text_threshold = 0.12;     // of blocks that are complete within a second
  double change_threshold = 0.005;  // below it, nothing happens: stillness above 1 - this

  bool operator==(const DynamicSampling&) const = default;
};

// Why a pair of frames was chosen; `even`: as any other, at one rate.
enum class Moment { even, cut, motion, text, calm, still };
const char* name_of(Moment moment);

// What the file is.
struct VideoFacts {
  std::string name;
  std::string container, codec;  // in FFmpeg's words
  int width = 0, height = 0;     // as shown: turned
  int rotation_degrees = 0;      // clockwise, that the file asks for
  bool is_interlaced = false;
  double average_fps = 0;
  std::int64_t n_frames = 0;
  double begin_seconds = 0, end_seconds = 0;  // of the first frame, and after the last
  std::vector<std::string> warnings;          // what was repaired, lost, or left as it is
};

// What happens when: one value for each moment that was looked at, all 0 (not at all) to 1.
struct VideoSignals {
  std::vector<double> seconds;  // of the video, ascending
  std::vector<float> cut, motion, text, stillness;
};

// Two frames that the model sees as one temporal patch.
struct PlannedPair {
  double seconds = 0;                  // of the video, when the first is shown
  std::int64_t first = 0, second = 0;  // frames of the video, counted from 0
  Moment why = Moment::even;
  int width = 0, height = 0;  // that it is made
  int n_tokens = 0;
};

// Which frames a request would see, and what they cost.
struct VideoPlan {
  std::vector<PlannedPair> pairs;
  double fps = 0;  // that the model is told, where pairs follow evenly
  std::int64_t n_tokens = 0;
  std::int64_t max_tokens = 0;  // the budget; 0: none
};

struct VideoOptions {
  std::string reader = "torchcodec";  // as EngineOptions::video_reader, in whose place it is taken
};

// Seconds of the video that were looked at, and all there are; false stops (throws cancelled).
using VideoProgress = std::function<bool(double done, double total)>;

// An open video. Its packets are listed once, when it is opened; every clip that holds it decodes
// only the frames it needs. Any number of threads and engines may use it: they take turns.
class Video {
 public:
  // A path, file:// or http(s):// address.
  static std::shared_ptr<Video> open(const std::string& source, const VideoOptions& options = {});
  // The file itself, called `name` in messages.
  static std::shared_ptr<Video> open(std::string name, std::vector<std::byte> bytes,
                                     const VideoOptions& options = {});
  ~Video();
  Video(const Video&) = delete;
  Video& operator=(const Video&) = delete;

  const VideoFacts& facts() const;
  // When each frame is shown, ascending.
  const std::vector<double>& frame_seconds() const;
  // Decodes the whole video the first time, at low resolution; dynamic sampling uses the same.
  const VideoSignals& signals(const VideoProgress& progress = {});

 private:
  friend class MediaInputs;
  struct State;
  explicit Video(std::unique_ptr<State> state);
  static std::shared_ptr<Video> opened(VideoSource source, const VideoOptions& options);
  const std::unique_ptr<State> state_;
};

}  // namespace qwenvl
