// Marks appear where they belong and nowhere else.
#include "media/draw.h"

#include <gtest/gtest.h>

#include <array>
#include <climits>

#include "media_files.h"

namespace qwenvl {
namespace {

using Pixel = std::array<int, 3>;

Image gray_image(int height, int width) {
  return {height, width, std::vector<std::uint8_t>(static_cast<std::size_t>(height) * width * 3, 128)};
}

Pixel pixel(const Image& image, int x, int y) {
  const std::uint8_t* p = image.row(y) + 3 * x;
  return {p[0], p[1], p[2]};
}

constexpr Pixel kGray = {128, 128, 128};

TEST(DrawBox, OutlinesAndLeavesTheInsideAlone) {
  Image image = gray_image(200, 200);
  draw_marks(image, {{40, 50, 120, 150, ""}}, {});
  EXPECT_NE(pixel(image, 40, 100), kGray);
  EXPECT_NE(pixel(image, 119, 100), kGray);
  EXPECT_NE(pixel(image, 80, 50), kGray);
  EXPECT_NE(pixel(image, 80, 149), kGray);
  EXPECT_EQ(pixel(image, 80, 100), kGray);
  EXPECT_EQ(pixel(image, 20, 20), kGray);
}

TEST(DrawBox, EqualLabelsShareAColourAndOthersDiffer) {
  Image image = gray_image(300, 300);
  draw_marks(image, {{20, 60, 80, 120, "cat"}, {120, 60, 180, 120, "dog"}, {220, 60, 280, 120, "cat"}}, {});
  EXPECT_EQ(pixel(image, 20, 100), pixel(image, 220, 100));
  EXPECT_NE(pixel(image, 20, 100), pixel(image, 120, 100));
}

TEST(DrawBox, AcceptsSwappedCornersAndEmptyBoxes) {
  Image swapped = gray_image(100, 100), straight = gray_image(100, 100);
  draw_marks(swapped, {{80, 90, 20, 30, "a"}}, {});
  draw_marks(straight, {{20, 30, 80, 90, "a"}}, {});
  EXPECT_EQ(swapped.rgb, straight.rgb);
  Image empty = gray_image(100, 100);
  draw_marks(empty, {{50, 50, 50, 50, ""}}, {});
  EXPECT_NE(pixel(empty, 50, 50), kGray);
}

TEST(DrawBox, ClipsMarksOutsideTheImage) {
  Image image = gray_image(50, 60);
  const Image before = image;
  draw_marks(image, {{1000, 1000, 2000, 2000, "far"}, {-500, -500, -400, -400, "far"}},
             {{INT_MAX, INT_MIN, "far"}});
  EXPECT_EQ(image.rgb, before.rgb);
  draw_marks(image, {{INT_MIN, INT_MIN, INT_MAX, INT_MAX, "all"}}, {{0, 0, "corner"}});
  EXPECT_EQ(image.rgb.size(), before.rgb.size());
}

TEST(DrawPoint, FillsADisc) {
  Image image = gray_image(100, 100);
  draw_marks(image, {}, {{50, 60, ""}});
  EXPECT_NE(pixel(image, 50, 60), kGray);
  EXPECT_EQ(pixel(image, 50, 80), kGray);
}

int n_changed(const std::string& label) {
  Image image = gray_image(120, 400), plain = gray_image(120, 400);
  draw_marks(image, {{100, 50, 160, 100, label}}, {});
  draw_marks(plain, {{100, 50, 160, 100, ""}}, {});
  int n = 0;
  for (std::size_t i = 0; i < image.rgb.size(); i += 3) n += image.rgb[i] != plain.rgb[i];
  return n;
}

TEST(DrawLabel, GrowsWithItsText) {
  EXPECT_GT(n_changed("a"), 0);
  EXPECT_GT(n_changed("aa"), n_changed("a"));
}

TEST(DrawLabel, CountsCodePointsNotBytes) { EXPECT_EQ(n_changed("\xc3\xa4"), n_changed("\xe7\x8c\xab")); }

TEST(DrawLabel, SurvivesInvalidUtf8AndTinyImages) {
  Image image = gray_image(1, 1);
  draw_marks(image, {{0, 0, 1, 1, "\xff\xc3 long label on one pixel"}}, {{0, 0, "\xe7\x8c"}});
  EXPECT_EQ(image.rgb.size(), 3u);
}

}  // namespace
}  // namespace qwenvl
