// Finds when something happens in a video of any length: a coarse look at everything that moves,
// a fine look at what matters, under a budget of visual tokens that does not grow with the length.
// Every call throws qwenvl::Error.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "qwenvl/engine.h"

namespace qwenvl {

// How a model is asked whether a part of the video shows what is looked for.
enum class Judge {
  automatic,  // yes_no, unless the model answers neither yes nor no
  yes_no,     // by the likelihood of "yes"; the time is asked for where that is likely
  events,     // all events are listed; the one whose words are nearest counts
};
const char* name_of(Judge judge);

// What is going on, for a progress bar.
struct LocalizeProgress {
  std::string stage;  // "measure", "coarse", "fine"
  double done = 0, total = 0;
  double seconds_left = -1;  // of this stage; below 0: not known yet
};

struct LocalizeOptions {
  std::string query;  // "a dog jumps over the fence"
  // A video, open already or opened with VideoOptions(); video_start, video_end and the size of
  // frames count.
  Clip video;
  std::int64_t max_video_tokens = 16'384;  // of all looks together
  // Frames of a second. The first look takes fewer where the budget demands it, down to an eighth.
  double fps = 2;
  int window_frames = 16;  // most frames of one look
  Judge judge = Judge::automatic;
  double min_confidence = 0.3;  // events below are not reported
  // Answers are kept in this file as they come, and taken from there when the same is asked again;
  // "": they are not. A file of another video or model is refused.
  std::string state_path;
  std::string model;  // its name, for that file
  std::function<void(const LocalizeProgress&)> on_progress;
  // Reads one answer to its end; unset: collect(). A caller may cancel the stream: localize() then
  // throws ErrorKind::cancelled, and can be called again with the same state file.
  std::function<Answer(EventStream&)> read_answer;
};

struct FoundEvent {
  double begin = 0, end = 0;  // seconds of the video
  double confidence = 0;      // 0 … 1
  std::string description;    // the model's words, or the query
};

struct LocalizeReport {
  std::vector<FoundEvent> events;  // the most certain first; they do not overlap
  double video_seconds = 0;
  double active_seconds = 0;      // in which something changes
  double coarse_seconds = 0;      // that the coarse pass looked at
  int n_coarse = 0, n_fine = 0;   // windows
  int n_known = 0;                // of those, from the state file
  std::int64_t video_tokens = 0;  // spent, with those of the state file
  Judge judge = Judge::automatic;
  std::vector<std::string> warnings;
};

LocalizeReport localize(Engine& engine, const LocalizeOptions& options);

}  // namespace qwenvl
