// config.json and preprocessor_config.json → structs.
// Before: checkpoint/ has the texts.   After: weights.cpp knows every shape.
// Mirrors the configuration classes of the reference and their defaults.
#include "models/qwen2_5_vl/config.h"

#include "models/json_fields.h"

namespace qwenvl::qwen2_5_vl {
namespace {

// Generous bounds: four times the largest published model, and far from overflowing any product.
constexpr std::int64_t kMaxWidth = 1 << 17;
constexpr std::int64_t kMaxLayers = 1024;
constexpr std::int64_t kMaxVocabulary = 1 << 22;

// Text fields live in text_config (new layout) or beside vision_config (old layout).
class TextFields {
 public:
  TextFields(const JsonFields& top) : top_(top), nested_(top.object("text_config")) {}
  const JsonFields& with(const char* key) const {
    return nested_ && nested_->has(key) ? *nested_ : top_;
  }
  int required_int(const char* key, std::int64_t low, std::int64_t high) const {
    const JsonFields& fields = nested_ ? with(key) : top_;
    return static_cast<int>(fields.required(key, fields.integer(key, low, high)));
  }

 private:
  const JsonFields& top_;
  std::optional<JsonFields> nested_;
};

void require_silu(const JsonFields& fields) {
  const std::string activation = fields.text("hidden_act").value_or("silu");
  if (activation != "silu") {
    fail(ErrorKind::unsupported, "{}: 'hidden_act' is {}, expected 'silu'", fields.where(),
         quoted(activation));
  }
}

VisionConfig parse_vision(const JsonFields& fields) {
  VisionConfig v;
  const auto read = [&](const char* key, int& value, std::int64_t high) {
    value = static_cast<int>(fields.integer(key, 1, high).value_or(value));
  };
  read("depth", v.depth, kMaxLayers);
  read("hidden_size", v.hidden_size, kMaxWidth);
  read("num_heads", v.n_heads, 1024);
  read("intermediate_size", v.intermediate_size, kMaxWidth);
  read("in_channels", v.in_channels, 3);
  read("out_hidden_size", v.out_hidden_size, kMaxWidth);
  read("patch_size", v.patch_size, 256);
  read("temporal_patch_size", v.temporal_patch_size, 2);
  read("spatial_merge_size", v.spatial_merge_size, 2);
  read("window_size", v.window_size, 1 << 14);
  v.tokens_per_second = fields.number("tokens_per_second", 0, 1000).value_or(v.tokens_per_second);
  v.full_attention_blocks = {7, 15, 23, 31};
  if (const auto blocks = fields.integers("fullatt_block_indexes", 0, kMaxLayers)) {
    v.full_attention_blocks.assign(blocks->begin(), blocks->end());
  }
  require_silu(fields);
  if (v.in_channels != 3 || v.temporal_patch_size != 2 || v.spatial_merge_size != 2) {
    fail(ErrorKind::unsupported,
         "{}: channels, temporal patch and merge size are {}, {}, {}, expected 3, 2, 2",
         fields.where(), v.in_channels, v.temporal_patch_size, v.spatial_merge_size);
  }
  if (v.hidden_size % v.n_heads != 0 || v.head_dim() % 4 != 0 || v.head_dim() > 256) {
    fail(ErrorKind::bad_file,
         "{}: hidden_size {} over {} heads; expected a head size that is a multiple of 4, at most "
         "256",
         fields.where(), v.hidden_size, v.n_heads);
  }
  if (v.window_size % v.grid_pixels() != 0) {
    fail(ErrorKind::bad_file, "{}: window_size {} is not a multiple of {}", fields.where(),
         v.window_size, v.grid_pixels());
  }
  return v;
}

YarnConfig parse_yarn(const JsonFields& rope, const TextConfig& t) {
  for (const char* key : {"mscale", "mscale_all_dim"}) {
    if (rope.has(key)) {
      fail(ErrorKind::unsupported,
           "{}: '{}' is set, expected it absent: this form of YaRN is not computed", rope.where(),
           key);
    }
  }
  if (!rope.boolean("truncate").value_or(true)) {
    fail(ErrorKind::unsupported,
         "{}: 'truncate' is false, expected true: this form of YaRN is not computed", rope.where());
  }
  if (!(t.rope_theta > 1)) {
    fail(ErrorKind::bad_file, "{}: 'rope_theta' is {}, expected a number above 1 with YaRN",
         rope.where(), t.rope_theta);
  }
  YarnConfig yarn;
  yarn.factor = rope.required("factor", rope.number("factor", 1, 1e4));
  yarn.original_max_positions = rope.number("original_max_position_embeddings", 1, 1e9)
                                    .value_or(static_cast<double>(t.max_positions));
  yarn.beta_fast = rope.number("beta_fast", 0.001, 1e4).value_or(yarn.beta_fast);
  yarn.beta_slow = rope.number("beta_slow", 0.001, 1e4).value_or(yarn.beta_slow);
  yarn.attention_factor = rope.number("attention_factor", 0.01, 100);
  return yarn;
}

// rope_scaling (old: beside rope_theta) or rope_parameters (new: holds rope_theta too).
void parse_rope(const TextFields& text, TextConfig& t) {
  const char* key =
      text.with("rope_parameters").has("rope_parameters") ? "rope_parameters" : "rope_scaling";
  const JsonFields& owner = text.with(key);
  const auto rope = owner.object(key);
  if (!rope)
    fail(ErrorKind::bad_file, "{}: 'rope_scaling' with 'mrope_section' is missing", owner.where());
  const JsonFields& theta_owner = rope->has("rope_theta") ? *rope : text.with("rope_theta");
  t.rope_theta = theta_owner.number("rope_theta", 1, 1e12).value_or(t.rope_theta);
  const auto sections = rope->required("mrope_section", rope->integers("mrope_section", 0, 256));
  if (sections.size() != 3 || sections[0] + sections[1] + sections[2] != t.head_dim / 2) {
    fail(ErrorKind::bad_file,
         "{}: 'mrope_section' is [{}], expected three integers with the sum {} (half a head)",
         rope->where(), fmt::join(sections, ", "), t.head_dim / 2);
  }
  for (int i = 0; i < 3; ++i) t.mrope_section[i] = static_cast<int>(sections[i]);

  const std::string type =
      rope->has("rope_type") ? *rope->text("rope_type") : rope->text("type").value_or("default");
  if (type == "default" || type == "mrope") return;
  if (type != "yarn") {
    fail(ErrorKind::unsupported, "{}: rope type {}, expected default, mrope or yarn", rope->where(),
         quoted(type));
  }
  t.yarn = parse_yarn(*rope, t);
}

TextConfig parse_text(const JsonFields& top) {
  const TextFields text(top);
  TextConfig t;
  t.hidden_size = text.required_int("hidden_size", 1, kMaxWidth);
  t.intermediate_size = text.required_int("intermediate_size", 1, kMaxWidth);
  t.n_layers = text.required_int("num_hidden_layers", 1, kMaxLayers);
  t.n_heads = text.required_int("num_attention_heads", 1, 1024);
  t.n_kv_heads = static_cast<int>(
      text.with("num_key_value_heads").integer("num_key_value_heads", 1, 1024).value_or(t.n_heads));
  t.vocab_size = text.required_int("vocab_size", 1, kMaxVocabulary);
  t.max_positions = text.with("max_position_embeddings")
                        .integer("max_position_embeddings", 1, 1 << 30)
                        .value_or(32768);
  t.rms_norm_eps = static_cast<float>(
      text.with("rms_norm_eps").number("rms_norm_eps", 0, 1).value_or(t.rms_norm_eps));
  const JsonFields& tie_owner =
      top.has("tie_word_embeddings") ? top : text.with("tie_word_embeddings");
  t.tie_word_embeddings = tie_owner.boolean("tie_word_embeddings").value_or(false);
  require_silu(text.with("hidden_act"));
  if (t.hidden_size % t.n_heads != 0 || t.n_heads % t.n_kv_heads != 0) {
    fail(ErrorKind::bad_file,
         "{}: hidden_size {}, {} heads, {} key/value heads; expected each to divide the one before",
         top.where(), t.hidden_size, t.n_heads, t.n_kv_heads);
  }
  t.head_dim = static_cast<int>(
      text.with("head_dim").integer("head_dim", 2, 256).value_or(t.hidden_size / t.n_heads));
  if (t.head_dim % 2 != 0 || t.head_dim > 256) {
    fail(ErrorKind::bad_file, "{}: head size {}, expected an even number up to 256", top.where(),
         t.head_dim);
  }
  if (text.with("use_sliding_window").boolean("use_sliding_window").value_or(false)) {
    fail(ErrorKind::unsupported,
         "{}: 'use_sliding_window' is true, expected false as in every published model",
         top.where());
  }
  parse_rope(text, t);
  return t;
}

}  // namespace

Config parse_config(const std::string& json, const std::string& where) {
  const JsonFields top = JsonFields::parse(json, where);
  Config c;
  if (const auto names = top.texts("architectures"); names && !names->empty())
    c.architecture = names->front();
  const auto vision = top.object("vision_config");
  if (!vision) fail(ErrorKind::bad_file, "{}: 'vision_config' is missing", where);
  c.vision = parse_vision(*vision);
  c.text = parse_text(top);
  if (c.vision.out_hidden_size != c.text.hidden_size) {
    fail(ErrorKind::bad_file,
         "{}: vision_config.out_hidden_size is {}, expected the decoder's hidden_size {}", where,
         c.vision.out_hidden_size, c.text.hidden_size);
  }
  c.dtype = top.has("dtype") ? *top.text("dtype") : top.text("torch_dtype").value_or("");
  const auto token = [&](const char* key, std::int32_t& id) {
    id = static_cast<std::int32_t>(top.integer(key, 0, c.text.vocab_size - 1).value_or(id));
    if (id >= c.text.vocab_size) {
      fail(ErrorKind::bad_file,
           "{}: '{}' is missing and its default {} is outside the vocabulary of {}", where, key, id,
           c.text.vocab_size);
    }
  };
  token("image_token_id", c.image_token_id);
  token("video_token_id", c.video_token_id);
  token("vision_start_token_id", c.vision_start_token_id);
  token("vision_end_token_id", c.vision_end_token_id);
  return c;
}

PreprocessorConfig parse_preprocessor_config(const std::string& json, const std::string& where,
                                             const VisionConfig& vision, PreprocessorKind kind) {
  PreprocessorConfig p;
  const bool is_video = kind == PreprocessorKind::video;
  if (is_video) {  // the class defaults: 128 and 768 tokens a frame
    p.min_pixels = 128 * 784;
    p.max_pixels = 768 * 784;
  }
  if (json.empty()) return p;
  JsonFields fields = JsonFields::parse(json, where);
  if (const auto nested = fields.object(is_video ? "video_processor" : "image_processor"))
    fields = *nested;  // processor_config.json
  // Explicit limits, else size.shortest_edge / longest_edge, else the class defaults.
  constexpr std::int64_t kMost = std::int64_t{1} << 40;
  const auto size = fields.object("size");
  const auto limit = [&](const char* key, const char* edge, std::int64_t& value) {
    if (const auto found = fields.integer(key, 1, kMost)) {
      value = *found;
    } else if (size) {
      value = size->integer(edge, 1, kMost).value_or(value);
    }
  };
  limit("min_pixels", "shortest_edge", p.min_pixels);
  limit("max_pixels", "longest_edge", p.max_pixels);
  // A picture's file read for clips may hold one limit, which need not go with the other's default:
  // then clips are refused, not the checkpoint.
  if (p.min_pixels > p.max_pixels && !is_video) {
    fail(ErrorKind::bad_file, "{}: min_pixels {} is above max_pixels {}", where, p.min_pixels,
         p.max_pixels);
  }
  const auto triple = [&](const char* key, double low, std::array<double, 3>& value) {
    const auto found = fields.numbers(key, low, 10);
    if (!found) return;
    if (found->size() != 3)
      fail(ErrorKind::bad_file, "{}: '{}' has {} numbers, expected 3", where, key, found->size());
    for (int i = 0; i < 3; ++i) value[i] = (*found)[i];
  };
  triple("image_mean", -10, p.image_mean);
  triple("image_std", 1e-6, p.image_std);
  const auto must_be = [&](const char* key, int expected) {
    const auto found = fields.integer(key, 1, 1 << 20);
    if (found && *found != expected) {
      fail(ErrorKind::bad_file, "{}: '{}' is {}, expected {} as in config.json", where, key, *found,
           expected);
    }
  };
  must_be("patch_size", vision.patch_size);
  must_be("temporal_patch_size", vision.temporal_patch_size);
  must_be("merge_size", vision.spatial_merge_size);
  return p;
}

}  // namespace qwenvl::qwen2_5_vl
