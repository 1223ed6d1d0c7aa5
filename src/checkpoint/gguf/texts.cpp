// config.json, preprocessor_config.json and generation_config.json from the metadata of two files.
// Before: gguf.cpp.   After: models/qwen2_5_vl/config.cpp parses the texts and checks them further.
// Mirrors the keys llama.cpp's converter writes for these models. What it does not write is the
// same in every published Qwen2.5-VL: temporal patch 2, merge 2, windows of 112 pixels, 2 tokens a
// second.
#include "checkpoint/gguf/texts.h"

#include <nlohmann/json.hpp>

#include "core/check.h"

namespace qwenvl {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::int64_t kMaxWidth = 1 << 20;
constexpr std::int64_t kMaxLayers = 1024;
constexpr std::int64_t kMaxPosition = std::int64_t{1} << 30;

std::int64_t required_integer(const GgufMetadata& data, const std::string& key,
                              std::int64_t high = kMaxWidth) {
  return data.required(key, data.integer(key, 1, high));
}

const GgufTensor& required_tensor(const GgufFile& file, const char* name) {
  const auto at = file.tensors.find(name);
  if (at == file.tensors.end()) {
    fail(ErrorKind::bad_file, "{}: no tensor '{}'", file.metadata.where(), name);
  }
  return at->second;
}

void require_language(const GgufMetadata& data) {
  const std::string found =
      data.required("general.architecture", data.text("general.architecture"));
  if (found == "qwen2vl") return;
  fail(ErrorKind::unsupported, "{}: architecture {}, expected 'qwen2vl'{}", data.where(),
       quoted(found), found == "clip" ? "; this is the vision file: give the language file" : "");
}

void require_vision(const GgufMetadata& data) {
  const std::string found =
      data.required("general.architecture", data.text("general.architecture"));
  if (found != "clip") {
    fail(ErrorKind::unsupported, "{}: architecture {}, expected 'clip', a vision file (mmproj)",
         data.where(), quoted(found));
  }
  auto type = data.text("clip.projector_type");
  if (!type) type = data.text("clip.vision.projector_type");
  if (data.required("clip.projector_type", type) != "qwen2.5vl_merger") {
    fail(ErrorKind::unsupported, "{}: projector {}, expected 'qwen2.5vl_merger'", data.where(),
         quoted(*type));
  }
  if (!data.boolean("clip.use_silu").value_or(true) ||
      data.boolean("clip.use_gelu").value_or(false)) {
    fail(ErrorKind::unsupported, "{}: another activation than SiLU", data.where());
  }
}

// {"type": "mrope", …}: three sections (the file has a fourth, unused), or YaRN as well.
Json rope_scaling(const GgufMetadata& data) {
  const std::string key = "qwen2vl.rope.dimension_sections";
  const auto sections = data.required(key, data.integers(key, 0, 256));
  if (sections.size() < 3 || sections.size() > 4 || (sections.size() == 4 && sections[3] != 0)) {
    fail(ErrorKind::bad_file, "{}: '{}' is [{}], expected three numbers and a zero", data.where(),
         key, fmt::join(sections, ", "));
  }
  Json rope = {
      {"type", "mrope"},
      {"mrope_section", std::vector<std::int64_t>(sections.begin(), sections.begin() + 3)}};
  const std::string type = data.text("qwen2vl.rope.scaling.type").value_or("none");
  if (type == "none") return rope;
  if (type != "yarn") {
    fail(ErrorKind::unsupported, "{}: rope scaling {}, expected none or yarn", data.where(),
         quoted(type));
  }
  rope["type"] = "yarn";
  const std::string factor = "qwen2vl.rope.scaling.factor";
  rope["factor"] = data.required(factor, data.number(factor, 1, 1e4));
  if (const auto original =
          data.integer("qwen2vl.rope.scaling.original_context_length", 1, kMaxPosition)) {
    rope["original_max_position_embeddings"] = *original;
  }
  return rope;
}

Json vision_config(const GgufFile& file) {
  const GgufMetadata& data = file.metadata;
  const std::int64_t depth = required_integer(data, "clip.vision.block_count", kMaxLayers);
  Json vision = {
      {"depth", depth},
      {"hidden_act", "silu"},
      {"hidden_size", required_integer(data, "clip.vision.embedding_length")},
      {"num_heads", required_integer(data, "clip.vision.attention.head_count", 1024)},
      {"intermediate_size", required_integer(data, "clip.vision.feed_forward_length")},
      {"in_channels", 3},
      {"patch_size", required_integer(data, "clip.vision.patch_size", 256)},
      {"spatial_merge_size", data.integer("clip.vision.spatial_merge_size", 2, 2).value_or(2)},
      {"temporal_patch_size", 2},
      {"tokens_per_second", 2},
      {"window_size", data.integer("clip.vision.window_size", 1, 1 << 14).value_or(112)},
  };
  // Not clip.vision.projection_dim, which some writers fill with the width of the tower.
  vision["out_hidden_size"] = required_tensor(file, "mm.2.weight").shape[0];
  const std::int64_t every = required_integer(data, "clip.vision.n_wa_pattern", kMaxLayers);
  Json full = Json::array();
  for (std::int64_t block = every - 1; block < depth; block += every) full.push_back(block);
  vision["fullatt_block_indexes"] = full;
  return vision;
}

// Ids of the tokens named in `names`, -1 for those that are not there.
std::vector<std::int64_t> ids_of(const GgufMetadata& data, const std::vector<std::string>& names) {
  std::vector<std::int64_t> ids(names.size(), -1);
  data.each_text("tokenizer.ggml.tokens", [&](std::size_t id, std::string_view text) {
    for (std::size_t i = 0; i < names.size(); ++i) {
      if (text == names[i]) ids[i] = static_cast<std::int64_t>(id);
    }
  });
  return ids;
}

// Without a tokenizer in the file the parser's defaults hold: the ids of every published model.
void add_media_tokens(const GgufMetadata& data, Json& config) {
  const std::vector<std::string> names = {"<|vision_start|>", "<|vision_end|>", "<|image_pad|>",
                                          "<|video_pad|>"};
  const char* keys[] = {"vision_start_token_id", "vision_end_token_id", "image_token_id",
                        "video_token_id"};
  const std::vector<std::int64_t> ids = ids_of(data, names);
  if (data.length_of_list("tokenizer.ggml.tokens") == 0) return;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (ids[i] < 0) {
      fail(ErrorKind::bad_file, "{}: the tokenizer lacks '{}'", data.where(), names[i]);
    }
    config[keys[i]] = ids[i];
  }
}

// The file has float32; where that is a published number rounded, the number itself is meant, and
// pixels become the same bits as with the published folder.
double published_colour(double value) {
  for (double published : {0.48145466, 0.4578275, 0.40821073, 0.26862954, 0.26130258, 0.27577711}) {
    if (static_cast<float>(published) == static_cast<float>(value)) return published;
  }
  return value;
}

}  // namespace

std::string config_json_from_gguf(const GgufFile& language, const GgufFile& vision) {
  const GgufMetadata& data = language.metadata;
  require_language(data);
  require_vision(vision.metadata);
  const std::string eps = "qwen2vl.attention.layer_norm_rms_epsilon";
  const std::string theta = "qwen2vl.rope.freq_base";
  const std::int64_t n_heads = required_integer(data, "qwen2vl.attention.head_count", 1024);
  Json config = {
      {"architectures", {"Qwen2_5_VLForConditionalGeneration"}},
      {"model_type", "qwen2_5_vl"},
      {"hidden_act", "silu"},
      {"hidden_size", required_integer(data, "qwen2vl.embedding_length")},
      {"intermediate_size", required_integer(data, "qwen2vl.feed_forward_length")},
      {"num_hidden_layers", required_integer(data, "qwen2vl.block_count", kMaxLayers)},
      {"num_attention_heads", n_heads},
      {"num_key_value_heads",
       data.integer("qwen2vl.attention.head_count_kv", 1, 1024).value_or(n_heads)},
      {"max_position_embeddings", required_integer(data, "qwen2vl.context_length", kMaxPosition)},
      {"rms_norm_eps", data.required(eps, data.number(eps, 0, 1))},
      {"rope_theta", data.required(theta, data.number(theta, 1, 1e12))},
      {"rope_scaling", rope_scaling(data)},
      {"tie_word_embeddings", !language.tensors.contains("output.weight")},
      {"use_sliding_window", false},
      {"vocab_size", required_tensor(language, "token_embd.weight").shape[0]},
  };
  if (const auto width = data.integer("qwen2vl.attention.key_length", 1, kMaxWidth)) {
    config["head_dim"] = *width;
  }
  add_media_tokens(data, config);
  config["vision_config"] = vision_config(vision);
  return config.dump(2);
}

std::string preprocessor_config_json_from_gguf(const GgufFile& vision) {
  const GgufMetadata& data = vision.metadata;
  const auto triple = [&](const char* key, double low) {
    auto found = data.required(key, data.numbers(key, low, 10));
    for (double& value : found) value = published_colour(value);
    if (found.size() != 3) {
      fail(ErrorKind::bad_file, "{}: '{}' has {} numbers, expected 3", data.where(), key,
           found.size());
    }
    return found;
  };
  // The pixel limits of the published models; older files hold none.
  const auto limit = [&](const char* key, std::int64_t published) {
    return data.integer(key, 1, std::int64_t{1} << 40).value_or(published);
  };
  return Json{{"min_pixels", limit("clip.vision.image_min_pixels", 3136)},
              {"max_pixels", limit("clip.vision.image_max_pixels", 12845056)},
              {"patch_size", required_integer(data, "clip.vision.patch_size", 256)},
              {"temporal_patch_size", 2},
              {"merge_size", 2},
              {"image_mean", triple("clip.vision.image_mean", -10)},
              {"image_std", triple("clip.vision.image_std", 1e-6)}}
      .dump(2);
}

std::string generation_config_json_from_gguf(const GgufFile& language) {
  const GgufMetadata& data = language.metadata;
  const auto id = [&](const char* key) { return data.integer(key, 0, INT32_MAX); };
  const auto end = id("tokenizer.ggml.eos_token_id");
  if (!end) return "";
  // Answers also end with the end of a text, which the format has no key for.
  Json ends = {*end};
  const std::int64_t text_end = ids_of(data, {"<|endoftext|>"})[0];
  if (text_end >= 0 && text_end != *end) ends.push_back(text_end);
  Json config = {{"eos_token_id", ends}};
  if (const auto pad = id("tokenizer.ggml.padding_token_id")) config["pad_token_id"] = *pad;
  if (const auto begin = id("tokenizer.ggml.bos_token_id")) config["bos_token_id"] = *begin;
  return config.dump(2);
}

std::string tokenizer_config_json_from_gguf(const GgufMetadata& language) {
  Json config = {{"tokenizer_class", "Qwen2Tokenizer"}, {"processor_class", "Qwen2_5_VLProcessor"}};
  const std::pair<const char*, const char*> ids[] = {
      {"eos_token", "tokenizer.ggml.eos_token_id"},
      {"pad_token", "tokenizer.ggml.padding_token_id"}};
  for (const auto& [name, key] : ids) {
    const auto wanted = language.integer(key, 0, INT32_MAX);
    if (!wanted) continue;
    language.each_text("tokenizer.ggml.tokens", [&](std::size_t id, std::string_view text) {
      if (id == static_cast<std::size_t>(*wanted)) config[name] = text;
    });
  }
  if (const auto chat = language.text("tokenizer.chat_template")) config["chat_template"] = *chat;
  return config.dump(2, ' ', false, Json::error_handler_t::replace);
}

}  // namespace qwenvl
