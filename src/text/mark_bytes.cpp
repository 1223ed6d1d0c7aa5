// Numbers in answers. Before and after: marks.cpp.
#include "text/mark_bytes.h"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace qwenvl::mark_bytes {
namespace {

constexpr std::size_t kMaxNumberBytes = 32;
constexpr double kMaxCoordinate = 1e12;  // beyond that it is no place in a picture

}  // namespace

std::optional<WrittenNumber> written_number(std::string_view text, std::size_t at) {
  const std::string_view rest = text.substr(std::min(at, text.size()), kMaxNumberBytes + 1);
  const bool has_sign = !rest.empty() && rest[0] == '-';
  if (rest.size() <= has_sign || !is_digit(rest[has_sign])) return {};
  double value = 0;
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), value);
  const std::size_t length = static_cast<std::size_t>(end - rest.data());
  if (error != std::errc() || length > kMaxNumberBytes || std::abs(value) > kMaxCoordinate)
    return {};
  if (length < rest.size() && (is_name_byte(rest[length]) || rest[length] == '.')) return {};
  return WrittenNumber{value, at, at + length};
}

}  // namespace qwenvl::mark_bytes
