// Coordinates back in the pixels of the original picture: values, order of corners, untouched
// bytes.
#include <gtest/gtest.h>

#include <string>

#include "qwenvl/tools.h"

namespace qwenvl {
namespace {

PictureInfo picture(int original_width, int original_height, int width, int height) {
  PictureInfo info;
  info.original_width = original_width;
  info.original_height = original_height;
  info.processed_width = width;
  info.processed_height = height;
  return info;
}

TEST(Coordinates, OnlyTheNumbersOfMarksAreReplaced) {
  const PictureInfo info = picture(200, 400, 100, 100);
  EXPECT_EQ(to_original_coordinates("See 10:\n```json\n[ {\"bbox_2d\": [1 ,2,  3.5, 4],\t\"n\": 7, "
                                    "\"label\": \"50\"},]\n```\nDone, 3.",
                                    info),
            "See 10:\n```json\n[ {\"bbox_2d\": [2 ,8,  7, 16],\t\"n\": 7, \"label\": "
            "\"50\"},]\n```\nDone, 3.");
  EXPECT_EQ(to_original_coordinates("<points y1=\"2\" x1=\"1\" alt=\"5\">9</points>", info),
            "<points y1=\"8\" x1=\"2\" alt=\"5\">9</points>");
  EXPECT_EQ(to_original_coordinates("1,2,3,4 cat 5\n", info), "2,8,6,16 cat 5\n");
  EXPECT_EQ(to_original_coordinates("<p data-bbox=\"1 2 3 4\">5</p>", info),
            "<p data-bbox=\"2 8 6 16\">5</p>");
  EXPECT_EQ(to_original_coordinates("{\"coordinate\": [10, 20], \"time\": 3}", info),
            "{\"coordinate\": [20, 80], \"time\": 3}");
}

TEST(Coordinates, TextWithoutMarksStaysAsItIs) {
  const std::string text = "A cat. [1, 2, 3, 4] \xff\xfe";
  EXPECT_EQ(to_original_coordinates(text, picture(10, 10, 28, 28)), text);
}

TEST(Coordinates, ReversedCornersArePutInOrder) {
  EXPECT_EQ(to_original_coordinates("{\"bbox_2d\": [30, 4, 10, 2]}", picture(100, 100, 100, 100)),
            "{\"bbox_2d\": [10, 2, 30, 4]}");
  const Mark mark = to_original({Mark::Kind::box, 3, 8, 1, 5, "x"}, picture(10, 10, 10, 10));
  EXPECT_EQ(mark.x1, 1);
  EXPECT_EQ(mark.y1, 5);
  EXPECT_EQ(mark.x2, 3);
  EXPECT_EQ(mark.y2, 8);
  EXPECT_EQ(mark.label, "x");
}

TEST(Coordinates, ValuesAreTruncatedInTheOrderOfOperationsOfTheReference) {
  // int(x / input_width * width) in double precision: dividing first loses a unit here and there,
  // and so must we. (Values from that expression.)
  const auto convert = [](double x, int processed, int original) {
    return to_original({Mark::Kind::point, x, 0, 0, 0, ""}, picture(original, 10, processed, 28))
        .x1;
  };
  EXPECT_EQ(convert(708, 1316, 1747), 939);
  EXPECT_EQ(convert(206, 952, 1718), 371);
  EXPECT_EQ(convert(117, 196, 1491), 890);
  EXPECT_EQ(convert(671, 1148, 1779), 1039);
  EXPECT_EQ(convert(120, 1484, 2968), 239);
  EXPECT_EQ(convert(336, 616, 418), 227);
  EXPECT_EQ(convert(544, 896, 2856), 1733);
  EXPECT_EQ(convert(308, 1988, 3053), 472);
  EXPECT_EQ(convert(425, 700, 364), 220);
  EXPECT_EQ(convert(42, 308, 3036), 413);
}

TEST(Coordinates, PointsKeepTwoNumbers) {
  const auto marks = find_marks("{\"point_2d\": [5, 6], \"label\": \"tip\"}");
  ASSERT_EQ(marks.size(), 1u);
  EXPECT_EQ(marks[0].kind, Mark::Kind::point);
  EXPECT_EQ(marks[0].x1, 5);
  EXPECT_EQ(marks[0].y1, 6);
  EXPECT_EQ(marks[0].label, "tip");
  EXPECT_EQ(to_original(marks[0], picture(56, 56, 28, 28)).y1, 12);
}

TEST(Coordinates, NeverWritesMinusZero) {
  EXPECT_EQ(to_original_coordinates("{\"point_2d\": [-0.4, -3]}", picture(28, 28, 28, 28)),
            "{\"point_2d\": [0, -3]}");
}

TEST(Coordinates, APictureWithoutSizeIsRefused) {
  EXPECT_THROW(to_original_coordinates("x", picture(0, 10, 28, 28)), Error);
  EXPECT_THROW(to_original({}, picture(10, 10, 28, 0)), Error);
}

}  // namespace
}  // namespace qwenvl
