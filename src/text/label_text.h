// The text of a label: escapes resolved, of bounded length.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace qwenvl {

inline constexpr std::size_t kMaxLabelBytes = 512;

// The content of a JSON (or Python) string with its escapes resolved; half a surrogate pair becomes
// U+FFFD, an unknown escape stays.
std::string unescaped(std::string_view text);

// Without the blanks around it; a longer text ends in "…" after a whole character. The limit keeps
// the marks of an answer small even when one label belongs to thousands of them.
std::string label_of(std::string_view text);

}  // namespace qwenvl
