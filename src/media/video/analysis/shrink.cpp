// Adds up whole rows first, which compilers turn into vectors, then neighbours in the sums.
#include "media/video/analysis/shrink.h"

#include <algorithm>
#include <vector>

namespace qwenvl {
namespace {

void add_row(const std::uint8_t* row, int n, std::uint16_t* sums) {
  for (int x = 0; x < n; ++x) sums[x] = static_cast<std::uint16_t>(sums[x] + row[x]);
}

// With the factor known when compiled, the inner sum becomes a few shuffles.
template <int factor>
void add_neighbours(const std::uint16_t* sums, int n, std::uint8_t* out) {
  constexpr std::uint32_t kArea = factor * factor;
  for (int x = 0; x < n; ++x) {
    std::uint32_t sum = kArea / 2;
    for (int i = 0; i < factor; ++i) sum += sums[x * factor + i];
    out[x] = static_cast<std::uint8_t>(sum / kArea);
  }
}

void add_neighbours(const std::uint16_t* sums, int n, int factor, std::uint8_t* out) {
  const std::uint32_t area =
      static_cast<std::uint32_t>(factor) * static_cast<std::uint32_t>(factor);
  for (int x = 0; x < n; ++x) {
    std::uint32_t sum = area / 2;
    for (int i = 0; i < factor; ++i) sum += sums[x * factor + i];
    out[x] = static_cast<std::uint8_t>(sum / area);
  }
}

}  // namespace

LumaImage shrink_plane(const std::uint8_t* plane, std::ptrdiff_t stride, int height, int width,
                       int factor) {
  LumaImage out{height, width, {}};
  out.values.resize(static_cast<std::size_t>(height) * width);
  std::vector<std::uint16_t> sums(static_cast<std::size_t>(width) * factor);
  const int n = width * factor;
  for (int y = 0; y < height; ++y) {
    std::fill(sums.begin(), sums.end(), std::uint16_t{0});
    for (int i = 0; i < factor; ++i)
      add_row(plane + stride * (std::ptrdiff_t{y} * factor + i), n, sums.data());
    std::uint8_t* row = out.values.data() + static_cast<std::size_t>(y) * width;
    switch (factor) {
      case 2: add_neighbours<2>(sums.data(), width, row); break;
      case 3: add_neighbours<3>(sums.data(), width, row); break;
      case 4: add_neighbours<4>(sums.data(), width, row); break;
      case 6: add_neighbours<6>(sums.data(), width, row); break;
      case 8: add_neighbours<8>(sums.data(), width, row); break;
      default: add_neighbours(sums.data(), width, factor, row); break;
    }
  }
  return out;
}

}  // namespace qwenvl
