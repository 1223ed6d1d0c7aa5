// Error feedback: the factors are those of the moments, and outputs change less than by rounding
// each number to the nearest.
#include "engine/quantize/error_feedback.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "formats/packed.h"

namespace qwenvl {
namespace {

// n_rows inputs of n_in numbers that go together: a few directions and a little noise.
std::vector<float> correlated_inputs(std::int64_t n_rows, std::int64_t n_in) {
  constexpr std::int64_t kDirections = 12;
  std::mt19937 random(3);
  std::normal_distribution<float> value;
  std::vector<float> directions(static_cast<std::size_t>(kDirections * n_in));
  for (float& x : directions) x = value(random);
  std::vector<float> rows(static_cast<std::size_t>(n_rows * n_in));
  for (std::int64_t r = 0; r < n_rows; ++r) {
    float share[kDirections];
    for (float& s : share) s = value(random);
    for (std::int64_t i = 0; i < n_in; ++i) {
      float sum = 0.3f * value(random);
      for (std::int64_t d = 0; d < kDirections; ++d) sum += share[d] * directions[d * n_in + i];
      rows[r * n_in + i] = sum;
    }
  }
  return rows;
}

std::vector<float> weights(std::int64_t n_out, std::int64_t n_in) {
  std::mt19937 random(5);
  std::normal_distribution<float> value(0, 0.02f);
  std::vector<float> out(static_cast<std::size_t>(n_out * n_in));
  for (float& w : out) w = value(random);
  return out;
}

Tensor as_rows(std::vector<float>& numbers, std::int64_t n_columns) {
  return Tensor(numbers.data(), DType::f32, {std::ssize(numbers) / n_columns, n_columns});
}

std::vector<std::byte> nearest(Packing packing, const std::vector<float>& rows, std::int64_t n_in) {
  const std::int64_t n_out = std::ssize(rows) / n_in;
  std::vector<std::byte> out(static_cast<std::size_t>(packed_bytes(packing, n_out, n_in)));
  for (std::int64_t first = 0; first < n_out; first += kPanelRows) {
    pack_panel(packing, rows.data() + first * n_in, std::min(kPanelRows, n_out - first), n_in, {},
               out.data() + first / kPanelRows * panel_bytes(packing, n_in));
  }
  return out;
}

std::vector<std::byte> with_feedback(Packing packing, std::vector<float> rows, std::int64_t n_in,
                                     std::vector<float> inputs, int n_threads,
                                     std::int64_t rows_at_once = 100) {
  const auto backend = make_backend("cpu", n_threads);
  InputMoment moment(n_in);
  const Tensor all = as_rows(inputs, n_in);
  for (std::int64_t first = 0; first < all.rows(); first += rows_at_once) {
    moment.add(*backend, all.slice_rows(first, std::min(rows_at_once, all.rows() - first)));
  }
  const std::int64_t n_out = std::ssize(rows) / n_in;
  std::vector<std::byte> out(static_cast<std::size_t>(packed_bytes(packing, n_out, n_in)),
                             std::byte{0xcd});
  pack_with_feedback(*backend, packing, as_rows(rows, n_in), moment, out);
  return out;
}

// ‖X · (W − W')ᵀ‖², computed with the inputs themselves.
double output_error(Packing packing, const std::vector<float>& rows, std::int64_t n_in,
                    const std::vector<std::byte>& panels, const std::vector<float>& inputs) {
  const std::int64_t n_out = std::ssize(rows) / n_in;
  const Weight packed(panels.data(), packing, n_out, n_in);
  std::vector<float> rounded(static_cast<std::size_t>(n_in));
  double error = 0;
  for (std::int64_t o = 0; o < n_out; ++o) {
    unpack_row(packed, o, rounded.data());
    for (std::int64_t r = 0; r < std::ssize(inputs) / n_in; ++r) {
      double miss = 0;
      for (std::int64_t i = 0; i < n_in; ++i) {
        miss += (double{rows[o * n_in + i]} - rounded[i]) * inputs[r * n_in + i];
      }
      error += miss * miss;
    }
  }
  return error;
}

struct Shape2 {
  std::int64_t n_out, n_in;
};

TEST(ErrorFeedback, OutputsChangeLessThanByRoundingToTheNearest) {
  for (const Packing packing : {Packing::int8, Packing::int8_grouped, Packing::int4}) {
    for (const Shape2& shape : {Shape2{40, 300}, Shape2{33, 128}, Shape2{7, 96}, Shape2{64, 684}}) {
      const std::vector<float> rows = weights(shape.n_out, shape.n_in);
      const std::vector<float> inputs = correlated_inputs(400, shape.n_in);
      const auto error = [&](const std::vector<std::byte>& panels) {
        return output_error(packing, rows, shape.n_in, panels, inputs);
      };
      EXPECT_LT(error(with_feedback(packing, rows, shape.n_in, inputs, 1)),
                0.5 * error(nearest(packing, rows, shape.n_in)))
          << name_of(packing) << " [" << shape.n_out << ", " << shape.n_in << "]";
    }
  }
}

TEST(ErrorFeedback, HelpsOnInputsItHasNotSeenToo) {
  const std::vector<float> all = correlated_inputs(800, 300), rows = weights(40, 300);
  const std::vector<float> seen(all.begin(), all.begin() + 400 * 300);
  const std::vector<float> others(all.begin() + 400 * 300, all.end());
  const auto panels = with_feedback(Packing::int4, rows, 300, seen, 1);
  EXPECT_LT(
      output_error(Packing::int4, rows, 300, panels, others),
      0.5 * output_error(Packing::int4, rows, 300, nearest(Packing::int4, rows, 300), others));
}

TEST(ErrorFeedback, WideInputsAreTakenInChunks) {
  constexpr std::int64_t kWide = InputMoment::kMostColumns + 200;
  const std::vector<float> rows = weights(3, kWide), inputs = correlated_inputs(64, kWide);
  const auto panels = with_feedback(Packing::int4, rows, kWide, inputs, 2);
  EXPECT_LT(
      output_error(Packing::int4, rows, kWide, panels, inputs),
      0.7 * output_error(Packing::int4, rows, kWide, nearest(Packing::int4, rows, kWide), inputs));
  EXPECT_LT(InputMoment::bytes_for(kWide), kWide * kWide * sizeof(float) * 3 / 4);
}

TEST(ErrorFeedback, NeitherThreadsNorTheSizeOfCallsChangeTheBytes) {
  const std::vector<float> rows = weights(70, 300), inputs = correlated_inputs(600, 300);
  for (const Packing packing : {Packing::int8, Packing::int4}) {
    const auto one = with_feedback(packing, rows, 300, inputs, 1);
    EXPECT_EQ(one, with_feedback(packing, rows, 300, inputs, 3)) << name_of(packing);
    EXPECT_EQ(one, with_feedback(packing, rows, 300, inputs, 2, 7)) << name_of(packing);
  }
}

TEST(ErrorFeedback, WithoutAnyInputEveryNumberGoesToTheNearest) {
  const std::vector<float> rows = weights(40, 300), zeros(300 * 10, 0.0f);
  for (const Packing packing : {Packing::int8, Packing::int8_grouped, Packing::int4}) {
    EXPECT_EQ(with_feedback(packing, rows, 300, zeros, 1), nearest(packing, rows, 300))
        << name_of(packing);
  }
}

TEST(ErrorFeedback, InputsThatAreNotFiniteAreRefused) {
  std::vector<float> inputs = correlated_inputs(10, 128);
  inputs[5] = std::nanf("");
  EXPECT_THROW(with_feedback(Packing::int4, weights(4, 128), 128, inputs, 1), Error);
}

TEST(ErrorFeedback, FactorsMultiplyToTheMoments) {
  constexpr std::int64_t n = 200;
  std::vector<float> inputs = correlated_inputs(500, n);
  const auto backend = make_backend("cpu", 2);
  InputMoment moment(n);
  moment.add(*backend, as_rows(inputs, n));
  InputMoment::Chunk& chunk = moment.finish(*backend).at(0);
  const std::vector<float> h = chunk.products;
  EXPECT_EQ(moment.n_rows(), 500);
  double mean = 0;
  for (std::int64_t i = 0; i < n; ++i) mean += h[i * n + i] / double{n};
  const ColumnFactors factors = factor_columns(*backend, chunk);
  ASSERT_EQ(factors.blocks.size(), 2u);
  const auto of = [&](std::int64_t j, std::int64_t k) -> double {  // U_jk
    if (j == k) return 1;
    const ColumnFactors::Block& block = factors.blocks[static_cast<std::size_t>(k / kBlock)];
    const std::int64_t column = k - block.first;
    if (j < block.first) return block.before[column * block.first + j];
    return j < k ? block.within[(j - block.first) * block.n + column] : 0;
  };
  for (std::int64_t i = 0; i < n; i += 7) {
    for (std::int64_t j = 0; j < n; j += 11) {
      double direct = 0, product = 0;
      for (std::int64_t r = 0; r < 500; ++r)
        direct += double{inputs[r * n + i]} * inputs[r * n + j];
      for (std::int64_t k = 0; k < n; ++k) {
        product += of(i, k) * of(j, k) *
                   factors.blocks[static_cast<std::size_t>(k / kBlock)].importance[k % kBlock];
      }
      ASSERT_NEAR(h[i * n + j] / mean, direct / mean, 1e-4) << i << ", " << j;
      ASSERT_NEAR(product, direct / mean + (i == j ? 0.1 : 0), 1e-4) << i << ", " << j;
    }
  }
}

}  // namespace
}  // namespace qwenvl
