// Searches the scale of a block and the sub-scales of its groups.
#include "formats/int4_scales.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/numbers.h"

namespace qwenvl {
namespace {

// Up to 32 numbers with one sub-scale and how much each matters.
struct Group {
  std::array<float, kSubGroup> w{}, weight{};
};
using Groups = std::array<Group, kInt4Groups>;

float error_with(const Group& group, float scale) {
  const float inverse = scale != 0 ? 1.0f / scale : 0.0f;
  float error = 0;
  for (std::size_t i = 0; i < group.w.size(); ++i) {
    const float x = std::clamp(group.w[i] * inverse, -8.0f, 7.0f);
    const float miss = group.w[i] - scale * ((x + 12582912.0f) - 12582912.0f);
    error += miss * miss * group.weight[i];
  }
  return error;
}

// The best scale of either sign: codes reach one further down than up, so the sign decides which
// side of the numbers may be larger.
float best_scale(const Group& group) {
  float lowest = 0, highest = 0;
  for (const float w : group.w) lowest = std::min(lowest, w), highest = std::max(highest, w);
  const float largest = std::max(-lowest, highest);
  if (largest == 0) return 0;
  float best = 0, least = std::numeric_limits<float>::infinity();
  for (const float sign : {1.0f, -1.0f}) {
    for (const float reach : {6.4f, 6.8f, 7.2f, 7.6f, 8.0f, 8.5f, 9.1f}) {
      const float scale = sign * largest / reach, error = error_with(group, scale);
      if (error < least) least = error, best = scale;
    }
  }
  return best;
}

// Sub-scales for a given scale: the nearest to what each group wants, or its neighbours.
Int4Scales with_scale(const Groups& groups, const std::array<float, kInt4Groups>& wanted,
                      float scale) {
  Int4Scales found{rounded_to<fp16>(scale), {}, 0};
  for (std::size_t g = 0; g < kInt4Groups; ++g) {
    const int nearest =
        found.scale != 0
            ? static_cast<int>(std::lrint(std::clamp(wanted[g] / found.scale, -8.0f, 7.0f)))
            : 0;
    float least = std::numeric_limits<float>::infinity();
    for (int sub = std::max(nearest - 1, -8); sub <= std::min(nearest + 1, 7); ++sub) {
      const float error = error_with(groups[g], found.scale * static_cast<float>(sub));
      if (error < least) least = error, found.sub[g] = sub;
    }
    found.error += least;
  }
  return found;
}

}  // namespace

Int4Scales find_int4_scales(std::span<const float> numbers, std::span<const float> importance) {
  Groups groups;
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    Group& group = groups[i / kSubGroup];
    group.w[i % kSubGroup] = numbers[i];
    group.weight[i % kSubGroup] = importance.empty() ? 1.0f : importance[i];
  }
  std::array<float, kInt4Groups> wanted{};
  float largest = 0;
  for (std::size_t g = 0; g < kInt4Groups; ++g) {
    wanted[g] = best_scale(groups[g]);
    largest = std::max(largest, std::fabs(wanted[g]));
  }
  Int4Scales best = with_scale(groups, wanted, 0);
  if (largest == 0) return best;
  for (const float reach : {5.0f, 6.0f, 6.5f, 7.0f, 7.5f, 8.0f}) {
    for (const float sign : {1.0f, -1.0f}) {
      const Int4Scales found = with_scale(groups, wanted, sign * largest / reach);
      if (found.error < best.error) best = found;
    }
  }
  return best;
}

}  // namespace qwenvl
