// Every block of the tower and every layer of the decoder against the reference, in float32 and
// bf16, on both back ends.
#include <gtest/gtest.h>

#include <numeric>

#include "models/qwen2_5_vl/input/prompt.h"
#include "models/qwen2_5_vl/input/windows.h"
#include "models/qwen2_5_vl/language.h"
#include "models/qwen2_5_vl/vision.h"
#include "support/golden.h"

namespace qwenvl::qwen2_5_vl {
namespace {

using qwenvl::testing::floats_of;
using qwenvl::testing::golden_json;
using qwenvl::testing::golden_path;
using qwenvl::testing::GoldenTensors;
using qwenvl::testing::relative_error;

constexpr double kFloatTolerance = 1e-4;
// A bf16 run that rounds where the reference rounds errs about as much against float32 as the
// reference's own bf16 run does.
constexpr double kBf16Slack = 1.35;

struct TinyModel {
  explicit TinyModel(const std::string& name)
      : checkpoint(Checkpoint::open(golden_path("checkpoints/" + name))),
        config(parse_config(checkpoint.text_of("config.json"), "config.json")),
        weights(bind_weights(checkpoint, config)) {}
  Checkpoint checkpoint;
  Config config;
  Weights weights;
};

std::vector<Grid> grids_of(const std::vector<std::int64_t>& flat) {
  std::vector<Grid> grids;
  for (std::size_t i = 0; i + 2 < flat.size(); i += 3)
    grids.push_back({flat[i], flat[i + 1], flat[i + 2]});
  return grids;
}

// Goldens keep pixel values as bytes: value = (byte - 128) / 48.
PatchSource patches_from(std::vector<float> bytes, std::int64_t width) {
  return [bytes = std::move(bytes), width](std::int64_t cell, float* out) {
    for (std::int64_t i = 0; i < 4 * width; ++i) {
      out[i] = (bytes[static_cast<std::size_t>(cell * 4 * width + i)] - 128.0f) / 48.0f;
    }
  };
}

using Values = std::map<std::string, std::vector<float>>;

// Tower values by their names in the golden files.
Values run_tower(Backend& backend, const TinyModel& model, const std::vector<Grid>& grids,
                 const std::vector<float>& bytes, DType compute) {
  Values values;
  const Trace trace = [&](const char* name, int layer, const Tensor& value) {
    const std::string text = name;
    values[text == "vision.block" ? "block." + std::to_string(layer) : text.substr(7)] =
        floats_of(value);
  };
  Workspace workspace, result;
  std::int64_t cells = 0;
  for (const Grid& grid : grids) cells += grid.n_patches() / 4;
  Tensor features = result.take(compute, {cells, model.config.text.hidden_size});
  encode_patches(backend, workspace, model.config.vision, model.weights.vision, grids,
                 patches_from(bytes, model.config.vision.patch_width()), features, &trace);
  // The reference embeds in input order; ours is in window order from the start.
  const WindowOrder order = window_order(grids, model.config.vision);
  const std::size_t group = 4 * static_cast<std::size_t>(model.config.vision.hidden_size);
  const std::vector<float> ours = values.at("patch_embed");
  for (std::size_t i = 0; i < order.cells.size(); ++i) {
    std::copy_n(
        ours.begin() + static_cast<std::ptrdiff_t>(i * group), group,
        values["patch_embed"].begin() + order.cells[i] * static_cast<std::ptrdiff_t>(group));
  }
  return values;
}

class OnBackends : public ::testing::TestWithParam<std::string> {
 protected:
  std::unique_ptr<Backend> backend = make_backend(GetParam(), 2);
};

INSTANTIATE_TEST_SUITE_P(Backends, OnBackends, ::testing::Values("reference", "cpu"),
                         [](const auto& info) { return info.param; });

TEST_P(OnBackends, the_tower_equals_the_reference_block_by_block_in_float32) {
  for (const std::string name : {"tiny", "tiny_untied"}) {
    const TinyModel model(name);
    for (const std::string kind : {"image", "two_images", "video", "thin"}) {
      const GoldenTensors input("model/tower_input_" + kind + ".safetensors");
      const GoldenTensors golden("model/tower_" + name + "_" + kind + "_f32.safetensors");
      const Values got = run_tower(*backend, model, grids_of(input.integers("grid_thw")),
                                   input.floats("pixel_bytes"), DType::f32);
      EXPECT_EQ(got.size(), static_cast<std::size_t>(model.config.vision.depth) + 2);
      for (const auto& [key, values] : got) {
        EXPECT_LT(relative_error(values, golden.floats(key)), kFloatTolerance)
            << name << " " << kind << " " << key;
      }
    }
  }
}

TEST_P(OnBackends, the_tower_rounds_like_the_reference_in_bf16) {
  for (const std::string name : {"tiny", "tiny_untied"}) {
    const TinyModel model(name);
    for (const std::string kind : {"two_images", "video"}) {
      const GoldenTensors input("model/tower_input_" + kind + ".safetensors");
      const GoldenTensors exact("model/tower_" + name + "_" + kind + "_f32.safetensors");
      const GoldenTensors rounded("model/tower_" + name + "_" + kind + "_bf16.safetensors");
      const Values got = run_tower(*backend, model, grids_of(input.integers("grid_thw")),
                                   input.floats("pixel_bytes"), DType::bf16);
      for (const auto& [key, values] : got) {
        const double reference_error = relative_error(rounded.floats(key), exact.floats(key));
        EXPECT_LT(relative_error(values, exact.floats(key)), kBf16Slack * reference_error + 1e-6)
            << name << " " << kind << " " << key;
      }
    }
  }
}

// ---- decoder ---------------------------------------------------------------------------------

// Runs the unpadded row `row` of a decoder case alone, with a cache of its own.
struct RowResult {
  Values values;
  std::vector<float> logits;  // of all its tokens
};

struct RowInput {
  std::vector<TokenId> ids;
  std::vector<std::size_t> places;  // of the tokens in the padded row
  std::vector<std::int32_t> positions;
};

RowInput row_input(const GoldenTensors& golden, std::size_t row) {
  const auto ids = golden.integers("input_ids"), mask = golden.integers("attention_mask");
  const auto positions = golden.integers("position_ids");
  const std::size_t rows = static_cast<std::size_t>(golden.view("input_ids").shape[0]),
                    length = ids.size() / rows;
  RowInput out;
  for (std::size_t i = 0; i < length; ++i) {
    if (mask[row * length + i] == 0) continue;
    out.ids.push_back(static_cast<TokenId>(ids[row * length + i]));
    out.places.push_back(i);
  }
  for (std::size_t axis = 0; axis < 3; ++axis) {
    for (std::size_t i : out.places) {
      out.positions.push_back(
          static_cast<std::int32_t>(positions[(axis * rows + row) * length + i]));
    }
  }
  return out;
}

// `features` is advanced past the row's own; chunk 0 runs all tokens in one step.
RowResult run_row(Backend& backend, const TinyModel& model, const RowInput& input,
                  const Tensor& features, std::int64_t& next_feature, DType compute,
                  std::size_t chunk) {
  const TextConfig& text = model.config.text;
  const std::size_t n = input.ids.size(), vocabulary = static_cast<std::size_t>(text.vocab_size);
  const KvLayout layout{text.n_layers, text.n_kv_heads, text.head_dim, compute};
  std::vector<std::vector<std::byte>> pages(
      (n + kKvPageTokens - 1) / kKvPageTokens,
      std::vector<std::byte>(static_cast<std::size_t>(layout.page_bytes())));
  std::vector<std::byte*> page_pointers;
  for (auto& page : pages) page_pointers.push_back(page.data());
  const RopeFrequencies frequencies = rope_frequencies(text);
  RowResult result;
  const Trace trace = [&](const char* name, int layer, const Tensor& value) {
    const std::string key = std::string(name) == "decoder.layer"  ? "layer." + std::to_string(layer)
                            : std::string(name) == "decoder.norm" ? "norm"
                                                                  : "inputs_embeds";
    const auto more = floats_of(value);
    result.values[key].insert(result.values[key].end(), more.begin(), more.end());
  };
  Workspace workspace;
  for (std::size_t begin = 0; begin < n;) {
    const std::size_t m = std::min(chunk ? chunk : n, n - begin);
    Batch batch;
    for (std::size_t i = 0; i < m; ++i) {
      const TokenId id = input.ids[begin + i];
      batch.ids.push_back(id);
      batch.logit_rows.push_back(static_cast<std::int64_t>(i));
      if (id == model.config.image_token_id || id == model.config.video_token_id) {
        batch.features.push_back(
            {static_cast<std::int64_t>(i), features.slice_rows(next_feature++, 1)});
      }
    }
    for (std::size_t axis = 0; axis < 3; ++axis) {
      for (std::size_t i = 0; i < m; ++i)
        batch.positions.push_back(input.positions[axis * n + begin + i]);
    }
    batch.kv = {
        layout,
        {{0, static_cast<std::int64_t>(m), static_cast<std::int64_t>(begin), page_pointers}}};
    std::vector<float> logits(m * vocabulary);
    decode_step(backend, workspace, text, model.weights.language, frequencies, batch, compute,
                Tensor(logits.data(), DType::f32, {static_cast<std::int64_t>(m), text.vocab_size}),
                &trace);
    result.logits.insert(result.logits.end(), logits.begin(), logits.end());
    begin += m;
  }
  return result;
}

// The features of a case's pictures and clips, computed by our tower.
std::vector<std::byte> case_features(Backend& backend, const TinyModel& model,
                                     const GoldenTensors& golden, DType compute, Tensor& view) {
  const std::string suffix = golden.has("pixel_bytes_videos") ? "_videos" : "";
  if (!golden.has("pixel_bytes" + suffix)) return {};
  const auto grids =
      grids_of(golden.integers(suffix.empty() ? "image_grid_thw" : "video_grid_thw"));
  std::int64_t cells = 0;
  for (const Grid& grid : grids) cells += grid.n_patches() / 4;
  std::vector<std::byte> memory(static_cast<std::size_t>(cells * model.config.text.hidden_size) *
                                size_of(compute));
  view = Tensor(memory.data(), compute, {cells, model.config.text.hidden_size});
  Workspace workspace;
  encode_patches(
      backend, workspace, model.config.vision, model.weights.vision, grids,
      patches_from(golden.floats("pixel_bytes" + suffix), model.config.vision.patch_width()), view,
      nullptr);
  return memory;
}

// The rows of a padded golden tensor [B, T, D] that belong to a row's tokens.
std::vector<float> unpadded(const GoldenTensors& golden, const std::string& key, std::size_t row,
                            const RowInput& input) {
  const Tensor tensor = golden.view(key);
  const auto all = floats_of(tensor);
  const std::size_t length = static_cast<std::size_t>(tensor.shape[1]),
                    width = static_cast<std::size_t>(tensor.shape[2]);
  std::vector<float> out;
  for (std::size_t i : input.places) {
    const auto begin = all.begin() + static_cast<std::ptrdiff_t>((row * length + i) * width);
    out.insert(out.end(), begin, begin + static_cast<std::ptrdiff_t>(width));
  }
  return out;
}

// The logits the golden file has: of every token, or of the last one only.
std::vector<float> comparable_logits(const GoldenTensors& golden, const std::string& key,
                                     std::size_t row, const RowInput& input) {
  const Tensor tensor = golden.view(key);
  if (tensor.shape[1] > 1) return unpadded(golden, key, row, input);
  const auto all = floats_of(tensor);
  const std::size_t width = static_cast<std::size_t>(tensor.shape[2]);
  return {all.begin() + static_cast<std::ptrdiff_t>(row * width),
          all.begin() + static_cast<std::ptrdiff_t>((row + 1) * width)};
}

std::vector<float> tail(const std::vector<float>& values, std::size_t n) {
  return {values.end() - static_cast<std::ptrdiff_t>(std::min(n, values.size())), values.end()};
}

TEST_P(OnBackends, the_decoder_equals_the_reference_layer_by_layer_in_float32) {
  for (const std::string name : {"tiny", "tiny_untied"}) {
    const TinyModel model(name);
    for (const std::string kind : {"text", "image", "two_images", "video", "batch"}) {
      const GoldenTensors golden("model/decoder_" + name + "_" + kind + "_f32.safetensors");
      Tensor features;
      const auto memory = case_features(*backend, model, golden, DType::f32, features);
      std::int64_t next_feature = 0;
      for (std::size_t row = 0; row < static_cast<std::size_t>(golden.view("input_ids").shape[0]);
           ++row) {
        const RowInput input = row_input(golden, row);
        const RowResult got =
            run_row(*backend, model, input, features, next_feature, DType::f32, 0);
        EXPECT_EQ(got.values.size(), static_cast<std::size_t>(model.config.text.n_layers) + 2);
        for (const auto& [key, values] : got.values) {
          EXPECT_LT(relative_error(values, unpadded(golden, key, row, input)), kFloatTolerance)
              << name << " " << kind << " row " << row << " " << key;
        }
        const auto expected = comparable_logits(golden, "logits", row, input);
        EXPECT_LT(relative_error(tail(got.logits, expected.size()), expected), kFloatTolerance)
            << name << " " << kind << " row " << row;
      }
    }
  }
}

TEST_P(OnBackends, the_decoder_rounds_like_the_reference_in_bf16) {
  for (const std::string name : {"tiny", "tiny_untied"}) {
    const TinyModel model(name);
    for (const std::string kind : {"image", "batch"}) {
      const GoldenTensors exact("model/decoder_" + name + "_" + kind + "_f32.safetensors");
      const GoldenTensors rounded("model/decoder_" + name + "_" + kind + "_bf16.safetensors");
      Tensor features;
      const auto memory = case_features(*backend, model, exact, DType::bf16, features);
      std::int64_t next_feature = 0;
      for (std::size_t row = 0; row < static_cast<std::size_t>(exact.view("input_ids").shape[0]);
           ++row) {
        const RowInput input = row_input(exact, row);
        const RowResult got =
            run_row(*backend, model, input, features, next_feature, DType::bf16, 0);
        const std::size_t vocabulary = static_cast<std::size_t>(model.config.text.vocab_size);
        const auto truth = tail(comparable_logits(exact, "logits", row, input), vocabulary);
        const auto reference = tail(comparable_logits(rounded, "logits", row, input), vocabulary);
        const auto eager = tail(comparable_logits(rounded, "logits_eager", row, input), vocabulary);
        const double reference_error =
            std::max(relative_error(reference, truth), relative_error(eager, truth));
        EXPECT_LT(relative_error(tail(got.logits, vocabulary), truth), kBf16Slack * reference_error)
            << name << " " << kind << " row " << row;
      }
    }
  }
}

TEST_P(OnBackends, chunks_and_single_tokens_give_the_same_bits_as_one_prefill) {
  if (GetParam() == "reference") GTEST_SKIP() << "the oracle promises values, not bits";
  const TinyModel model("tiny");
  const GoldenTensors golden("model/decoder_tiny_image_f32.safetensors");
  for (const DType compute : {DType::f32, DType::bf16}) {
    Tensor features;
    const auto memory = case_features(*backend, model, golden, compute, features);
    const RowInput input = row_input(golden, 0);
    std::int64_t from_start = 0;
    const RowResult whole = run_row(*backend, model, input, features, from_start, compute, 0);
    for (const std::size_t chunk : {1, 2, 5, 17}) {
      std::int64_t next = 0;
      const RowResult cut = run_row(*backend, model, input, features, next, compute, chunk);
      EXPECT_EQ(whole.logits, cut.logits) << "chunks of " << chunk << " in " << name_of(compute);
    }
  }
}

}  // namespace
}  // namespace qwenvl::qwen2_5_vl
