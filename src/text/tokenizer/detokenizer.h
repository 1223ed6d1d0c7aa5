// Token ids one at a time → pieces of text, whole characters only, cut at stop strings.
// Before: engine/generation/sampler.cpp picks an id.   After: the piece goes out as an Event.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer/tokenizer.h"

namespace qwenvl {

class Detokenizer {
 public:
  // Throws bad_request for a stop string that is empty or not UTF-8. The tokenizer must outlive it.
  Detokenizer(const Tokenizer& tokenizer, std::vector<std::string> stop_strings,
              bool skip_special = true);

  // Adds a token; returns the text that is now certain: never half a character, never text that
  // could still become the beginning of a stop string.
  std::string push(TokenId id);
  // The end: whatever was held back (an incomplete character becomes U+FFFD).
  std::string finish();
  // A stop string was completed; its text and everything after it is withheld. Of several the one
  // that ends first counts, and of those that end together the longest.
  bool is_stopped() const { return !matched_stop_.empty(); }
  const std::string& matched_stop() const { return matched_stop_; }

 private:
  // A stop string and how much of it the text so far ends with.
  struct StopMatcher {
    std::string text;
    std::vector<std::uint32_t> fallback;  // fallback[n]: longest border of the first n + 1 bytes
    std::uint32_t n_matched = 0;

    void advance(char byte);
    bool is_complete() const { return n_matched == text.size(); }
  };

  std::string release(std::string_view text);

  const Tokenizer* tokenizer_;
  std::vector<StopMatcher> stops_;
  bool skip_special_;
  std::string bytes_;  // the beginning of a character
  std::string held_;   // text that could become a stop string
  std::string matched_stop_;
};

}  // namespace qwenvl
