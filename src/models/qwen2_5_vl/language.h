// The text decoder: ids and features in, logits out.
// Before: engine/ fills the Batch.   After: engine/generation/sampler.cpp reads the logits.
#pragma once

#include "models/model.h"
#include "models/qwen2_5_vl/config.h"
#include "models/qwen2_5_vl/weights.h"

namespace qwenvl::qwen2_5_vl {

// Rotary frequencies and what multiplies cos and sin (1 without YaRN).
struct RopeFrequencies {
  std::vector<float> inverse;  // [D / 2]
  float attention_scaling = 1;
};

RopeFrequencies rope_frequencies(const TextConfig& config);

// logits [logit_rows, V] float32; in a bf16 run rounded to bf16 first, as the reference's are.
void decode_step(Backend& backend, Workspace& workspace, const TextConfig& config,
                 const LanguageWeights& weights, const RopeFrequencies& frequencies,
                 const Batch& batch, DType compute, Tensor logits, const Trace* trace);

}  // namespace qwenvl::qwen2_5_vl
