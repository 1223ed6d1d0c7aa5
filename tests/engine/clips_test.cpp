// Clips through the public engine: generations of the reference, reports, the cache, errors.
#include <cmath>

#include "engine/tiny_engine.h"
#include "support/golden.h"

namespace qwenvl {
namespace {

using Json = nlohmann::json;

std::string frame_path(const std::string& name) { return data_path("model/clips/" + name); }

std::vector<Picture> frames_of(const std::string& name, int count) {
  std::vector<Picture> frames;
  for (int k = 0; k < count; ++k)
    frames.emplace_back().source = frame_path(fmt::format("{}/frame{}.png", name, k));
  return frames;
}

ClipOptions small() {
  ClipOptions options;
  options.frame.min_pixels = 12544;
  options.frame.max_pixels = 25088;
  return options;
}

Request ask_about_clip(std::vector<Picture> frames, const ClipOptions& options,
                       int max_new_tokens = 8) {
  Request request = ask("What moves?", max_new_tokens);
  auto& parts = request.messages[0].parts;
  parts.insert(parts.begin(), Part::clip(std::move(frames), options));
  return request;
}

template <class T>
void read(const Json& from, const char* key, std::optional<T>& to) {
  if (from.contains(key)) to = from.at(key).get<T>();
}

Part part_of(const Json& item) {
  if (item.at("type") == "text") return Part::words(item.at("text"));
  if (item.at("type") == "image") return Part::picture(picture_path(item.at("image")));
  ClipOptions options;
  options.fps = item.value("sample_fps", 2.0);
  read(item, "min_pixels", options.frame.min_pixels);
  read(item, "max_pixels", options.frame.max_pixels);
  std::vector<Picture> frames;
  for (const Json& frame : item.at("video")) frames.emplace_back().source = frame_path(frame);
  return Part::clip(std::move(frames), options);
}

TEST(ClipsGolden, every_generation_equals_the_reference_token_for_token) {
  EngineOptions options = tiny_options();
  options.compute = ComputeType::float32;
  options.temporal_ids = "int";       // as in the version that made the file
  options.prefill_chunk_tokens = 61;  // cuts through frames
  Engine engine = Engine::open(options);
  const Json golden = testing::golden_json("model/clips.json");
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
  EXPECT_GE(golden.at("cases").size(), 12u);
}

TEST(Clips, AreReportedWithTheirSizesTimesAndTokens) {
  ClipOptions options = small();
  options.fps = 2.5;
  Request request = ask_about_clip(frames_of("bars", 3), options);
  request.messages[0].parts.push_back(Part::picture(picture_path("rings.png")));
  const Answer answer = collect(tiny_engine().submit(request));
  ASSERT_EQ(answer.clips.size(), 1u);
  const ClipInfo& clip = answer.clips[0];
  EXPECT_TRUE(contains(clip.name, "frame0.png"));
  EXPECT_EQ(clip.n_frames, 3);
  EXPECT_EQ(clip.fps, 2.5);
  EXPECT_EQ(clip.seconds, 1.2);
  EXPECT_EQ(std::pair(clip.original_width, clip.original_height), std::pair(150, 61));
  // Two pairs, for the third frame counts twice.
  EXPECT_EQ(clip.n_tokens, 2 * (clip.processed_width / 28) * (clip.processed_height / 28));
  ASSERT_EQ(answer.pictures.size(), 1u);
  EXPECT_EQ(answer.usage.picture_tokens, clip.n_tokens + answer.pictures[0].n_tokens);
}

TEST(Clips, TheSameFramesAreEncodedOnceAndOneOtherFrameIsNoticed) {
  Engine engine = Engine::open(tiny_options());
  const auto n_encode_events = [&](std::vector<Picture> frames) {
    int n = 0;
    const Request request = ask_about_clip(std::move(frames), small());
    for (const Event& event : events_of(engine.submit(request))) n += event.stage == "encode";
    return n;
  };
  std::vector<Picture> frames = frames_of("ball", 4);
  EXPECT_GT(n_encode_events(frames), 0);
  EXPECT_EQ(n_encode_events(frames), 0);
  std::swap(frames[2], frames[3]);
  EXPECT_GT(n_encode_events(frames), 0);
}

TEST(Clips, MayComeAsBytes) {
  std::vector<Picture> frames = frames_of("ball", 2);
  const auto expected = ids_of(collect(tiny_engine().submit(ask_about_clip(frames, small()))));
  for (Picture& frame : frames) {
    const std::string bytes = file_bytes(frame.source);
    const auto* data = reinterpret_cast<const std::byte*>(bytes.data());
    frame = {"", {data, data + bytes.size()}, {}};
  }
  EXPECT_EQ(ids_of(collect(tiny_engine().submit(ask_about_clip(frames, small())))), expected);
}

TEST(Clips, TimeChangesTheAnswersScoresButNotTheirPlace) {
  Request slow = ask_about_clip(frames_of("square", 4), small(), 1);
  Request fast = slow;
  slow.want_first_logits = fast.want_first_logits = true;
  slow.messages[0].parts[0].video.options.fps = 0.5;
  fast.messages[0].parts[0].video.options.fps = 4;
  EXPECT_EQ(tiny_engine().prompt_ids(slow), tiny_engine().prompt_ids(fast));
  const auto logits = [](const Request& request) {
    return events_of(tiny_engine().submit(request)).back().first_logits;
  };
  EXPECT_NE(logits(slow), logits(fast));
}

TEST(Clips, TakeTheLimitsOfTheVideoProcessorWhereTheCheckpointHasThem) {
  const TemporaryFolder folder;
  std::filesystem::copy(data_path("checkpoints/tiny"), folder.path(),
                        std::filesystem::copy_options::recursive);
  folder.write("video_preprocessor_config.json",
               R"({"size": {"shortest_edge": 3136, "longest_edge": 12544}})");
  EngineOptions options = tiny_options();
  options.model = folder.path().string();
  Engine engine = Engine::open(options);
  const Answer answer = collect(engine.submit(ask_about_clip(frames_of("square", 2), {}, 1)));
  EXPECT_EQ(answer.clips.at(0).processed_width, 112);
}

struct Refusal {
  const char* name;
  Request request;
  const char* message;
};

std::vector<Refusal> refusals() {
  ClipOptions never = small();
  never.fps = 0;
  ClipOptions unknown = small();
  unknown.fps = std::nan("");
  ClipOptions half = small();
  half.frame.resized_width = 56;
  half.frame.min_pixels = half.frame.max_pixels = {};
  std::vector<Picture> mixed = frames_of("square", 1), own = frames_of("ball", 2),
                       missing = frames_of("ball", 2);
  mixed.push_back(frames_of("large", 1)[0]);
  own[1].options.max_pixels = 50176;
  missing[1].source = "gone.png";
  std::vector<Picture> many(400, frames_of("ball", 1)[0]);
  return {
      {"NoFrames", ask_about_clip({}, small()), "clip: found no frames"},
      {"FramesOfDifferentSizes", ask_about_clip(mixed, small()),
       "frame0.png: clip: frame 2 is 420×300"},
      {"NoTime", ask_about_clip(frames_of("ball", 2), never), "fps: found 0, expected"},
      {"TimeThatIsNoNumber", ask_about_clip(frames_of("ball", 2), unknown), "fps: found nan"},
      {"HalfASize", ask_about_clip(frames_of("ball", 2), half), "resized_height and resized_width"},
      {"AFrameWithItsOwnSize", ask_about_clip(own, small()), "frame 2 has size options of its own"},
      {"AMissingFrame", ask_about_clip(missing, small()), "gone.png"},
      {"MoreTokensThanTheContext", ask_about_clip(many, {}), "clip: 400 frames of 60×45"},
  };
}

TEST(Clips, WhatCannotBeServedIsRefusedInOneClearLine) {
  for (const Refusal& refusal : refusals()) {
    SCOPED_TRACE(refusal.name);
    EXPECT_TRUE(contains(error_of_request(tiny_engine(), refusal.request), refusal.message));
  }
}

}  // namespace
}  // namespace qwenvl
