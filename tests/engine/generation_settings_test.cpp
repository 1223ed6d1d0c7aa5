#include "engine/generation_settings.h"

#include "engine/tiny_engine.h"

namespace qwenvl {
namespace {

std::string error_of_config(const std::string& json) {
  return error_of([&] { parse_generation_config(json, "generation_config.json"); });
}

TEST(GenerationConfig, AMissingFileGivesTheReferencesDefaults) {
  const GenerationSettings s = parse_generation_config("", "generation_config.json");
  EXPECT_FALSE(s.do_sample);
  EXPECT_EQ(s.top_k, 50);
  EXPECT_EQ(s.top_p, 1);
  EXPECT_EQ(s.temperature, 1);
  EXPECT_FALSE(s.max_new_tokens);
  EXPECT_TRUE(s.eos_token_ids.empty());
}

TEST(GenerationConfig, EveryFieldIsRead) {
  const GenerationSettings s = parse_generation_config(
      R"({"do_sample": true, "temperature": 0.5, "top_k": 3, "top_p": 0.25, "min_p": 0.125,
          "repetition_penalty": 1.5, "no_repeat_ngram_size": 4, "min_new_tokens": 2,
          "max_new_tokens": 9, "num_beams": 5, "length_penalty": -1, "num_return_sequences": 2,
          "early_stopping": "never", "eos_token_id": [7, 8], "pad_token_id": 0, "typical_p": 1.0,
          "transformers_version": "4.49.0"})",
      "generation_config.json");
  EXPECT_TRUE(s.do_sample);
  EXPECT_EQ(s.temperature, 0.5f);
  EXPECT_EQ(s.top_k, 3);
  EXPECT_EQ(s.top_p, 0.25f);
  EXPECT_EQ(s.min_p, 0.125f);
  EXPECT_EQ(s.repetition_penalty, 1.5f);
  EXPECT_EQ(s.no_repeat_ngram_size, 4);
  EXPECT_EQ(s.min_new_tokens, 2);
  EXPECT_EQ(s.max_new_tokens, 9);
  EXPECT_EQ(s.num_beams, 5);
  EXPECT_EQ(s.length_penalty, -1);
  EXPECT_EQ(s.num_return_sequences, 2);
  EXPECT_EQ(s.early_stopping, EarlyStopping::never);
  EXPECT_EQ(s.eos_token_ids, (std::vector<std::int32_t>{7, 8}));
}

TEST(GenerationConfig, OneEosIdMayStandWithoutAList) {
  EXPECT_EQ(parse_generation_config(R"({"eos_token_id": 5})", "c").eos_token_ids,
            (std::vector<std::int32_t>{5}));
}

TEST(GenerationConfig, WhatItCannotMeanIsOneError) {
  for (const char* json :
       {"[]", "{", R"({"top_k": -1})", R"({"top_k": "many"})", R"({"top_p": 2})",
        R"({"temperature": -1})", R"({"temperature": 1e999})", R"({"do_sample": 1})",
        R"({"num_beams": 0})", R"({"eos_token_id": [-1]})", R"({"eos_token_id": 1.5})",
        R"({"early_stopping": "soon"})", R"({"max_new_tokens": 0})"}) {
    EXPECT_TRUE(contains(error_of_config(json), "bad_file: generation_config.json")) << json;
  }
}

TEST(GenerationConfig, WhatIsNotComputedIsRefused) {
  for (const char* json :
       {R"({"typical_p": 0.5})", R"({"suppress_tokens": [1]})", R"({"guidance_scale": 1.5})",
        R"({"num_beam_groups": 2})", R"({"stop_strings": ["a"]})", R"({"min_length": 5})"}) {
    EXPECT_TRUE(contains(error_of_config(json), "unsupported: generation_config.json")) << json;
  }
  EXPECT_EQ(error_of_config(R"({"typical_p": null, "suppress_tokens": null, "min_length": 0})"),
            "");
}

TEST(Merged, WishesReplaceDefaultsOneByOne) {
  GenerationSettings defaults;
  defaults.do_sample = true;
  defaults.temperature = 0.5f;
  defaults.repetition_penalty = 1.05f;
  Sampling wishes;
  wishes.temperature = 0.7f;
  const GenerationSettings s = merged(defaults, wishes);
  EXPECT_TRUE(s.do_sample);
  EXPECT_EQ(s.temperature, 0.7f);
  EXPECT_EQ(s.repetition_penalty, 1.05f);
}

TEST(Merged, ATemperatureOfZeroIsGreedy) {
  GenerationSettings defaults;
  defaults.do_sample = true;
  Sampling wishes;
  wishes.temperature = 0.0f;
  EXPECT_FALSE(merged(defaults, wishes).do_sample);
}

TEST(Merged, BeamsAreSearchedAlthoughTheDefaultIsToSample) {
  GenerationSettings defaults;
  defaults.do_sample = true;
  Sampling wishes;
  wishes.num_beams = 3;
  EXPECT_FALSE(merged(defaults, wishes).do_sample);
  EXPECT_EQ(merged(defaults, wishes).num_beams, 3);
}

}  // namespace
}  // namespace qwenvl
