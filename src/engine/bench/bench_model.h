// The model under test, opened twice over the same mapped weights: as an Engine, which is measured
// from outside, and as its parts, for steps that no request takes by itself.
// Before: bench.cpp opens it.   After: bench_stages.cpp runs it.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "checkpoint/checkpoint.h"
#include "engine/scheduling/kv_cache.h"
#include "models/model.h"
#include "qwenvl/bench.h"
#include "text/tokenizer/tokenizer.h"

namespace qwenvl {

// What has to be done at least, in one piece: whichever of reading and computing takes longer
// bounds its time.
struct BenchPhase {
  double bytes = 0;
  double int8_ops = 0, bf16_ops = 0, f32_ops = 0;
  double repeats = 1;

  double operations() const { return int8_ops + bf16_ops + f32_ops; }
};

enum class Arithmetic { int8, bf16, float32 };
const char* name_of(Arithmetic arithmetic);

class BenchModel {
 public:
  explicit BenchModel(const EngineOptions& options);

  Engine& engine();         // opened when first asked for
  void close_engine();      // gives its memory back
  double open_engine_ms();  // closes and opens it again

  const Model& model() const { return *model_; }
  const Tokenizer& tokenizer() const { return tokenizer_; }
  const EngineOptions& options() const { return options_; }
  // Pixels as the engine's own preparation makes them.
  VisionInput prepare(const Picture& picture) const;
  double encode_ms(const VisionInput& input);
  // A sequence of n_context tokens in a cache, built once; then steps of the next n_rows tokens,
  // all with logits. The cache stays as it was, so every step does the same.
  double step_ms(std::int64_t n_context, std::int64_t n_rows);

  BenchPhase encode_phase(const Grid& grid) const;
  BenchPhase forward_phase(std::int64_t n_rows, std::int64_t cache_start,
                           std::int64_t n_logit_rows) const;
  std::int64_t kv_bytes(std::int64_t n_tokens) const;

  void fill(BenchReport& report) const;

 private:
  void add_ops(BenchPhase& phase, const Work& work, Arithmetic linear) const;
  void run_step(std::int64_t first, std::int64_t n_rows, std::int64_t n_logit_rows);

  const EngineOptions options_;
  const Checkpoint checkpoint_;
  const Tokenizer tokenizer_;
  const std::unique_ptr<Model> model_;
  const std::unique_ptr<Backend> backend_;
  std::unique_ptr<Workspace> workspace_;
  KvPool pool_;
  std::optional<KvCache> cache_;
  std::vector<TokenId> ids_;  // of the sequence in cache_
  std::vector<float> logits_;
  std::optional<Engine> engine_;
  double vision_bytes_ = 0, decoder_bytes_ = 0, head_bytes_ = 0;
  Arithmetic vision_arithmetic_ = Arithmetic::bf16, decoder_arithmetic_ = Arithmetic::bf16;
};

// The logits' fingerprint, 16 hexadecimal digits.
std::string hash_of(std::span<const float> logits);

}  // namespace qwenvl
