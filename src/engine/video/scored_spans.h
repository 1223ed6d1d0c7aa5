// Spans of a video with how likely they show what is looked for.
// Before: window_answer.cpp weighs what a model says.   After: localize.cpp reports the best.
#pragma once

#include <string>
#include <vector>

namespace qwenvl {

struct ScoredSpan {
  double begin = 0, end = 0;  // seconds of the video
  double score = 0;           // 0 … 1
  std::string description;
  int window = 0;  // where it was seen
};

// Of spans that overlap, the best. The best come first.
std::vector<ScoredSpan> without_overlaps(std::vector<ScoredSpan> spans);

// An event that runs from one window into the next was seen twice: its parts touch (but for `gap`
// seconds), and are told alike. They become one.
std::vector<ScoredSpan> joined(std::vector<ScoredSpan> spans, double gap);

}  // namespace qwenvl
