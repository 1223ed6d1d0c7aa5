// Pictures read once, and the boxes and points of an answer drawn on them.
// Before: coordinates.cpp puts them in original pixels.   After: a PNG file to look at.
#include <algorithm>
#include <cmath>
#include <utility>

#include "core/check.h"
#include "engine/guard.h"
#include "media/draw.h"
#include "media/image.h"
#include "media/source.h"
#include "qwenvl/tools.h"

namespace qwenvl {
namespace {

// Answers may hold any number; far outside the picture is as good as just outside.
int pixel(double coordinate, int side) {
  return static_cast<int>(std::clamp(coordinate, -1.0 * side - 1, 2.0 * side + 1));
}

void draw(const Picture& picture, const std::string& loader, const std::vector<Mark>& marks,
          const std::string& png_path) {
  if (loader != "qwen_vl_utils" && loader != "hf") {
    fail(ErrorKind::bad_request, "loader: found {}, expected one of qwen_vl_utils, hf",
         quoted(loader));
  }
  const Picture file = read_picture(picture);
  Image image =
      decode_image(file.bytes, file.source, loader == "hf" ? Loader::hf : Loader::qwen_vl_utils);
  std::vector<BoxMark> boxes;
  std::vector<PointMark> points;
  for (const Mark& mark : marks) {
    const int x1 = pixel(mark.x1, image.width), y1 = pixel(mark.y1, image.height);
    if (mark.kind == Mark::Kind::box) {
      boxes.push_back(
          {x1, y1, pixel(mark.x2, image.width), pixel(mark.y2, image.height), mark.label});
    } else {
      points.push_back({x1, y1, mark.label});
    }
  }
  draw_marks(image, boxes, points);
  write_png(image, png_path);
}

}  // namespace

Picture read_picture(const Picture& picture) {
  return guarded([&] {
    Picture out = picture;
    if (!out.bytes.empty()) return out;
    SourceBytes source = read_source(picture.source);
    out.source = std::move(source.name);
    out.bytes = std::move(source.bytes);
    return out;
  });
}

void draw_marks_png(const Picture& picture, const std::string& loader,
                    const std::vector<Mark>& marks, const std::string& png_path) {
  guarded([&] { draw(picture, loader, marks, png_path); });
}

}  // namespace qwenvl
