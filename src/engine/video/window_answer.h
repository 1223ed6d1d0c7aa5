// What a model says about one window of a video, and how sure it is.
// Before: localize.cpp asks.   After: localize.cpp weighs; localize_state.cpp keeps it.
#pragma once

#include <string>
#include <vector>

#include "engine/video/scored_spans.h"
#include "qwenvl/localize.h"
#include "qwenvl/times.h"

namespace qwenvl {

enum class Question { events, yes_no, when };

std::string question_text(Question question, const std::string& query);
int most_answer_tokens(Question question);

struct WindowAnswer {
  std::string text;
  int video_tokens = 0;
  double certainty = 0;            // geometric mean of the probabilities of its tokens
  std::vector<double> of_entries;  // the same of each {…} of a list
  double yes = 0, no = 0;          // probabilities that the answer begins so
  double clip_fps = 0;             // of what was seen
  std::vector<double> frame_seconds;
};

WindowAnswer window_answer(const Answer& answer);

// Events of a list, weighed by how near their words are to the query; the answer's interval,
// weighed by its certainty.
std::vector<ScoredSpan> scored_spans(const WindowAnswer& answer, Question question,
                                     const std::string& query);

// 0 … 1, whatever the order, the articles and the letters' case: the cube of twice the common words
// by all words, so that one wrong word of four makes less than a half. Of Chinese, each character
// is a word.
double likeness(const std::string& a, const std::string& b);

}  // namespace qwenvl
