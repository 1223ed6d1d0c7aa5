// One time as people and models write it. Before and after: time_spans.cpp.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

namespace qwenvl {

// A time as it stands in a text: bytes [begin, end).
struct WrittenTime {
  double seconds = 0;  // of a bare number: the number
  std::size_t begin = 0, end = 0;
  bool has_unit = false;  // a clock has one; a bare number may be anything
  bool is_clock = false;
  double unit_seconds = 1;  // of the last unit
};

// The time that begins with the digit at `at`, if one does that no name or number goes on from:
// "12.5", "12.5 s", "3 seconds", "2 min 5 s", "1分5秒", "02:05", "02:05.50", "1:02:05,500".
std::optional<WrittenTime> written_time(std::string_view text, std::size_t at);

// The same for a text that holds a time and nothing else but blanks.
std::optional<WrittenTime> whole_time(std::string_view text);

}  // namespace qwenvl
