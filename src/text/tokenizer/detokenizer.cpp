// Token ids one at a time → whole characters, cut at stop strings.
// Before: engine/ picks an id.   After: the piece goes out as an Event.
#include "text/tokenizer/detokenizer.h"

#include <algorithm>
#include <utility>

#include "core/check.h"
#include "text/tokenizer/unicode.h"

namespace qwenvl {
namespace {

// The border table of Knuth, Morris and Pratt.
std::vector<std::uint32_t> borders_of(std::string_view text) {
  std::vector<std::uint32_t> borders(text.size(), 0);
  std::uint32_t n = 0;
  for (std::size_t i = 1; i < text.size(); ++i) {
    while (n > 0 && text[i] != text[n]) n = borders[n - 1];
    if (text[i] == text[n]) ++n;
    borders[i] = n;
  }
  return borders;
}

}  // namespace

Detokenizer::Detokenizer(const Tokenizer& tokenizer, std::vector<std::string> stop_strings,
                         bool skip_special)
    : tokenizer_(&tokenizer), skip_special_(skip_special) {
  for (std::string& stop : stop_strings) {
    if (stop.empty()) fail(ErrorKind::bad_request, "stop: a stop string is empty");
    if (find_invalid_utf8(stop) != std::string_view::npos) {
      fail(ErrorKind::bad_request, "stop: {} is not valid UTF-8", quoted(stop, 40));
    }
    std::vector<std::uint32_t> borders = borders_of(stop);
    stops_.push_back({std::move(stop), std::move(borders), 0});
  }
}

void Detokenizer::StopMatcher::advance(char byte) {
  while (n_matched > 0 && text[n_matched] != byte) n_matched = fallback[n_matched - 1];
  if (text[n_matched] == byte) ++n_matched;
}

// Adds whole characters to what is held and returns the part no stop string can reach any more.
std::string Detokenizer::release(std::string_view text) {
  for (char byte : text) {
    held_.push_back(byte);
    const StopMatcher* completed = nullptr;
    for (StopMatcher& stop : stops_) {
      stop.advance(byte);
      if (stop.is_complete() && (!completed || stop.text.size() > completed->text.size())) {
        completed = &stop;
      }
    }
    if (completed) {
      matched_stop_ = completed->text;
      held_.resize(held_.size() - matched_stop_.size());
      return std::exchange(held_, {});
    }
  }
  std::size_t n_kept = 0;
  for (const StopMatcher& stop : stops_) n_kept = std::max<std::size_t>(n_kept, stop.n_matched);
  std::string certain = held_.substr(0, held_.size() - n_kept);
  held_.erase(0, certain.size());
  return certain;
}

std::string Detokenizer::push(TokenId id) {
  if (is_stopped() || (skip_special_ && tokenizer_->is_special(id))) return {};
  bytes_ += tokenizer_->bytes_of(id);
  const std::size_t n_whole = bytes_.size() - incomplete_utf8_suffix(bytes_);
  std::string text;
  append_utf8_lossy(text, std::string_view(bytes_).substr(0, n_whole));
  bytes_.erase(0, n_whole);
  return release(text);
}

std::string Detokenizer::finish() {
  if (is_stopped()) return {};
  std::string text;
  append_utf8_lossy(text, std::exchange(bytes_, {}));
  std::string last = release(text);
  if (!is_stopped()) last += std::exchange(held_, {});
  return last;
}

}  // namespace qwenvl
