// generation_config.json and a request's own wishes → settings.
#include "engine/generation/generation_settings.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "core/check.h"
#include "support/error_of.h"

namespace qwenvl {
namespace {

GenerationSettings parsed(const std::string& json) {
  return parse_generation_config(json, "generation_config.json");
}

testing::AssertionResult holds(const std::string& text, const std::string& part) {
  if (text.find(part) != std::string::npos) return testing::AssertionSuccess();
  return testing::AssertionFailure() << "found:    " << text << "\nexpected: " << part;
}

void expect_defaults(const GenerationSettings& s) {
  EXPECT_FALSE(s.do_sample);
  EXPECT_EQ(s.temperature, 1);
  EXPECT_EQ(s.top_k, 50);
  EXPECT_EQ(s.top_p, 1);
  EXPECT_EQ(s.min_p, 0);
  EXPECT_EQ(s.repetition_penalty, 1);
  EXPECT_EQ(s.no_repeat_ngram_size, 0);
  EXPECT_EQ(s.min_new_tokens, 0);
  EXPECT_FALSE(s.max_new_tokens);
  EXPECT_EQ(s.num_beams, 1);
  EXPECT_EQ(s.length_penalty, 1);
  EXPECT_EQ(s.early_stopping, EarlyStopping::no);
  EXPECT_EQ(s.num_return_sequences, 1);
  EXPECT_TRUE(s.eos_token_ids.empty());
}

TEST(GenerationConfig, no_file_an_empty_object_and_nulls_give_the_defaults_of_the_reference) {
  expect_defaults(parsed(""));
  expect_defaults(parsed("{}"));
  expect_defaults(
      parsed(R"({"do_sample": null, "temperature": null, "top_k": null, "eos_token_id": null,
                             "early_stopping": null, "max_new_tokens": null, "bad_words_ids": null})"));
}

TEST(GenerationConfig, the_published_file) {
  const GenerationSettings s =
      parsed(R"({"bos_token_id": 151643, "pad_token_id": 151643, "do_sample": true,
      "eos_token_id": [151645, 151643], "repetition_penalty": 1.05, "temperature": 0.000001,
      "transformers_version": "4.49.0"})");
  EXPECT_TRUE(s.do_sample);
  EXPECT_EQ(s.eos_token_ids, (std::vector<std::int32_t>{151645, 151643}));
  EXPECT_EQ(s.repetition_penalty, 1.05f);
  EXPECT_EQ(s.temperature, 1e-6f);
  EXPECT_EQ(s.top_k, 50);
  EXPECT_EQ(s.top_p, 1);
  EXPECT_FALSE(s.max_new_tokens);
}

TEST(GenerationConfig, every_field_is_read) {
  const GenerationSettings s =
      parsed(R"({"do_sample": true, "temperature": 0.5, "top_k": 7, "top_p": 0.75,
      "min_p": 0.25, "repetition_penalty": 1.5, "no_repeat_ngram_size": 3, "min_new_tokens": 2, "max_new_tokens": 9,
      "num_beams": 4, "length_penalty": -2, "early_stopping": true, "num_return_sequences": 2, "eos_token_id": 11})");
  EXPECT_TRUE(s.do_sample);
  EXPECT_EQ(s.temperature, 0.5f);
  EXPECT_EQ(s.top_k, 7);
  EXPECT_EQ(s.top_p, 0.75f);
  EXPECT_EQ(s.min_p, 0.25f);
  EXPECT_EQ(s.repetition_penalty, 1.5f);
  EXPECT_EQ(s.no_repeat_ngram_size, 3);
  EXPECT_EQ(s.min_new_tokens, 2);
  EXPECT_EQ(s.max_new_tokens, 9);
  EXPECT_EQ(s.num_beams, 4);
  EXPECT_EQ(s.length_penalty, -2);
  EXPECT_EQ(s.early_stopping, EarlyStopping::yes);
  EXPECT_EQ(s.num_return_sequences, 2);
  EXPECT_EQ(s.eos_token_ids, (std::vector<std::int32_t>{11}));
}

TEST(GenerationConfig, early_stopping_has_three_values) {
  EXPECT_EQ(parsed(R"({"early_stopping": false})").early_stopping, EarlyStopping::no);
  EXPECT_EQ(parsed(R"({"early_stopping": true})").early_stopping, EarlyStopping::yes);
  EXPECT_EQ(parsed(R"({"early_stopping": "never"})").early_stopping, EarlyStopping::never);
  EXPECT_TRUE(holds(error_of([] { parsed(R"({"early_stopping": "always"})"); }),
                    "bad_file: generation_config.json: 'early_stopping' is '\"always\"'"));
  EXPECT_TRUE(
      holds(error_of([] { parsed(R"({"early_stopping": 1})"); }), "'early_stopping' is '1'"));
}

TEST(GenerationConfig, max_length_counts_the_prompt_too) {
  EXPECT_EQ(parsed(R"({"max_length": 64})").max_length, 64);
  EXPECT_EQ(parsed("{}").max_length, std::nullopt);
}

TEST(GenerationConfig, settings_that_are_not_computed_are_refused_unless_neutral) {
  const std::pair<const char*, const char*> set[] = {{"typical_p", "0.9"},
                                                     {"epsilon_cutoff", "0.1"},
                                                     {"eta_cutoff", "0.1"},
                                                     {"num_beam_groups", "2"},
                                                     {"diversity_penalty", "0.5"},
                                                     {"encoder_repetition_penalty", "1.1"},
                                                     {"encoder_no_repeat_ngram_size", "2"},
                                                     {"min_length", "5"},
                                                     {"guidance_scale", "2"},
                                                     {"penalty_alpha", "0.6"},
                                                     {"top_h", "0.5"},
                                                     {"renormalize_logits", "true"},
                                                     {"remove_invalid_values", "true"},
                                                     {"bad_words_ids", "[[1]]"},
                                                     {"force_words_ids", "[[1]]"},
                                                     {"sequence_bias", "{}"},
                                                     {"forced_bos_token_id", "1"},
                                                     {"forced_eos_token_id", "1"},
                                                     {"exponential_decay_length_penalty", "[1, 2]"},
                                                     {"suppress_tokens", "[1]"},
                                                     {"begin_suppress_tokens", "[1]"},
                                                     {"watermarking_config", "{}"},
                                                     {"constraints", "[]"},
                                                     {"stop_strings", "[\"a\"]"},
                                                     {"prompt_lookup_num_tokens", "3"},
                                                     {"dola_layers", "\"low\""}};
  for (const auto& [key, value] : set) {
    const std::string text = fmt::format("{{\"{}\": {}}}", key, value);
    EXPECT_TRUE(holds(error_of([&] { parsed(text); }),
                      fmt::format("unsupported: generation_config.json: '{}' is set", key)));
    expect_defaults(parsed(fmt::format("{{\"{}\": null}}", key)));
  }
  expect_defaults(
      parsed(R"({"typical_p": 1.0, "epsilon_cutoff": 0.0, "eta_cutoff": 0.0, "num_beam_groups": 1,
      "diversity_penalty": 0.0, "encoder_repetition_penalty": 1.0, "encoder_no_repeat_ngram_size": 0,
      "min_length": 0, "renormalize_logits": false, "remove_invalid_values": false})"));
}

TEST(GenerationConfig, broken_files_are_refused_naming_the_field) {
  const std::pair<const char*, const char*> broken[] = {
      {"{", "not valid JSON"},
      {"[]", "is array, expected an object"},
      {R"({"top_k": 1, "top_k": 2})", "'top_k' is there twice"},
      {R"({"do_sample": 1})", "'do_sample' is '1', expected true or false"},
      {R"({"do_sample": "true"})", "'do_sample' is '\"true\"', expected true or false"},
      {R"({"temperature": -1})", "'temperature' is '-1', expected a number from 0"},
      {R"({"temperature": "1"})", "'temperature' is '\"1\"', expected a number"},
      {R"({"temperature": NaN})", "not valid JSON"},
      {R"({"top_k": -1})", "'top_k' is '-1'"},
      {R"({"top_k": 1.5})", "'top_k' is '1.5'"},
      {R"({"top_p": 1.5})", "'top_p' is '1.5'"},
      {R"({"min_p": -0.5})", "'min_p' is '-0.5'"},
      {R"({"repetition_penalty": 0})", "'repetition_penalty' is '0'"},
      {R"({"no_repeat_ngram_size": 99999999999})", "'no_repeat_ngram_size' is '99999999999'"},
      {R"({"max_new_tokens": 0})", "'max_new_tokens' is '0'"},
      {R"({"num_beams": 0})", "'num_beams' is '0'"},
      {R"({"num_beams": 65})", "'num_beams' is '65'"},
      {R"({"length_penalty": 1e9})", "'length_penalty' is '1000000000.0'"},
      {R"({"num_return_sequences": 0})", "'num_return_sequences' is '0'"},
      {R"({"eos_token_id": -1})", "'eos_token_id' is '-1'"},
      {R"({"eos_token_id": "x"})", "'eos_token_id' is '\"x\"'"},
      {R"({"eos_token_id": [1, 2.5]})", "'eos_token_id' is '[1,2.5]'"}};
  for (const auto& [text, message] : broken) {
    EXPECT_TRUE(holds(error_of([&, text = text] { parsed(text); }),
                      fmt::format("bad_file: generation_config.json: {}", message)));
  }
}

// ---- wishes ----------------------------------------------------------------------------------

TEST(MergedSettings, no_wishes_keep_the_file) {
  const GenerationSettings s =
      merged(parsed(R"({"do_sample": true, "temperature": 0.000001, "eos_token_id": [3, 4]})"), {});
  EXPECT_TRUE(s.do_sample);
  EXPECT_EQ(s.temperature, 1e-6f);
  EXPECT_EQ(s.eos_token_ids, (std::vector<std::int32_t>{3, 4}));
}

TEST(MergedSettings, every_wish_goes_before_the_file) {
  Sampling wishes;
  wishes.do_sample = true;
  wishes.temperature = 0.5f;
  wishes.top_k = 0;
  wishes.top_p = 0.75f;
  wishes.min_p = 0.25f;
  wishes.repetition_penalty = 1.5f;
  wishes.no_repeat_ngram_size = 3;
  wishes.min_new_tokens = 2;
  wishes.max_new_tokens = 9;
  wishes.length_penalty = 2.0f;
  wishes.early_stopping = EarlyStopping::never;
  wishes.num_return_sequences = 3;
  wishes.eos_token_ids = {{1, 2, 3}};
  const GenerationSettings s =
      merged(parsed(R"({"top_k": 9, "temperature": 2, "eos_token_id": 7})"), wishes);
  EXPECT_TRUE(s.do_sample);
  EXPECT_EQ(s.temperature, 0.5f);
  EXPECT_EQ(s.top_k, 0);
  EXPECT_EQ(s.top_p, 0.75f);
  EXPECT_EQ(s.min_p, 0.25f);
  EXPECT_EQ(s.repetition_penalty, 1.5f);
  EXPECT_EQ(s.no_repeat_ngram_size, 3);
  EXPECT_EQ(s.min_new_tokens, 2);
  EXPECT_EQ(s.max_new_tokens, 9);
  EXPECT_EQ(s.length_penalty, 2.0f);
  EXPECT_EQ(s.early_stopping, EarlyStopping::never);
  EXPECT_EQ(s.num_return_sequences, 3);
  EXPECT_EQ(s.eos_token_ids, (std::vector<std::int32_t>{1, 2, 3}));
}

TEST(MergedSettings, an_empty_list_of_end_tokens_is_a_wish_too) {
  Sampling wishes;
  wishes.eos_token_ids.emplace();
  EXPECT_TRUE(merged(parsed(R"({"eos_token_id": 7})"), wishes).eos_token_ids.empty());
}

TEST(MergedSettings, temperature_0_means_greedy) {
  Sampling wishes;
  wishes.temperature = 0.0f;
  const GenerationSettings s = merged(parsed(R"({"do_sample": true})"), wishes);
  EXPECT_FALSE(s.do_sample);
  EXPECT_EQ(s.temperature, 1);
  EXPECT_FALSE(merged(parsed(R"({"do_sample": true, "temperature": 0})"), {}).do_sample);
  wishes.do_sample = true;
  EXPECT_TRUE(holds(error_of([&] { merged({}, wishes); }),
                    "bad_request: temperature: found 0 with do_sample"));
}

TEST(MergedSettings, beams_are_searched_unless_sampling_is_asked_for_which_is_refused) {
  Sampling wishes;
  wishes.num_beams = 4;
  EXPECT_FALSE(merged(parsed(R"({"do_sample": true})"), wishes).do_sample);
  wishes.do_sample = true;
  EXPECT_TRUE(holds(error_of([&] { merged({}, wishes); }),
                    "unsupported: num_beams: found 4 with do_sample"));
  EXPECT_TRUE(holds(error_of([&] { merged(parsed(R"({"do_sample": true, "num_beams": 2})"), {}); }),
                    "unsupported: num_beams: found 2 with do_sample"));
}

TEST(MergedSettings, one_beam_keeps_sampling) {
  Sampling wishes;
  wishes.num_beams = 1;
  EXPECT_TRUE(merged(parsed(R"({"do_sample": true})"), wishes).do_sample);
}

struct BadWish {
  const char* name;
  std::function<void(Sampling&)> set;
  const char* error;
};

void PrintTo(const BadWish& wish, std::ostream* out) { *out << wish.name; }

class BadWishes : public ::testing::TestWithParam<BadWish> {};

TEST_P(BadWishes, are_refused_naming_the_setting) {
  Sampling wishes;
  GetParam().set(wishes);
  EXPECT_TRUE(holds(error_of([&] { merged({}, wishes); }), GetParam().error));
}

const BadWish kBadWishes[] = {
    {"negative_temperature", [](Sampling& s) { s.temperature = -1.0f; },
     "bad_request: temperature: found -1"},
    {"temperature_nan", [](Sampling& s) { s.temperature = NAN; },
     "bad_request: temperature: found nan"},
    {"temperature_infinite", [](Sampling& s) { s.temperature = INFINITY; },
     "bad_request: temperature: found inf"},
    {"negative_top_k", [](Sampling& s) { s.top_k = -1; }, "bad_request: top_k: found -1"},
    {"top_p_0", [](Sampling& s) { s.top_p = 0.0f; }, "bad_request: top_p: found 0"},
    {"top_p_above_1", [](Sampling& s) { s.top_p = 1.25f; }, "bad_request: top_p: found 1.25"},
    {"top_p_nan", [](Sampling& s) { s.top_p = NAN; }, "bad_request: top_p: found nan"},
    {"min_p_above_1", [](Sampling& s) { s.min_p = 2.0f; }, "bad_request: min_p: found 2"},
    {"negative_min_p", [](Sampling& s) { s.min_p = -0.5f; }, "bad_request: min_p: found -0.5"},
    {"repetition_penalty_0", [](Sampling& s) { s.repetition_penalty = 0.0f; },
     "bad_request: repetition_penalty: found 0"},
    {"negative_ngram", [](Sampling& s) { s.no_repeat_ngram_size = -2; },
     "bad_request: no_repeat_ngram_size: found -2"},
    {"negative_min_new_tokens", [](Sampling& s) { s.min_new_tokens = -2; },
     "bad_request: min_new_tokens: found -2"},
    {"no_tokens", [](Sampling& s) { s.max_new_tokens = 0; },
     "bad_request: max_new_tokens: found 0"},
    {"no_beams", [](Sampling& s) { s.num_beams = 0; }, "bad_request: num_beams: found 0"},
    {"too_many_beams", [](Sampling& s) { s.num_beams = 65; }, "bad_request: num_beams: found 65"},
    {"length_penalty_nan", [](Sampling& s) { s.length_penalty = NAN; },
     "bad_request: length_penalty: found nan"},
    {"no_answers", [](Sampling& s) { s.num_return_sequences = 0; },
     "bad_request: num_return_sequences: found 0"},
    {"two_greedy_answers", [](Sampling& s) { s.num_return_sequences = 2; },
     "bad_request: num_return_sequences: found 2 with greedy decoding"},
    {"more_answers_than_beams", [](Sampling& s) { s.num_beams = 2, s.num_return_sequences = 3; },
     "bad_request: num_return_sequences: found 3, expected at most the 2 beams"},
    {"minimum_above_maximum", [](Sampling& s) { s.min_new_tokens = 5, s.max_new_tokens = 4; },
     "bad_request: min_new_tokens: found 5, expected at most max_new_tokens 4"},
};

INSTANTIATE_TEST_SUITE_P(Wishes, BadWishes, ::testing::ValuesIn(kBadWishes),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace qwenvl
