// What the engine's options mean once the environment has been asked.
// Before: engine.cpp, bench.cpp and quantize.cpp are asked.   After: make_model, make_backend.
#pragma once

#include <optional>

#include "core/tensor.h"
#include "models/model.h"
#include "qwenvl/engine.h"

namespace qwenvl {

// The wish; when it is 0 QWENVL_THREADS; when that is not set either, every core this process may
// use. At least 1. Throws bad_request.
int thread_count(int wish);

// Empty: the checkpoint's own.
std::optional<DType> compute_type(ComputeType compute);

PreprocessOptions preprocess_options(const EngineOptions& options);
ReaderStyle reader_style(const EngineOptions& options);
Loader loader_of(const EngineOptions& options);
std::int64_t context_limit(const EngineOptions& options, const ModelInfo& info);

// Throws bad_request.
void check_step_sizes(const EngineOptions& options);

// The model's cache in the type that is asked for.
KvLayout kv_layout(const KvLayout& model, KvCacheType type);

}  // namespace qwenvl
