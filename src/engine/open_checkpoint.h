// The weights that the options name, whoever wrote the files.
// Before: engine.cpp, bench.cpp and inspect.cpp are asked to open a model.   After: make_model.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "engine/quantize/quantize_plan.h"
#include "qwenvl/engine.h"
#include "text/tokenizer/tokenizer.h"

namespace qwenvl {

// A model whose names and shapes are checked. Its large tensors may still have to be converted.
struct CheckedModel {
  Checkpoint checkpoint;
  std::unique_ptr<const WeightSource> source;  // of what is converted; null: used where it lies
  std::vector<PlannedTensor> planned;          // all tensors of the source
  std::optional<Checkpoint> mapped;            // what is copied, where that is asked for
};

// Uses options.model, projector and weights. Throws bad_request, bad_file, unsupported.
CheckedModel check_model(const EngineOptions& options);

// Makes its checkpoint ready for use: with all threads, matrix after matrix, straight into the
// memory of the checkpoint; or copies them there. Of the source no more than a slice, or a matrix,
// is in memory beside it. Throws out_of_memory, before any work, where the weights alone are more
// than max_memory_bytes.
void convert(CheckedModel& model, const EngineOptions& options);

// Both.
Checkpoint open_checkpoint(const EngineOptions& options);

// Its tokenizer; of a GGUF model without looking for the vision file.
Tokenizer open_tokenizer(const std::string& model);

}  // namespace qwenvl
