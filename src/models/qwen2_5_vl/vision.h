// The vision tower: patches in, features for the decoder out.
// Before: preprocess.cpp knows the pixels.   After: language.cpp puts the features in place.
#pragma once

#include "models/model.h"
#include "models/qwen2_5_vl/config.h"
#include "models/qwen2_5_vl/weights.h"

namespace qwenvl::qwen2_5_vl {

// Where patch rows come from: writes the four rows of a merged cell, [4, 1176] float32.
using PatchSource = std::function<void(std::int64_t cell, float* out)>;

// features [n_patches / 4, out_hidden] in the compute type, cells in t, y, x order.
void encode_patches(Backend& backend, Workspace& workspace, const VisionConfig& config,
                    const VisionWeights& weights, std::span<const Grid> grids,
                    const PatchSource& patches, Tensor features, const Trace* trace);

}  // namespace qwenvl::qwen2_5_vl
