// Boxes and points in the text of an answer, with the places of their numbers.
// Before: detokenizer.h gives the text.   After: engine/answers/coordinates.cpp converts and
// rewrites it.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace qwenvl {

// A number as it stands in the answer: bytes [begin, end).
struct WrittenNumber {
  double value = 0;
  std::size_t begin = 0, end = 0;
};

struct FoundMark {
  enum class Kind { box, point } kind = Kind::box;
  std::array<WrittenNumber, 4> numbers;  // x1 y1 x2 y2; a point uses the first two
  std::string label;                     // bounded: label_text.h

  int n_numbers() const { return kind == Kind::box ? 4 : 2; }
};

// All marks in the order of the text, in any of the formats the model writes:
//   {"bbox_2d": [x1, y1, x2, y2], "label": "…"}, also "bbox", "point_2d", and "coordinate" and
//     "coordinate2" of tool calls; fenced or not, single quotes, trailing commas, cut off anywhere
//   <points x1="…" y1="…" x2="…" y2="…" alt="…">…</points> (one point per pair)
//   data-bbox="x1 y1 x2 y2" in HTML
//   lines "x1,y1,x2,y2 label"
// Any bytes are accepted; the time is linear in their number.
std::vector<FoundMark> scan_marks(std::string_view answer);

}  // namespace qwenvl
