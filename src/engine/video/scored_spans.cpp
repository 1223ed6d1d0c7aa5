// Before: window_answer.cpp weighs what a model says.   After: localize.cpp reports the best.
#include "engine/video/scored_spans.h"

#include <algorithm>

#include "engine/video/window_answer.h"

namespace qwenvl {
namespace {

constexpr double kSameWords = 0.99;  // likeness from which on two descriptions are one

bool overlap(const ScoredSpan& a, const ScoredSpan& b) {
  const double common = std::min(a.end, b.end) - std::max(a.begin, b.begin);
  return common > 0.3 * std::min(a.end - a.begin, b.end - b.begin);
}

void sort_by_score(std::vector<ScoredSpan>& spans) {
  std::stable_sort(spans.begin(), spans.end(),
                   [](const auto& a, const auto& b) { return a.score > b.score; });
}

}  // namespace

std::vector<ScoredSpan> without_overlaps(std::vector<ScoredSpan> spans) {
  sort_by_score(spans);
  std::vector<ScoredSpan> out;
  for (ScoredSpan& span : spans) {
    const bool is_known = std::any_of(out.begin(), out.end(),
                                      [&](const auto& other) { return overlap(span, other); });
    if (!is_known) out.push_back(std::move(span));
  }
  return out;
}

std::vector<ScoredSpan> joined(std::vector<ScoredSpan> spans, double gap) {
  std::stable_sort(spans.begin(), spans.end(),
                   [](const auto& a, const auto& b) { return a.begin < b.begin; });
  std::vector<ScoredSpan> out;
  for (ScoredSpan& span : spans) {
    const auto same = std::find_if(out.rbegin(), out.rend(), [&](const ScoredSpan& other) {
      return other.window != span.window && span.begin <= other.end + gap &&
             likeness(other.description, span.description) > kSameWords;
    });
    if (same == out.rend()) {
      out.push_back(std::move(span));
    } else {
      same->end = std::max(same->end, span.end);
      same->score = std::max(same->score, span.score);
      same->window = span.window;
    }
  }
  return out;
}

}  // namespace qwenvl
