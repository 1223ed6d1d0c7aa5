// How much arithmetic the network takes, counted from its sizes: what a benchmark divides by.
// Before: config.h.   After: engine/bench/bench_stages.cpp.
//
// A multiplication and an addition are two operations. Linear operations are products with weights;
// attention operations are scores and weighted sums, counted only where a row may look. Norms,
// rotations and activations are left out: they are below one in a hundred.
#pragma once

#include "models/model.h"
#include "models/qwen2_5_vl/config.h"

namespace qwenvl::qwen2_5_vl {

// One picture or clip through the tower and the merger.
Work encode_work(const VisionConfig& vision, const Grid& grid);

// n_rows tokens after cache_start others, and the head for n_logit_rows of them.
Work forward_work(const TextConfig& text, std::int64_t n_rows, std::int64_t cache_start,
                  std::int64_t n_logit_rows);

}  // namespace qwenvl::qwen2_5_vl
