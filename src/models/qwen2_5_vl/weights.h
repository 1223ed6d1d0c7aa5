// The tensor table of the checkpoint and the structs it fills.
// Before: checkpoint/binder.cpp finds and checks tensors.   After: vision.cpp, language.cpp.
#pragma once

#include <vector>

#include "checkpoint/binder.h"
#include "formats/weight.h"
#include "models/qwen2_5_vl/config.h"

namespace qwenvl::qwen2_5_vl {

// A matrix used in place and its bias, if any, as float32.
struct Linear {
  Weight weight;
  std::vector<float> bias;
};

struct VisionBlock {
  std::vector<float> norm1, norm2;  // [hidden]
  Linear qkv, proj;                 // [3·hidden, hidden], [hidden, hidden]
  Linear gate, up, down;            // [F, hidden] ×2, [hidden, F]
};

struct VisionWeights {
  Linear patch_embed;  // [hidden, 1176], no bias
  std::vector<VisionBlock> blocks;
  std::vector<float> merger_norm;  // [hidden]
  Linear merger_in, merger_out;    // [4·hidden, 4·hidden], [out, 4·hidden]
};

struct DecoderLayer {
  std::vector<float> input_norm, post_attention_norm;  // [H]
  Linear q, k, v, o;                                   // o without bias
  Linear gate, up, down;                               // without bias
};

struct LanguageWeights {
  Weight embedding;  // [V, H]
  std::vector<DecoderLayer> layers;
  std::vector<float> norm;  // [H]
  Weight head;              // [V, H]; the embedding itself when tied
};

struct Weights {
  VisionWeights vision;
  LanguageWeights language;
};

// Closed: throws bad_file naming every tensor that is missing, mis-shaped or left over.
Weights bind_weights(const Checkpoint& checkpoint, const Config& config);

}  // namespace qwenvl::qwen2_5_vl
