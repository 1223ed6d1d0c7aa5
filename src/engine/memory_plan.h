// What a model will take, added up from sizes before anything runs.
// Before: engine.cpp has opened the checkpoint.   After: room.h admits what fits.
#pragma once

#include <vector>

#include "checkpoint/checkpoint.h"
#include "engine/weight_parts.h"
#include "models/model.h"
#include "qwenvl/engine.h"

namespace qwenvl {

class MemoryPlanner {
 public:
  // All references must outlive this. Asks the system what this process holds now, without weights.
  MemoryPlanner(const EngineOptions& options, const Checkpoint& checkpoint, const Model& model,
                const Backend& backend);

  MemoryPlan plan(const PlannedRequest& request) const;

  // What is left for requests under max_memory_bytes; throws out_of_memory when not one page of the
  // cache has room. The largest number there is without a limit.
  std::int64_t room() const;
  // What a request takes of it besides its pages of the cache and its pixels: features, sequences
  // beyond the first, and what the tower takes beyond the decoder.
  std::int64_t request_bytes(const std::vector<VisionInput>& media, std::int64_t n_sequences) const;

 private:
  std::int64_t prefill_bytes(std::int64_t n_rows, std::int64_t n_sequences) const;
  std::int64_t embedding_bytes(std::int64_t n_tokens) const;
  std::int64_t decoder_side(std::int64_t n_tokens) const;

  const EngineOptions& options_;
  const Model& model_;
  const Backend& backend_;
  const KvLayout kv_;
  const WeightBytes weights_;
  const bool is_converted_;  // all weights are there from the beginning to the end
  const bool is_low_;        // the tower's and the decoder's take turns
  const std::int64_t max_context_, process_bytes_, library_bytes_;
};

std::int64_t pixel_bytes(const VisionInput& input);

}  // namespace qwenvl
