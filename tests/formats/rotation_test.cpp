// The rotation that keys are stored in.
#include "formats/rotation.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "formats/packed.h"

namespace qwenvl {
namespace {

std::vector<float> random_row(std::mt19937& random, std::int64_t n) {
  std::normal_distribution<float> value;
  std::vector<float> row(static_cast<std::size_t>(n));
  for (float& x : row) x = value(random);
  return row;
}

double dot(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += double{a[i]} * b[i];
  return sum;
}

TEST(Rotation, KeepsEveryDotProduct) {
  std::mt19937 random(7);
  for (const std::int64_t n : {1, 4, 16, 80, 96, 128}) {
    std::vector<float> a = random_row(random, n), b = random_row(random, n);
    const double before = dot(a, b), size = std::sqrt(dot(a, a) * dot(b, b));
    rotate_row(a.data(), n);
    rotate_row(b.data(), n);
    EXPECT_NEAR(dot(a, b), before, 1e-6 * size) << n;
  }
}

TEST(Rotation, TwiceGivesTheRowBack) {
  std::mt19937 random(8);
  for (const std::int64_t n : {16, 80, 128}) {
    const std::vector<float> row = random_row(random, n);
    std::vector<float> twice = row;
    rotate_row(twice.data(), n);
    EXPECT_GT(std::abs(twice[0] - row[0]), 1e-3f) << n;
    rotate_row(twice.data(), n);
    for (std::size_t i = 0; i < row.size(); ++i) EXPECT_NEAR(twice[i], row[i], 1e-5f) << n;
  }
}

TEST(Rotation, LeavesTheRestEightBitsBesideAnOutlier) {
  std::mt19937 random(9);
  const auto squared_error = [](const std::vector<float>& row) {
    std::vector<std::int8_t> q(row.size());
    const float scale = quantise_group(row.data(), static_cast<std::int64_t>(row.size()), q.data());
    double sum = 0;
    for (std::size_t i = 0; i < row.size(); ++i) sum += std::pow(scale * q[i] - row[i], 2);
    return sum;
  };
  std::vector<float> row = random_row(random, 128);
  row[40] = 100;
  const double plain = squared_error(row);
  rotate_row(row.data(), 128);
  EXPECT_LT(squared_error(row), plain / 16);
}

}  // namespace
}  // namespace qwenvl
