// Videos through the public engine: generations of the reference, and what is reported.
#include "engine/tiny_engine.h"
#include "support/golden.h"

namespace qwenvl {
namespace {

using Json = nlohmann::json;

std::string clip_path(const std::string& name) { return data_path("video/clips/" + name); }

template <class T>
void read(const Json& from, const char* key, std::optional<T>& to) {
  if (from.contains(key)) to = from.at(key).get<T>();
}

Part part_of(const Json& item) {
  if (item.at("type") == "text") return Part::words(item.at("text"));
  ClipOptions options;
  read(item, "fps", options.fps);
  read(item, "nframes", options.n_frames);
  read(item, "video_start", options.video_start);
  read(item, "video_end", options.video_end);
  read(item, "min_pixels", options.frame.min_pixels);
  read(item, "max_pixels", options.frame.max_pixels);
  return Part::video_file(clip_path(item.at("video")), options);
}

TEST(VideoGolden, every_generation_equals_the_reference_token_for_token) {
  EngineOptions options = tiny_options();
  options.compute = ComputeType::float32;
  options.temporal_ids = "int";  // as in the version that made the file
  options.prefill_chunk_tokens = 61;
  Engine engine = Engine::open(options);
  const Json golden = testing::golden_json("video/generations.json");
  for (const Json& item : golden.at("cases")) {
    SCOPED_TRACE(item.at("name"));
    Request request = ask("", 16);
    request.messages[0].parts.clear();
    for (const Json& part : item.at("messages")[0].at("content"))
      request.messages[0].parts.push_back(part_of(part));
    request.add_vision_id = item.at("add_vision_id");
    request.sampling.repetition_penalty = 1.0f;
    request.sampling.eos_token_ids.reset();
    EXPECT_EQ(engine.render(request), item.at("text").get<std::string>());
    EXPECT_EQ(engine.prompt_ids(request), item.at("input_ids").get<std::vector<std::int32_t>>());
    EXPECT_EQ(ids_of(collect(engine.submit(request)).choices.at(0)),
              item.at("generated_ids").get<std::vector<std::int32_t>>());
  }
  EXPECT_GE(golden.at("cases").size(), 8u);
}

Request ask_about_video(const std::string& source, ClipOptions options = {}) {
  options.frame.min_pixels = 3136;
  options.frame.max_pixels = 9408;
  Request request = ask("What moves?", 2);
  auto& parts = request.messages[0].parts;
  parts.insert(parts.begin(), Part::video_file(source, options));
  return request;
}

TEST(Video, IsReportedWithItsSizesTimesTokensAndWarnings) {
  ClipOptions options;
  options.n_frames = 6;
  const Answer answer =
      collect(tiny_engine().submit(ask_about_video(clip_path("interlaced.mp4"), options)));
  const ClipInfo& clip = answer.clips.at(0);
  EXPECT_EQ(clip.name, clip_path("interlaced.mp4"));
  EXPECT_EQ(clip.n_frames, 6);
  EXPECT_EQ(clip.n_video_frames, 24);
  EXPECT_EQ(clip.video_fps, 25);
  EXPECT_EQ(clip.original_width, 64);
  ASSERT_EQ(clip.frame_seconds.size(), 6u);
  EXPECT_DOUBLE_EQ(clip.frame_seconds.back(), 23 / 25.0);
  EXPECT_EQ(clip.n_tokens, 3 * (clip.processed_width / 28) * (clip.processed_height / 28));
  ASSERT_EQ(clip.warnings.size(), 1u);
  EXPECT_TRUE(contains(clip.warnings[0], "interlaced"));
}

TEST(Video, InMemoryIsTheSameAsOnDisk) {
  const std::string path = clip_path("b_frames.mp4");
  Request from_memory = ask_about_video("clip");
  const std::string bytes = file_bytes(path);
  const auto* first = reinterpret_cast<const std::byte*>(bytes.data());
  from_memory.messages[0].parts[0].video.bytes.assign(first, first + bytes.size());
  EXPECT_EQ(ids_of(collect(tiny_engine().submit(from_memory))),
            ids_of(collect(tiny_engine().submit(ask_about_video(path)))));
}

TEST(Video, ThatCannotBeServedIsRefusedInOneClearLine) {
  ClipOptions part;
  part.video_start = 9;
  const std::pair<Request, const char*> cases[] = {
      {ask_about_video(clip_path("gone.mp4")), "gone.mp4"},
      {ask_about_video(clip_path("one_frame.mp4")), "the video has 1 frame"},
      {ask_about_video(clip_path("only_sound.m4a")), "holds sound but no video"},
      {ask_about_video(clip_path("fps_25.mp4"), part), "leave no two frames"},
      {ask_about_video(picture_path("rings.png")), "rings.png"},
      {ask_about_video(data_path("video/readers.json")), "not a video"},
  };
  for (const auto& [request, message] : cases)
    EXPECT_TRUE(contains(error_of_request(tiny_engine(), request), message)) << message;
}

}  // namespace
}  // namespace qwenvl
