// Whole generations through the public engine against the reference: token for token, in float32.
#include <gtest/gtest.h>

#include "qwenvl/engine.h"
#include "support/golden.h"

namespace qwenvl {
namespace {

using testing::golden_json;
using testing::golden_path;
using Json = nlohmann::json;

Engine open_tiny(const std::string& name, const std::string& backend = "cpu") {
  EngineOptions options;
  options.model = golden_path("checkpoints/" + name);
  options.backend = backend;
  options.compute = ComputeType::float32;
  options.n_threads = 2;
  options.kv_cache_bytes = 256u << 20;
  options.prefill_chunk_tokens = 37;  // cuts through pictures
  return Engine::open(options);
}

template <class T>
void read(const Json& from, const char* key, std::optional<T>& to) {
  if (from.contains(key)) to = from.at(key).get<T>();
}

Part part_of(const Json& item) {
  if (item.value("type", "") == "text" || !item.contains("image"))
    return Part::words(item.at("text"));
  PictureOptions options;
  read(item, "min_pixels", options.min_pixels);
  read(item, "max_pixels", options.max_pixels);
  read(item, "resized_height", options.resized_height);
  read(item, "resized_width", options.resized_width);
  return Part::picture(golden_path("model/images/" + item.at("image").get<std::string>()), options);
}

std::vector<Message> messages_of(const Json& json) {
  std::vector<Message> messages;
  for (const Json& message : json) {
    Message& to = messages.emplace_back();
    to.role = message.at("role");
    if (message.at("content").is_string()) {
      to.parts.push_back(Part::words(message.at("content")));
    } else {
      for (const Json& item : message.at("content")) to.parts.push_back(part_of(item));
    }
  }
  return messages;
}

Sampling sampling_of(const Json& options) {
  Sampling s;
  read(options, "do_sample", s.do_sample);
  read(options, "repetition_penalty", s.repetition_penalty);
  read(options, "no_repeat_ngram_size", s.no_repeat_ngram_size);
  read(options, "min_new_tokens", s.min_new_tokens);
  read(options, "max_new_tokens", s.max_new_tokens);
  read(options, "num_beams", s.num_beams);
  read(options, "length_penalty", s.length_penalty);
  read(options, "num_return_sequences", s.num_return_sequences);
  if (options.contains("early_stopping")) {
    const Json& value = options.at("early_stopping");
    s.early_stopping = value.is_string()   ? EarlyStopping::never
                       : value.get<bool>() ? EarlyStopping::yes
                                           : EarlyStopping::no;
  }
  if (options.contains("eos_token_id"))
    s.eos_token_ids = options.at("eos_token_id").get<std::vector<std::int32_t>>();
  s.seed = 1;
  return s;
}

std::vector<std::int32_t> ids_of(const Choice& choice) {
  std::vector<std::int32_t> ids;
  for (const TokenInfo& token : choice.tokens) ids.push_back(token.chosen.id);
  return ids;
}

Request request_of(const Json& item, std::size_t row) {
  Request request;
  request.messages = messages_of(item.at("messages")[row]);
  request.sampling = sampling_of(item.at("options"));
  if (item.contains("logprobs")) request.n_logprobs = 5;
  return request;
}

void check_logprobs(const Json& steps, const Choice& choice) {
  ASSERT_EQ(steps.size(), choice.tokens.size());
  for (std::size_t i = 0; i < steps.size(); ++i) {
    EXPECT_NEAR(steps[i].at("logprob").get<float>(), choice.tokens[i].chosen.logprob, 2e-3);
    ASSERT_EQ(choice.tokens[i].top.size(), 5u);
    for (std::size_t n = 0; n < 5; ++n) {
      EXPECT_NEAR(steps[i].at("top")[n][1].get<float>(), choice.tokens[i].top[n].logprob, 2e-3)
          << "step " << i;
    }
  }
}

// All rows are submitted before any is read, so that batches run as batches.
void check_case(Engine& engine, const Json& item) {
  SCOPED_TRACE(item.at("name").get<std::string>() + " on " + item.at("model").get<std::string>());
  std::vector<EventStream> streams;
  for (std::size_t row = 0; row < item.at("messages").size(); ++row) {
    const Request request = request_of(item, row);
    EXPECT_EQ(engine.prompt_ids(request),
              item.at("prompt_ids")[row].get<std::vector<std::int32_t>>());
    EXPECT_EQ(engine.render(request), item.at("prompts")[row].get<std::string>());
    streams.push_back(engine.submit(request));
  }
  std::size_t next = 0;
  for (std::size_t row = 0; row < streams.size(); ++row) {
    const Answer answer = collect(std::move(streams[row]));
    for (const Choice& choice : answer.choices) {
      EXPECT_EQ(ids_of(choice), item.at("generated_ids").at(next).get<std::vector<std::int32_t>>())
          << "row " << row;
      EXPECT_EQ(choice.text, item.at("texts").at(next).get<std::string>()) << "row " << row;
      if (item.contains("sequences_scores")) {
        EXPECT_NEAR(choice.score, item.at("sequences_scores").at(next).get<double>(), 1e-3);
      }
      if (item.contains("logprobs")) check_logprobs(item.at("logprobs")[row], choice);
      ++next;
    }
  }
  EXPECT_EQ(next, item.at("generated_ids").size());
}

class GenerationGolden : public ::testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Models, GenerationGolden, ::testing::Values("tiny", "tiny_untied"),
                         [](const auto& info) { return info.param; });

TEST_P(GenerationGolden, every_generation_equals_the_reference_token_for_token) {
  Engine engine = open_tiny(GetParam());
  const Json golden = golden_json("model/generations.json");
  int n = 0;
  for (const Json& item : golden.at("cases")) {
    if (item.at("model") != GetParam()) continue;
    check_case(engine, item);
    ++n;
  }
  EXPECT_GE(n, 30);
}

TEST(GenerationGolden, the_reference_back_end_generates_the_same) {
  Engine engine = open_tiny("tiny", "reference");
  const Json golden = golden_json("model/generations.json");
  for (const Json& item : golden.at("cases")) {
    const std::string name = item.at("name");
    if (item.at("model") == "tiny" && (name == "greedy image" || name == "batch mixed"))
      check_case(engine, item);
  }
}

TEST(PromptGolden, prompts_of_both_loaders_equal_the_reference) {
  const Json golden = golden_json("model/prompts.json");
  for (const std::string loader : {"qwen_vl_utils", "hf"}) {
    EngineOptions options;
    options.model = golden_path("checkpoints/tiny");
    options.loader = loader;
    options.resize_rule = loader;
    Engine engine = Engine::open(options);
    for (const Json& item : golden.at("cases")) {
      SCOPED_TRACE(item.at("name").get<std::string>() + " with " + loader);
      Request request;
      request.messages = messages_of(item.at("messages"));
      request.add_vision_id = item.at("add_vision_id");
      EXPECT_EQ(engine.render(request), item.at("text").get<std::string>());
      EXPECT_EQ(engine.prompt_ids(request),
                item.at(loader).at("input_ids").get<std::vector<std::int32_t>>());
    }
  }
}

}  // namespace
}  // namespace qwenvl
