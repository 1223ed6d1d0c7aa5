// Videos against qwen-vl-utils and the video processor: how many frames, which, how large, and
// every patch of them.
#include "media/video/frame_stream.h"
#include "media/video_files.h"
#include "models/patches_sha256.h"
#include "models/qwen2_5_vl/input/preprocess.h"
#include "support/error_of.h"
#include "support/golden.h"

namespace qwenvl::qwen2_5_vl {
namespace {

using Json = nlohmann::json;

template <class T>
void read(const Json& from, const char* key, std::optional<T>& to) {
  if (from.contains(key)) to = from.at(key).get<T>();
}

FrameRule rule_of(const Json& item) {
  return item.at("rule") == "hf" ? FrameRule::hf : FrameRule::qwen_vl_utils;
}

SamplingWish sampling_of(const Json& options) {
  SamplingWish wish;
  read(options, "fps", wish.fps);
  read(options, "nframes", wish.n_frames);
  read(options, "num_frames", wish.n_frames);
  read(options, "min_frames", wish.min_frames);
  read(options, "max_frames", wish.max_frames);
  read(options, "video_start", wish.begin_seconds);
  read(options, "video_end", wish.end_seconds);
  return wish;
}

std::string crc_of(const std::vector<std::int64_t>& frames) {
  return fmt::format("{:08x}", testing::crc32(std::as_bytes(std::span(frames))));
}

TEST(VideoCountsGolden, frames_of_all_lengths_and_rates_equal_the_reference) {
  const Json golden = testing::golden_json("video/counts.json");
  for (const Json& item : golden.at("cases")) {
    SCOPED_TRACE(item.dump());
    const FrameSchedule schedule = sample_frames(item.at("total"), item.at("fps").get<double>(),
                                                 sampling_of(item.at("options")), rule_of(item));
    EXPECT_EQ(schedule.frames.size(), item.at("n").get<std::size_t>());
    EXPECT_EQ(crc_of(schedule.frames), item.at("crc").get<std::string>());
    EXPECT_EQ(schedule.fps, item.at("sample_fps").get<double>());
  }
  EXPECT_GE(golden.at("cases").size(), 400u);
}

ClipWish clip_wish_of(const Json& options, double fps) {
  ClipWish wish;
  read(options, "min_pixels", wish.frame.min_pixels);
  read(options, "max_pixels", wish.frame.max_pixels);
  read(options, "resized_height", wish.frame.resized_height);
  read(options, "resized_width", wish.frame.resized_width);
  read(options, "total_pixels", wish.total_pixels);
  wish.fps = fps;
  wish.is_file = true;
  wish.max_tokens = 1 << 20;
  return wish;
}

void expect_equal(const Json& item) {
  SCOPED_TRACE(item.dump().substr(0, 200));
  const auto reader = test::open_clip(item.at("clip"), test::style_named(item.at("reader")));
  PreprocessOptions options;
  options.frame_rule = rule_of(item);
  if (options.frame_rule == FrameRule::hf) options.rule = ResizeRule::hf;
  const FrameSchedule schedule = sample_frames(reader->index().size(), reader->info().average_fps,
                                               sampling_of(item.at("options")), options.frame_rule);
  EXPECT_EQ(schedule.frames, item.at("indices").get<std::vector<std::int64_t>>());
  EXPECT_EQ(schedule.fps, item.at("sample_fps").get<double>());
  FrameStream frames(*reader, schedule);
  const VisionConfig vision;
  const std::vector<VisionInput> inputs = prepare_clip(
      static_cast<std::int64_t>(schedule.frames.size()),
      [&](std::int64_t) { return frames.next(); }, clip_wish_of(item.at("options"), schedule.fps),
      options, vision, {3136, 12845056});
  ASSERT_EQ(inputs.size(), 1u);
  const VisionInput& input = inputs[0];
  EXPECT_EQ(item.at("grid_thw"), (Json{input.grid.t, input.grid.h, input.grid.w}));
  EXPECT_EQ(input.seconds_per_grid, item.at("second_per_grid").get<double>());
  EXPECT_EQ(patches_sha256(input, vision, input.normalisation),
            item.at("pixels").get<std::string>());
}

TEST(VideoSamplesGolden, frames_sizes_seconds_and_patches_equal_the_reference_bit_for_bit) {
  const Json golden = testing::golden_json("video/samples.json");
  for (const Json& item : golden.at("cases")) expect_equal(item);
  EXPECT_GE(golden.at("cases").size(), 120u);
}

// ---- what is refused -------------------------------------------------------------------------

struct Refusal {
  std::int64_t n_frames;
  SamplingWish wish;
  const char* message;
  FrameRule rule = FrameRule::qwen_vl_utils;
};

std::vector<Refusal> refusals() {
  SamplingWish both, never, none, all, beyond, part, bounded;
  both.fps = 2;
  both.n_frames = 4;
  never.fps = 0;
  none.n_frames = 0;
  all.n_frames = 500;
  beyond.begin_seconds = 11;
  part.begin_seconds = 1;
  bounded.n_frames = 4;
  bounded.max_frames = 8;
  return {
      {1, {}, "the video has 1 frame, expected at least 2"},
      {100, both, "fps and nframes exclude each other"},
      {100, never, "fps: found 0"},
      {100, none, "nframes: found 0"},
      {100, all, "the wishes give 500 frames, expected 2 to the 100 there are"},
      {100, beyond, "leave no two frames of 100"},
      {100, part, "the frame rule hf knows no parts", FrameRule::hf},
      {100, bounded, "they do nothing beside nframes"},
  };
}

TEST(VideoSampling, what_cannot_be_is_refused_in_one_clear_line) {
  for (const Refusal& r : refusals()) {
    const std::string error = error_of([&] { sample_frames(r.n_frames, 10, r.wish, r.rule); });
    EXPECT_NE(error.find(r.message), std::string::npos) << r.message << "\n" << error;
  }
}

}  // namespace
}  // namespace qwenvl::qwen2_5_vl
