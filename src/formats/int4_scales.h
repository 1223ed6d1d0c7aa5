// The scales of a block of 4-bit numbers, searched for the least squared error.
// Before: packed.cpp has a block of numbers.   After: packed.cpp rounds them with these scales.
#pragma once

#include <array>
#include <cstddef>
#include <span>

#include "formats/packed.h"

namespace qwenvl {

inline constexpr std::size_t kInt4Groups = static_cast<std::size_t>(kBlock / kSubGroup);

struct Int4Scales {
  float scale = 0;  // a float16 number
  std::array<int, kInt4Groups> sub{};
  float error = 0;  // Σ importance · (number − rounded)²

  float of_group(std::size_t group) const { return scale * static_cast<float>(sub[group]); }
};

// Up to a block of numbers. importance: empty (all alike) or one for each number.
Int4Scales find_int4_scales(std::span<const float> numbers, std::span<const float> importance);

// The nearest code in [-8, 7] for a number divided by its scale.
inline int int4_code(float number, float inverse_scale) {
  const float x = number * inverse_scale;
  const float clamped = x < -8.0f ? -8.0f : x > 7.0f ? 7.0f : x;
  // Adding and subtracting 1.5 · 2^23 rounds to the nearest integer.
  return static_cast<int>((clamped + 12582912.0f) - 12582912.0f);
}

}  // namespace qwenvl
