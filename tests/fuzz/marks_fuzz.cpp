// Any bytes as an answer: marks point at their numbers, and rewriting touches nothing else.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "fuzz/outcome.h"
#include "qwenvl/tools.h"
#include "text/marks.h"

namespace {

using qwenvl::fuzz::require;

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string answer(reinterpret_cast<const char*>(data), size);
  std::vector<std::pair<std::size_t, std::size_t>> ranges;
  double largest = 0;
  const std::vector<qwenvl::FoundMark> marks = qwenvl::scan_marks(answer);
  for (const qwenvl::FoundMark& mark : marks) {
    for (int i = 0; i < mark.n_numbers(); ++i) {
      const qwenvl::WrittenNumber& number = mark.numbers[static_cast<std::size_t>(i)];
      require(number.begin < number.end && number.end <= size);
      require(std::isfinite(number.value));
      largest = std::max(largest, std::abs(number.value));
      ranges.emplace_back(number.begin, number.end);
    }
  }
  std::sort(ranges.begin(), ranges.end());
  for (std::size_t i = 1; i < ranges.size(); ++i) require(ranges[i - 1].second <= ranges[i].first);

  qwenvl::PictureInfo picture;
  picture.original_width = 1000;
  picture.original_height = 3;
  picture.processed_width = 28;
  picture.processed_height = 1960;
  const std::string converted = qwenvl::to_original_coordinates(answer, picture);
  if (ranges.empty()) require(converted == answer);
  // Numbers are replaced by numbers, so the same marks are found again; only huge ones may grow
  // beyond what counts as a coordinate.
  if (largest < 1e9) require(qwenvl::find_marks(converted).size() == marks.size());
  return 0;
}
