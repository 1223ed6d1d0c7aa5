// Infinities, NaN, denormals and very large numbers in every kernel table.
#include <gtest/gtest.h>

#include <limits>

#include "backend_cases.h"

namespace qwenvl::testing {
namespace {

class OnKernelsExtremes : public OnKernels {};
INSTANTIATE_TEST_SUITE_P(Kernels, OnKernelsExtremes,
                         ::testing::Range(std::size_t{0}, cpu::kernel_choices().size()),
                         kernel_name);

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

float silu_of(Backend& backend, float x) {
  Numbers gate(DType::f32, 1, 1), up(DType::f32, 1, 1);
  gate.set(0, 0, x);
  up.set(0, 0, 1);
  backend.silu_mul(gate, up);
  return gate.get(0, 0);
}

TEST_P(OnKernelsExtremes, silu_of_large_numbers_is_the_number_or_nothing) {
  for (const float x :
       {88.8f, 89.0f, 150.0f, 1e4f, 1e30f, std::numeric_limits<float>::max(), kInfinity}) {
    EXPECT_EQ(silu_of(*cpu, x), x);
  }
  for (const float x : {-104.0f, -150.0f, -1e4f, -1e30f}) EXPECT_EQ(silu_of(*cpu, x), 0.0f) << x;
  EXPECT_EQ(silu_of(*cpu, 0.0f), 0.0f);
  EXPECT_EQ(silu_of(*cpu, 1e-40f), 0.5e-40f);  // a denormal
}

TEST_P(OnKernelsExtremes, silu_is_near_the_true_function_over_its_whole_range) {
  for (float x = -87.0f; x < 89.0f; x += 0.0137f) {
    const double expected = double{x} / (1 + std::exp(-double{x}));
    EXPECT_NEAR(silu_of(*cpu, x), expected, std::abs(expected) * 8 * kHalfUlp) << x;
  }
}

TEST_P(OnKernelsExtremes, nothing_turns_nan_into_a_number) {
  for (const DType type : kComputeTypes) {
    for (const std::int64_t width : {1, 5, 16, 40}) {
      const std::int64_t place = width / 2;
      const auto holed = [&] {
        Numbers x = random_numbers(random, type, 1, width);
        x.set(0, place, kNan);
        return x;
      };
      const Numbers ones = random_numbers(random, type, 1, width);
      const std::vector<float> weight(static_cast<std::size_t>(width), 1.0f);
      Numbers sum = holed(), gate = holed(), up = ones, bent = holed(), norm(type, 1, width),
              x = holed();
      cpu->add(sum, ones);
      EXPECT_TRUE(std::isnan(sum.get(0, place))) << "add " << name_of(type);
      cpu->silu_mul(gate, ones);
      EXPECT_TRUE(std::isnan(gate.get(0, place))) << "silu_mul " << name_of(type);
      cpu->silu_mul(up, holed());
      EXPECT_TRUE(std::isnan(up.get(0, place))) << "silu_mul " << name_of(type);
      cpu->gelu(bent);
      EXPECT_TRUE(std::isnan(bent.get(0, place))) << "gelu " << name_of(type);
      cpu->rms_norm(x, weight, 1e-6f, norm);
      EXPECT_TRUE(std::isnan(norm.get(0, 0))) << "rms_norm " << name_of(type);
      Numbers product(type, 1, 3);
      const Numbers w = random_numbers(random, DType::bf16, 3, width);
      cpu->linear(x, Weight(w.tensor()), {}, product);
      for (int i = 0; i < 3; ++i)
        EXPECT_TRUE(std::isnan(product.get(0, i))) << "linear " << name_of(type);
    }
  }
}

TEST_P(OnKernelsExtremes, rounding_to_bf16_is_that_of_the_scalar_rule_for_every_kind_of_number) {
  std::vector<float> values;
  for (std::uint32_t high = 0; high < 0x10000; high += 7) {
    for (const std::uint32_t low : {0x0000u, 0x0001u, 0x7fffu, 0x8000u, 0x8001u, 0xffffu}) {
      values.push_back(std::bit_cast<float>(high << 16 | low));
    }
  }
  std::vector<bf16> got(values.size());
  table().bf16.narrow(values.data(), static_cast<std::int64_t>(values.size()), got.data());
  for (std::size_t i = 0; i < values.size(); ++i) {
    ASSERT_EQ(got[i].bits, to_bf16(values[i]).bits)
        << std::hex << std::bit_cast<std::uint32_t>(values[i]);
  }
}

TEST_P(OnKernelsExtremes, every_bf16_number_widens_to_itself) {
  std::vector<bf16> all(0x10000);
  for (std::uint32_t i = 0; i < all.size(); ++i) all[i].bits = static_cast<std::uint16_t>(i);
  std::vector<float> got(all.size());
  table().bf16.widen(all.data(), static_cast<std::int64_t>(all.size()), got.data());
  for (std::uint32_t i = 0; i < all.size(); ++i)
    ASSERT_EQ(std::bit_cast<std::uint32_t>(got[i]), i << 16);
}

TEST_P(OnKernelsExtremes, every_half_number_unpacks_to_its_value) {
  std::vector<fp16> all(0x10000);
  for (std::uint32_t i = 0; i < all.size(); ++i) all[i].bits = static_cast<std::uint16_t>(i);
  std::vector<float> got(all.size()), rounded(all.size());
  table().unpack(all.data(), DType::f16, false, 0x10000, got.data());
  table().unpack(all.data(), DType::f16, true, 0x10000, rounded.data());
  for (std::uint32_t i = 0; i < all.size(); ++i) {
    const double magnitude =
        (i >> 10 & 31) == 0 ? std::ldexp(i & 1023, -24)
                            : std::ldexp(1024 + (i & 1023), static_cast<int>(i >> 10 & 31) - 25);
    const float expected = static_cast<float>(i >> 15 ? -magnitude : magnitude);
    if ((i >> 10 & 31) < 31) {
      ASSERT_EQ(std::bit_cast<std::uint32_t>(got[i]), std::bit_cast<std::uint32_t>(expected))
          << std::hex << i;
      ASSERT_EQ(std::bit_cast<std::uint32_t>(rounded[i]),
                std::bit_cast<std::uint32_t>(rounded_to<bf16>(expected)))
          << std::hex << i;
    } else if (i & 1023) {
      ASSERT_TRUE(std::isnan(got[i]) && std::isnan(rounded[i])) << std::hex << i;
    } else {
      ASSERT_EQ(got[i], i >> 15 ? -kInfinity : kInfinity) << std::hex << i;
      ASSERT_EQ(rounded[i], got[i]) << std::hex << i;
    }
  }
}

TEST_P(OnKernelsExtremes, the_padding_of_an_unpacked_row_is_zero) {
  for (const DType format : kWeightFormats) {
    const Numbers w = random_numbers(random, format, 1, 21);
    std::vector<float> out(48, kNan);
    table().unpack(w.tensor().data, format, false, 21, out.data());
    for (std::size_t i = 0; i < 21; ++i) EXPECT_EQ(out[i], w.get(0, static_cast<std::int64_t>(i)));
    for (std::size_t i = 21; i < 32; ++i) EXPECT_EQ(out[i], 0.0f) << i;
    for (std::size_t i = 32; i < 48; ++i) EXPECT_TRUE(std::isnan(out[i])) << i;
  }
}

TEST_P(OnKernelsExtremes, denormals_take_part_in_products) {
  for (const std::int64_t rows : {1, 2, 4}) {
    Numbers x(DType::f32, rows, 20), w(DType::f32, 1, 20), out(DType::f32, rows, 1);
    for (int i = 0; i < 20; ++i) {
      for (std::int64_t r = 0; r < rows; ++r) x.set(r, i, 1);
      w.set(0, i, 0x1p-149f);
    }
    cpu->linear(x, Weight(w.tensor()), {}, out);
    EXPECT_EQ(out.get(0, 0), 20 * 0x1p-149f) << rows;
  }
}

TEST_P(OnKernelsExtremes, sums_too_large_for_float_are_infinite) {
  Numbers x(DType::bf16, 1, 17), w(DType::bf16, 1, 17), out(DType::bf16, 1, 1);
  for (int i = 0; i < 17; ++i) {
    x.set(0, i, 1e30f);
    w.set(0, i, -1e30f);
  }
  cpu->linear(x, Weight(w.tensor()), {}, out);
  EXPECT_EQ(out.get(0, 0), -kInfinity);
}

TEST_P(OnKernelsExtremes, a_row_of_zeros_keeps_its_zeros_in_rms_norm) {
  for (const DType type : kComputeTypes) {
    Numbers x(type, 1, 20), out(type, 1, 20);
    for (int i = 0; i < 20; ++i) x.set(0, i, 0);
    cpu->rms_norm(x, std::vector<float>(20, 3.0f), 1e-6f, out);
    for (int i = 0; i < 20; ++i) EXPECT_EQ(out.get(0, i), 0.0f);
  }
}

}  // namespace
}  // namespace qwenvl::testing
