// Everything the engine may ask of a vision-language model.
// Before: engine/engine.cpp fills conversations and batches.   After: models/<name>/ answers.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "backend/workspace.h"
#include "media/video/video.h"
#include "models/vision_input.h"
#include "text/chat_template.h"
#include "text/tokenizer/tokenizer.h"

namespace qwenvl {

class Checkpoint;

// ---- prompts ---------------------------------------------------------------------------------

struct MediaSlot {
  std::int64_t first_token = 0;  // of its n_tokens placeholder ids
  std::int64_t n_tokens = 0;
  int media = 0;  // index into Conversation::media
};

struct Conversation {
  std::vector<TemplateMessage> messages;  // image and video parts take the media in order
  std::vector<const VisionInput*> media;
  TemplateOptions options;
  bool parse_special_tokens = false;  // in untrusted text
};

// What a conversation becomes.
struct Prompt {
  std::vector<TokenId> ids;
  std::vector<std::int32_t> positions;  // [3, n_tokens]: time, height, width
  std::int32_t next_position = 0;       // of the first generated token, on all three axes
  std::vector<MediaSlot> slots;
};

// ---- steps -----------------------------------------------------------------------------------

// Rows whose embedding is a picture's feature instead of the token's.
struct FeatureRows {
  std::int64_t first_row = 0;
  Tensor features;  // [n, feature_width] in the compute type
};

struct Batch {
  std::vector<TokenId> ids;             // [T]
  std::vector<std::int32_t> positions;  // [3, T]
  std::vector<FeatureRows> features;
  KvView kv;                             // which rows belong to which sequence
  std::vector<std::int64_t> logit_rows;  // rows whose logits are wanted
};

// Called with every named intermediate when tracing: ("vision.block", 7, [T, H]).
using Trace = std::function<void(const char* name, int layer, const Tensor& value)>;

struct ModelInfo {
  std::string architecture;
  DType compute = DType::bf16;
  std::int64_t vocabulary = 0;
  std::int64_t feature_width = 0;
  int patch_pixels = 0;       // a side of a patch
  int patches_per_token = 0;  // of a picture
  std::int64_t max_positions = 0;
  int n_vision_layers = 0;
  KvLayout kv;
  std::vector<std::pair<std::string, std::string>> facts;  // for people, in reading order
};

// Arithmetic of a step; a multiplication and an addition are two operations.
struct Work {
  double linear_ops = 0;     // products with weights
  double attention_ops = 0;  // scores and weighted sums
};

// Bytes that a step takes besides what it is given.
struct Scratch {
  std::int64_t workspace = 0;
  std::int64_t kernels = 0;  // kept by the back end
  std::int64_t total() const { return workspace + kernels; }
};

class Model {
 public:
  virtual ~Model() = default;
  virtual const ModelInfo& info() const = 0;

  // Sizes, resizes; no network. Throws bad_request (impossible sizes).
  virtual VisionInput prepare_image(const Image& image, const SizeWish& wish,
                                    const PreprocessOptions& options) const = 0;
  // What prepare_image makes of a picture's size: its grid of patches.
  virtual Grid image_grid(int width, int height, const SizeWish& wish,
                          const PreprocessOptions& options) const = 0;
  // Which frames of a video are seen. Throws bad_request (impossible wishes).
  virtual FrameSchedule sample_frames(std::int64_t n_frames, double fps, const SamplingWish& wish,
                                      const PreprocessOptions& options) const = 0;
  // What prepare_clip makes of frames of one size: all its pairs, in order.
  virtual std::vector<PairSize> clip_sizes(std::int64_t n_frames, int width, int height,
                                           const ClipWish& wish,
                                           const PreprocessOptions& options) const = 0;
  // The least that a budget may make of a pair with this detail.
  virtual PairSize least_pair_size(double detail, int width, int height, const ClipWish& wish,
                                   const PreprocessOptions& options) const = 0;
  // One input for each run of pairs of one size.
  virtual std::vector<VisionInput> prepare_clip(std::int64_t n_frames, const FrameSource& frame,
                                                const ClipWish& wish,
                                                const PreprocessOptions& options) const = 0;
  // Text and media → ids, positions, slots; no network. Throws bad_request.
  virtual Prompt lay_out(const Conversation& conversation, const Tokenizer& tokenizer,
                         const PreprocessOptions& options) const = 0;
  // Pixels → features [n_tokens, feature_width] in the compute type.
  virtual void encode(Backend& backend, Workspace& workspace, const VisionInput& input,
                      Tensor features, const Trace* trace = nullptr) const = 0;
  // One step of any mixture of prompts and continuations → logits [logit_rows, vocabulary] float32.
  virtual void forward(Backend& backend, Workspace& workspace, const Batch& batch, Tensor logits,
                       const Trace* trace = nullptr) const = 0;

  // What encode and forward have to compute at least, counted from the sizes: for benchmarks. The
  // n_rows tokens follow cache_start others of their sequence.
  virtual Work encode_work(const Grid& grid) const = 0;
  virtual Work forward_work(std::int64_t n_rows, std::int64_t cache_start,
                            std::int64_t n_logit_rows) const = 0;

  // What encode and a forward step over n_rows rows take at most, counted from the sizes.
  virtual Scratch encode_scratch(const Backend& backend, const Grid& grid) const = 0;
  virtual Scratch forward_scratch(const Backend& backend, std::int64_t n_rows,
                                  std::int64_t n_logit_rows) const = 0;
};

// The model that config.json's "architectures" names, its weights bound in place: the checkpoint
// must outlive it. compute: empty means the checkpoint's own type (float16 computes in float32).
std::unique_ptr<Model> make_model(const Checkpoint& checkpoint, std::optional<DType> compute);

}  // namespace qwenvl
