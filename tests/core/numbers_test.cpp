// bf16 and half against independent formulas, over all 65536 values of each.
#include "core/numbers.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>

namespace qwenvl {
namespace {

// (-1)^s · 2^e · m from the definition, in double precision.
double value_of(unsigned bits, int n_exponent, int n_mantissa) {
  const int bias = (1 << (n_exponent - 1)) - 1;
  const int exponent = static_cast<int>(bits >> n_mantissa) & ((1 << n_exponent) - 1);
  const int mantissa = static_cast<int>(bits) & ((1 << n_mantissa) - 1);
  const double sign = bits & 0x8000u ? -1 : 1;
  if (exponent == (1 << n_exponent) - 1) {
    return mantissa ? std::numeric_limits<double>::quiet_NaN()
                    : sign * std::numeric_limits<double>::infinity();
  }
  const int significand = exponent ? mantissa + (1 << n_mantissa) : mantissa;
  return sign * std::ldexp(significand, (exponent ? exponent : 1) - bias - n_mantissa);
}

TEST(Numbers, EveryBf16ReadsAsItsDefinition) {
  for (unsigned bits = 0; bits < 65536; ++bits) {
    const float value = to_float(bf16{static_cast<std::uint16_t>(bits)});
    const double expected = value_of(bits, 8, 7);
    if (std::isnan(expected)) {
      EXPECT_TRUE(std::isnan(value)) << bits;
    } else {
      EXPECT_EQ(value, expected) << bits;
      EXPECT_EQ(std::signbit(value), (bits & 0x8000u) != 0) << bits;
    }
  }
}

TEST(Numbers, EveryHalfReadsAsItsDefinition) {
  for (unsigned bits = 0; bits < 65536; ++bits) {
    const float value = to_float(fp16{static_cast<std::uint16_t>(bits)});
    const double expected = value_of(bits, 5, 10);
    if (std::isnan(expected)) {
      EXPECT_TRUE(std::isnan(value)) << bits;
    } else {
      EXPECT_EQ(value, expected) << bits;
      EXPECT_EQ(std::signbit(value), (bits & 0x8000u) != 0) << bits;
    }
  }
}

TEST(Numbers, EveryBf16ComesBackFromItsFloat) {
  for (unsigned bits = 0; bits < 65536; ++bits) {
    const bf16 stored{static_cast<std::uint16_t>(bits)};
    const bf16 back = to_bf16(to_float(stored));
    if (std::isnan(to_float(stored))) {
      EXPECT_TRUE(std::isnan(to_float(back))) << bits;
    } else {
      EXPECT_EQ(back.bits, bits);
    }
  }
}

// The two neighbours of x among the bf16 values are found by truncation; the nearer one wins, and
// the one with an even last bit when both are as near.
TEST(Numbers, FloatsRoundToTheNearestBf16AndTiesToEven) {
  for (unsigned bits = 0; bits < 0x7f80; ++bits) {
    const double low = value_of(bits, 8, 7);
    const double step = std::ldexp(1, std::max(static_cast<int>(bits >> 7), 1) - 127 - 7);
    for (unsigned tail : {0u, 1u, 0x7fffu, 0x8000u, 0x8001u, 0xffffu}) {
      const float x = std::bit_cast<float>(bits << 16 | tail);
      const double above = (static_cast<double>(x) - low) / step;  // exact: 0 to 1
      const unsigned expected = above > 0.5 || (above == 0.5 && bits % 2) ? bits + 1 : bits;
      ASSERT_EQ(to_bf16(x).bits, expected) << bits << " " << tail;
      ASSERT_EQ(to_bf16(-x).bits, expected | 0x8000u) << bits << " " << tail;
    }
  }
}

TEST(Numbers, InfinityOverflowAndNaNSurviveRounding) {
  const float infinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(rounded_to<bf16>(infinity), infinity);
  EXPECT_EQ(rounded_to<bf16>(std::numeric_limits<float>::max()), infinity);
  for (unsigned bits : {0x7f800001u, 0x7fffffffu, 0xff800001u, 0xffffffffu}) {
    EXPECT_TRUE(std::isnan(rounded_to<bf16>(std::bit_cast<float>(bits)))) << bits;
  }
  EXPECT_EQ(rounded_to<float>(1.1f), 1.1f);
}

}  // namespace
}  // namespace qwenvl
