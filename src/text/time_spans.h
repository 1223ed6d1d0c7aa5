// Spans of time in the text of an answer.
// Before: detokenizer.h gives the text.   After: engine/answers/times.cpp makes seconds of the
// video of them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace qwenvl {

// Seconds as the answer means them.
struct FoundSpan {
  double begin = 0, end = 0;  // ascending; the same for a moment
  std::string description;    // bounded: label_text.h
  bool is_moment = false;     // one time was written, not two
};

// All spans in the order of the text. Of JSON (fenced or not, cut off anywhere): objects with
// start_time and end_time (also start, end, begin, …) or a "timestamp" of two times, described by
// their description; where there is none, of prose: "2.0 - 5.0 seconds", "from 00:12 to 01:05.50",
// "2秒到5秒", "at 3.5 s", described by the sentence around them.
// An object with one of its two times (cut off, say) gives no span. Any bytes are accepted; the
// time is linear in their number.
std::vector<FoundSpan> scan_spans(std::string_view answer);

}  // namespace qwenvl
