// The verbs that work row by row: every kernel table against the reference back end.
#include <gtest/gtest.h>

#include "backend_cases.h"

namespace qwenvl::testing {
namespace {

class OnKernelsRows : public OnKernels {};
INSTANTIATE_TEST_SUITE_P(Kernels, OnKernelsRows,
                         ::testing::Range(std::size_t{0}, cpu::kernel_choices().size()),
                         kernel_name);

constexpr std::int64_t kWidths[] = {1, 3, 15, 16, 17, 100, 3420};
constexpr std::int64_t kRowCounts[] = {1, 2, 3, 9, 33, 130};

// Calls body(type, rows, width, what) for all shapes, the widest with few rows only.
template <class Body>
void for_shapes(Body body) {
  for (const DType type : kComputeTypes) {
    for (const std::int64_t width : kWidths) {
      for (const std::int64_t rows : kRowCounts) {
        if (rows * width > 20000) continue;
        body(type, rows, width, fmt::format("[{}, {}] {}", rows, width, name_of(type)));
      }
    }
  }
}

TEST_P(OnKernelsRows, embedding_copies_rows_as_the_reference_does) {
  for_shapes([&](DType type, std::int64_t rows, std::int64_t width, const std::string& what) {
    for (const DType format : kWeightFormats) {
      const Numbers table = random_numbers(random, format, 11, width);
      std::vector<std::int32_t> ids;
      for (std::int64_t t = 0; t < rows; ++t)
        ids.push_back(static_cast<std::int32_t>((t * 7 + 10) % 11));
      Numbers got(type, rows, width, 3), expected(type, rows, width, 3);
      cpu->embed_rows(Weight(table.tensor()), ids, got);
      reference->embed_rows(Weight(table.tensor()), ids, expected);
      EXPECT_TRUE(got.bytes() == expected.bytes()) << what << " from " << name_of(format);
    }
  });
}

TEST_P(OnKernelsRows, add_is_exact) {
  for_shapes([&](DType type, std::int64_t rows, std::int64_t width, const std::string& what) {
    Numbers got = random_numbers(random, type, rows, width, 1, 2), expected = got;
    const Numbers y = random_numbers(random, type, rows, width, 100, 3);
    cpu->add(got, y);
    reference->add(expected, y);
    EXPECT_TRUE(got.bytes() == expected.bytes()) << what;
  });
}

TEST_P(OnKernelsRows, rms_norm_equals_the_reference) {
  for_shapes([&](DType type, std::int64_t rows, std::int64_t width, const std::string& what) {
    const Numbers x = random_numbers(random, type, rows, width, 3, 2);
    const std::vector<float> weight = random_vector(random, width, 2);
    Numbers got(type, rows, width, 3), expected(type, rows, width, 3);
    cpu->rms_norm(x, weight, 1e-6f, got);
    reference->rms_norm(x, weight, 1e-6f, expected);
    EXPECT_TRUE(got.gap_is_untouched());
    // A mean of positive numbers, its root, a quotient and two products; in bf16 two roundings.
    const auto tolerance = [&](std::int64_t, std::int64_t, double value) {
      return static_cast<double>(width / cpu::kLanes + 14) * kHalfUlp * std::abs(value) +
             2 * rounding_of(type, value);
    };
    expect_near(got, expected, tolerance, what);
  });
}

TEST_P(OnKernelsRows, rms_norm_may_write_over_its_input) {
  for (const DType type : kComputeTypes) {
    Numbers x = random_numbers(random, type, 3, 100);
    const std::vector<float> weight = random_vector(random, 100);
    Numbers out(type, 3, 100);
    cpu->rms_norm(x, weight, 1e-6f, out);
    cpu->rms_norm(x, weight, 1e-6f, x);
    EXPECT_EQ(bits_of(x), bits_of(out)) << name_of(type);
  }
}

void compare_rope(Backend& backend, Backend& reference, std::mt19937& random, DType type,
                  RopeRounding rounding, int n_heads, std::int64_t head_dim, std::int64_t rows) {
  // Queries are columns of a wider product in the tower.
  Numbers got = random_numbers(random, type, rows, n_heads * head_dim, 3, 7), expected = got;
  const Numbers original = got;
  const Numbers cos = random_numbers(random, DType::f32, rows, head_dim / 2);
  const Numbers sin = random_numbers(random, DType::f32, rows, head_dim / 2);
  backend.rope(got, n_heads, cos, sin, rounding);
  reference.rope(expected, n_heads, cos, sin, rounding);
  EXPECT_TRUE(got.gap_is_untouched());
  const std::string what =
      fmt::format("{} heads of {}, {} rows, {}, {}", n_heads, head_dim, rows, name_of(type),
                  rounding == RopeRounding::once ? "rounded once" : "each product rounded");
  if (type == DType::bf16 && rounding == RopeRounding::each_product) {
    EXPECT_TRUE(got.bytes() == expected.bytes())
        << what;  // products and sums of bf16 numbers leave no choice
    return;
  }
  // Two products and a sum of numbers up to 3.
  const auto tolerance = [&](std::int64_t, std::int64_t, double value) {
    return 4 * kHalfUlp * 6 + rounding_of(type, value);
  };
  expect_near(got, expected, tolerance, what);
}

TEST_P(OnKernelsRows, rope_equals_the_reference) {
  for (const DType type : kComputeTypes) {
    for (const RopeRounding rounding : {RopeRounding::once, RopeRounding::each_product}) {
      for (const std::int64_t head_dim : {2, 4, 16, 30, 32, 34, 80, 128}) {
        for (const int n_heads : {1, 3}) {
          for (const std::int64_t rows : {1, 9, 40}) {
            compare_rope(*cpu, *reference, random, type, rounding, n_heads, head_dim, rows);
          }
        }
      }
    }
  }
}

TEST_P(OnKernelsRows, silu_mul_equals_the_reference) {
  for_shapes([&](DType type, std::int64_t rows, std::int64_t width, const std::string& what) {
    Numbers got = random_numbers(random, type, rows, width, 12, 2), expected = got;
    const Numbers up = random_numbers(random, type, rows, width, 3, 1);
    cpu->silu_mul(got, up);
    reference->silu_mul(expected, up);
    EXPECT_TRUE(got.gap_is_untouched());
    // An exponential of four units at most on either side, a sum, a quotient, a product; two
    // roundings.
    const auto tolerance = [&](std::int64_t, std::int64_t, double value) {
      return 16 * kHalfUlp * std::abs(value) + 2 * rounding_of(type, value) + 1e-37;
    };
    expect_near(got, expected, tolerance, what);
  });
}

TEST_P(OnKernelsRows, gelu_equals_the_reference) {
  for_shapes([&](DType type, std::int64_t rows, std::int64_t width, const std::string& what) {
    Numbers got = random_numbers(random, type, rows, width, 6, 2), expected = got;
    cpu->gelu(got);
    reference->gelu(expected);
    EXPECT_TRUE(got.gap_is_untouched());
    // Where 1 + erf cancels, the error stays relative to x.
    const auto tolerance = [&](std::int64_t, std::int64_t, double value) {
      return 6 * 4 * kHalfUlp + rounding_of(type, value);
    };
    expect_near(got, expected, tolerance, what);
  });
}

TEST_P(OnKernelsRows, rows_have_the_same_bits_however_many_rows_and_threads_compute_them) {
  for (const DType type : kComputeTypes) {
    const Numbers x = random_numbers(random, type, 131, 100, 4),
                  y = random_numbers(random, type, 131, 100, 4);
    const Numbers cos = random_numbers(random, DType::f32, 131, 10),
                  sin = random_numbers(random, DType::f32, 131, 10);
    const std::vector<float> weight = random_vector(random, 100);
    const auto run = [&](Backend& backend, std::int64_t first, std::int64_t n) {
      Numbers out(type, n, 100);
      const auto part = [&](const Numbers& whole) { return whole.tensor().slice_rows(first, n); };
      backend.rms_norm(part(x), weight, 1e-6f, out);
      backend.rope(out, 5, part(cos), part(sin), RopeRounding::once);
      backend.silu_mul(out, part(y));
      backend.add(out, part(x));
      backend.gelu(out);
      return bits_of(out);
    };
    const std::string whole = run(*with_threads(1), 0, 131);
    const std::size_t row_bytes = whole.size() / 131;
    for (const int n_threads : {1, 2, 3}) {
      const auto backend = with_threads(n_threads);
      for (const std::int64_t n : {1, 2, 3, 33, 131}) {
        const std::int64_t first = 131 - n;
        EXPECT_EQ(run(*backend, first, n),
                  whole.substr(static_cast<std::size_t>(first) * row_bytes))
            << n << " rows, " << n_threads << " threads, " << name_of(type);
      }
    }
  }
}

TEST_P(OnKernelsRows, every_index_of_parallel_for_is_visited_once) {
  std::vector<int> visits(1000);
  with_threads(3)->parallel_for(1000,
                                [&](std::int64_t i) { ++visits[static_cast<std::size_t>(i)]; });
  EXPECT_EQ(visits, std::vector<int>(1000, 1));
}

}  // namespace
}  // namespace qwenvl::testing
