// Finds spans of time in answers. A strict JSON parser would not do: answers are cut off by the
// token limit, and mix prose and fences.
// Before: detokenizer.h gives the text.   After: engine/answers/times.cpp.
#include "text/time_spans.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <optional>
#include <utility>

#include "text/label_text.h"
#include "text/mark_bytes.h"
#include "text/time_text.h"

namespace qwenvl {
namespace {

using namespace mark_bytes;

constexpr std::size_t npos = std::string_view::npos;
constexpr std::size_t kMaxDepth = 64;  // deeper brackets are not looked into
constexpr std::size_t kMaxSentenceBytes = 600;

template <std::size_t n>
bool is_one_of(std::string_view word, const std::array<std::string_view, n>& words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

constexpr std::array<std::string_view, 7> kBeginKeys = {
    "start_time", "start", "begin", "begin_time", "start_timestamp", "from", "开始时间"};
constexpr std::array<std::string_view, 6> kEndKeys = {"end_time",      "end", "stop",
                                                      "end_timestamp", "to",  "结束时间"};
constexpr std::array<std::string_view, 8> kSpanKeys = {
    "timestamp", "timestamps", "time", "time_range", "interval", "segment", "span", "时间"};
// Better descriptions first.
constexpr std::array<std::string_view, 8> kDescriptionKeys = {
    "description", "event", "caption", "sentence", "label", "activity", "action", "描述"};

std::size_t skip_space(std::string_view text, std::size_t at) {
  while (at < text.size() && is_space(text[at])) ++at;
  return at;
}

FoundSpan span_of(double begin, double end, std::string_view description, bool is_moment = false) {
  return {std::min(begin, end), std::max(begin, end), label_of(description), is_moment};
}

// ---- prose -----------------------------------------------------------------------------------

// What stands between two times of a span.
constexpr std::array<std::string_view, 14> kJoints = {"and ends at", "and ending at",
                                                      "and end at",  "through",
                                                      "until",       "till",
                                                      "to",          "到",
                                                      "至",          "~",
                                                      "～",          "–",
                                                      "—",           "-"};
constexpr std::array<std::string_view, 9> kMomentWords = {"at",    "At", "around", "about", "near",
                                                          "after", "第", "在",     "@"};

// Where the second time of a span may begin, if a joint stands at `at`; npos otherwise.
std::size_t behind_joint(std::string_view text, std::size_t at, bool is_between) {
  at = skip_space(text, at);
  for (const std::string_view joint : kJoints) {
    if (text.substr(at, joint.size()) != joint) continue;
    const bool is_word = std::isalpha(static_cast<unsigned char>(joint[0])) != 0;
    const std::size_t end = at + joint.size();
    if (is_word && (end == text.size() || !is_space(text[end]))) continue;
    at = skip_space(text, end);
    return text.substr(at, 3) == "第" ? at + 3 : at;
  }
  if (is_between && text.substr(at, 4) == "and ") return skip_space(text, at + 4);
  return npos;
}

std::string_view before(std::string_view text, std::size_t at) {
  while (at > 0 && is_blank(text[at - 1])) --at;
  return text.substr(0, at);
}

// The sentence around bytes [begin, end), less what is far away.
std::string_view sentence(std::string_view text, std::size_t begin, std::size_t end) {
  const auto ends_after = [&](std::size_t i) {
    if (text[i] == '\n') return true;
    if (text.substr(i, 3) == "。" || text.substr(i, 3) == "！" || text.substr(i, 3) == "？")
      return true;
    return (text[i] == '.' || text[i] == '!' || text[i] == '?') &&
           (i + 1 == text.size() || is_space(text[i + 1]));
  };
  std::size_t first = begin, last = end;
  while (first > 0 && begin - first < kMaxSentenceBytes / 2 && !ends_after(first - 1)) --first;
  // A Chinese full stop has three bytes; what is left of it is no part of this sentence.
  while (first < begin && (static_cast<unsigned char>(text[first]) & 0xc0) == 0x80) ++first;
  while (last < text.size() && last - end < kMaxSentenceBytes / 2 && !ends_after(last)) ++last;
  if (last < text.size()) ++last;  // with its full stop
  while (last < text.size() && (static_cast<unsigned char>(text[last]) & 0xc0) == 0x80) ++last;
  return text.substr(first, last - first);
}

// The span or moment that begins with the time `first`; where it ends is left in `at`.
std::optional<FoundSpan> span_at(std::string_view text, const WrittenTime& first, std::size_t& at) {
  const std::string_view head = before(text, first.begin);
  const std::size_t next = behind_joint(text, first.end, head.ends_with("between"));
  const auto second = next == npos ? std::nullopt : written_time(text, next);
  if (second && second->has_unit && (first.has_unit || !second->is_clock)) {
    // "2 - 5 minutes": the unit is of both.
    const double begin = first.has_unit ? first.seconds : first.seconds * second->unit_seconds;
    at = second->end;
    return span_of(begin, second->seconds, sentence(text, first.begin, second->end));
  }
  const bool is_told =
      std::any_of(kMomentWords.begin(), kMomentWords.end(), [&](std::string_view word) {
        if (!head.ends_with(word)) return false;
        const std::size_t rest = head.size() - word.size();
        return rest == 0 || std::isalpha(static_cast<unsigned char>(word[0])) == 0 ||
               std::isalpha(static_cast<unsigned char>(head[rest - 1])) == 0;
      });
  if (!first.is_clock && !(first.has_unit && is_told)) return {};
  return span_of(first.seconds, first.seconds, sentence(text, first.begin, first.end), true);
}

std::vector<FoundSpan> spans_of_prose(std::string_view text) {
  std::vector<FoundSpan> out;
  for (std::size_t at = 0; at < text.size();) {
    const bool begins_number =
        is_digit(text[at]) &&
        (at == 0 ||
         (!is_digit(text[at - 1]) && text[at - 1] != '.' && text[at - 1] != ':' &&
          text[at - 1] != '_' && std::isalpha(static_cast<unsigned char>(text[at - 1])) == 0));
    const auto time = begins_number ? written_time(text, at) : std::nullopt;
    if (!time) {
      ++at;
      continue;
    }
    at = time->end;
    if (auto span = span_at(text, *time, at)) out.push_back(std::move(*span));
  }
  return out;
}

// ---- JSON ------------------------------------------------------------------------------------

class JsonSpans {
 public:
  explicit JsonSpans(std::string_view text) : text_(text) {}

  // Nothing where no object names a time.
  std::optional<std::vector<FoundSpan>> scan() {
    while (at_ < text_.size()) take_one();
    while (!objects_.empty()) close();  // cut off
    if (!has_times_) return {};
    std::stable_sort(found_.begin(), found_.end(),
                     [](const auto& a, const auto& b) { return a.first < b.first; });
    std::vector<FoundSpan> out;
    for (auto& [place, span] : found_) out.push_back(std::move(span));
    return out;
  }

 private:
  struct Object {
    std::size_t place = 0;
    std::optional<double> begin, end;
    std::string description;
    std::size_t rank = kDescriptionKeys.size();  // of the description
    std::string key;                             // of the value being read
    std::vector<double> pair;                    // of a list under one of kSpanKeys
  };

  void take_one();
  void take_string();
  void take_time(double seconds);
  void close();

  std::string_view text_;
  std::size_t at_ = 0;
  std::vector<Object> objects_;
  bool has_times_ = false;
  std::size_t n_unseen_ = 0;  // open objects beyond kMaxDepth
  std::vector<std::pair<std::size_t, FoundSpan>> found_;
};

void JsonSpans::take_one() {
  const char c = text_[at_];
  if (c == '{') {
    if (objects_.size() == kMaxDepth) {
      ++n_unseen_;
    } else {
      objects_.emplace_back().place = at_;
    }
  } else if (c == '}') {
    if (n_unseen_ > 0) {
      --n_unseen_;
    } else if (!objects_.empty()) {
      close();
    }
  } else if (!objects_.empty() && n_unseen_ == 0) {
    if (c == '"') return take_string();
    if (is_digit(c)) {
      if (const auto time = written_time(text_, at_)) {
        take_time(time->seconds);
        at_ = time->end;
        return;
      }
    }
  }
  ++at_;
}

void JsonSpans::take_string() {
  const std::size_t begin = ++at_;
  while (at_ < text_.size() && text_[at_] != '"') at_ += text_[at_] == '\\' ? 2 : 1;
  at_ = std::min(at_, text_.size());
  const std::string_view content = text_.substr(begin, at_ - begin);
  const bool is_closed = at_ < text_.size();
  if (is_closed) ++at_;
  Object& object = objects_.back();
  const std::size_t next = skip_space(text_, at_);
  if (next < text_.size() && text_[next] == ':' && is_closed) {
    object.key = label_of(content);
    at_ = next + 1;
    return;
  }
  const auto rank = static_cast<std::size_t>(
      std::find(kDescriptionKeys.begin(), kDescriptionKeys.end(), object.key) -
      kDescriptionKeys.begin());
  if (rank < object.rank) {
    object.rank = rank;
    object.description = label_of(unescaped(content.substr(0, 4 * kMaxLabelBytes)));
  }
  if (!is_closed) return;  // half a time is another time
  if (const auto time = whole_time(content)) return take_time(time->seconds);
  if (!is_one_of(object.key, kSpanKeys)) return;
  const std::vector<FoundSpan> spans = spans_of_prose(content.substr(0, kMaxLabelBytes));
  if (spans.empty() || spans[0].is_moment) return;
  object.begin = spans[0].begin;
  object.end = spans[0].end;
}

void JsonSpans::take_time(double seconds) {
  Object& object = objects_.back();
  if (is_one_of(object.key, kBeginKeys)) object.begin = seconds;
  if (is_one_of(object.key, kEndKeys)) object.end = seconds;
  if (!is_one_of(object.key, kSpanKeys) || object.pair.size() == 2) return;
  object.pair.push_back(seconds);
  if (object.pair.size() < 2) return;
  object.begin = object.pair[0];
  object.end = object.pair[1];
}

void JsonSpans::close() {
  const Object& object = objects_.back();
  has_times_ = has_times_ || object.begin || object.end;
  if (object.begin && object.end)
    found_.emplace_back(object.place, span_of(*object.begin, *object.end, object.description));
  objects_.pop_back();
}

}  // namespace

std::vector<FoundSpan> scan_spans(std::string_view answer) {
  std::optional<std::vector<FoundSpan>> spans = JsonSpans(answer).scan();
  return spans ? std::move(*spans) : spans_of_prose(answer);
}

}  // namespace qwenvl
