// The pre-tokenisation regular expression, alternative by alternative, by hand.
// Before: unicode.cpp brought the text into NFC.   After: tokenizer.cpp merges each piece.
#include "text/tokenizer/pretokenizer.h"

#include "text/tokenizer/unicode.h"

namespace qwenvl {
namespace {

// The character at `at`; past the end of the text n_bytes is 0 and no class matches.
struct Character {
  char32_t value = 0;
  CharClass kind = CharClass::other;
  std::size_t end = 0;
  bool exists = false;

  bool is(CharClass wanted) const { return exists && kind == wanted; }
  bool is_space() const {
    return exists && (kind == CharClass::space || kind == CharClass::newline);
  }
};

Character character_at(std::string_view text, std::size_t at) {
  if (at >= text.size()) return {};
  const Utf8Step step = next_utf8(text, at);
  return {step.code_point, class_of(step.code_point), at + step.n_bytes, true};
}

// End of the run of characters of one class that starts at `at`.
std::size_t run_end(std::string_view text, std::size_t at, CharClass kind) {
  for (Character c = character_at(text, at); c.is(kind); c = character_at(text, at)) at = c.end;
  return at;
}

char32_t lower(char32_t c) {
  if (c == 0x17F) return 's';  // the long s folds to s, so 'ſ is a contraction too
  return c >= 'A' && c <= 'Z' ? c + 32 : c;
}

// (?i:'s|'t|'re|'ve|'m|'ll|'d) with the apostrophe at `begin`; 0 when there is none.
std::size_t contraction_end(std::string_view text, std::size_t begin) {
  const Character first = character_at(text, begin + 1);
  if (!first.exists) return 0;
  const char32_t a = lower(first.value);
  if (a == 's' || a == 't' || a == 'm' || a == 'd') return first.end;
  const Character second = character_at(text, first.end);
  if (!second.exists) return 0;
  const char32_t b = lower(second.value);
  const bool matches = (a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l');
  return matches ? second.end : 0;
}

// \s*[\r\n]+ | \s+(?!\S) | \s+ : up to the last line break of the run; without one, all but the
// last character, which belongs to what follows; a lone one, or the end of the text, is taken
// whole.
std::size_t whitespace_end(std::string_view text, std::size_t begin) {
  std::size_t end = begin, before_last = begin, after_newline = begin;
  for (Character c = character_at(text, begin); c.is_space(); c = character_at(text, end)) {
    before_last = end;
    end = c.end;
    if (c.kind == CharClass::newline) after_newline = end;
  }
  if (after_newline > begin) return after_newline;
  if (end == text.size() || before_last == begin) return end;
  return before_last;
}

}  // namespace

std::size_t next_piece(std::string_view text, std::size_t begin) {
  const Character first = character_at(text, begin);
  if (first.value == '\'') {
    if (const std::size_t end = contraction_end(text, begin)) return end;
  }
  // [^\r\n\p{L}\p{N}]?\p{L}+
  if (first.kind == CharClass::letter) return run_end(text, first.end, CharClass::letter);
  const Character second = character_at(text, first.end);
  if (second.is(CharClass::letter) &&
      (first.kind == CharClass::space || first.kind == CharClass::other)) {
    return run_end(text, second.end, CharClass::letter);
  }
  // \p{N}
  if (first.kind == CharClass::number) return first.end;
  // ?[^\s\p{L}\p{N}]+[\r\n]*  — with an optional U+0020 in front
  if (first.kind == CharClass::other || (first.value == ' ' && second.is(CharClass::other))) {
    const std::size_t end = run_end(text, first.end, CharClass::other);
    return run_end(text, end, CharClass::newline);
  }
  return whitespace_end(text, begin);
}

}  // namespace qwenvl
