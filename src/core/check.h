// How failures are raised: fail() when the world is wrong, QWENVL_CHECK when the program is.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <utility>

#include "qwenvl/error.h"

namespace qwenvl {

// Throws Error{kind, message}. Message form: "place: found, expected, what to do".
template <class... Args>
[[noreturn]] void fail(ErrorKind kind, fmt::format_string<Args...> format, Args&&... args) {
  throw Error(kind, fmt::format(format, std::forward<Args>(args)...));
}

// `text` made safe for a one-line message: control bytes escaped, at most `max_bytes` shown.
std::string quoted(std::string_view text, std::size_t max_bytes = 120);
// Exact matches for all that may be given, so that std::quoted of <iomanip>, which argument lookup
// also finds for strings, is never chosen.
inline std::string quoted(const char* text, std::size_t max_bytes = 120) {
  return quoted(std::string_view(text), max_bytes);
}
inline std::string quoted(const std::string& text, std::size_t max_bytes = 120) {
  return quoted(std::string_view(text), max_bytes);
}
inline std::string quoted(std::string& text, std::size_t max_bytes = 120) {
  return quoted(std::string_view(text), max_bytes);
}

namespace detail {
[[noreturn]] void check_failed(const char* condition, const char* file, int line,
                               const std::string& message);
}

}  // namespace qwenvl

// A programmer's promise. User input must never reach a failing check.
#define QWENVL_CHECK(condition, ...)                                                            \
  do {                                                                                          \
    if (!(condition)) [[unlikely]]                                                              \
      ::qwenvl::detail::check_failed(#condition, __FILE__, __LINE__, fmt::format(__VA_ARGS__)); \
  } while (false)
