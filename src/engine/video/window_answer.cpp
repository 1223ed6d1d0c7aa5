// Before: localize.cpp asks.   After: localize.cpp weighs; localize_state.cpp keeps it.
// Mirrors the prompts of the reference's cookbook for video.
#include "engine/video/window_answer.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <string_view>

namespace qwenvl {
namespace {

constexpr const char* kEventsPrompt =
    "Localize a series of activity events in the video, output the start and end timestamp for "
    "each event, and describe each event with sentences. Provide the result in json format with "
    "'mm:ss.ff' format for time depiction.";

// Words that say nothing about what happens.
constexpr std::array<std::string_view, 8> kSmallWords = {"a",  "an",  "the", "is",
                                                         "to", "and", "of",  "in"};

bool is_letter(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; }

std::vector<std::string> words_of(const std::string& text) {
  std::vector<std::string> out;
  for (std::size_t i = 0; i < text.size();) {
    std::string word;
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte >= 0x80) {
      do word.push_back(text[i++]);
      while (i < text.size() && (static_cast<unsigned char>(text[i]) & 0xc0) == 0x80);
      if (word.starts_with("\xe3\x80") || word.starts_with("\xef\xbc")) continue;  // 。，！
    } else if (is_letter(text[i])) {
      for (; i < text.size() && is_letter(text[i]); ++i)
        word.push_back(static_cast<char>(std::tolower(static_cast<unsigned char>(text[i]))));
    } else {
      ++i;
      continue;
    }
    if (std::find(kSmallWords.begin(), kSmallWords.end(), word) == kSmallWords.end())
      out.push_back(std::move(word));
  }
  std::sort(out.begin(), out.end());
  return out;
}

class Mean {
 public:
  void add(double logprob) {
    sum_ += logprob;
    ++n_;
  }
  double probability() const { return n_ == 0 ? 0 : std::exp(sum_ / n_); }

 private:
  double sum_ = 0;
  int n_ = 0;
};

std::string first_word(const std::string& text) {
  const std::vector<std::string> words = words_of(text);
  return words.empty() ? "" : words.front();
}

void take_first_token(const TokenInfo& token, WindowAnswer& out) {
  for (const TokenLogprob& one : token.top) {
    const std::string word = first_word(one.text);
    const double probability = std::exp(static_cast<double>(one.logprob));
    if (word == "yes" || word == "是") out.yes += probability;
    if (word == "no" || word == "否") out.no += probability;
  }
}

}  // namespace

std::string question_text(Question question, const std::string& query) {
  switch (question) {
    case Question::events: return kEventsPrompt;
    case Question::yes_no:
      return "Does the video show the following: '" + query + "'? Answer with yes or no.";
    case Question::when:
      return "Give the query: '" + query + "', when does the described content occur in the video?";
  }
  return "";
}

int most_answer_tokens(Question question) {
  return question == Question::events ? 512 : question == Question::when ? 64 : 1;
}

WindowAnswer window_answer(const Answer& answer) {
  WindowAnswer out;
  out.video_tokens = answer.usage.picture_tokens;
  if (!answer.clips.empty()) {
    out.clip_fps = answer.clips[0].fps;
    out.frame_seconds = answer.clips[0].frame_seconds;
  }
  if (answer.choices.empty()) return out;
  const Choice& choice = answer.choices[0];
  out.text = choice.text;
  if (!choice.tokens.empty()) take_first_token(choice.tokens[0], out);
  Mean all;
  std::vector<Mean> entries;
  for (const TokenInfo& token : choice.tokens) {
    const auto logprob = static_cast<double>(token.chosen.logprob);
    all.add(logprob);
    if (token.chosen.text.find('{') != std::string::npos) entries.emplace_back();
    if (!entries.empty()) entries.back().add(logprob);
  }
  out.certainty = all.probability();
  for (const Mean& entry : entries) out.of_entries.push_back(entry.probability());
  return out;
}

std::vector<ScoredSpan> scored_spans(const WindowAnswer& answer, Question question,
                                     const std::string& query) {
  ClipInfo clip;
  clip.fps = answer.clip_fps;
  clip.n_frames = static_cast<int>(answer.frame_seconds.size());
  clip.frame_seconds = answer.frame_seconds;
  std::vector<ScoredSpan> out;
  if (clip.n_frames == 0 || !(clip.fps > 0)) return out;
  const std::vector<TimeSpan> found = find_times(answer.text);
  for (std::size_t i = 0; i < found.size(); ++i) {
    const TimeSpan span = to_video_time(found[i], clip);
    if (span.is_outside) continue;
    const bool is_list = question == Question::events;
    const double sure = is_list && found.size() == answer.of_entries.size() ? answer.of_entries[i]
                                                                            : answer.certainty;
    const double near = is_list ? likeness(span.description, query) : 1;
    out.push_back({span.begin, span.end, near * sure, is_list ? span.description : query, 0});
    if (!is_list) break;  // one interval was asked for
  }
  return out;
}

double likeness(const std::string& a, const std::string& b) {
  const std::vector<std::string> left = words_of(a), right = words_of(b);
  if (left.empty() || right.empty()) return 0;
  std::vector<std::string> both;
  std::set_intersection(left.begin(), left.end(), right.begin(), right.end(),
                        std::back_inserter(both));
  const double share =
      2.0 * static_cast<double>(both.size()) / static_cast<double>(left.size() + right.size());
  return share * share * share;
}

}  // namespace qwenvl
