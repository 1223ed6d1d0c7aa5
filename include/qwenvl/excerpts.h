// Events of a video as files: cut out as clips, or drawn on a contact sheet. Every call throws
// qwenvl::Error.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "qwenvl/localize.h"

namespace qwenvl {

struct CutClip {
  std::string path;
  double begin = 0, end = 0;  // seconds of the video: of its first frame, and after its last
  int n_frames = 0;
  std::string encoder;  // "libx264", or "mpeg4" where FFmpeg has no H.264 encoder
};

// Called before each event with its number.
using CutProgress = std::function<void(std::size_t i)>;

// Each event as an MP4 file of its own in `folder`, which exists: "01-00m12.50s.mp4" and so on.
// Cuts are exact to the frame, which takes encoding anew; frames keep their times. Without sound.
std::vector<CutClip> cut_events(const Clip& video, const std::vector<FoundEvent>& events,
                                const std::string& folder, const CutProgress& progress = {});

// Frames from all over the video and from each event (the first 40) with their times, and a line of
// time that shows where the events are; written as PNG.
void draw_contact_sheet(const Clip& video, const std::vector<FoundEvent>& events,
                        const std::string& png_path);

}  // namespace qwenvl
