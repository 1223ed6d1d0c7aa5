// Lists of frames against qwen-vl-utils and the video processor: sizes, patches, ids, positions.
#include "checkpoint/checkpoint.h"
#include "media/media_files.h"
#include "media/source.h"
#include "models/patches_sha256.h"
#include "models/qwen2_5_vl/input/preprocess.h"
#include "support/error_of.h"
#include "support/golden.h"

namespace qwenvl::qwen2_5_vl {
namespace {

using Json = nlohmann::json;

Image load(const std::string& path) {
  return decode_image(read_source(testing::golden_path("model/" + path)).bytes, path,
                      Loader::qwen_vl_utils);
}

template <class T>
void read(const Json& from, const char* key, std::optional<T>& to) {
  if (from.contains(key)) to = from.at(key).get<T>();
}

SizeWish wish_of(const Json& options) {
  SizeWish wish;
  read(options, "min_pixels", wish.min_pixels);
  read(options, "max_pixels", wish.max_pixels);
  read(options, "resized_height", wish.resized_height);
  read(options, "resized_width", wish.resized_width);
  return wish;
}

ClipWish clip_wish_of(const Json& options) {
  ClipWish wish;
  wish.frame = wish_of(options);
  read(options, "total_pixels", wish.total_pixels);
  wish.fps = options.value("sample_fps", 2.0);
  wish.max_tokens = 1 << 20;
  return wish;
}

FrameSource source_of(const Json& frames) {
  return [&frames](std::int64_t i) { return load("clips/" + frames[i].get<std::string>()); };
}

TEST(ClipsGolden, sizes_and_patches_of_all_rules_equal_the_reference_bit_for_bit) {
  const Json golden = testing::golden_json("model/clip_pixels.json");
  const VisionConfig vision;
  for (const Json& item : golden.at("cases")) {
    SCOPED_TRACE(item.dump());
    PreprocessOptions options;
    const std::string rule = item.at("rule");
    options.rule = rule == "hf"                ? ResizeRule::hf
                   : rule == "qwen_vl_utils11" ? ResizeRule::qwen_vl_utils11
                                               : ResizeRule::qwen_vl_utils;
    PreprocessorConfig limits;
    limits.min_pixels = item.at("limits")[0];
    limits.max_pixels = item.at("limits")[1];
    const std::vector<VisionInput> inputs = prepare_clip(
        static_cast<std::int64_t>(item.at("frames").size()), source_of(item.at("frames")),
        clip_wish_of(item.at("options")), options, vision, limits);
    ASSERT_EQ(inputs.size(), 1u);
    const VisionInput& input = inputs[0];
    EXPECT_EQ(item.at("grid_thw"), (Json{input.grid.t, input.grid.h, input.grid.w}));
    EXPECT_EQ(patches_sha256(input, vision, input.normalisation),
              item.at("pixels").get<std::string>());
  }
  EXPECT_GE(golden.at("cases").size(), 50u);
}

// One conversation of clips.json, as the engine would fill it.
struct LaidOut {
  std::vector<VisionInput> media;
  Prompt prompt;
};

LaidOut lay_out_case(const Model& model, const Tokenizer& tokenizer, const Json& item) {
  PreprocessOptions options;
  options.temporal_ids = TemporalIds::whole_seconds;
  LaidOut out;
  Conversation conversation;
  TemplateMessage& message = conversation.messages.emplace_back();
  message.role = "user";
  for (const Json& part : item.at("messages")[0].at("content")) {
    if (part.at("type") == "text") {
      message.parts.push_back({TemplatePart::Kind::text, part.at("text")});
    } else if (part.at("type") == "image") {
      message.parts.push_back({TemplatePart::Kind::image, ""});
      out.media.push_back(model.prepare_image(load("images/" + part.at("image").get<std::string>()),
                                              wish_of(part), options));
    } else {
      message.parts.push_back({TemplatePart::Kind::video, ""});
      const Json& frames = part.at("video");
      out.media.push_back(model
                              .prepare_clip(static_cast<std::int64_t>(frames.size()),
                                            source_of(frames), clip_wish_of(part), options)
                              .at(0));
    }
  }
  for (const VisionInput& input : out.media) conversation.media.push_back(&input);
  conversation.options.add_vision_id = item.at("add_vision_id");
  out.prompt = model.lay_out(conversation, tokenizer, options);
  return out;
}

TEST(ClipsGolden, grids_seconds_ids_and_positions_equal_the_reference) {
  const Checkpoint checkpoint = Checkpoint::open(testing::golden_path("checkpoints/tiny"));
  const auto model = make_model(checkpoint, DType::f32);
  const Tokenizer tokenizer = Tokenizer::from_folder(checkpoint.folder());
  const Json golden = testing::golden_json("model/clips.json");
  for (const Json& item : golden.at("cases")) {
    SCOPED_TRACE(item.at("name"));
    const LaidOut result = lay_out_case(*model, tokenizer, item);
    Json grids = Json::array(), seconds = Json::array();
    for (const VisionInput& input : result.media) {
      if (!input.is_video) continue;
      grids.push_back(Json{input.grid.t, input.grid.h, input.grid.w});
      seconds.push_back(static_cast<float>(input.seconds_per_grid));
    }
    EXPECT_EQ(grids, item.at("video_grid_thw"));
    for (std::size_t i = 0; i < seconds.size(); ++i) {
      EXPECT_EQ(seconds[i].get<float>(), item.at("second_per_grid_ts")[i].get<float>());
    }
    EXPECT_EQ(result.prompt.ids, item.at("input_ids").get<std::vector<TokenId>>());
    std::vector<std::int32_t> positions;
    for (const Json& axis : item.at("position_ids")) {
      for (const Json& position : axis) positions.push_back(position);
    }
    EXPECT_EQ(result.prompt.positions, positions);
  }
  EXPECT_GE(golden.at("cases").size(), 12u);
}

// ---- what is refused -------------------------------------------------------------------------

std::string error_of_clip(std::vector<Image> frames, ClipWish wish,
                          PreprocessOptions options = {}) {
  if (wish.max_tokens == 0) wish.max_tokens = 4096;
  return error_of([&] {
    prepare_clip(static_cast<std::int64_t>(frames.size()),
                 [&](std::int64_t i) { return frames[static_cast<std::size_t>(i)]; }, wish, options,
                 {}, {3136, 12845056});
  });
}

Image plain(int height, int width) {
  return {height, width,
          std::vector<std::uint8_t>(static_cast<std::size_t>(height * width * 3), 9)};
}

TEST(ClipErrors, no_frames) {
  EXPECT_NE(error_of_clip({}, {}).find("no frames"), std::string::npos);
}

TEST(ClipErrors, frames_of_different_sizes_name_the_frame_and_both_sizes) {
  for (const ResizeRule rule : {ResizeRule::qwen_vl_utils, ResizeRule::hf}) {
    const std::string error =
        error_of_clip({plain(112, 112), plain(112, 224)}, {}, PreprocessOptions{rule});
    EXPECT_NE(error.find("frame 2 is 224×112, expected 112×112"), std::string::npos) << error;
  }
}

TEST(ClipErrors, rates_that_are_none) {
  for (const double fps : {0.0, -1.0, 1e-9, 1e9, std::nan(""), HUGE_VAL}) {
    ClipWish wish;
    wish.fps = fps;
    EXPECT_NE(error_of_clip({plain(60, 60)}, wish).find("fps: found"), std::string::npos) << fps;
  }
}

TEST(ClipErrors, more_tokens_than_allowed_are_refused_after_the_first_frame) {
  ClipWish wish;
  wish.max_tokens = 100;
  int n_asked = 0;
  const auto frame = [&](std::int64_t) {
    ++n_asked;
    return plain(112, 112);
  };
  const std::string error = error_of([&] { prepare_clip(50, frame, wish, {}, {}, {}); });
  EXPECT_NE(error.find("are 3600 tokens, expected at most 100"), std::string::npos) << error;
  EXPECT_EQ(n_asked, 1);
}

TEST(ClipErrors, a_maximum_below_what_frames_get_at_least) {
  ClipWish wish;
  wish.frame.max_pixels = 50176;
  EXPECT_NE(error_of_clip({plain(60, 60)}, wish).find("lower min_pixels, too"), std::string::npos);
}

TEST(ClipErrors, a_budget_where_the_rule_has_none) {
  ClipWish wish;
  wish.total_pixels = 100000;
  for (const ResizeRule rule : {ResizeRule::qwen_vl_utils11, ResizeRule::hf}) {
    EXPECT_NE(error_of_clip({plain(60, 60)}, wish, PreprocessOptions{rule}).find("total_pixels"),
              std::string::npos);
  }
  wish.total_pixels = 0;
  EXPECT_NE(error_of_clip({plain(60, 60)}, wish).find("total_pixels: found 0"), std::string::npos);
}

}  // namespace
}  // namespace qwenvl::qwen2_5_vl
