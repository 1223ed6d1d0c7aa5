// Every golden file decodes to the reference's pixels, with both loaders.
#include "media/image.h"

#include <gtest/gtest.h>

#include <cstdio>

#include "media_files.h"
#include "qwenvl/error.h"

namespace qwenvl {
namespace {

using test::decode_golden;
using test::golden_folder;
using test::golden_images;

class GoldenImage : public testing::TestWithParam<std::string> {};

TEST_P(GoldenImage, DecodesToTheReferencePixels) {
  for (const auto& [loader, expected] : golden_images().at("files").at(GetParam()).items()) {
    const Image image = decode_golden(GetParam(), test::loader_named(loader));
    EXPECT_EQ(image.height, expected.at("height").get<int>()) << loader;
    EXPECT_EQ(image.width, expected.at("width").get<int>()) << loader;
    EXPECT_EQ(test::sha256(image.rgb), expected.at("sha256").get<std::string>()) << loader;
  }
}

std::vector<std::string> golden_names() {
  std::vector<std::string> names;
  for (const auto& [name, value] : golden_images().at("files").items()) names.push_back(name);
  return names;
}

std::string test_name(const testing::TestParamInfo<std::string>& info) {
  std::string name = info.param;
  for (char& c : name) c = std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
  return name;
}

INSTANTIATE_TEST_SUITE_P(All, GoldenImage, testing::ValuesIn(golden_names()), test_name);

TEST(Sha256, AgreesWithThePublishedExample) {
  const std::string text = "abc";
  EXPECT_EQ(test::sha256({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()}),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(ImageFormat, IsRecognisedByTheFirstBytes) {
  const std::pair<const char*, const char*> examples[] = {
      {"jpeg_gray.jpg", "jpeg"}, {"png_rgb.png", "png"}, {"webp_lossy.webp", "webp"},
      {"gif_gray.gif", "gif"},   {"bmp_24.bmp", "bmp"},  {"tiff_raw.tif", "tiff"}};
  for (const auto& [file, format] : examples) {
    EXPECT_EQ(image_format(test::read_file(golden_folder() + file)), format) << file;
  }
  EXPECT_EQ(image_format({}), "");
}

TEST(PngWriter, RoundTripsPixels) {
  const Image image = decode_golden("photo_chelsea.jpg", Loader::hf);
  const Image again = decode_image(encode_png(image), "memory", Loader::qwen_vl_utils);
  EXPECT_EQ(again.width, image.width);
  EXPECT_EQ(again.rgb, image.rgb);
}

TEST(PngWriter, SaysWhereItCannotWrite) {
  const Image image{1, 1, {1, 2, 3}};
  try {
    write_png(image, "/nonexistent-folder/out.png");
    FAIL() << "expected an Error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::device);
    EXPECT_NE(std::string(error.what()).find("/nonexistent-folder/out.png"), std::string::npos);
  }
}

}  // namespace
}  // namespace qwenvl
