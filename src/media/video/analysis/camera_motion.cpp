// Least squares over slopes and differences, repeated with less weight on what disagrees: things
// that move on their own, or appear.
#include "media/video/analysis/camera_motion.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <utility>

namespace qwenvl {
namespace {

constexpr int kRounds = 4;                       // with other weights
constexpr int kRefinements = 2;                  // of what is left of the movement
constexpr double kDisagreement = 2 * kCellUnit;  // at which a cell has half its weight
constexpr double kStill = 0.02;                  // cells that need no refinement
constexpr double kFastest = 1;                   // cells between two moments
constexpr double kPlainSlope = 0.1 * kCellUnit;  // of pictures so plain that they stand still

// Unknowns: down, across, zoom, and a common change of brightness.
constexpr std::size_t kUnknowns = 4;
using Row = std::array<double, kUnknowns>;

struct Equations {
  std::array<Row, kUnknowns> matrix{};
  Row right{};

  void add(const Row& row, double value, double weight) {
    for (std::size_t i = 0; i < kUnknowns; ++i) {
      right[i] += weight * row[i] * value;
      for (std::size_t j = 0; j <= i; ++j) matrix[i][j] += weight * row[i] * row[j];
    }
  }

  // By Cholesky's method; the diagonal has been made positive.
  Row solved() {
    for (std::size_t i = 0; i < kUnknowns; ++i) {
      for (std::size_t j = 0; j <= i; ++j) {
        double sum = matrix[i][j];
        for (std::size_t k = 0; k < j; ++k) sum -= matrix[i][k] * matrix[j][k];
        matrix[i][j] = i == j ? std::sqrt(std::max(sum, 1e-9)) : sum / matrix[j][j];
      }
    }
    Row out = right;
    for (std::size_t i = 0; i < kUnknowns; ++i) {
      for (std::size_t k = 0; k < i; ++k) out[i] -= matrix[i][k] * out[k];
      out[i] /= matrix[i][i];
    }
    for (std::size_t i = kUnknowns; i-- > 0;) {
      for (std::size_t k = i + 1; k < kUnknowns; ++k) out[i] -= matrix[k][i] * out[k];
      out[i] /= matrix[i][i];
    }
    return out;
  }
};

double dot(const Row& a, const Row& b) {
  double sum = 0;
  for (std::size_t i = 0; i < kUnknowns; ++i) sum += a[i] * b[i];
  return sum;
}

// Of one cell: how much it would differ per unit of each unknown; zoom in units of the half width.
Row slopes_at(const CellImage& before, const CellImage& now, int y, int x) {
  const double half = now.width / 2.0;
  const double down =
      (now.at(y + 1, x) - now.at(y - 1, x) + before.at(y + 1, x) - before.at(y - 1, x)) / 4.0;
  const double across =
      (now.at(y, x + 1) - now.at(y, x - 1) + before.at(y, x + 1) - before.at(y, x - 1)) / 4.0;
  const double from_centre_y = (y + 0.5 - now.height / 2.0) / half;
  const double from_centre_x = (x + 0.5 - half) / half;
  return {-down, -across, -(down * from_centre_y + across * from_centre_x), kCellUnit};
}

// What moved between two pictures that are a small part of a cell away from each other.
CameraMotion small_motion(const CellImage& before, const CellImage& now) {
  Row solution{};
  const double n = static_cast<double>(now.values.size());
  for (int round = 0; round < kRounds; ++round) {
    Equations equations;
    for (std::size_t i = 0; i < kUnknowns; ++i)
      equations.matrix[i][i] = n * kPlainSlope * kPlainSlope;
    for (int y = 1; y + 1 < now.height; ++y) {
      // Every second cell, as on a chessboard: neighbours tell much the same.
      for (int x = 1 + y % 2; x + 1 < now.width; x += 2) {
        const Row row = slopes_at(before, now, y, x);
        const double difference = now.at(y, x) - before.at(y, x);
        const double rest = (difference - dot(row, solution)) / kDisagreement;
        equations.add(row, difference, 1 / (1 + rest * rest));
      }
    }
    solution = equations.solved();
  }
  const auto [down, across, growth, brightness] = solution;
  return {down, across, growth / (now.width / 2.0), now.height / 2.0, now.width / 2.0};
}

// At the sides, where a zoom is fastest.
double fastest_of(const CameraMotion& camera) {
  return std::max(std::abs(camera.down), std::abs(camera.across)) +
         std::abs(camera.zoom) * camera.centre_x;
}

}  // namespace

CameraMotion camera_motion(const CellImage& before, const CellImage& now) {
  const CameraMotion none{0, 0, 0, now.height / 2.0, now.width / 2.0};
  if (now.height < 3 || now.width < 3) return none;
  CameraMotion out = none;
  for (int refinement = 0; refinement < kRefinements; ++refinement) {
    const CameraMotion rest = small_motion(refinement == 0 ? before : moved(before, out, now), now);
    out.add(rest);
    if (fastest_of(out) > kFastest) return none;
    if (fastest_of(rest) < kStill) break;
  }
  return out;
}

CellImage moved(const CellImage& before, const CameraMotion& camera, const CellImage& now) {
  CellImage out = now;
  for (int y = 0; y < now.height; ++y) {
    const double from_y = y - camera.down_at(y + 0.5);
    const int y0 = std::min(static_cast<int>(std::floor(from_y)), now.height - 2);
    if (from_y < 0 || from_y > now.height - 1 || y0 < 0) continue;
    const double ay = from_y - y0;
    for (int x = 0; x < now.width; ++x) {
      const double from_x = x - camera.across_at(x + 0.5);
      const int x0 = std::min(static_cast<int>(std::floor(from_x)), now.width - 2);
      if (from_x < 0 || from_x > now.width - 1 || x0 < 0) continue;
      const double ax = from_x - x0;
      const double value = (1 - ay) * ((1 - ax) * before.at(y0, x0) + ax * before.at(y0, x0 + 1)) +
                           ay * ((1 - ax) * before.at(y0 + 1, x0) + ax * before.at(y0 + 1, x0 + 1));
      out.values[static_cast<std::size_t>(y) * now.width + x] =
          static_cast<std::int16_t>(std::lround(value));
    }
  }
  return out;
}

}  // namespace qwenvl
