// config.json and preprocessor_config.json → structs, every field checked.
// Mirrors the reference's configuration classes, old flat and new nested layout alike.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace qwenvl::qwen2_5_vl {

// Values that a file may leave out have the defaults of the reference's classes; published files
// state them all.
struct VisionConfig {
  int depth = 32;
  int hidden_size = 3584;
  int n_heads = 16;
  int intermediate_size = 3420;
  int in_channels = 3;
  int out_hidden_size = 3584;
  int patch_size = 14;
  int temporal_patch_size = 2;
  int spatial_merge_size = 2;
  int window_size = 112;  // pixels
  std::vector<int> full_attention_blocks;
  double tokens_per_second = 4;  // published files say 2

  int head_dim() const { return hidden_size / n_heads; }
  int patch_width() const { return in_channels * temporal_patch_size * patch_size * patch_size; }
  int grid_pixels() const { return patch_size * spatial_merge_size; }  // 28
};

struct YarnConfig {
  double factor = 1;
  double original_max_positions = 32768;
  double beta_fast = 32, beta_slow = 1;
  std::optional<double> attention_factor;
};

struct TextConfig {
  int hidden_size = 0;
  int intermediate_size = 0;
  int n_layers = 0;
  int n_heads = 0;
  int n_kv_heads = 0;
  int head_dim = 0;
  int vocab_size = 0;
  std::int64_t max_positions = 0;
  float rms_norm_eps = 1e-5f;
  double rope_theta = 1e6;
  std::array<int, 3> mrope_section{};
  std::optional<YarnConfig> yarn;
  bool tie_word_embeddings = false;
};

struct Config {
  std::string architecture;
  std::string dtype;  // "bfloat16", …; "" when the file does not say
  TextConfig text;
  VisionConfig vision;
  std::int32_t image_token_id = 151655;
  std::int32_t video_token_id = 151656;
  std::int32_t vision_start_token_id = 151652;
  std::int32_t vision_end_token_id = 151653;
};

// Of pictures; the same of each frame of a clip.
struct PreprocessorConfig {
  std::int64_t min_pixels = 3136;
  std::int64_t max_pixels = 1003520;  // the class default; published files say 12845056
  std::array<double, 3> image_mean{0.48145466, 0.4578275, 0.40821073};
  std::array<double, 3> image_std{0.26862954, 0.26130258, 0.27577711};
};

enum class PreprocessorKind { image, video };

// `where` names the file in messages. Throws bad_file (missing, of the wrong type, inconsistent) or
// unsupported (a model, activation or rope type this code does not compute).
Config parse_config(const std::string& json, const std::string& where);
// "" (no such file) gives the class defaults of the processor.
PreprocessorConfig parse_preprocessor_config(const std::string& json, const std::string& where,
                                             const VisionConfig& vision,
                                             PreprocessorKind kind = PreprocessorKind::image);

}  // namespace qwenvl::qwen2_5_vl
