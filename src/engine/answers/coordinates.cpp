// Coordinates of answers in the pixels of the original picture.
// Before: text/marks.cpp finds them.   After: the command line prints, draws or converts them.
// Mirrors the reference recipe: int(x / input_width * width), then corners put in order.
#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "core/check.h"
#include "engine/guard.h"
#include "qwenvl/tools.h"
#include "text/marks.h"

namespace qwenvl {
namespace {

Mark to_mark(const FoundMark& found) {
  Mark mark;
  const bool is_box = found.kind == FoundMark::Kind::box;
  mark.kind = is_box ? Mark::Kind::box : Mark::Kind::point;
  mark.x1 = found.numbers[0].value;
  mark.y1 = found.numbers[1].value;
  mark.x2 = is_box ? found.numbers[2].value : 0;
  mark.y2 = is_box ? found.numbers[3].value : 0;
  mark.label = found.label;
  return mark;
}

void check_sizes(const PictureInfo& picture) {
  if (picture.original_width > 0 && picture.original_height > 0 && picture.processed_width > 0 &&
      picture.processed_height > 0) {
    return;
  }
  fail(ErrorKind::bad_request,
       "picture {}: {} x {} pixels processed as {} x {}, expected sizes above 0",
       quoted(picture.name), picture.original_width, picture.original_height,
       picture.processed_width, picture.processed_height);
}

// The order of operations is the reference's: it decides which way halves of the last bit fall.
double scaled(double coordinate, int processed, int original) {
  const double whole = std::trunc(coordinate / processed * original);
  return whole == 0 ? 0 : whole;  // never "-0"
}

}  // namespace

std::vector<Mark> find_marks(const std::string& answer) {
  return guarded([&] {
    std::vector<Mark> marks;
    for (const FoundMark& found : scan_marks(answer)) marks.push_back(to_mark(found));
    return marks;
  });
}

Mark to_original(const Mark& mark, const PictureInfo& picture) {
  check_sizes(picture);
  Mark out = mark;
  out.x1 = scaled(mark.x1, picture.processed_width, picture.original_width);
  out.y1 = scaled(mark.y1, picture.processed_height, picture.original_height);
  if (mark.kind == Mark::Kind::point) return out;
  out.x2 = scaled(mark.x2, picture.processed_width, picture.original_width);
  out.y2 = scaled(mark.y2, picture.processed_height, picture.original_height);
  if (out.x1 > out.x2) std::swap(out.x1, out.x2);
  if (out.y1 > out.y2) std::swap(out.y1, out.y2);
  return out;
}

namespace {

std::string with_original_coordinates(const std::string& answer, const PictureInfo& picture) {
  check_sizes(picture);
  // Each number with what replaces it, in the order of the text (attributes may come in any order).
  std::vector<std::pair<WrittenNumber, double>> replacements;
  for (const FoundMark& found : scan_marks(answer)) {
    const Mark mark = to_original(to_mark(found), picture);
    const std::array<double, 4> values = {mark.x1, mark.y1, mark.x2, mark.y2};
    for (int i = 0; i < found.n_numbers(); ++i)
      replacements.emplace_back(found.numbers[i], values[i]);
  }
  std::sort(replacements.begin(), replacements.end(),
            [](const auto& a, const auto& b) { return a.first.begin < b.first.begin; });

  std::string out;
  std::size_t copied = 0;
  for (const auto& [number, value] : replacements) {
    out.append(answer, copied, number.begin - copied);
    fmt::format_to(std::back_inserter(out), "{:.0f}", value);
    copied = number.end;
  }
  return out.append(answer, copied);
}

}  // namespace

std::string to_original_coordinates(const std::string& answer, const PictureInfo& picture) {
  return guarded([&] { return with_original_coordinates(answer, picture); });
}

}  // namespace qwenvl
