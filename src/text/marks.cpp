// Finds coordinates in answers by one pass over the bytes. A strict JSON parser would not do:
// answers are cut off by the token limit, use single quotes, and mix prose, fences and markup.
// Mirrors what the reference recipes accept (fence stripping, literal evaluation, repair of cut
// lists) and keeps the place of every number, so that a rewritten answer keeps every other byte.
#include "text/marks.h"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "text/label_text.h"
#include "text/mark_bytes.h"

namespace qwenvl {
namespace {

using namespace mark_bytes;

constexpr std::size_t kMaxDepth = 64;  // deeper brackets are only counted
constexpr std::size_t npos = std::string_view::npos;

constexpr std::string_view kCoordinateKeys[] = {"bbox_2d", "point_2d", "bbox", "coordinate",
                                                "coordinate2"};
// Better names of a thing first.
constexpr std::string_view kLabelKeys[] = {"label",    "text_content", "text",        "name",
                                           "category", "caption",      "description", "action"};
constexpr int kNoRank = static_cast<int>(std::size(kLabelKeys));

class MarkScanner {
 public:
  explicit MarkScanner(std::string_view text) : text_(text) {}

  std::vector<FoundMark> scan() {
    while (at_ < text_.size()) {
      if (is_line_start() && !is_html_ && frames_.empty() && take_plain_line()) continue;
      take_one();
    }
    close_all();
    return std::move(marks_);
  }

 private:
  // An open bracket of the JSON around the current place.
  struct Frame {
    bool is_object = false;
    bool holds_coordinates = false;  // the value being read, or this list, belongs to such a key
    int key_rank = kNoRank;          // the key being read names a label
    int label_rank = kNoRank;        // the best label so far
    std::string label;
    std::size_t first_mark = 0;
  };

  bool is_line_start() const { return at_ == 0 || text_[at_ - 1] == '\n'; }
  bool looking_at(std::string_view what) const { return text_.substr(at_, what.size()) == what; }
  std::size_t skip_space(std::size_t at) const {
    while (at < text_.size() && is_space(text_[at])) ++at;
    return at;
  }
  std::size_t skip_blanks(std::size_t at) const {
    while (at < text_.size() && is_blank(text_[at])) ++at;
    return at;
  }

  void take_one();
  void take_fence();
  void take_tag();
  void take_data_bbox();
  bool take_plain_line();
  void take_open(bool is_object);
  void take_close(bool is_object);
  void take_quote(char quote);

  std::size_t closing_quote(char quote);
  bool take_list();
  void use_string(std::string_view content);
  bool take_attribute(std::string_view& name, std::string_view& value);
  std::optional<WrittenNumber> number_at(std::size_t at) const { return written_number(text_, at); }
  std::optional<WrittenNumber> number_in(std::string_view value) const;
  std::string element_text();
  void add(const WrittenNumber* numbers, int n, std::optional<std::string> label);
  void close_frame();
  void close_all();

  std::string_view text_;
  std::size_t at_ = 0;
  std::vector<FoundMark> marks_;
  std::vector<bool> is_labelled_;
  std::vector<Frame> frames_;
  std::size_t n_uncounted_ = 0;      // open brackets beyond kMaxDepth
  char last_byte_ = 0;               // last byte that was no space
  bool is_html_ = false;             // braces and quotes are text there
  std::size_t tag_at_ = npos;        // the "<" of the tag we are in
  std::size_t next_angle_ = 0;       // memory of element_text(): the first ">" not before here
  std::size_t unclosed_double_ = 0;  // no closing quote stands before these places
  std::size_t unclosed_single_ = 0;
};

// One byte, or the construct that begins there.
void MarkScanner::take_one() {
  const char c = text_[at_];
  const std::size_t begin = at_;
  switch (c) {
    case '`': take_fence(); break;
    case '<': take_tag(); break;
    case '>':
      tag_at_ = npos;
      ++at_;
      break;
    case 'd': take_data_bbox(); break;
    case '{': take_open(true); break;
    case '[': take_open(false); break;
    case '}': take_close(true); break;
    case ']': take_close(false); break;
    case '"':
    case '\'': take_quote(c); break;
    case ',':
      if (!frames_.empty() && n_uncounted_ == 0 && frames_.back().is_object) {
        frames_.back().holds_coordinates = false;
        frames_.back().key_rank = kNoRank;
      }
      ++at_;
      break;
    default: ++at_; break;
  }
  if (!is_space(c)) last_byte_ = text_[std::max(begin + 1, at_) - 1];
}

void MarkScanner::take_fence() {
  if (!looking_at("```")) {
    ++at_;
    return;
  }
  close_all();
  at_ += 3;
  is_html_ = looking_at("html");
}

void MarkScanner::add(const WrittenNumber* numbers, int n, std::optional<std::string> label) {
  FoundMark mark;
  mark.kind = n == 4 ? FoundMark::Kind::box : FoundMark::Kind::point;
  std::copy_n(numbers, n, mark.numbers.begin());
  is_labelled_.push_back(label.has_value());
  if (label) mark.label = std::move(*label);
  marks_.push_back(std::move(mark));
}

// "x1,y1,x2,y2 label" on a line of its own.
bool MarkScanner::take_plain_line() {
  WrittenNumber numbers[4];
  std::size_t at = skip_blanks(at_);
  for (int i = 0; i < 4; ++i) {
    const auto number = number_at(at);
    if (!number) return false;
    numbers[i] = *number;
    at = skip_blanks(number->end);
    if (i == 3) break;
    if (at == text_.size() || text_[at] != ',') return false;
    at = skip_blanks(at + 1);
  }
  const std::size_t line_end = std::min(text_.find('\n', at), text_.size());
  if (at == numbers[3].end || at == line_end) return false;  // no blank, or no label after it
  // Four numbers that go on with punctuation are a list of something else.
  if (text_[at] == ',' || text_[at] == ';' || text_[at] == ':') return false;
  add(numbers, 4, label_of(text_.substr(at, line_end - at)));
  at_ = line_end;
  return true;
}

// ---- JSON ------------------------------------------------------------------------------------

void MarkScanner::take_open(bool is_object) {
  if (is_html_) {
    ++at_;
    return;
  }
  const bool has_coordinates =
      !frames_.empty() && n_uncounted_ == 0 && frames_.back().holds_coordinates;
  if (has_coordinates && !is_object && take_list()) return;
  ++at_;
  if (frames_.size() == kMaxDepth) {
    ++n_uncounted_;
    return;
  }
  Frame frame;
  frame.is_object = is_object;
  frame.holds_coordinates = has_coordinates && !is_object;
  frame.first_mark = marks_.size();
  frames_.push_back(std::move(frame));
}

// "[a, b]" or "[a, b, c, d]" at the current place, also with a comma too many.
bool MarkScanner::take_list() {
  WrittenNumber numbers[4];
  int n = 0;
  std::size_t at = skip_space(at_ + 1);
  for (; n < 4; ++n) {
    const auto number = number_at(at);
    if (!number) break;
    numbers[n] = *number;
    at = skip_space(number->end);
    if (at == text_.size() || text_[at] != ',') {
      ++n;
      break;
    }
    at = skip_space(at + 1);
  }
  if ((n != 2 && n != 4) || at == text_.size() || text_[at] != ']') return false;
  add(numbers, n, {});
  at_ = at + 1;
  return true;
}

void MarkScanner::take_close(bool is_object) {
  ++at_;
  if (is_html_) return;
  if (n_uncounted_ > 0) {
    --n_uncounted_;
    return;
  }
  // A bracket that closes nothing is text; one that closes an outer frame ends the inner ones.
  const auto matches = [&](const Frame& frame) { return frame.is_object == is_object; };
  if (std::none_of(frames_.begin(), frames_.end(), matches)) return;
  while (!matches(frames_.back())) close_frame();
  close_frame();
}

// A label belongs to all marks of its object that have none of their own.
void MarkScanner::close_frame() {
  const Frame& frame = frames_.back();
  if (frame.label_rank != kNoRank) {
    for (std::size_t i = frame.first_mark; i < marks_.size(); ++i) {
      if (is_labelled_[i]) continue;
      marks_[i].label = frame.label;
      is_labelled_[i] = true;
    }
  }
  frames_.pop_back();
}

void MarkScanner::close_all() {
  while (!frames_.empty()) close_frame();
  n_uncounted_ = 0;
}

// The quote that ends the string beginning at the current place, on the same line; npos if none.
// A place known to have none before it is remembered, so that stray quotes cost nothing twice.
std::size_t MarkScanner::closing_quote(char quote) {
  std::size_t& unclosed = quote == '"' ? unclosed_double_ : unclosed_single_;
  if (at_ < unclosed) return npos;
  std::size_t at = at_ + 1;
  for (; at < text_.size() && text_[at] != '\n'; ++at) {
    if (text_[at] == '\\') {
      ++at;
    } else if (text_[at] == quote) {
      if (quote == '"') return at;
      // An apostrophe inside a single-quoted text is not followed by the syntax of a list.
      const std::size_t next = skip_space(at + 1);
      if (next == text_.size() || std::string_view(",:]}").find(text_[next]) != npos) return at;
    }
  }
  unclosed = std::min(at, text_.size());
  return npos;
}

void MarkScanner::take_quote(char quote) {
  const bool opens = !is_html_ && !frames_.empty() &&
                     (quote == '"' || std::string_view("{[,:").find(last_byte_) != npos);
  const std::size_t end = opens ? closing_quote(quote) : npos;
  if (end == npos) {
    ++at_;
    return;
  }
  const std::string_view content = text_.substr(at_ + 1, end - at_ - 1);
  at_ = end + 1;
  if (n_uncounted_ == 0 && frames_.back().is_object) use_string(content);
}

// A string in an object: a key when a colon follows, else the value of the key before it.
void MarkScanner::use_string(std::string_view content) {
  Frame& frame = frames_.back();
  const std::size_t next = skip_space(at_);
  if (next < text_.size() && text_[next] == ':') {
    frame.holds_coordinates = std::find(std::begin(kCoordinateKeys), std::end(kCoordinateKeys),
                                        content) != std::end(kCoordinateKeys);
    frame.key_rank = static_cast<int>(
        std::find(std::begin(kLabelKeys), std::end(kLabelKeys), content) - std::begin(kLabelKeys));
  } else if (frame.key_rank < frame.label_rank) {
    frame.label_rank = frame.key_rank;
    frame.label = label_of(unescaped(content));
  }
}

// ---- markup ----------------------------------------------------------------------------------

// name="value" at the current place; moves on past what it could read.
bool MarkScanner::take_attribute(std::string_view& name, std::string_view& value) {
  at_ = skip_space(at_);
  const std::size_t begin = at_;
  while (at_ < text_.size() && is_name_byte(text_[at_])) ++at_;
  name = text_.substr(begin, at_ - begin);
  if (name.empty()) return false;
  at_ = skip_space(at_);
  if (at_ == text_.size() || text_[at_] != '=') return false;
  at_ = skip_space(at_ + 1);
  if (at_ == text_.size() || (text_[at_] != '"' && text_[at_] != '\'')) return false;
  const std::size_t end = std::min(text_.find(text_[at_], at_ + 1), text_.size());
  value = text_.substr(at_ + 1, end - at_ - 1);
  at_ = std::min(end + 1, text_.size());
  return true;
}

// The number that fills an attribute's value, alone.
std::optional<WrittenNumber> MarkScanner::number_in(std::string_view value) const {
  const std::size_t begin = static_cast<std::size_t>(value.data() - text_.data());
  const auto number = number_at(skip_space(begin));
  if (!number || skip_space(number->end) < begin + value.size()) return {};
  return number->end <= begin + value.size() ? number : std::nullopt;
}

// "<points …>": x and y attributes with the same number make a point. Other tags are only noted.
void MarkScanner::take_tag() {
  tag_at_ = at_;
  if (looking_at("<html")) is_html_ = true;
  const std::size_t name_end = looking_at("<points")  ? at_ + 7
                               : looking_at("<point") ? at_ + 6
                                                      : npos;
  if (name_end >= text_.size() || !is_space(text_[name_end])) {
    ++at_;
    return;
  }
  at_ = name_end;
  std::map<std::string_view, std::array<std::optional<WrittenNumber>, 2>> pairs;
  std::optional<std::string> label;
  for (std::string_view name, value; take_attribute(name, value);) {
    if (name == "alt") label = label_of(value);
    const bool is_numbered = std::all_of(name.begin() + 1, name.end(), is_digit);
    if (!is_numbered || (name[0] != 'x' && name[0] != 'y')) continue;
    if (const auto number = number_in(value)) pairs[name.substr(1)][name[0] == 'y'] = number;
  }
  if (!label) label = element_text();
  const auto first = static_cast<std::ptrdiff_t>(marks_.size());
  for (const auto& [suffix, pair] : pairs) {
    if (!pair[0] || !pair[1]) continue;
    const WrittenNumber numbers[2] = {*pair[0], *pair[1]};
    add(numbers, 2, label);
  }
  std::sort(marks_.begin() + first, marks_.end(), [](const FoundMark& a, const FoundMark& b) {
    return a.numbers[0].begin < b.numbers[0].begin;
  });
}

// data-bbox="x1 y1 x2 y2"; the label is the element's text, or its tag.
void MarkScanner::take_data_bbox() {
  constexpr std::string_view kName = "data-bbox";
  const bool is_attribute = looking_at(kName) && tag_at_ != npos && is_space(text_[at_ - 1]);
  std::string_view name, value;
  if (!is_attribute || !take_attribute(name, value) || name != kName) {
    if (!is_attribute) ++at_;
    return;
  }
  const std::size_t end = static_cast<std::size_t>(value.data() - text_.data()) + value.size();
  std::size_t at = static_cast<std::size_t>(value.data() - text_.data());
  WrittenNumber numbers[4];
  for (WrittenNumber& each : numbers) {
    at = skip_space(at);
    const auto number = number_at(at);
    if (!number || number->end > end) return;
    each = *number;
    at = skip_space(number->end);
    if (at < end && text_[at] == ',') ++at;
  }
  if (at < end) return;
  std::string label = element_text();
  if (label.empty()) {
    std::size_t name_end = tag_at_ + 1;
    while (name_end < text_.size() && is_name_byte(text_[name_end])) ++name_end;
    label = label_of(text_.substr(tag_at_ + 1, name_end - tag_at_ - 1));
  }
  add(numbers, 4, std::move(label));
}

// The text between the end of the tag that the current place is in and the next tag.
std::string MarkScanner::element_text() {
  if (next_angle_ != npos && next_angle_ < at_) next_angle_ = at_;
  if (next_angle_ != npos) next_angle_ = text_.find('>', next_angle_);
  if (next_angle_ == npos) return "";
  const std::string_view rest = text_.substr(next_angle_ + 1, 4 * kMaxLabelBytes);
  return label_of(rest.substr(0, rest.find('<')));
}

}  // namespace

std::vector<FoundMark> scan_marks(std::string_view answer) { return MarkScanner(answer).scan(); }

}  // namespace qwenvl
