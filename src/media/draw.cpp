// Draws the boxes and points of an answer onto the picture they are about.
// Before: the answer has been parsed and its coordinates belong to this image.   After: write_png.
//
// A box is a coloured line between two dark ones, so that it shows on any background; equal labels
// have equal colours. A label stands on a filled plate above its mark, inside the picture. The font
// knows ASCII; every other code point, and every invalid byte, appears as an outlined box.
#include "media/draw.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <string_view>

#include "media/font.h"

namespace qwenvl {
namespace {

using Color = std::array<std::uint8_t, 3>;

constexpr Color kEdge = {0, 0, 0};
constexpr Color kColors[] = {{255, 59, 48},  {52, 199, 89},  {10, 132, 255}, {255, 204, 0},
                             {255, 45, 220}, {0, 220, 220},  {255, 149, 0},  {170, 110, 255},
                             {190, 240, 60}, {255, 160, 180}};

// A rectangle [x1, x2) x [y1, y2); wide integers so that no mark can overflow.
struct Area {
  std::int64_t x1, y1, x2, y2;
};

void fill(Image& image, const Area& area, const Color& color) {
  const int x1 = static_cast<int>(std::clamp<std::int64_t>(area.x1, 0, image.width));
  const int x2 = static_cast<int>(std::clamp<std::int64_t>(area.x2, 0, image.width));
  const int y1 = static_cast<int>(std::clamp<std::int64_t>(area.y1, 0, image.height));
  const int y2 = static_cast<int>(std::clamp<std::int64_t>(area.y2, 0, image.height));
  for (int y = y1; y < y2; ++y) {
    for (int x = x1; x < x2; ++x) std::copy_n(color.data(), 3, image.row(y) + std::size_t{3} * x);
  }
}

// A frame `thickness` wide that lies inside the area.
void frame(Image& image, const Area& a, std::int64_t thickness, const Color& color) {
  fill(image, {a.x1, a.y1, a.x2, std::min(a.y2, a.y1 + thickness)}, color);
  fill(image, {a.x1, std::max(a.y1, a.y2 - thickness), a.x2, a.y2}, color);
  fill(image, {a.x1, a.y1, std::min(a.x2, a.x1 + thickness), a.y2}, color);
  fill(image, {std::max(a.x1, a.x2 - thickness), a.y1, a.x2, a.y2}, color);
}

void disc(Image& image, std::int64_t cx, std::int64_t cy, std::int64_t radius, const Color& color) {
  for (std::int64_t dy = -radius; dy <= radius; ++dy) {
    std::int64_t dx = radius;
    while (dx * dx + dy * dy > radius * radius + radius) --dx;
    fill(image, {cx - dx, cy + dy, cx + dx + 1, cy + dy + 1}, color);
  }
}

// Code points of UTF-8; an invalid byte counts as one unknown code point.
std::vector<std::uint32_t> code_points(std::string_view text) {
  std::vector<std::uint32_t> out;
  for (std::size_t i = 0; i < text.size();) {
    const auto lead = static_cast<std::uint8_t>(text[i]);
    const std::size_t length = lead < 0x80                   ? 1
                               : lead >= 0xc2 && lead < 0xe0 ? 2
                               : lead >= 0xe0 && lead < 0xf0 ? 3
                               : lead >= 0xf0 && lead < 0xf5 ? 4
                                                             : 1;
    std::size_t n = 1;
    while (n < length && i + n < text.size() &&
           (static_cast<std::uint8_t>(text[i + n]) & 0xc0) == 0x80)
      ++n;
    out.push_back(lead < 0x80 ? lead : 0xfffd);
    i += n == length ? length : 1;
  }
  return out;
}

bool is_bright(const Color& color) {
  return 299 * color[0] + 587 * color[1] + 114 * color[2] > 128'000;
}

constexpr Color kDarkGray = {70, 70, 70};

const Color& color_number(std::size_t number) {
  return number == kPlainColour ? kDarkGray : kColors[number % std::size(kColors)];
}

void draw_letter(Image& image, const std::uint8_t* rows, std::int64_t x, std::int64_t y,
                 std::int64_t scale, const Color& ink) {
  for (int row = 0; row < kGlyphHeight; ++row) {
    for (int column = 0; column < kGlyphWidth; ++column) {
      if (!(rows[row] >> (kGlyphWidth - 1 - column) & 1)) continue;
      const std::int64_t left = x + column * scale, top = y + row * scale;
      fill(image, {left, top, left + scale, top + scale}, ink);
    }
  }
}

// The text on its plate, with the upper left corner at (x, y).
void draw_text(Image& image, const std::vector<std::uint32_t>& points, std::int64_t x,
               std::int64_t y, std::int64_t scale, const Color& color) {
  const std::int64_t advance = (kGlyphWidth + 1) * scale, pad = scale;
  const std::int64_t width = advance * static_cast<std::int64_t>(points.size()) + 2 * pad;
  fill(image, {x, y, x + width, y + kGlyphHeight * scale + 2 * pad}, color);
  const Color ink = is_bright(color) ? Color{0, 0, 0} : Color{255, 255, 255};
  for (std::size_t i = 0; i < points.size(); ++i) {
    draw_letter(image, glyph(points[i]), x + pad + advance * static_cast<std::int64_t>(i), y + pad,
                scale, ink);
  }
}

class Painter {
 public:
  explicit Painter(Image& image) : image_(image) {
    const int side = std::min(image.width, image.height);
    line_ = std::max(2, (side + 150) / 300);
    scale_ = std::max(1, (side + 150) / 350);
  }

  // The first label seen gets the first colour, and so on.
  const Color& color_of(const std::string& label) {
    const auto [entry, is_new] = colors_.try_emplace(label, colors_.size());
    return kColors[entry->second % std::size(kColors)];
  }

  void box(const BoxMark& mark) {
    const Color& color = color_of(mark.label);
    Area area{std::min(mark.x1, mark.x2), std::min(mark.y1, mark.y2), std::max(mark.x1, mark.x2),
              std::max(mark.y1, mark.y2)};
    area.x2 = std::max(area.x2, area.x1 + 1);
    area.y2 = std::max(area.y2, area.y1 + 1);
    const std::int64_t edge = std::max(1, line_ / 2);
    frame(image_, {area.x1 - edge, area.y1 - edge, area.x2 + edge, area.y2 + edge},
          line_ + 2 * edge, kEdge);
    frame(image_, area, line_, color);
    label(mark.label, area.x1, area.y1, area.y2, color);
  }

  void point(const PointMark& mark) {
    const Color& color = color_of(mark.label);
    const std::int64_t radius = 3 * line_;
    disc(image_, mark.x, mark.y, radius + std::max(1, line_ / 2), kEdge);
    disc(image_, mark.x, mark.y, radius, color);
    label(mark.label, mark.x + radius, mark.y - radius, mark.y + radius, color);
  }

 private:
  // Above the mark, or below its upper edge where there is no room; pushed inside the picture.
  void label(const std::string& text, std::int64_t x, std::int64_t top, std::int64_t bottom,
             const Color& color) {
    if (text.empty() || bottom < 0 || top >= image_.height || x >= image_.width) return;
    std::vector<std::uint32_t> points = code_points(text);
    const std::int64_t advance = (kGlyphWidth + 1) * scale_, pad = scale_;
    const std::int64_t max_points = std::max<std::int64_t>(1, (image_.width - 2 * pad) / advance);
    if (static_cast<std::int64_t>(points.size()) > max_points)
      points.resize(static_cast<std::size_t>(max_points));
    const std::int64_t width = advance * static_cast<std::int64_t>(points.size()) + 2 * pad;
    const std::int64_t height = kGlyphHeight * scale_ + 2 * pad;
    std::int64_t y = top - height - line_;
    if (y < 0) y = std::max<std::int64_t>(top, 0);
    y = std::max<std::int64_t>(0, std::min(y, image_.height - height));
    x = std::max<std::int64_t>(0, std::min(x, image_.width - width));
    draw_text(image_, points, x, y, scale_, color);
  }

  Image& image_;
  int line_, scale_;
  std::map<std::string, std::size_t> colors_;
};

}  // namespace

void draw_marks(Image& image, const std::vector<BoxMark>& boxes,
                const std::vector<PointMark>& points) {
  if (image.width <= 0 || image.height <= 0) return;
  Painter painter(image);
  for (const BoxMark& box : boxes) painter.box(box);
  for (const PointMark& point : points) painter.point(point);
}

void draw_plate(Image& image, const Plate& plate) {
  draw_text(image, code_points(plate.text), plate.x, plate.y, 2, color_number(plate.colour));
}

void draw_bar(Image& image, const Bar& bar, std::size_t colour) {
  fill(image, {bar.x1, bar.y1, bar.x2, bar.y2}, color_number(colour));
}

}  // namespace qwenvl
