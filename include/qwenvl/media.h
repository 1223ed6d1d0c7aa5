// Pictures and clips: what a request may hold, and what is reported about them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

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
  double fps = 2.0;      // at which the frames were sampled: frame i shows the second i / fps
  PictureOptions frame;  // of each frame
  // Shrinks the frames of long clips: each gets at most twice this, divided by their number.
  std::optional<std::int64_t> total_pixels;
};

// Moving pictures, given as their frames in order of time. All have one size; their own options
// stay unset. Where their number is odd, the last one counts twice.
struct Clip {
  std::string name;  // for reports; "": the first frame's
  std::vector<Picture> frames;
  ClipOptions options;
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
  int n_frames = 0;  // as given
  double fps = 0;
  double seconds = 0;                           // n_frames / fps
  int original_width = 0, original_height = 0;  // of each frame
  int processed_width = 0, processed_height = 0;
  int n_tokens = 0;
};

}  // namespace qwenvl
