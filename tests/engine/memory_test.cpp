// Memory: what is planned, what is taken, what is refused, and that less of it changes no answer.
#include "qwenvl/memory.h"

#include <cmath>

#include "engine/tiny_engine.h"
#include "qwenvl/bench.h"
#include "qwenvl/tools.h"

namespace qwenvl {
namespace {

constexpr std::int64_t kMegabyte = 1'000'000;

EngineOptions demo_options() {
  EngineOptions options = tiny_options();
  options.model = std::string(QWENVL_SOURCE_DIR) + "/checkpoints/demo";
  return options;
}

// A limit that leaves `room` bytes beside the tiny model and one token of a tiny picture.
EngineOptions limited(std::int64_t room) {
  EngineOptions options = tiny_options();
  options.kv_cache_bytes = 0;
  options.max_memory_bytes = 1 << 30;  // any: under a limit more libraries are loaded at once
  options.max_memory_bytes =
      static_cast<std::size_t>(plan_memory(options, {1, 28, 28}).peak() + room);
  return options;
}

// ---- plans -----------------------------------------------------------------------------------

TEST(MemoryPlan, AddsUpToItsPeaks) {
  for (const MemoryMode mode : {MemoryMode::normal, MemoryMode::low}) {
    EngineOptions options = demo_options();
    options.memory = mode;
    const MemoryPlan plan = plan_memory(options, {1000, 640, 480});
    const std::int64_t decoder = plan.decoder_weights + plan.head_weights + plan.embedding_weights;
    const bool is_low = mode == MemoryMode::low;
    EXPECT_EQ(plan.encode_peak, plan.process + plan.vision_weights + (is_low ? 0 : decoder) +
                                    plan.pixels + plan.features + plan.encode_scratch);
    EXPECT_EQ(plan.decode_peak, plan.process + decoder + (is_low ? 0 : plan.vision_weights) +
                                    plan.features + plan.kv_cache + plan.prefill_scratch);
    EXPECT_EQ(plan.processed_width % 28, 0);
    EXPECT_EQ(plan.features, std::int64_t{plan.processed_width} * plan.processed_height / 784 *
                                 256 * 2);  // bf16 rows of the demo model's width
  }
}

TEST(MemoryPlan, CountsAllWeightsOfTheFilesOnce) {
  const MemoryPlan plan = plan_memory(demo_options(), {1000, 56, 56});
  const auto bytes = std::filesystem::file_size(demo_options().model + "/model.safetensors");
  const std::int64_t weights =
      plan.vision_weights + plan.decoder_weights + plan.head_weights + plan.embedding_weights;
  EXPECT_NEAR(static_cast<double>(weights), static_cast<double>(bytes), 0.01 * bytes);
}

TEST(MemoryPlan, GrowsWithTokensAndPicturesAndShrinksWithEightBits) {
  EngineOptions options = demo_options();
  const MemoryPlan small = plan_memory(options, {64, 56, 56});
  const MemoryPlan large = plan_memory(options, {4096, 1120, 1120});
  EXPECT_EQ(large.kv_cache, 64 * small.kv_cache);
  EXPECT_GT(large.encode_scratch, small.encode_scratch);
  EXPECT_GT(large.features, small.features);
  EXPECT_EQ(plan_memory(options, {64, 0, 0}).vision_weights, 0);
  options.kv_cache_type = KvCacheType::int8;
  // 2 bytes for each of D numbers become 1, and 4 for their scale: D is 64 here.
  EXPECT_EQ(plan_memory(options, {4096, 56, 56}).kv_cache * 128, large.kv_cache * 68);
}

TEST(MemoryPlan, CountsConvertedWeightsWholeAndAsStaying) {
  EngineOptions options = demo_options();
  options.weights = "int8";
  const MemoryPlan plan = plan_memory(options, {64, 0, 0});
  EXPECT_TRUE(plan.is_converted);
  const std::int64_t weights =
      plan.vision_weights + plan.decoder_weights + plan.head_weights + plan.embedding_weights;
  EXPECT_EQ(weights, static_cast<std::int64_t>(inspect_model(options).bytes));
  options.memory = MemoryMode::low;
  const MemoryPlan low = plan_memory(options, {64, 0, 0});
  EXPECT_EQ(low.decode_peak - low.process, plan.decode_peak - plan.process);
  EXPECT_TRUE(contains(table_of(low), "converted: stays in memory"));
  EXPECT_FALSE(contains(table_of(low), "encoded"));
}

TEST(MemoryPlan, CountsCopiedWeightsAsStaying) {
  EngineOptions options = demo_options();
  options.memory = MemoryMode::copied;
  const MemoryPlan plan = plan_memory(options, {64, 0, 0});
  EXPECT_TRUE(plan.is_converted);
  EXPECT_EQ(plan.vision_weights + plan.decoder_weights + plan.head_weights + plan.embedding_weights,
            static_cast<std::int64_t>(inspect_model(options).bytes));
  EXPECT_TRUE(contains(table_of(plan), "copied"));
  options.max_memory_bytes = 1 << 20;
  EXPECT_TRUE(contains(error_of([&] { Engine::open(options); }),
                       "out_of_memory: max_memory_bytes: the copied weights take "));
}

TEST(MemoryCopied, AnswersTheSame) {
  EngineOptions options = demo_options();
  const auto answer = [&] {
    return ids_of(collect(Engine::open(options).submit(ask_about({"rings.png"}, "What?", 8))));
  };
  const auto mapped = answer();
  std::uint64_t last = 0, whole = 0;
  options.memory = MemoryMode::copied;
  options.on_load = [&](std::uint64_t done, std::uint64_t total, const std::string&) {
    EXPECT_GE(done, last);
    last = done;
    whole = total;
  };
  EXPECT_EQ(answer(), mapped);
  EXPECT_GT(whole, 0u);
  EXPECT_EQ(last, whole);
}

TEST(MemoryPlan, IsATableWithALineForEachPart) {
  const std::string table = table_of(plan_memory(limited(0), {1, 28, 28}));
  for (const char* part : {"program and tokenizer", "weights: vision tower", "weights: decoder",
                           "keys and values", "scratch: encoding", "peak while answering", "limit"})
    EXPECT_TRUE(contains(table, part));
}

TEST(MemoryPlan, RefusesRequestsThatNoEngineTakes) {
  for (const PlannedRequest& request : {PlannedRequest{0, 28, 28}, PlannedRequest{5000, 28, 28},
                                        PlannedRequest{10, 28, 0}, PlannedRequest{10, -1, -1}})
    EXPECT_TRUE(contains(error_of([&] { plan_memory(tiny_options(), request); }), "bad_request"));
}

// The benchmark runs a picture of 512 × 512 and watches this process.
TEST(MemoryPlan, IsWhatARequestTakes) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "sanitizers keep memory of their own";
#endif
  struct Case {
    MemoryMode mode;
    const char* weights;
  };
  for (const auto& [mode, weights] :
       {Case{MemoryMode::normal, "auto"}, Case{MemoryMode::low, "auto"},
        Case{MemoryMode::low, "int8"}, Case{MemoryMode::copied, "auto"}}) {
    SCOPED_TRACE(std::string(name_of(mode)) + ", " + weights);
    BenchOptions bench;
    bench.engine = demo_options();
    bench.engine.memory = mode;
    bench.engine.weights = weights;
    bench.stages = {"memory"};
    bench.n_answer_tokens = 4;
    const MemoryBench memory = bench_model(bench, {}).memory;
    if (!memory.is_measured) GTEST_SKIP() << "this system does not tell what is resident";
    EXPECT_EQ(memory.n_tokens, 2048);
    EXPECT_LE(memory.peak_bytes, memory.planned_bytes);
    EXPECT_GE(memory.peak_bytes, memory.planned_bytes - 30 * kMegabyte);
  }
}

// ---- limits ----------------------------------------------------------------------------------

TEST(MaxMemory, RefusesAModelThatCannotFit) {
  EngineOptions options = tiny_options();
  options.max_memory_bytes = 1 << 20;
  const std::string error = error_of([&] { Engine::open(options); });
  EXPECT_TRUE(contains(error, "out_of_memory: max_memory_bytes: the model takes "));
  EXPECT_TRUE(contains(error, "expected at most 1048576: let the tower leave (memory low)"));
  EXPECT_TRUE(contains(error, "weights: decoder"));
}

TEST(MaxMemory, RefusesWeightsThatCannotFitBeforeTheyAreConverted) {
  EngineOptions options = demo_options();
  options.weights = "int8";
  options.max_memory_bytes = 1 << 20;
  options.on_load = [](auto...) { FAIL() << "was converted"; };
  EXPECT_TRUE(contains(error_of([&] { Engine::open(options); }),
                       "out_of_memory: max_memory_bytes: the converted weights take "));
}

TEST(MaxMemory, GivesKeysAndValuesWhatIsLeft) {
  Engine engine = Engine::open(limited(4 * kMegabyte));
  EXPECT_EQ(ids_of(collect(engine.submit(ask("Hi", 20)))),
            ids_of(collect(tiny_engine().submit(ask("Hi", 20)))));
  Request many = sampled(ask("Hi", 4000), 3, 64);
  EXPECT_TRUE(contains(error_of_request(engine, many), "out_of_memory: request: "));
  EXPECT_EQ(collect(engine.submit(ask("Hi", 20))).choices.size(), 1U);
}

TEST(MaxMemory, RefusesACacheThatIsAskedForAndDoesNotFit) {
  EngineOptions options = limited(4 * kMegabyte);
  options.kv_cache_bytes = 64u << 20;
  EXPECT_TRUE(contains(error_of([&] { Engine::open(options); }),
                       "out_of_memory: kv_cache_bytes: found 67108864, expected at most the "));
}

TEST(MaxMemory, RefusesAPictureThatDoesNotFitAndTakesTheNext) {
  Engine engine = Engine::open(limited(4 * kMegabyte));
  Request large = ask_about({"rings.png"}, "What is it?");
  large.messages[0].parts[0].image.options.resized_height = 1400;
  large.messages[0].parts[0].image.options.resized_width = 1400;
  EXPECT_TRUE(contains(error_of_request(engine, large), "MB of pixels), expected at most the "));
  const Request small = ask_about({"rings.png"}, "What is it?");
  EXPECT_EQ(ids_of(collect(engine.submit(small))), ids_of(collect(tiny_engine().submit(small))));
}

TEST(MaxMemory, LetsRequestsWaitForEachOther) {
  Engine engine = Engine::open(limited(6 * kMegabyte));
  const Request request = ask_about({"gray.png"}, "Go on", 300);
  const auto expected = ids_of(collect(tiny_engine().submit(request)));
  std::vector<EventStream> streams;
  for (int i = 0; i < 12; ++i) streams.push_back(engine.submit(request));
  for (EventStream& stream : streams) EXPECT_EQ(ids_of(collect(std::move(stream))), expected);
}

// ---- less memory, the same answers
// ---------------------------------------------------------------

TEST(MemoryLow, ChangesNoAnswer) {
  EngineOptions options = tiny_options();
  options.memory = MemoryMode::low;
  options.vision_cache_bytes = 0;
  Engine engine = Engine::open(options);
  for (const Request& request : {ask_about({"thin.png", "gradient.png"}, "Two pictures", 14),
                                 ask("And text", 9), ask_about({"rings.png"}, "Once more", 10)})
    EXPECT_EQ(ids_of(collect(engine.submit(request))),
              ids_of(collect(tiny_engine().submit(request))));
}

TEST(KvCacheInt8, GivesEveryRequestTheTokensItGetsAlone) {
  EngineOptions options = tiny_options();
  options.kv_cache_type = KvCacheType::int8;
  Engine whole = Engine::open(options);
  options.prefill_chunk_tokens = 7;
  options.n_threads = 1;
  Engine chunked = Engine::open(options);
  std::string long_text;
  for (int i = 0; i < 40; ++i) long_text += "and then we went on ";
  const std::vector<Request> requests = {
      ask(long_text, 20), ask_about({"rings.png"}, "One picture", 16),
      sampled(ask("Three ways", 18), 6, 3), with_beams(ask_about({"gray.png"}, "Beams", 70), 3, 2)};
  std::vector<EventStream> together;
  for (const Request& request : requests) together.push_back(chunked.submit(request));
  for (std::size_t i = 0; i < requests.size(); ++i) {
    EXPECT_EQ(ids_of(collect(std::move(together[i]))), ids_of(collect(whole.submit(requests[i]))))
        << i;
  }
}

std::vector<float> first_logits(Engine& engine, Request request) {
  request.want_first_logits = true;
  std::vector<float> logits;
  for (Event& event : events_of(engine.submit(request))) {
    if (event.kind == Event::Kind::finished) logits = std::move(event.first_logits);
  }
  return logits;
}

std::vector<double> log_probabilities(const std::vector<float>& logits) {
  const double largest = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float x : logits) sum += std::exp(x - largest);
  std::vector<double> out;
  for (const float x : logits) out.push_back(x - largest - std::log(sum));
  return out;
}

// A trained model: random weights have no outliers, and nothing to lose.
TEST(KvCacheInt8, LosesLittleOnTheDemoModel) {
  EngineOptions options = demo_options();
  Engine plain = Engine::open(options);
  options.kv_cache_type = KvCacheType::int8;
  Engine int8 = Engine::open(options);
  double divergence = 0;
  int n = 0, n_same = 0;
  for (const char* name : {"objects", "table", "receipt", "page", "shapes", "screen"}) {
    for (const char* question : {"Describe this image.", "Read all the text in the image.",
                                 "How many shapes are there in the image?"}) {
      Request request = ask(question, 1);
      request.messages[0].parts.insert(
          request.messages[0].parts.begin(),
          Part::picture(std::string(QWENVL_SOURCE_DIR) + "/samples/" + name + ".png"));
      const auto p = log_probabilities(first_logits(plain, request));
      const auto q = log_probabilities(first_logits(int8, request));
      for (std::size_t i = 0; i < p.size(); ++i) divergence += std::exp(p[i]) * (p[i] - q[i]);
      n_same += std::max_element(p.begin(), p.end()) - p.begin() ==
                std::max_element(q.begin(), q.end()) - q.begin();
      ++n;
    }
  }
  EXPECT_LT(divergence / n, 0.005);
  EXPECT_GE(n_same, n - 1);
  RecordProperty("mean_divergence", std::to_string(divergence / n));
  RecordProperty("same_first_token", fmt::format("{} of {}", n_same, n));
}

}  // namespace
}  // namespace qwenvl
