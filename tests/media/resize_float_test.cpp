// The float32 resize of clips against torchvision: exact float32 bits, exact bytes.
#include <gtest/gtest.h>

#include "media/media_files.h"
#include "media/resize.h"
#include "support/golden.h"

namespace qwenvl {
namespace {

// The formula of tools/golden/model_clips.py.
Image pattern(int height, int width) {
  Image image{height, width, {}};
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      for (int c = 0; c < 3; ++c) {
        image.rgb.push_back(static_cast<std::uint8_t>(7 * x + 13 * y + 50 * c + x * y % (11 + c)));
      }
    }
  }
  return image;
}

TEST(ResizeFloat, values_and_rounded_bytes_equal_torchvision_bit_for_bit) {
  const nlohmann::json golden = testing::golden_json("model/clip_resizes.json");
  for (const auto& item : golden.at("cases")) {
    SCOPED_TRACE(item.at("from").dump() + " to " + item.at("to").dump());
    const FloatImage out = resize_bicubic_float(pattern(item.at("from")[0], item.at("from")[1]),
                                                item.at("to")[0], item.at("to")[1]);
    EXPECT_EQ(test::sha256({reinterpret_cast<const std::uint8_t*>(out.rgb.data()),
                            out.rgb.size() * sizeof(float)}),
              item.at("float").get<std::string>());
    EXPECT_EQ(test::sha256(rounded(out).rgb), item.at("rounded").get<std::string>());
  }
  EXPECT_GE(golden.at("cases").size(), 16u);
}

TEST(ResizeFloat, rounding_clamps_and_takes_halves_to_even) {
  const FloatImage image{1, 2, {-3.0f, 0.5f, 1.5f, 254.5f, 255.5f, 300.0f}};
  EXPECT_EQ(rounded(image).rgb, (std::vector<std::uint8_t>{0, 0, 2, 254, 255, 255}));
}

}  // namespace
}  // namespace qwenvl
