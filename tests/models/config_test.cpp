// config.json, preprocessor_config.json and the rotary frequencies they lead to: published sizes in
// every layout that savers have written, and files that must be refused.
#include "models/qwen2_5_vl/config.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "core/check.h"
#include "models/qwen2_5_vl/language.h"
#include "support/error_of.h"

namespace qwenvl::qwen2_5_vl {
namespace {

using Json = nlohmann::json;

// The decoder's fields of the published sizes.
struct Size {
  const char* name;
  int hidden, intermediate, layers, heads, kv_heads, vocabulary;
  bool is_tied;
  int vision_intermediate;
};
constexpr Size kSizes[] = {{"3B", 2048, 11008, 36, 16, 2, 151936, true, 3420},
                           {"7B", 3584, 18944, 28, 28, 4, 152064, false, 3420},
                           {"32B", 5120, 27648, 64, 40, 8, 152064, false, 3456},
                           {"72B", 8192, 29568, 80, 64, 8, 152064, false, 3456}};

Json text_fields(const Size& size) {
  return {{"hidden_size", size.hidden},
          {"intermediate_size", size.intermediate},
          {"num_hidden_layers", size.layers},
          {"num_attention_heads", size.heads},
          {"num_key_value_heads", size.kv_heads},
          {"hidden_act", "silu"},
          {"rms_norm_eps", 1e-6},
          {"rope_theta", 1000000.0},
          {"rope_scaling", {{"type", "mrope"}, {"mrope_section", {16, 24, 24}}}},
          {"max_position_embeddings", 128000},
          {"max_window_layers", 70},
          {"sliding_window", 32768},
          {"use_sliding_window", false},
          {"vocab_size", size.vocabulary},
          {"attention_dropout", 0.0},
          {"use_cache", true}};
}

Json vision_fields(const Size& size) {
  return {{"depth", 32},
          {"hidden_size", 1280},
          {"num_heads", 16},
          {"intermediate_size", size.vision_intermediate},
          {"hidden_act", "silu"},
          {"in_chans", 3},
          {"out_hidden_size", size.hidden},
          {"patch_size", 14},
          {"spatial_patch_size", 14},
          {"temporal_patch_size", 2},
          {"spatial_merge_size", 2},
          {"window_size", 112},
          {"fullatt_block_indexes", {7, 15, 23, 31}},
          {"tokens_per_second", 2}};
}

// As published: the decoder's fields beside vision_config.
Json flat(const Size& size = kSizes[0]) {
  Json config = text_fields(size);
  config.update(Json{{"architectures", {"Qwen2_5_VLForConditionalGeneration"}},
                     {"model_type", "qwen2_5_vl"},
                     {"tie_word_embeddings", size.is_tied},
                     {"torch_dtype", "bfloat16"},
                     {"image_token_id", 151655},
                     {"video_token_id", 151656},
                     {"vision_start_token_id", 151652},
                     {"vision_end_token_id", 151653},
                     {"vision_config", vision_fields(size)}});
  return config;
}

// As newer savers write it: the decoder's fields in text_config.
Json nested(const Size& size = kSizes[0]) {
  Json config = flat(size), text = text_fields(size);
  for (const auto& [key, value] : text.items()) config.erase(key);
  text["model_type"] = "qwen2_5_vl_text";
  text["rope_scaling"] = {
      {"mrope_section", {16, 24, 24}}, {"rope_type", "default"}, {"type", "default"}};
  text["sliding_window"] = nullptr;
  text["layer_types"] =
      std::vector<std::string>(static_cast<std::size_t>(size.layers), "full_attention");
  config["text_config"] = text;
  return config;
}

// As the newest write it: rope_parameters and dtype.
Json newest(const Size& size = kSizes[0]) {
  Json config = nested(size);
  Json& text = config["text_config"];
  text.erase("rope_theta");
  text.erase("rope_scaling");
  text["rope_parameters"] = {
      {"rope_type", "default"}, {"rope_theta", 1000000.0}, {"mrope_section", {16, 24, 24}}};
  config.erase("torch_dtype");
  config["dtype"] = "bfloat16";
  return config;
}

Json with_yarn(Json config = flat()) {
  config["rope_scaling"] = {{"type", "yarn"},
                            {"mrope_section", {16, 24, 24}},
                            {"factor", 4},
                            {"original_max_position_embeddings", 32768}};
  return config;
}

Config parsed(const Json& json) { return parse_config(json.dump(), "config.json"); }

void expect_size(const Config& c, const Size& size) {
  EXPECT_EQ(c.architecture, "Qwen2_5_VLForConditionalGeneration");
  EXPECT_EQ(c.dtype, "bfloat16");
  EXPECT_EQ(c.text.hidden_size, size.hidden);
  EXPECT_EQ(c.text.intermediate_size, size.intermediate);
  EXPECT_EQ(c.text.n_layers, size.layers);
  EXPECT_EQ(c.text.n_heads, size.heads);
  EXPECT_EQ(c.text.n_kv_heads, size.kv_heads);
  EXPECT_EQ(c.text.head_dim, 128);
  EXPECT_EQ(c.text.vocab_size, size.vocabulary);
  EXPECT_EQ(c.text.max_positions, 128000);
  EXPECT_EQ(c.text.rms_norm_eps, 1e-6f);
  EXPECT_EQ(c.text.rope_theta, 1e6);
  EXPECT_EQ(c.text.mrope_section, (std::array<int, 3>{16, 24, 24}));
  EXPECT_FALSE(c.text.yarn);
  EXPECT_EQ(c.text.tie_word_embeddings, size.is_tied);
  EXPECT_EQ(c.vision.depth, 32);
  EXPECT_EQ(c.vision.hidden_size, 1280);
  EXPECT_EQ(c.vision.head_dim(), 80);
  EXPECT_EQ(c.vision.intermediate_size, size.vision_intermediate);
  EXPECT_EQ(c.vision.out_hidden_size, size.hidden);
  EXPECT_EQ(c.vision.patch_width(), 1176);
  EXPECT_EQ(c.vision.grid_pixels(), 28);
  EXPECT_EQ(c.vision.window_size, 112);
  EXPECT_EQ(c.vision.full_attention_blocks, (std::vector<int>{7, 15, 23, 31}));
  EXPECT_EQ(c.vision.tokens_per_second, 2);
  EXPECT_EQ(c.image_token_id, 151655);
  EXPECT_EQ(c.video_token_id, 151656);
  EXPECT_EQ(c.vision_start_token_id, 151652);
  EXPECT_EQ(c.vision_end_token_id, 151653);
}

TEST(Config, published_sizes_in_the_flat_layout) {
  for (const Size& size : kSizes) {
    SCOPED_TRACE(size.name);
    expect_size(parsed(flat(size)), size);
  }
}

TEST(Config, published_sizes_in_the_nested_layout) {
  for (const Size& size : kSizes) {
    SCOPED_TRACE(size.name);
    expect_size(parsed(nested(size)), size);
  }
}

TEST(Config, published_sizes_in_the_layout_with_rope_parameters) {
  for (const Size& size : kSizes) {
    SCOPED_TRACE(size.name);
    expect_size(parsed(newest(size)), size);
  }
}

TEST(Config, tied_embeddings_may_be_stated_in_text_config) {
  Json config = nested();
  config.erase("tie_word_embeddings");
  config["text_config"]["tie_word_embeddings"] = true;
  EXPECT_TRUE(parsed(config).text.tie_word_embeddings);
}

TEST(Config, text_config_goes_before_the_top_level) {
  Json config = nested();
  config["num_hidden_layers"] = 99;
  EXPECT_EQ(parsed(config).text.n_layers, 36);
}

TEST(Config, fields_left_out_have_the_defaults_of_the_reference) {
  Json config = flat();
  for (const char* key :
       {"rms_norm_eps", "rope_theta", "max_position_embeddings", "tie_word_embeddings",
        "hidden_act", "torch_dtype", "image_token_id", "use_sliding_window"}) {
    config.erase(key);
  }
  for (const char* key :
       {"tokens_per_second", "fullatt_block_indexes", "depth", "patch_size", "window_size"}) {
    config["vision_config"].erase(key);
  }
  const Config c = parsed(config);
  EXPECT_EQ(c.text.rms_norm_eps, 1e-5f);
  EXPECT_EQ(c.text.rope_theta, 1e6);
  EXPECT_EQ(c.text.max_positions, 32768);
  EXPECT_FALSE(c.text.tie_word_embeddings);
  EXPECT_EQ(c.dtype, "");
  EXPECT_EQ(c.image_token_id, 151655);
  EXPECT_EQ(c.vision.tokens_per_second, 4);
  EXPECT_EQ(c.vision.full_attention_blocks, (std::vector<int>{7, 15, 23, 31}));
  EXPECT_EQ(c.vision.depth, 32);
  EXPECT_EQ(c.vision.patch_size, 14);
  EXPECT_EQ(c.vision.window_size, 112);
}

TEST(Config, a_tower_may_have_no_full_attention_at_all) {
  Json config = flat();
  config["vision_config"]["fullatt_block_indexes"] = Json::array();
  EXPECT_TRUE(parsed(config).vision.full_attention_blocks.empty());
}

// ---- rotary frequencies ----------------------------------------------------------------------

void expect_inverse(const RopeFrequencies& frequencies, std::size_t j, double expected) {
  EXPECT_NEAR(frequencies.inverse.at(j), expected, expected * 1e-7) << "frequency " << j;
}

TEST(RopeFrequencies, plain_ones_are_powers_of_the_base) {
  const RopeFrequencies f = rope_frequencies(parsed(flat()).text);
  ASSERT_EQ(f.inverse.size(), 64u);
  EXPECT_EQ(f.attention_scaling, 1.0f);
  expect_inverse(f, 0, 1);
  expect_inverse(f, 1, 0.80584219);
  expect_inverse(f, 15, 0.03924190);
  expect_inverse(f, 16, 0.03162278);
  expect_inverse(f, 39, 2.2067341e-4);
  expect_inverse(f, 40, 1.7782794e-4);
  expect_inverse(f, 63, 1.2409378e-6);
}

void expect_long_context(const Json& config) {
  const TextConfig text = parsed(config).text;
  ASSERT_TRUE(text.yarn);
  EXPECT_EQ(text.yarn->factor, 4);
  EXPECT_EQ(text.yarn->original_max_positions, 32768);
  EXPECT_EQ(text.mrope_section, (std::array<int, 3>{16, 24, 24}));
  const RopeFrequencies f = rope_frequencies(text);
  EXPECT_NEAR(f.attention_scaling, 1.1386294, 1e-7);
  const RopeFrequencies plain = rope_frequencies(parsed(flat()).text);
  for (std::size_t j = 0; j <= 23; ++j) EXPECT_EQ(f.inverse[j], plain.inverse[j]) << j;
  expect_inverse(f, 24, 0.0053753215);
  expect_inverse(f, 30, 0.0010643610);
  expect_inverse(f, 40, 4.4456985e-5);
  expect_inverse(f, 63, 3.1023444e-7);
}

TEST(RopeFrequencies, yarn_slows_the_low_ones) { expect_long_context(with_yarn()); }

TEST(RopeFrequencies, yarn_in_rope_parameters) {
  Json config = newest();
  config["text_config"]["rope_parameters"].update(
      Json{{"rope_type", "yarn"}, {"factor", 4.0}, {"original_max_position_embeddings", 32768}});
  expect_long_context(config);
}

TEST(RopeFrequencies, yarn_without_an_original_length_takes_the_present_one) {
  Json config = with_yarn();
  config["rope_scaling"].erase("original_max_position_embeddings");
  EXPECT_EQ(parsed(config).text.yarn->original_max_positions, 128000);
}

TEST(RopeFrequencies, a_stated_attention_factor_goes_before_the_formula) {
  Json config = with_yarn();
  config["rope_scaling"]["attention_factor"] = 1.5;
  EXPECT_EQ(rope_frequencies(parsed(config).text).attention_scaling, 1.5f);
}

// ---- preprocessor_config.json ----------------------------------------------------------------

PreprocessorConfig preprocessor(const Json& json) {
  return parse_preprocessor_config(json.dump(), "preprocessor_config.json", parsed(flat()).vision);
}

Json published_preprocessor() {
  return {{"min_pixels", 3136},
          {"max_pixels", 12845056},
          {"patch_size", 14},
          {"temporal_patch_size", 2},
          {"merge_size", 2},
          {"image_mean", {0.48145466, 0.4578275, 0.40821073}},
          {"image_std", {0.26862954, 0.26130258, 0.27577711}},
          {"image_processor_type", "Qwen2VLImageProcessor"},
          {"processor_class", "Qwen2_5_VLProcessor"}};
}

TEST(PreprocessorConfig, the_published_file) {
  const PreprocessorConfig p = preprocessor(published_preprocessor());
  EXPECT_EQ(p.min_pixels, 3136);
  EXPECT_EQ(p.max_pixels, 12845056);
  EXPECT_EQ(p.image_mean, (std::array{0.48145466, 0.4578275, 0.40821073}));
  EXPECT_EQ(p.image_std, (std::array{0.26862954, 0.26130258, 0.27577711}));
}

TEST(PreprocessorConfig, no_file_or_an_empty_object_gives_the_defaults_of_the_reference) {
  for (const std::string text : {"", "{}"}) {
    const PreprocessorConfig p =
        parse_preprocessor_config(text, "preprocessor_config.json", VisionConfig{});
    EXPECT_EQ(p.min_pixels, 3136);
    EXPECT_EQ(p.max_pixels, 1003520);
    EXPECT_EQ(p.image_mean, (std::array{0.48145466, 0.4578275, 0.40821073}));
    EXPECT_EQ(p.image_std, (std::array{0.26862954, 0.26130258, 0.27577711}));
  }
}

TEST(PreprocessorConfig, clips_have_defaults_of_their_own_and_take_a_pictures_limits) {
  const auto of_clips = [](const Json& json) {
    return parse_preprocessor_config(json.dump(), "preprocessor_config.json", VisionConfig{},
                                     PreprocessorKind::video);
  };
  EXPECT_EQ(of_clips(Json::object()).min_pixels, 100352);
  EXPECT_EQ(of_clips(Json::object()).max_pixels, 602112);
  EXPECT_EQ(of_clips(published_preprocessor()).max_pixels, 12845056);
  const Json both = {{"image_processor", {{"max_pixels", 50176}}},
                     {"video_processor", {{"max_pixels", 301056}}}};
  EXPECT_EQ(of_clips(both).max_pixels, 301056);
  EXPECT_EQ(of_clips({{"max_pixels", 50176}}).max_pixels, 50176);  // below the default minimum
}

TEST(PreprocessorConfig, edges_of_size_are_limits_too) {
  Json json = published_preprocessor();
  json.erase("min_pixels");
  json.erase("max_pixels");
  json["size"] = {{"shortest_edge", 6272}, {"longest_edge", 401408}};
  EXPECT_EQ(preprocessor(json).min_pixels, 6272);
  EXPECT_EQ(preprocessor(json).max_pixels, 401408);
  json["max_pixels"] = 200704;  // the explicit one goes first
  EXPECT_EQ(preprocessor(json).min_pixels, 6272);
  EXPECT_EQ(preprocessor(json).max_pixels, 200704);
}

TEST(PreprocessorConfig, processor_config_holds_it_under_image_processor) {
  Json inner = published_preprocessor();
  inner.erase("min_pixels");
  inner.erase("max_pixels");
  inner["size"] = {{"shortest_edge", 3136}, {"longest_edge", 12845056}};
  const PreprocessorConfig p =
      preprocessor({{"image_processor", inner}, {"processor_class", "Qwen2_5_VLProcessor"}});
  EXPECT_EQ(p.max_pixels, 12845056);
}

struct Broken {
  const char* name;
  std::string text;
  std::string error;
};

void PrintTo(const Broken& broken, std::ostream* out) { *out << broken.name; }

// A change of one place of a good file, as a JSON pointer.
std::string changed(Json config, const std::string& pointer, const Json& value) {
  config[Json::json_pointer(pointer)] = value;
  return config.dump();
}
std::string without(Json config, const std::string& object, const std::string& key) {
  (object.empty() ? config : config[object]).erase(key);
  return config.dump();
}
// A number that JSON libraries cannot hold in a tree: written into the text.
std::string spelled(const std::string& key, const std::string& value) {
  const std::string text = changed(flat(), "/" + key, "HERE");
  return std::string(text).replace(text.find("\"HERE\""), 6, value);
}

// Holds all special tokens but those of pictures.
Json small_vocabulary() {
  Json config = flat();
  config["vocab_size"] = 1000;
  for (const char* key : {"video_token_id", "vision_start_token_id", "vision_end_token_id"})
    config[key] = 1;
  return config;
}

std::string deep(const std::string& open, const std::string& close) {
  std::string text = "{\"a\": ";
  for (int i = 0; i < 100000; ++i) text += open;
  for (int i = 0; i < 100000; ++i) text += close;
  return text + "}";
}

class BrokenConfig : public ::testing::TestWithParam<Broken> {};

TEST_P(BrokenConfig, is_refused_naming_file_and_field) {
  const std::string error = error_of([] { parse_config(GetParam().text, "config.json"); });
  EXPECT_NE(error.find(GetParam().error), std::string::npos)
      << "found:    " << error << "\nexpected: " << GetParam().error;
  EXPECT_LT(error.size(), 500u);
}

const Broken kBroken[] = {
    {"empty", "", "bad_file: config.json: not valid JSON"},
    {"cut", flat().dump().substr(0, 100), "bad_file: config.json: not valid JSON"},
    {"not_json", "hidden_size: 2048", "bad_file: config.json: not valid JSON"},
    {"zero_bytes", std::string(100, '\0'), "bad_file: config.json: not valid JSON"},
    {"broken_utf8", "{\"a\": \"\xff\xfe\"}", "bad_file: config.json: not valid JSON"},
    {"list_at_the_top", "[1, 2]", "bad_file: config.json: is array, expected an object"},
    {"null_at_the_top", "null", "bad_file: config.json: is null, expected an object"},
    {"deep_objects", deep("{\"a\": ", "}"), "bad_file: config.json: nested deeper than 64 levels"},
    {"deep_lists", deep("[", "]"), "bad_file: config.json: nested deeper than 64 levels"},
    {"duplicate_key", "{\"a\": 1, \"b\": {\"a\": 1}, \"a\": 2}",
     "bad_file: config.json: 'a' is there twice"},
    {"duplicate_inner_key", "{\"a\": 1, \"b\": {\"a\": 1, \"a\": 1}}",
     "bad_file: config.json: 'a' is there twice"},
    {"nothing_in_it", "{}", "bad_file: config.json: 'vision_config' is missing"},
    {"no_vision", without(flat(), "", "vision_config"),
     "bad_file: config.json: 'vision_config' is missing"},
    {"vision_is_a_list", changed(flat(), "/vision_config", {1}),
     "bad_file: config.json: 'vision_config' is '[1]', expected an object"},
    {"text_is_a_string", changed(flat(), "/text_config", "x"),
     "'text_config' is '\"x\"', expected an object"},
    {"no_hidden_size", without(flat(), "", "hidden_size"),
     "bad_file: config.json: 'hidden_size' is missing"},
    {"no_hidden_size_nested", without(nested(), "text_config", "hidden_size"),
     "'hidden_size' is missing"},
    {"no_layers", without(flat(), "", "num_hidden_layers"),
     "config.json: 'num_hidden_layers' is missing"},
    {"no_heads", without(flat(), "", "num_attention_heads"),
     "config.json: 'num_attention_heads' is missing"},
    {"no_vocabulary", without(flat(), "", "vocab_size"), "config.json: 'vocab_size' is missing"},
    {"no_intermediate_size", without(flat(), "", "intermediate_size"),
     "config.json: 'intermediate_size' is missing"},
    {"size_is_a_string", changed(flat(), "/hidden_size", "2048"),
     "bad_file: config.json: 'hidden_size' is '\"2048\"', expected an integer from 1 to"},
    {"size_is_a_fraction", changed(flat(), "/hidden_size", 2048.5),
     "'hidden_size' is '2048.5', expected an integer"},
    {"size_is_true", changed(flat(), "/hidden_size", true),
     "'hidden_size' is 'true', expected an integer"},
    {"size_is_zero", changed(flat(), "/hidden_size", 0),
     "'hidden_size' is '0', expected an integer from 1 to"},
    {"size_is_negative", changed(flat(), "/hidden_size", -2048),
     "'hidden_size' is '-2048', expected an integer"},
    {"size_is_huge", changed(flat(), "/hidden_size", std::int64_t{1} << 40),
     "'hidden_size' is '1099511627776'"},
    {"size_is_beyond_signed", changed(flat(), "/hidden_size", ~std::uint64_t{0}),
     "'hidden_size' is '18446744073709551615', expected an integer"},
    {"size_is_beyond_every_integer", spelled("hidden_size", "99999999999999999999999"),
     "'hidden_size' is"},
    {"a_million_layers", changed(flat(), "/num_hidden_layers", 1000000),
     "'num_hidden_layers' is '1000000'"},
    {"a_huge_vocabulary", changed(flat(), "/vocab_size", 2000000000),
     "'vocab_size' is '2000000000'"},
    {"heads_do_not_divide", changed(flat(), "/num_attention_heads", 15),
     "bad_file: config.json: hidden_size 2048, 15 heads, 2 key/value heads"},
    {"key_value_heads_do_not_divide", changed(flat(), "/num_key_value_heads", 3),
     "bad_file: config.json: hidden_size 2048, 16 heads, 3 key/value heads"},
    {"odd_head_size", changed(flat(), "/head_dim", 127), "head size 127, expected an even number"},
    {"huge_head_size", changed(flat(), "/num_attention_heads", 2),
     "head size 1024, expected an even number up to 256"},
    {"huge_stated_head_size", changed(flat(), "/head_dim", 512), "'head_dim' is '512'"},
    {"epsilon_is_not_a_number", spelled("rms_norm_eps", "NaN"),
     "bad_file: config.json: not valid JSON"},
    {"epsilon_is_infinite", spelled("rms_norm_eps", "1e999"),
     "bad_file: config.json: not valid JSON"},
    {"epsilon_is_negative", changed(flat(), "/rms_norm_eps", -1),
     "'rms_norm_eps' is '-1', expected a number from 0"},
    {"epsilon_is_a_list", changed(flat(), "/rms_norm_eps", {1e-6}),
     "'rms_norm_eps' is '[1e-06]', expected a number"},
    {"theta_is_zero", changed(flat(), "/rope_theta", 0),
     "'rope_theta' is '0', expected a number from 1"},
    {"no_rope", without(flat(), "", "rope_scaling"),
     "'rope_scaling' with 'mrope_section' is missing"},
    {"rope_is_null", changed(flat(), "/rope_scaling", nullptr),
     "'rope_scaling' with 'mrope_section' is missing"},
    {"rope_is_a_number", changed(flat(), "/rope_scaling", 4),
     "'rope_scaling' is '4', expected an object"},
    {"no_sections", changed(flat(), "/rope_scaling", {{"type", "mrope"}}),
     "bad_file: config.json: rope_scaling: 'mrope_section' is missing"},
    {"sections_do_not_add_up", changed(flat(), "/rope_scaling/mrope_section", {16, 24, 25}),
     "rope_scaling: 'mrope_section' is [16, 24, 25], expected three integers with the sum 64"},
    {"two_sections", changed(flat(), "/rope_scaling/mrope_section", {32, 32}),
     "'mrope_section' is [32, 32]"},
    {"a_negative_section", changed(flat(), "/rope_scaling/mrope_section", {-16, 40, 40}),
     "'mrope_section' is '[-16,40,40]'"},
    {"sections_of_strings", changed(flat(), "/rope_scaling/mrope_section", {"16"}),
     "'mrope_section' is '[\"16\"]'"},
    {"a_million_sections",
     changed(flat(), "/rope_scaling/mrope_section", std::vector<int>(1000000)),
     "'mrope_section' is"},
    {"unknown_rope_type", changed(flat(), "/rope_scaling/type", "longrope"),
     "unsupported: config.json: rope_scaling: rope type 'longrope', expected default, mrope or "
     "yarn"},
    {"rope_type_is_a_number", changed(flat(), "/rope_scaling/rope_type", 1),
     "'rope_type' is '1', expected a string"},
    {"yarn_without_a_factor", changed(flat(), "/rope_scaling/type", "yarn"),
     "rope_scaling: 'factor' is missing"},
    {"yarn_that_shrinks", changed(with_yarn(), "/rope_scaling/factor", 0.5), "'factor' is '0.5'"},
    {"yarn_of_base_one", changed(with_yarn(), "/rope_theta", 1),
     "'rope_theta' is 1, expected a number above 1"},
    {"yarn_of_another_form", changed(with_yarn(), "/rope_scaling/mscale", 1.0),
     "unsupported: config.json: rope_scaling: 'mscale'"},
    {"yarn_not_truncated", changed(with_yarn(), "/rope_scaling/truncate", false),
     "unsupported: config.json: rope_scaling: 'truncate'"},
    {"sliding_window", changed(flat(), "/use_sliding_window", true),
     "unsupported: config.json: 'use_sliding_window' is true"},
    {"another_activation", changed(flat(), "/hidden_act", "gelu"),
     "unsupported: config.json: 'hidden_act' is 'gelu'"},
    {"another_vision_activation", changed(flat(), "/vision_config/hidden_act", "quick_gelu"),
     "unsupported: config.json: vision_config: 'hidden_act' is 'quick_gelu'"},
    {"widths_that_do_not_meet", changed(flat(), "/vision_config/out_hidden_size", 3584),
     "bad_file: config.json: vision_config.out_hidden_size is 3584, expected the decoder's "
     "hidden_size 2048"},
    {"vision_heads_do_not_divide", changed(flat(), "/vision_config/num_heads", 7),
     "bad_file: config.json: vision_config: hidden_size 1280 over 7 heads"},
    {"vision_head_too_large", changed(flat(), "/vision_config/num_heads", 2),
     "vision_config: hidden_size 1280 over 2 heads"},
    {"window_off_the_grid", changed(flat(), "/vision_config/window_size", 100),
     "vision_config: window_size 100 is not a multiple of 28"},
    {"window_is_negative", changed(flat(), "/vision_config/window_size", -112),
     "vision_config: 'window_size' is '-112'"},
    {"merge_of_three", changed(flat(), "/vision_config/spatial_merge_size", 3),
     "vision_config: 'spatial_merge_size' is '3'"},
    {"merge_of_one", changed(flat(), "/vision_config/spatial_merge_size", 1),
     "unsupported: config.json: vision_config: channels"},
    {"a_negative_full_block", changed(flat(), "/vision_config/fullatt_block_indexes", {-1}),
     "'fullatt_block_indexes' is '[-1]'"},
    {"time_runs_backwards", changed(flat(), "/vision_config/tokens_per_second", -2),
     "'tokens_per_second' is '-2'"},
    {"image_token_outside", changed(flat(), "/image_token_id", 151936),
     "config.json: 'image_token_id' is '151936'"},
    {"image_token_missing_and_outside", without(small_vocabulary(), "", "image_token_id"),
     "'image_token_id' is missing and its default 151655 is outside the vocabulary"},
    {"tie_is_a_number", changed(flat(), "/tie_word_embeddings", 1),
     "'tie_word_embeddings' is '1', expected true or false"},
    {"type_is_a_number", changed(flat(), "/torch_dtype", 16),
     "'torch_dtype' is '16', expected a string"},
};

INSTANTIATE_TEST_SUITE_P(Files, BrokenConfig, ::testing::ValuesIn(kBroken),
                         [](const auto& info) { return std::string(info.param.name); });

class BrokenPreprocessorConfig : public ::testing::TestWithParam<Broken> {};

TEST_P(BrokenPreprocessorConfig, is_refused_naming_file_and_field) {
  const std::string error = error_of([] {
    parse_preprocessor_config(GetParam().text, "preprocessor_config.json", parsed(flat()).vision);
  });
  EXPECT_NE(error.find(GetParam().error), std::string::npos)
      << "found:    " << error << "\nexpected: " << GetParam().error;
}

const Broken kBrokenPreprocessors[] = {
    {"cut", "{\"min_pixels\": 3", "bad_file: preprocessor_config.json: not valid JSON"},
    {"list_at_the_top", "[]", "bad_file: preprocessor_config.json: is array, expected an object"},
    {"limits_in_the_wrong_order", changed(published_preprocessor(), "/min_pixels", 20000000),
     "bad_file: preprocessor_config.json: min_pixels 20000000 is above max_pixels 12845056"},
    {"a_negative_limit", changed(published_preprocessor(), "/max_pixels", -1),
     "preprocessor_config.json: 'max_pixels' is '-1'"},
    {"a_limit_of_zero", changed(published_preprocessor(), "/min_pixels", 0),
     "'min_pixels' is '0', expected an integer from 1"},
    {"a_fractional_limit", changed(published_preprocessor(), "/min_pixels", 3136.5),
     "'min_pixels' is '3136.5'"},
    {"size_is_a_number", changed(published_preprocessor(), "/size", 448),
     "'size' is '448', expected an object"},
    {"two_means", changed(published_preprocessor(), "/image_mean", {0.5, 0.5}),
     "'image_mean' has 2 numbers, expected 3"},
    {"a_mean_of_strings", changed(published_preprocessor(), "/image_mean", {"a", "b", "c"}),
     "'image_mean' is '[\"a\",\"b\",\"c\"]'"},
    {"a_deviation_of_zero", changed(published_preprocessor(), "/image_std", {0.2, 0.0, 0.2}),
     "'image_std' is '[0.2,0.0,0.2]'"},
    {"other_patches", changed(published_preprocessor(), "/patch_size", 16),
     "'patch_size' is 16, expected 14 as in config.json"},
    {"other_merging", changed(published_preprocessor(), "/merge_size", 4),
     "'merge_size' is 4, expected 2 as in config.json"},
    {"other_frames", changed(published_preprocessor(), "/temporal_patch_size", 1),
     "'temporal_patch_size' is 1, expected 2"},
};

INSTANTIATE_TEST_SUITE_P(Files, BrokenPreprocessorConfig, ::testing::ValuesIn(kBrokenPreprocessors),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace qwenvl::qwen2_5_vl
