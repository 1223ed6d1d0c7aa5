// Boxes, points and labels drawn onto an image, so that an answer can be looked at.
#pragma once

#include <string>
#include <vector>

#include "media/image.h"

namespace qwenvl {

// Coordinates in pixels of the image drawn on; x right, y down.
struct BoxMark {
  int x1, y1, x2, y2;
  std::string label;
};
struct PointMark {
  int x, y;
  std::string label;
};

// Line width and text size follow the image's size; marks outside the image are clipped.
void draw_marks(Image& image, const std::vector<BoxMark>& boxes,
                const std::vector<PointMark>& points);

}  // namespace qwenvl
