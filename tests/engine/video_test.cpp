// Videos through the public engine: generations of the reference, and what is reported.
#include <atomic>
#include <cmath>
#include <thread>

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

// ---- open videos, budgets, dynamic sampling ----------------------------------------------------

Request ask_about_video(std::shared_ptr<Video> video, const ClipOptions& options = {}) {
  Request request = ask_about_video(std::string(), options);
  request.messages[0].parts[0].video.video = std::move(video);
  return request;
}

std::vector<float> logits_of(Engine& engine, Request request) {
  request.want_first_logits = true;
  request.sampling.max_new_tokens = 1;
  return events_of(engine.submit(request)).back().first_logits;
}

TEST(OpenVideo, KnowsItsFactsAndWhenItsFramesAreShown) {
  const auto video = Video::open(clip_path("fps_25.mp4"));
  EXPECT_EQ(video->facts().codec, "h264");
  EXPECT_EQ(video->facts().average_fps, 25);
  ASSERT_EQ(video->frame_seconds().size(), static_cast<std::size_t>(video->facts().n_frames));
  EXPECT_DOUBLE_EQ(video->frame_seconds()[5], 0.2);
  EXPECT_TRUE(contains(error_of([] { Video::open(clip_path("gone.mp4")); }), "gone.mp4"));
  EXPECT_TRUE(
      contains(error_of([] { Video::open(clip_path("fps_25.mp4"), {.reader = "eyes"}); }), "eyes"));
}

TEST(OpenVideo, GivesTheSameAnswersAsItsFileInAnyOrderOfWindows) {
  const auto video = Video::open(clip_path("fps_25.mp4"));
  for (const double start : {0.4, 0.0, 0.8}) {
    ClipOptions options;
    options.n_frames = 4;
    options.video_start = start, options.video_end = start + 0.6;
    EXPECT_EQ(logits_of(tiny_engine(), ask_about_video(video, options)),
              logits_of(tiny_engine(), ask_about_video(clip_path("fps_25.mp4"), options)))
        << start;
  }
}

TEST(OpenVideo, MayBeUsedByManyThreadsAtOnce) {
  const auto video = Video::open(clip_path("fps_25.mp4"));
  const auto expected = tiny_engine().prompt_ids(ask_about_video(video));
  std::vector<std::thread> threads;
  std::atomic<int> n_right = 0;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      n_right += tiny_engine().prompt_ids(ask_about_video(video)) == expected;
      n_right += !video->signals().seconds.empty();
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(n_right, 8);
}

TEST(OpenVideo, ExcludesOtherSources) {
  Request request = ask_about_video(Video::open(clip_path("fps_25.mp4")));
  request.messages[0].parts[0].video.source = clip_path("fps_10.mp4");
  EXPECT_TRUE(contains(error_of_request(tiny_engine(), request), "expected one of them"));
}

TEST(OpenVideo, WindowsThatOverlapShareTheFeaturesOfTheirPairs) {
  const auto video = Video::open(clip_path("fps_25.mp4"));
  ASSERT_GE(video->facts().n_frames, 30);
  const auto window = [&](std::int64_t first) {  // 16 frames of the video, all of them
    ClipOptions options;
    options.n_frames = 16;
    options.video_start = static_cast<double>(first) / 25 - 0.001;
    options.video_end = static_cast<double>(first + 15) / 25 + 0.001;
    return ask_about_video(video, options);
  };
  // Progress steps by as many pairs as go through a layer together.
  const auto encoded = [](Engine& engine, const Request& request) {
    std::vector<std::int64_t> steps;
    std::int64_t before = 0;
    for (const Event& event : events_of(engine.submit(request))) {
      if (event.stage != "encode") continue;
      if (before > 0) steps.push_back(event.done - before);
      before = event.done;
    }
    return steps;
  };
  const std::size_t n_layers = 5;
  Engine engine = Engine::open(tiny_options()), fresh = Engine::open(tiny_options());
  EXPECT_EQ(encoded(engine, window(0)), std::vector<std::int64_t>(n_layers - 1, 8));
  EXPECT_EQ(encoded(engine, window(0)), std::vector<std::int64_t>());
  EXPECT_EQ(encoded(engine, window(4)), std::vector<std::int64_t>(n_layers - 1, 2));
  EXPECT_EQ(logits_of(engine, window(4)), logits_of(fresh, window(4)));
}

DynamicSampling all_alike(double fps) {
  DynamicSampling d;
  d.cut_fps = d.motion_fps = d.text_fps = d.calm_fps = d.still_fps = fps;
  return d;
}

TEST(DynamicSampling, WithOneRateIsUniformSamplingBitForBit) {
  for (const char* name : {"fps_25.mp4", "vfr.mp4", "fps_59_94.mp4"}) {
    for (const double fps : {2.0, 5.0}) {
      ClipOptions uniform, dynamic;
      uniform.fps = fps;
      uniform.min_frames = 2;
      dynamic.dynamic = all_alike(fps);
      const Request a = ask_about_video(clip_path(name), uniform),
                    b = ask_about_video(clip_path(name), dynamic);
      const Answer answer_a = collect(tiny_engine().submit(a)),
                   answer_b = collect(tiny_engine().submit(b));
      if (answer_a.clips[0].n_frames < 4) continue;  // min_frames of dynamic sampling is 4
      EXPECT_EQ(answer_a.clips[0].frame_seconds, answer_b.clips[0].frame_seconds) << name;
      EXPECT_EQ(tiny_engine().prompt_ids(a), tiny_engine().prompt_ids(b)) << name;
      EXPECT_EQ(logits_of(tiny_engine(), a), logits_of(tiny_engine(), b)) << name;
    }
  }
}

TEST(DynamicSampling, KeepsItsBudgetAndReportsEachPair) {
  ClipOptions options;
  options.dynamic = DynamicSampling();
  options.max_tokens = 60;
  const Request request = ask_about_video(clip_path("ten_minutes.mkv"), options);
  const ClipInfo clip = collect(tiny_engine().submit(request)).clips.at(0);
  EXPECT_LE(clip.n_tokens, 60);
  EXPECT_EQ(clip.max_tokens, 60);
  ASSERT_EQ(clip.pairs.size() * 2, clip.frame_seconds.size());
  int sum = 0;
  for (std::size_t i = 0; i < clip.pairs.size(); ++i) {
    sum += clip.pairs[i].n_tokens;
    EXPECT_EQ(clip.pairs[i].seconds, clip.frame_seconds[2 * i]);
  }
  EXPECT_EQ(sum, clip.n_tokens);
  const VideoPlan plan = tiny_engine().plan(request.messages[0].parts[0].video);
  EXPECT_EQ(plan.n_tokens, clip.n_tokens);
  EXPECT_EQ(plan.pairs.size(), clip.pairs.size());
}

TEST(DynamicSampling, TakesOnePairWhereTheBudgetIsThatOfOne) {
  ClipOptions options;
  options.dynamic = all_alike(2);
  options.max_tokens = 4;
  const ClipInfo clip =
      collect(tiny_engine().submit(ask_about_video(clip_path("fps_25.mp4"), options))).clips.at(0);
  EXPECT_EQ(clip.pairs.size(), 1u);
  EXPECT_LE(clip.n_tokens, 4);
}

TEST(DynamicSampling, CountsTheSecondsOfAPartAsTheFileDoesWhateverTheSpacing) {
  const auto video = Video::open(clip_path("starts_late.mkv"));
  const double begin = video->facts().begin_seconds, end = video->facts().end_seconds;
  ASSERT_GT(begin, 1);
  for (const DynamicSampling& sampling : {DynamicSampling(), all_alike(5)}) {
    ClipOptions options;
    options.dynamic = sampling;
    options.video_start = begin + 0.5;
    options.video_end = end - 0.5;
    const Request request = ask_about_video(clip_path("starts_late.mkv"), options);
    const ClipInfo clip = collect(tiny_engine().submit(request)).clips.at(0);
    EXPECT_GE(clip.frame_seconds.front(), begin + 0.5 - 1e-3);
    EXPECT_LE(clip.frame_seconds.back(), end - 0.5 + 1e-3);
  }
}

TEST(DynamicSampling, RefusesTimesThatAreNoNumbers) {
  ClipOptions options;
  options.dynamic = DynamicSampling();
  options.video_start = std::nan("");
  EXPECT_TRUE(
      contains(error_of_request(tiny_engine(), ask_about_video(clip_path("fps_25.mp4"), options)),
               "expected seconds"));
}

TEST(DynamicSampling, WithoutABudgetTakesWhatTheContextLeaves) {
  EngineOptions engine_options = tiny_options();
  engine_options.max_context_tokens = 400;
  Engine engine = Engine::open(engine_options);
  ClipOptions options;
  options.dynamic = all_alike(25);
  Request request = ask_about_video(clip_path("fps_25.mp4"), options);
  request.sampling.max_new_tokens = 100;
  const Answer answer = collect(engine.submit(request));
  const std::int64_t n_text = answer.usage.prompt_tokens - answer.usage.picture_tokens;
  EXPECT_LE(answer.usage.prompt_tokens + 100, 400);
  EXPECT_NEAR(static_cast<double>(answer.clips[0].max_tokens),
              static_cast<double>(400 - 100 - n_text), 2);
}

TEST(DynamicSampling, RefusesWhatItCannotServe) {
  ClipOptions rate, budget, context;
  rate.dynamic = budget.dynamic = context.dynamic = DynamicSampling();
  rate.fps = 2;
  budget.max_tokens = 1;
  EXPECT_TRUE(contains(
      error_of_request(tiny_engine(), ask_about_video(clip_path("fps_25.mp4"), rate)), "uniform"));
  EXPECT_TRUE(contains(
      error_of_request(tiny_engine(), ask_about_video(clip_path("fps_25.mp4"), budget)), "budget"));
  Request long_answer = ask_about_video(clip_path("fps_25.mp4"), context);
  long_answer.sampling.max_new_tokens = 1 << 20;
  EXPECT_TRUE(contains(error_of_request(tiny_engine(), long_answer), "no room for it"));
  Request list = ask("What moves?", 2);
  list.messages[0].parts.push_back(Part::clip({{picture_path("rings.png"), {}, {}}}, context));
  EXPECT_TRUE(contains(error_of_request(tiny_engine(), list), "dynamic sampling"));
}

TEST(Video, KeepsABudgetOfTokensInUniformSampling) {
  ClipOptions options;
  options.n_frames = 8;
  options.max_tokens = 20;
  const ClipInfo clip =
      collect(tiny_engine().submit(ask_about_video(clip_path("fps_25.mp4"), options))).clips.at(0);
  EXPECT_LE(clip.n_tokens, 20);
  EXPECT_EQ(clip.n_frames, 8);
  options.max_tokens = 3;
  EXPECT_TRUE(
      contains(error_of_request(tiny_engine(), ask_about_video(clip_path("fps_25.mp4"), options)),
               "expected at most the 3 of max_tokens"));
}

}  // namespace
}  // namespace qwenvl
