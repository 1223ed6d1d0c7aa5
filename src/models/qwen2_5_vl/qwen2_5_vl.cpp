// Joins config, weights, preprocess, prompt, vision and language into a Model.
#include "models/qwen2_5_vl/qwen2_5_vl.h"

#include "checkpoint/checkpoint.h"
#include "models/qwen2_5_vl/config.h"
#include "models/qwen2_5_vl/input/preprocess.h"
#include "models/qwen2_5_vl/input/prompt.h"
#include "models/qwen2_5_vl/language.h"
#include "models/qwen2_5_vl/scratch.h"
#include "models/qwen2_5_vl/vision.h"
#include "models/qwen2_5_vl/weights.h"
#include "models/qwen2_5_vl/work.h"

namespace qwenvl::qwen2_5_vl {
namespace {

std::string in_checkpoint(const Checkpoint& checkpoint, const char* file) {
  return (checkpoint.folder() / file).string();
}

PreprocessorConfig read_preprocessor_config(const Checkpoint& checkpoint,
                                            const VisionConfig& vision, PreprocessorKind kind) {
  // The first that exists. Newer savers keep everything in processor_config.json.
  std::vector<const char*> files = {"preprocessor_config.json", "processor_config.json"};
  if (kind == PreprocessorKind::video)
    files.insert(files.begin(), "video_preprocessor_config.json");
  for (const char* file : files) {
    const std::string text = checkpoint.text_of(file);
    if (text.empty()) continue;
    return parse_preprocessor_config(text, in_checkpoint(checkpoint, file), vision, kind);
  }
  return parse_preprocessor_config("", "", vision, kind);
}

class Qwen25VL final : public Model {
 public:
  Qwen25VL(const Checkpoint& checkpoint, std::optional<DType> compute)
      : config_(parse_config(checkpoint.text_of("config.json"),
                             in_checkpoint(checkpoint, "config.json"))),
        preprocessor_(
            read_preprocessor_config(checkpoint, config_.vision, PreprocessorKind::image)),
        video_preprocessor_(
            read_preprocessor_config(checkpoint, config_.vision, PreprocessorKind::video)),
        weights_(bind_weights(checkpoint, config_)),
        frequencies_(rope_frequencies(config_.text)),
        tables_{NormalisationTable(preprocessor_, Normalisation::slow),
                NormalisationTable(preprocessor_, Normalisation::fast)},
        video_table_(video_preprocessor_, Normalisation::fast) {
    const TextConfig& text = config_.text;
    const Weight& embedding = weights_.language.embedding;
    const bool is_bf16 = embedding.is_packed() || embedding.format == DType::bf16;
    info_.architecture = config_.architecture;
    info_.compute = compute.value_or(is_bf16 ? DType::bf16 : DType::f32);
    info_.vocabulary = text.vocab_size;
    info_.feature_width = text.hidden_size;
    info_.patch_pixels = config_.vision.patch_size;
    info_.patches_per_token = config_.vision.spatial_merge_size * config_.vision.spatial_merge_size;
    info_.max_positions = text.max_positions;
    info_.n_vision_layers = config_.vision.depth;
    info_.kv = {text.n_layers, text.n_kv_heads, text.head_dim, info_.compute};
    describe();
  }

  const ModelInfo& info() const override { return info_; }

  VisionInput prepare_image(const Image& image, const SizeWish& wish,
                            const PreprocessOptions& options) const override {
    return qwen2_5_vl::prepare_image(image, wish, options, config_.vision, preprocessor_);
  }

  Grid image_grid(int width, int height, const SizeWish& wish,
                  const PreprocessOptions& options) const override {
    const PixelSize size =
        resized_sizes({height, width}, wish, options.rule, config_.vision, preprocessor_).second;
    return {1, size.height / config_.vision.patch_size, size.width / config_.vision.patch_size};
  }

  FrameSchedule sample_frames(std::int64_t n_frames, double fps, const SamplingWish& wish,
                              const PreprocessOptions& options) const override {
    return qwen2_5_vl::sample_frames(n_frames, fps, wish, options.frame_rule);
  }

  std::vector<PairSize> clip_sizes(std::int64_t n_frames, int width, int height,
                                   const ClipWish& wish,
                                   const PreprocessOptions& options) const override {
    return qwen2_5_vl::clip_sizes(n_frames, {height, width}, wish, options, config_.vision,
                                  video_preprocessor_);
  }

  PairSize least_pair_size(double detail, int width, int height, const ClipWish& wish,
                           const PreprocessOptions& options) const override {
    return qwen2_5_vl::least_pair_size(detail, {height, width}, wish, options, config_.vision,
                                       video_preprocessor_);
  }

  std::vector<VisionInput> prepare_clip(std::int64_t n_frames, const FrameSource& frame,
                                        const ClipWish& wish,
                                        const PreprocessOptions& options) const override {
    return qwen2_5_vl::prepare_clip(n_frames, frame, wish, options, config_.vision,
                                    video_preprocessor_);
  }

  Prompt lay_out(const Conversation& conversation, const Tokenizer& tokenizer,
                 const PreprocessOptions& options) const override {
    return qwen2_5_vl::lay_out(conversation, tokenizer, config_, options.temporal_ids);
  }

  void encode(Backend& backend, Workspace& workspace, const VisionInput& input, Tensor features,
              const Trace* trace) const override {
    const NormalisationTable& table =
        input.is_video ? video_table_ : tables_[input.normalisation == Normalisation::fast];
    encode_patches(
        backend, workspace, config_.vision, weights_.vision, std::span(&input.grid, 1),
        [&](std::int64_t cell, float* out) {
          fill_patches(input, config_.vision, table, cell, out);
        },
        features, trace);
  }

  void forward(Backend& backend, Workspace& workspace, const Batch& batch, Tensor logits,
               const Trace* trace) const override {
    decode_step(backend, workspace, config_.text, weights_.language, frequencies_, batch,
                info_.compute, logits, trace);
  }

  Work encode_work(const Grid& grid) const override {
    return qwen2_5_vl::encode_work(config_.vision, grid);
  }

  Work forward_work(std::int64_t n_rows, std::int64_t cache_start,
                    std::int64_t n_logit_rows) const override {
    return qwen2_5_vl::forward_work(config_.text, n_rows, cache_start, n_logit_rows);
  }

  Scratch encode_scratch(const Backend& backend, const Grid& grid) const override {
    return qwen2_5_vl::encode_scratch(backend, config_.vision, weights_.vision, grid,
                                      info_.compute);
  }

  Scratch forward_scratch(const Backend& backend, std::int64_t n_rows,
                          std::int64_t n_logit_rows) const override {
    return qwen2_5_vl::forward_scratch(backend, config_.text, weights_.language, n_rows,
                                       n_logit_rows, info_.compute);
  }

 private:
  void describe() {
    const TextConfig& t = config_.text;
    const VisionConfig& v = config_.vision;
    const auto fact = [&](const char* name, std::string value) {
      info_.facts.emplace_back(name, std::move(value));
    };
    fact("decoder layers", fmt::format("{}", t.n_layers));
    fact("decoder width", fmt::format("{}, mlp {}", t.hidden_size, t.intermediate_size));
    fact("attention",
         fmt::format("{} heads of {}, {} key/value heads", t.n_heads, t.head_dim, t.n_kv_heads));
    fact("vocabulary", fmt::format("{}{}", t.vocab_size,
                                   t.tie_word_embeddings ? ", head tied to the embedding" : ""));
    fact("positions", fmt::format("{}, rope base {}, sections {}/{}/{}{}", t.max_positions,
                                  t.rope_theta, t.mrope_section[0], t.mrope_section[1],
                                  t.mrope_section[2], t.yarn ? ", YaRN" : ""));
    fact("vision layers", fmt::format("{}, full attention in {}", v.depth,
                                      fmt::join(v.full_attention_blocks, ", ")));
    fact("vision width", fmt::format("{}, mlp {}, {} heads of {}", v.hidden_size,
                                     v.intermediate_size, v.n_heads, v.head_dim()));
    fact(
        "pixels",
        fmt::format("patches of {}, windows of {}, {} to {} per picture, {} to {} per frame",
                    v.patch_size, v.window_size, preprocessor_.min_pixels, preprocessor_.max_pixels,
                    video_preprocessor_.min_pixels, video_preprocessor_.max_pixels));
    fact("compute type", name_of(info_.compute));
    fact("key/value cache",
         fmt::format("{} bytes per token", info_.kv.page_bytes() / kKvPageTokens));
  }

  const Config config_;
  const PreprocessorConfig preprocessor_, video_preprocessor_;
  const Weights weights_;
  const RopeFrequencies frequencies_;
  const NormalisationTable tables_[2];  // slow, fast
  const NormalisationTable video_table_;
  ModelInfo info_;
};

}  // namespace

std::unique_ptr<Model> make(const Checkpoint& checkpoint, std::optional<DType> compute) {
  return std::make_unique<Qwen25VL>(checkpoint, compute);
}

}  // namespace qwenvl::qwen2_5_vl
