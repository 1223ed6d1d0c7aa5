// Pictures and clips: what a request may hold, and what is reported about them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "qwenvl/video.h"

namespace qwenvl {

// How large a picture is made for the model. Unset fields take the checkpoint's values.
struct PictureOptions {
  std::optional<std::int64_t> min_pixels;  // of the resized picture
  std::optional<std::int64_t> max_pixels;
  std::optional<int> resized_height;  // asks for this size (rounded to the model's grid);
  std::optional<int> resized_width;   // both or neither
};

struct Picture {
  std::string source;            // path, file://, data:, http(s)://, "-" (standard input)
  std::vector<std::byte> bytes;  // when not empty: the file itself; `source` is only its name
  PictureOptions options;
};

// How a clip is sampled and how large its frames are made.
struct ClipOptions {
  // A list of frames: the rate at which they were sampled, so that frame i shows the second i /
  // fps. A video: how many frames of a second are seen. Unset: 2.
  std::optional<double> fps;
  PictureOptions frame;  // of each frame
  // Shrinks the frames of long clips: each gets at most twice this, divided by their number.
  std::optional<std::int64_t> total_pixels;
  // Of videos only. How many frames are seen: n_frames, made even; or as fps says, but no fewer
  // than min_frames (4) and no more than max_frames (768).
  std::optional<std::int64_t> n_frames, min_frames, max_frames;
  std::optional<double> video_start, video_end;  // seconds: the part that is seen
  // Of videos only. Frames are chosen by what happens, instead of evenly; excludes fps, n_frames
  // and min_frames. Where max_tokens is unset, the clip has what the context leaves beside the text
  // and the answer.
  std::optional<DynamicSampling> dynamic;
  // The most tokens the whole clip may be: its frames are made smaller, though not below
  // min_pixels. What cannot be kept is refused.
  std::optional<std::int64_t> max_tokens;
};

// Moving pictures: a list of frames in order of time, or a video.
struct Clip {
  std::string name;  // for reports; "": the source's or the first frame's
  // All of one size; their own options stay unset. Where their number is odd, the last counts
  // twice.
  std::vector<Picture> frames;
  ClipOptions options;
  std::string source{};            // of a video, when there are no frames: as a picture's
  std::vector<std::byte> bytes{};  // when not empty: the video itself
  std::shared_ptr<Video> video{};  // when set: the open video, instead of source and bytes
};

// A picture as the model saw it. Coordinates in answers are in the processed size.
struct PictureInfo {
  std::string name;
  int original_width = 0, original_height = 0;
  int processed_width = 0, processed_height = 0;
  int n_tokens = 0;
};

struct ClipInfo {
  std::string name;
  int n_frames = 0;                             // that the model sees
  double fps = 0;                               // of those
  double seconds = 0;                           // n_frames / fps
  int original_width = 0, original_height = 0;  // of each frame
  int processed_width = 0, processed_height = 0;
  int n_tokens = 0;
  // Of videos only.
  std::int64_t n_video_frames = 0;
  double video_fps = 0;               // on average
  double video_end_seconds = 0;       // after the video's last frame
  std::vector<double> frame_seconds;  // when each of n_frames is shown
  std::vector<PlannedPair> pairs;     // of those frames: why they were chosen, and their sizes
  std::int64_t max_tokens = 0;        // the budget that was kept; 0: none
  std::vector<std::string> warnings;  // what was repaired, lost, or left as it is
};

}  // namespace qwenvl
