// Files in other people's formats against what their own tools, or arithmetic on known integers,
// say they mean (tools/golden/make_foreign_golden.py), and the choice between formats.
#include "checkpoint/weight_source.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "checkpoint/checkpoint_files.h"
#include "models/qwen2_5_vl/config.h"
#include "support/golden.h"
#include "text/tokenizer/tokenizer_tables.h"

namespace qwenvl {
namespace {

std::string foreign(const std::string& name) { return testing::golden_path("foreign/" + name); }

std::vector<float> rows_of(const StoredTensor& tensor, std::int64_t first, std::int64_t n) {
  // Sentinels on both sides: nothing may be written outside.
  std::vector<float> rows(static_cast<std::size_t>(n * tensor.row_width()) + 2, 1e30f);
  tensor.read_rows(first, n, rows.data() + 1);
  EXPECT_EQ(rows.front(), 1e30f);
  EXPECT_EQ(rows.back(), 1e30f);
  return {rows.begin() + 1, rows.end() - 1};
}

// Every expected tensor is there and every tensor is expected; its last rows agree within
// `tolerance` of their size, and read one by one they are the same bits.
void expect_source(const WeightSource& source, const std::string& folder, float tolerance) {
  const auto golden = testing::GoldenTensors("foreign/" + folder + "/expected.safetensors");
  for (const auto& [name, tensor] : source.tensors()) {
    SCOPED_TRACE(name + " (" + tensor->format() + ")");
    ASSERT_TRUE(golden.has(name));
    const std::vector<float> expected = golden.floats(name);
    const std::int64_t n = static_cast<std::int64_t>(expected.size()) / tensor->row_width();
    const std::int64_t first = tensor->n_rows() - n;
    ASSERT_GE(first, 0);
    const std::vector<float> rows = rows_of(*tensor, first, n);
    ASSERT_EQ(rows.size(), expected.size());
    for (std::size_t i = 0; i < rows.size(); ++i) {
      ASSERT_LE(std::abs(rows[i] - expected[i]), tolerance * std::abs(expected[i])) << i;
    }
    for (std::int64_t row = 0; row < n; ++row) {
      const std::vector<float> one = rows_of(*tensor, first + row, 1);
      ASSERT_TRUE(std::equal(one.begin(), one.end(), rows.begin() + row * tensor->row_width()));
    }
  }
}

struct Case {
  const char* folder;
  const char* tensor;
  const char* format;
  Shape shape;
  float tolerance;  // 0: the same bits
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.folder << " " << c.format; }

class ForeignFiles : public ::testing::TestWithParam<Case> {};

TEST_P(ForeignFiles, MeanWhatTheirOwnToolsSay) {
  const Case& c = GetParam();
  const auto source = open_weight_source(foreign(c.folder));
  const StoredTensor& tensor = source->tensor(c.tensor);
  EXPECT_EQ(tensor.format(), c.format);
  EXPECT_EQ(tensor.shape(), c.shape);
  expect_source(*source, c.folder, c.tolerance);
}

INSTANTIATE_TEST_SUITE_P(
    Formats, ForeignFiles,
    ::testing::Values(
        Case{"awq", "model.layers.0.mlp.down_proj.weight", "awq 4-bit g16", {8, 48}, 0},
        Case{"gptq", "model.layers.0.mlp.up_proj.weight", "gptq 4-bit g8", {16, 32}, 0},
        Case{"gptq_8bit", "model.layers.0.mlp.up_proj.weight", "gptq 8-bit g16", {16, 32}, 0},
        Case{"gptq_v2", "model.layers.0.mlp.up_proj.weight", "gptq 4-bit g32", {16, 32}, 0},
        Case{"bitsandbytes_4bit",
             "model.layers.0.mlp.up_proj.weight",
             "bitsandbytes nf4",
             {7, 45},
             1e-6f},
        Case{"bitsandbytes_4bit",
             "model.layers.0.mlp.down_proj.weight",
             "bitsandbytes nf4 nested",
             {130, 130},
             1e-6f},
        Case{"bitsandbytes_8bit",
             "model.layers.0.mlp.up_proj.weight",
             "bitsandbytes int8",
             {5, 12},
             1e-6f},
        Case{"gguf", "model.layers.0.self_attn.q_proj.weight", "Q4_K", {3, 256}, 0},
        Case{"gguf", "visual.blocks.0.attn.qkv.weight", "Q8_0 + F16 + Q4_0", {9, 32}, 0},
        Case{"gguf", "visual.patch_embed.proj.weight", "F16", {5, 3, 2, 2, 2}, 0},
        Case{"gguf", "visual.blocks.1.mlp.up_proj.weight", "Q8_0", {64, 32}, 0},
        Case{"awq", "model.layers.0.input_layernorm.weight", "bf16", {6}, 0},
        Case{"awq", "model.norm.weight", "f16", {6}, 0},
        Case{"awq", "visual.patch_embed.proj.weight", "f32", {2, 3, 2, 2, 1}, 0}));

TEST(WeightSource, ReadsUnevenRangesOfPackedRows) {
  for (const char* folder : {"awq", "gptq", "gptq_8bit", "gptq_v2", "gguf"}) {
    const auto source = open_weight_source(foreign(folder));
    for (const auto& [name, tensor] : source->tensors()) {
      SCOPED_TRACE(std::string(folder) + " " + name);
      const std::vector<float> all = rows_of(*tensor, 0, tensor->n_rows());
      for (std::int64_t first = 0; first < tensor->n_rows(); first += 3) {
        const std::int64_t n = std::min<std::int64_t>(5, tensor->n_rows() - first);
        const std::vector<float> some = rows_of(*tensor, first, n);
        ASSERT_TRUE(
            std::equal(some.begin(), some.end(), all.begin() + first * tensor->row_width()));
      }
    }
  }
}

TEST(WeightSource, ReadsAnOrdinaryFolder) {
  const std::string folder = testing::golden_path("checkpoints/tiny");
  const auto source = open_weight_source(folder);
  const Checkpoint checkpoint = Checkpoint::open(folder);
  ASSERT_EQ(source->tensors().size(), checkpoint.tensors().size());
  for (const auto& [name, entry] : checkpoint.tensors()) {
    const StoredTensor& tensor = source->tensor(name);
    ASSERT_EQ(tensor.shape(), entry.shape);
    ASSERT_EQ(rows_of(tensor, 0, tensor.n_rows()), testing::floats_of(entry.view())) << name;
  }
  EXPECT_EQ(source->text_of("config.json"), checkpoint.text_of("config.json"));
  EXPECT_EQ(source->text_of("absent.json"), "");
}

TEST(WeightSource, NamesWhatIsNotThere) {
  const auto source = open_weight_source(foreign("awq"));
  EXPECT_TRUE(
      contains(error_of([&] { source->tensor("model.nothing"); }), "no tensor 'model.nothing'"));
}

TEST(WeightSource, GgufMetadataIsAConfigurationTheModelAccepts) {
  const auto source = open_weight_source(foreign("gguf/language.gguf"));
  const auto config = qwen2_5_vl::parse_config(source->text_of("config.json"), "config.json");
  EXPECT_EQ(config.text.n_layers, 2);
  EXPECT_EQ(config.text.hidden_size, 256);
  EXPECT_EQ(config.text.n_kv_heads, 2);
  EXPECT_EQ(config.text.vocab_size, 16);
  EXPECT_EQ(config.text.rms_norm_eps, 1e-6f);
  EXPECT_EQ(config.text.rope_theta, 1e6);
  EXPECT_EQ(config.text.mrope_section, (std::array{4, 6, 6}));
  EXPECT_TRUE(config.text.tie_word_embeddings);
  EXPECT_EQ(config.vision.full_attention_blocks, (std::vector<int>{1, 3}));
  EXPECT_EQ(config.vision.tokens_per_second, 2);
  EXPECT_EQ(config.image_token_id, 10);
  const auto pixels = qwen2_5_vl::parse_preprocessor_config(
      source->text_of("preprocessor_config.json"), "preprocessor_config.json", config.vision,
      qwen2_5_vl::PreprocessorKind::image);
  EXPECT_EQ(pixels.image_mean[0], 0.48145466);  // the decimal number, not the float next to it
  EXPECT_EQ(pixels.max_pixels, 12845056);
  EXPECT_EQ(nlohmann::json::parse(source->text_of("generation_config.json"))["eos_token_id"],
            nlohmann::json({7, 5}));
}

TEST(WeightSource, GgufTokensAreATokenizerFile) {
  const auto source = open_weight_source(foreign("gguf"));
  const std::string text = source->text_of("tokenizer.json");
  const TokenizerSource tokenizer = read_tokenizer_json(text, "tokenizer.json");
  EXPECT_TRUE(tokenizer.has_nfc);
  EXPECT_EQ(tokenizer.words.size(), 5u);  // the padding at the end is no token
  EXPECT_EQ(tokenizer.merges.size(), 1u);
  ASSERT_EQ(tokenizer.added.size(), 9u);
  const auto is_special = [&](const std::string& name) {
    for (const AddedToken& token : tokenizer.added) {
      if (token.text == name) return token.special;
    }
    ADD_FAILURE() << name;
    return false;
  };
  EXPECT_TRUE(is_special("<|im_end|>"));
  EXPECT_FALSE(is_special("<tool_call>"));
  EXPECT_FALSE(is_special("<|fim_prefix|>"));
}

std::string bytes_of(const std::string& path) { return read_file(path, 1 << 20); }

TEST(WeightSource, FindsTheVisionFileBesideAndAsksWhenItCannot) {
  TemporaryFolder folder;
  folder.write("some-model.gguf", bytes_of(foreign("gguf/language.gguf")));
  const std::string model = folder / "some-model.gguf";
  const auto error = [&] { return error_of([&] { open_weight_source(model); }); };
  EXPECT_TRUE(contains(error(), "no *mmproj*.gguf with the vision tower is beside it"));
  folder.write("some-MMPROJ-f16.gguf", bytes_of(foreign("gguf/mmproj-vision.gguf")));
  EXPECT_EQ(error(), "");
  EXPECT_EQ(open_weight_source(folder.path())->path(), model);
  folder.write("mmproj-2.gguf", "");
  EXPECT_TRUE(contains(error(), "several vision files"));
  EXPECT_EQ(open_weight_source(model, folder / "some-MMPROJ-f16.gguf")->tensors().size(), 27u);
  folder.write("another.gguf", "");
  EXPECT_TRUE(contains(error_of([&] { open_weight_source(folder.path()); }), "2 language files"));
}

TEST(WeightSource, RefusesTheFilesInTheWrongPlaces) {
  const std::string language = foreign("gguf/language.gguf");
  const std::string vision = foreign("gguf/mmproj-vision.gguf");
  const auto error = [](const std::string& path, const std::string& projector) {
    return error_of([&] { open_weight_source(path, projector); });
  };
  EXPECT_TRUE(contains(error(vision, vision), "this is the vision file: give the language file"));
  EXPECT_TRUE(contains(error(language, language), "expected 'clip', a vision file (mmproj)"));
  EXPECT_TRUE(contains(error(foreign("awq"), vision), "is no GGUF model"));
  EXPECT_TRUE(
      contains(error(foreign("awq/config.json"), ""), "expected a model folder or a .gguf"));
  EXPECT_TRUE(contains(error(foreign("nothing"), ""), "does not exist"));
}

}  // namespace
}  // namespace qwenvl
