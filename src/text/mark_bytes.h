// Bytes and numbers as marks.cpp and label_text.cpp read them: ASCII only, no locale.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

#include "text/marks.h"

namespace qwenvl::mark_bytes {

inline bool is_digit(char c) { return c >= '0' && c <= '9'; }
inline bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }
inline bool is_space(char c) { return is_blank(c) || c == '\n'; }
inline bool is_name_byte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) || c == '-' || c == '_';
}

// The decimal number at `at`, if one stands there that no name or number goes on from.
std::optional<WrittenNumber> written_number(std::string_view text, std::size_t at);

}  // namespace qwenvl::mark_bytes
