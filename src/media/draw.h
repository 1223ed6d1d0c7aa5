// Boxes, points and labels drawn onto an image, so that an answer can be looked at.
#pragma once

#include <cstddef>
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

// A line of text on a filled plate, 18 pixels high; a number stands for a colour, as of the labels
// in order. Cut off at the image's edges.
inline constexpr std::size_t kPlainColour = static_cast<std::size_t>(-1);  // dark gray
struct Plate {
  int x, y;  // of its upper left corner
  std::string text;
  std::size_t colour;
};
void draw_plate(Image& image, const Plate& plate);

struct Bar {
  int x1, y1, x2, y2;
};
void draw_bar(Image& image, const Bar& bar, std::size_t colour);

// Line width and text size follow the image's size; marks outside the image are clipped.
void draw_marks(Image& image, const std::vector<BoxMark>& boxes,
                const std::vector<PointMark>& points);

}  // namespace qwenvl
