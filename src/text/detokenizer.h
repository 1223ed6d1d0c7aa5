// Token ids one at a time → pieces of text, whole characters only, cut at stop strings.
// Before: engine/sampler.cpp picks an id.   After: the piece goes out as an Event.
#pragma once

#include <string>
#include <vector>

#include "text/tokenizer.h"

namespace qwenvl {

class Detokenizer {
 public:
  Detokenizer(const Tokenizer& tokenizer, std::vector<std::string> stop_strings, bool skip_special = true);

  // Adds a token; returns the text that is now certain: never half a character, never text that
  // could still become the beginning of a stop string.
  std::string push(TokenId id);
  // The end: whatever was held back (an incomplete character becomes U+FFFD).
  std::string finish();
  // A stop string was completed; its text and everything after it is withheld.
  bool is_stopped() const { return !matched_stop_.empty(); }
  const std::string& matched_stop() const { return matched_stop_; }

 private:
  const Tokenizer* tokenizer_;
  std::vector<std::string> stop_strings_;
  bool skip_special_;
  std::string pending_;  // bytes not yet handed out
  std::string matched_stop_;
};

}  // namespace qwenvl
