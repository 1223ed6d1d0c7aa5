// How well the movement of the whole picture is measured, in drawn pictures.
#include "media/video/analysis/camera_motion.h"

#include <gtest/gtest.h>

#include <cmath>

#include "support/drawn_video.h"

namespace qwenvl {
namespace {

using test::GreyPicture;
using test::landscape;

constexpr double kCellPixels = 4;

// What a camera at (y, x) sees of a wide picture, so many times as large.
LumaImage seen(const GreyPicture& wide, double y0, double x0, double zoom = 1) {
  GreyPicture out(270, 480);
  for (int y = 0; y < 270; ++y) {
    for (int x = 0; x < 480; ++x) {
      const double fy = y0 + y / zoom, fx = x0 + x / zoom;
      const int iy = static_cast<int>(fy), ix = static_cast<int>(fx);
      const double ay = fy - iy, ax = fx - ix;
      out.set(y, x,
              static_cast<int>(
                  (1 - ay) * ((1 - ax) * wide.at(iy, ix) + ax * wide.at(iy, ix + 1)) +
                  ay * ((1 - ax) * wide.at(iy + 1, ix) + ax * wide.at(iy + 1, ix + 1)) + 0.5));
    }
  }
  return out.luma;
}

TEST(CameraMotion, IsMeasuredInPartsOfAPixel) {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    const GreyPicture wide = landscape(320, 560, seed);
    const CellImage before = cells_of(seen(wide, 20, 30));
    for (const auto& [down, across] : {std::pair{0.0, 0.0}, {0.0, 0.5}, {-1.5, 0.7}, {0.3, -2.0}}) {
      // The camera goes one way, the picture the other.
      const CameraMotion camera =
          camera_motion(before, cells_of(seen(wide, 20 - down, 30 - across)));
      const double most = std::abs(across) > 1 ? 0.3 : 0.15;
      EXPECT_NEAR(kCellPixels * camera.down_at(20), down, most) << "seed " << seed;
      EXPECT_NEAR(kCellPixels * camera.across_at(90), across, most) << "seed " << seed;
    }
  }
}

TEST(CameraMotion, IsZoom) {
  const GreyPicture wide = landscape(320, 560, 6);
  const CameraMotion camera =
      camera_motion(cells_of(seen(wide, 0, 0)), cells_of(seen(wide, 0, 0, 1.004)));
  EXPECT_NEAR(kCellPixels * camera.across_at(0), 0, 0.15);  // (0, 0) stays where it is
  EXPECT_NEAR(kCellPixels * camera.across_at(120), 0.004 * 480, 0.15);
  EXPECT_NEAR(kCellPixels * camera.down_at(67), 0.004 * 268, 0.15);
}

TEST(CameraMotion, IsNoneWhereOnlyThingsMoveOrTextAppears) {
  const GreyPicture scene = landscape(270, 480, 7);
  GreyPicture before = scene, now = scene;
  before.disc(130, 200, 40, 235);
  now.disc(130, 208, 40, 235);
  now.text(30, 30, "Some words that were not there", 2, 240);
  const CameraMotion camera = camera_motion(cells_of(before.luma), cells_of(now.luma));
  EXPECT_NEAR(kCellPixels * camera.across_at(0), 0, 0.1);
  EXPECT_NEAR(kCellPixels * camera.across_at(120), 0, 0.1);
  EXPECT_NEAR(kCellPixels * camera.down_at(0), 0, 0.1);
}

TEST(CameraMotion, IsNoneOfPlainAndTinyPictures) {
  for (const auto& [height, width] : {std::pair{1, 1}, {2, 90}, {16, 16}, {270, 480}}) {
    const CellImage dark = cells_of(GreyPicture(height, width, 20).luma);
    const CellImage bright = cells_of(GreyPicture(height, width, 90).luma);
    const CameraMotion camera = camera_motion(dark, bright);
    EXPECT_NEAR(camera.across_at(0), 0, 1e-6);
    EXPECT_NEAR(camera.down_at(0), 0, 1e-6);
  }
}

}  // namespace
}  // namespace qwenvl
