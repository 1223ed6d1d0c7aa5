// How much memory a step takes, counted from the sizes: what a plan is made of.
// Before: config.h, weights.h.   After: engine/memory_plan.cpp.
//
// Tensors are taken from a counting workspace in the order in which vision.cpp and language.cpp
// take theirs; a test holds both to the same bytes.
#pragma once

#include "models/model.h"
#include "models/qwen2_5_vl/config.h"
#include "models/qwen2_5_vl/weights.h"

namespace qwenvl::qwen2_5_vl {

Scratch encode_scratch(const Backend& backend, const VisionConfig& vision,
                       const VisionWeights& weights, const Grid& grid, DType compute);

Scratch forward_scratch(const Backend& backend, const TextConfig& text,
                        const LanguageWeights& weights, std::int64_t n_rows,
                        std::int64_t n_logit_rows, DType compute);

}  // namespace qwenvl::qwen2_5_vl
