// Times in answers about clips: found in the text, and put into seconds of the video they belong
// to. What find_marks() is for places, find_times() is for times. Every call throws qwenvl::Error.
#pragma once

#include <string>
#include <vector>

#include "qwenvl/media.h"

namespace qwenvl {

struct TimeSpan {
  double begin = 0, end = 0;  // seconds, ascending; a moment has both alike
  std::string description;    // what the answer says about it; may be ""
  bool is_moment = false;     // the answer names one time, not two
  bool is_outside = false;    // to_video_time(): the answer names a time that was not seen
};

// The times of an answer in any of the model's formats, in the order of the text: sentences
// ("happens in 64.0 - 72.0 seconds", "from 00:12 to 01:05.50", "2秒到5秒", "at 3.5 s"), and JSON
// with start_time and end_time (also fenced or cut off; what has only one of the two is left out).
// The clocks are mm:ss, mm:ss.ff and hh:mm:ss. Times count from the beginning of what the model
// saw. Nothing that is a time: an empty list.
std::vector<TimeSpan> find_times(const std::string& answer);

// The same span in seconds of the original video, given what was seen of it: where the clip began,
// and when each frame is really shown. Parts beyond what was seen are cut off; a span that lies
// there altogether is put at the end and is_outside. A list of frames is its own original.
TimeSpan to_video_time(const TimeSpan& span, const ClipInfo& clip);

// "00:12.50", and from an hour on "1:00:12.50".
std::string clock_text(double seconds);

}  // namespace qwenvl
