// Sizes and patches against the libraries: exact integers, exact float32 bits.
#include "media/media_files.h"
#include "models/patches_sha256.h"
#include "models/qwen2_5_vl/input/preprocess.h"
#include "support/golden.h"

namespace qwenvl::qwen2_5_vl {
namespace {

using Json = nlohmann::json;

// null in the golden file: the library refuses the size.
void check_size(const Json& item, const char* key, ResizeRule rule) {
  SCOPED_TRACE(item.dump() + " by " + key);
  const auto resize = [&] {
    return smart_resize(item.at("height"), item.at("width"), 28, item.at("min_pixels"),
                        item.at("max_pixels"), rule);
  };
  if (item.at(key).is_null() || item.at(key)[0] == 0 || item.at(key)[1] == 0) {
    EXPECT_THROW(resize(), Error);
    return;
  }
  const PixelSize size = resize();
  EXPECT_EQ(size.height, item.at(key)[0].get<std::int64_t>());
  EXPECT_EQ(size.width, item.at(key)[1].get<std::int64_t>());
}

TEST(SmartResize, both_rules_equal_the_libraries) {
  const Json golden = testing::golden_json("images/images.json");
  for (const Json& item : golden.at("smart_resize")) {
    check_size(item, "utils", ResizeRule::qwen_vl_utils);
    check_size(item, "hf", ResizeRule::hf);
  }
  EXPECT_GE(golden.at("smart_resize").size(), 60u);
}

std::vector<std::byte> file_bytes(const std::string& path) {
  const std::string text = read_file(path, 64u << 20);
  const auto* data = reinterpret_cast<const std::byte*>(text.data());
  return {data, data + text.size()};
}

TEST(PatchesGolden, pixel_values_equal_both_processors_bit_for_bit) {
  const Json golden = testing::golden_json("images/images.json");
  const VisionConfig vision;
  PreprocessorConfig preprocessor;
  preprocessor.max_pixels = 12845056;
  for (const Json& item : golden.at("resize")) {
    SCOPED_TRACE(item.at("file").get<std::string>() + " at " + item.at("grid_thw").dump());
    const std::string file = item.at("file");
    const Loader loader = item.at("loader") == "hf" ? Loader::hf : Loader::qwen_vl_utils;
    const Image image =
        decode_image(file_bytes(testing::golden_path("images/" + file)), file, loader);
    VisionInput input;
    input.frames.push_back(
        resize_bicubic(image, item.at("height"), item.at("width"), ResizeKernel::pillow));
    input.grid = {1, input.frames[0].height / 14, input.frames[0].width / 14};
    input.n_tokens = input.grid.n_patches() / 4;
    EXPECT_EQ(item.at("grid_thw"), (Json{input.grid.t, input.grid.h, input.grid.w}));
    EXPECT_EQ(patches_sha256(input, vision, Normalisation::slow),
              item.at("patches_slow").get<std::string>());
    EXPECT_EQ(patches_sha256(input, vision, Normalisation::fast),
              item.at("patches_fast").get<std::string>());
  }
  EXPECT_GE(golden.at("resize").size(), 40u);
}

TEST(PrepareImage, sizes_are_settled_as_the_options_say) {
  const Image image{100, 200, std::vector<std::uint8_t>(100 * 200 * 3, 7)};
  const VisionConfig vision;
  const PreprocessorConfig preprocessor{3136, 12845056};
  const auto size = [&](const SizeWish& wish) {
    const VisionInput input = prepare_image(image, wish, {}, vision, preprocessor);
    EXPECT_EQ(input.n_tokens, input.grid.n_patches() / 4);
    return std::pair(input.frames[0].height, input.frames[0].width);
  };
  EXPECT_EQ(size({}), std::pair(112, 196));
  // 28 × 56 by the wish, then the processor's own rule brings it above the checkpoint's minimum.
  EXPECT_EQ(size({{}, 4 * 784}), std::pair(56, 84));
  EXPECT_EQ(size({100 * 784}), std::pair(224, 420));
  EXPECT_EQ(size({{}, {}, 60, 90}), std::pair(56, 84));
  for (const SizeWish& wish :
       {SizeWish{{}, {}, 60, {}}, SizeWish{5, {}, 60, 90}, SizeWish{0}, SizeWish{{}, -1},
        SizeWish{100, 50}, SizeWish{std::int64_t{1} << 40}}) {
    EXPECT_THROW(prepare_image(image, wish, {}, vision, preprocessor), Error);
  }
}

}  // namespace
}  // namespace qwenvl::qwen2_5_vl
