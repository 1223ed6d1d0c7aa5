// The fast Walsh-Hadamard transform: sums and differences at doubling distances.
#include "formats/rotation.h"

#include <cmath>

namespace qwenvl {

void rotate_row(float* x, std::int64_t n) noexcept {
  const std::int64_t block = n & -n;
  for (std::int64_t distance = 1; distance < block; distance *= 2) {
    for (std::int64_t begin = 0; begin < n; begin += 2 * distance) {
      float *first = x + begin, *second = first + distance;
      for (std::int64_t i = 0; i < distance; ++i) {
        const float sum = first[i] + second[i], difference = first[i] - second[i];
        first[i] = sum;
        second[i] = difference;
      }
    }
  }
  const float scale = 1.0f / std::sqrt(static_cast<float>(block));
  for (std::int64_t i = 0; i < n; ++i) x[i] *= scale;
}

}  // namespace qwenvl
