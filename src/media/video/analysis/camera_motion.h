// How the picture as a whole moved between two moments: a camera that pans or zooms slowly.
// Private to src/media/video. Before: low_resolution.h.   After: text_meter.cpp and scene_meter.cpp
// take away what it explains.
#pragma once

#include "media/video/analysis/low_resolution.h"

namespace qwenvl {

// What is at (y, x) of the later picture was at (y, x) less `down_at`, `across_at` of the earlier.
// Movements add up as long as they are small. Positions and movements in cells.
struct CameraMotion {
  double down = 0, across = 0;  // of the centre
  double zoom = 0;              // growth; of 1
  double centre_y = 0, centre_x = 0;

  double down_at(double y) const { return down + zoom * (y - centre_y); }
  double across_at(double x) const { return across + zoom * (x - centre_x); }
  void add(const CameraMotion& later) {
    down += later.down, across += later.across, zoom += later.zoom;
    centre_y = later.centre_y, centre_x = later.centre_x;
  }
};

// The movement that most of the picture's slopes agree on; none where they do not, or where it is
// faster than a cell, which is no slow camera.
CameraMotion camera_motion(const CellImage& before, const CellImage& now);

// The earlier picture as the camera shows it later; where that was outside, the later one itself.
CellImage moved(const CellImage& before, const CameraMotion& camera, const CellImage& now);

}  // namespace qwenvl
