// UTF-8, NFC and the three character classes the tokenizer's regular expression asks for.
// Before: text from users, files or tokens.   After: pretokenizer.cpp and tokenizer.cpp.
// Mirrors what the tokenizers library takes from its Unicode tables (version 16).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace qwenvl {

// One step through bytes that may or may not be UTF-8.
struct Utf8Step {
  enum class Status : std::uint8_t {
    valid,
    invalid,     // these n_bytes can never become a character: one U+FFFD stands for them
    incomplete,  // the text ends inside a character
  } status = Status::valid;
  std::uint8_t n_bytes = 0;
  char32_t code_point = 0;  // Status::valid
};

// The character at `at` < text.size(). Invalid bytes are grouped into maximal subparts, as the
// Unicode standard recommends and the reference's lossy decoding does.
Utf8Step next_utf8(std::string_view text, std::size_t at);

// Offset of the first byte that is not UTF-8; npos when all of it is.
std::size_t find_invalid_utf8(std::string_view text);

void append_utf8(std::string& out, char32_t code_point);

// Appends `bytes` with U+FFFD for every invalid sequence. An incomplete character at the end
// becomes one U+FFFD as well.
void append_utf8_lossy(std::string& out, std::string_view bytes);

// How many bytes at the end are the beginning of a character (0 to 3).
std::size_t incomplete_utf8_suffix(std::string_view bytes);

// Canonical composition of valid UTF-8; time grows with n log n at worst.
std::string to_nfc(std::string_view text);

enum class CharClass : std::uint8_t {
  letter,   // \p{L}
  number,   // \p{N}
  newline,  // \r \n
  space,    // the rest of \s (White_Space)
  other,
};

CharClass class_of(char32_t code_point);

}  // namespace qwenvl
