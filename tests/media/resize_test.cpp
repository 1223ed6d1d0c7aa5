// Both resize kernels reproduce the reference bit for bit.
#include "media/resize.h"

#include <gtest/gtest.h>

#include <numeric>

#include "media_files.h"
#include "qwenvl/error.h"

namespace qwenvl {
namespace {

Image gray_row(const std::vector<int>& values) {
  Image image{1, static_cast<int>(values.size()), {}};
  for (int value : values) image.rgb.insert(image.rgb.end(), 3, static_cast<std::uint8_t>(value));
  return image;
}

std::vector<int> first_channel(const Image& image) {
  std::vector<int> values;
  for (std::size_t i = 0; i < image.rgb.size(); i += 3) values.push_back(image.rgb[i]);
  return values;
}

constexpr ResizeKernel kKernels[] = {ResizeKernel::pillow, ResizeKernel::pillow12,
                                     ResizeKernel::torch_int16};

TEST(ResizeRow, MatchesThePublishedVectors) {
  const Image row = gray_row({0, 64, 128, 255, 10, 200, 33, 90});
  for (ResizeKernel kernel : kKernels) {
    EXPECT_EQ(first_channel(resize_bicubic(row, 1, 3, kernel)), (std::vector<int>{70, 146, 86}));
    EXPECT_EQ(first_channel(resize_bicubic(row, 1, 5, kernel)),
              (std::vector<int>{19, 143, 140, 118, 65}));
    EXPECT_EQ(first_channel(resize_bicubic(row, 1, 13, kernel)),
              (std::vector<int>{0, 21, 66, 101, 168, 255, 129, 14, 163, 160, 36, 60, 94}));
  }
}

TEST(ResizeRow, EqualSizeIsACopy) {
  const Image row = gray_row({0, 64, 128, 255, 10, 200, 33, 90});
  for (ResizeKernel kernel : kKernels) EXPECT_EQ(resize_bicubic(row, 1, 8, kernel).rgb, row.rgb);
}

Image formula_image() {
  Image image{40, 50, {}};
  for (int y = 0; y < 40; ++y) {
    for (int x = 0; x < 50; ++x) {
      image.rgb.insert(image.rgb.end(), 3, static_cast<std::uint8_t>(7 * x + 13 * y + x * y % 11));
    }
  }
  return image;
}

TEST(ResizePlane, MatchesThePublishedSums) {
  const struct {
    int height, width, pillow_sum, torch_sum;
  } rows[] = {{28, 56, 199319, 199337}, {56, 56, 398610, 398617}, {28, 28, 99664, 99666}};
  const Image image = formula_image();
  for (const auto& row : rows) {
    const auto sum = [&](ResizeKernel kernel) {
      const std::vector<int> values =
          first_channel(resize_bicubic(image, row.height, row.width, kernel));
      return std::accumulate(values.begin(), values.end(), 0);
    };
    EXPECT_EQ(sum(ResizeKernel::pillow12), row.pillow_sum);
    // Pillow 13 takes the height first for 28 x 56.
    EXPECT_EQ(sum(ResizeKernel::pillow),
              row.width == 56 && row.height == 28 ? 199291 : row.pillow_sum);
    EXPECT_EQ(sum(ResizeKernel::torch_int16), row.torch_sum);
  }
}

class GoldenResize : public testing::TestWithParam<int> {};

TEST_P(GoldenResize, MatchesTheReference) {
  const auto& expected = test::golden_images().at("resize").at(GetParam());
  const auto file = expected.at("file").get<std::string>();
  const int height = expected.at("height"), width = expected.at("width");
  const Image image = test::decode_golden(file, test::loader_named(expected.at("loader")));
  EXPECT_EQ(test::sha256(resize_bicubic(image, height, width, ResizeKernel::pillow).rgb),
            expected.at("pillow").get<std::string>())
      << file << " with Pillow's kernel";
  EXPECT_EQ(test::sha256(resize_bicubic(image, height, width, ResizeKernel::pillow12).rgb),
            expected.at("pillow12").get<std::string>())
      << file << " with the kernel of Pillow until version 12";
  EXPECT_EQ(test::sha256(resize_bicubic(image, height, width, ResizeKernel::torch_int16).rgb),
            expected.at("torch_int16").get<std::string>())
      << file << " with torch's kernel";
}

INSTANTIATE_TEST_SUITE_P(
    All, GoldenResize,
    testing::Range(0, static_cast<int>(test::golden_images().at("resize").size())));

TEST(Resize, RefusesAnEmptySize) {
  EXPECT_THROW(resize_bicubic(gray_row({1, 2}), 0, 3, ResizeKernel::pillow), Error);
}

}  // namespace
}  // namespace qwenvl
