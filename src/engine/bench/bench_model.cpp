// The model under test and how much work its steps are.
#include "engine/bench/bench_model.h"

#include <xxhash.h>

#include <algorithm>
#include <map>

#include "core/check.h"
#include "core/clock.h"
#include "core/settings.h"
#include "engine/engine_options.h"
#include "engine/open_checkpoint.h"
#include "engine/weight_parts.h"

namespace qwenvl {
namespace {

constexpr std::int64_t kMostPages = 1 << 20;  // taken one by one, as the sequence grows

// Weights stored in fewer bits than a float are multiplied as 8-bit numbers at best.
Arithmetic arithmetic_of(const std::string& stored, DType compute) {
  const bool is_float = stored == "float32" || stored == "bfloat16" || stored == "float16";
  if (!is_float) return Arithmetic::int8;
  return compute == DType::bf16 ? Arithmetic::bf16 : Arithmetic::float32;
}

std::string most_common(const std::map<std::string, double>& bytes_of) {
  const auto most =
      std::max_element(bytes_of.begin(), bytes_of.end(),
                       [](const auto& a, const auto& b) { return a.second < b.second; });
  return most == bytes_of.end() ? std::string("bfloat16") : most->first;
}

}  // namespace

const char* name_of(Arithmetic arithmetic) {
  if (arithmetic == Arithmetic::int8) return "int8";
  return arithmetic == Arithmetic::bf16 ? "bf16" : "float32";
}

std::string hash_of(std::span<const float> logits) {
  return fmt::format("{:016x}", XXH3_64bits(logits.data(), logits.size_bytes()));
}

BenchModel::BenchModel(const EngineOptions& options)
    : options_(options),
      checkpoint_(open_checkpoint(options)),
      tokenizer_(open_tokenizer(options.model)),
      model_(make_model(checkpoint_, compute_type(options.compute))),
      backend_(make_backend(options.backend, thread_count(options.n_threads))),
      workspace_(std::make_unique<Workspace>()),
      pool_(kv_layout(model_->info().kv, options.kv_cache_type), kMostPages) {
  std::map<std::string, double> vision_types, decoder_types;
  for (const auto& [name, entry] : checkpoint_.tensors()) {
    const double bytes = static_cast<double>(entry.bytes.size());
    if (part_of(name) == WeightPart::vision) vision_types[name_of(entry.type)] += bytes;
    if (part_of(name) == WeightPart::decoder) decoder_types[name_of(entry.type)] += bytes;
  }
  const WeightBytes bytes = weight_bytes(checkpoint_);
  vision_bytes_ = static_cast<double>(bytes.vision);
  decoder_bytes_ = static_cast<double>(bytes.decoder);
  head_bytes_ = static_cast<double>(bytes.head);
  vision_arithmetic_ = arithmetic_of(most_common(vision_types), model_->info().compute);
  decoder_arithmetic_ = arithmetic_of(most_common(decoder_types), model_->info().compute);
}

Engine& BenchModel::engine() {
  if (!engine_) engine_ = Engine::open(options_);
  return *engine_;
}

void BenchModel::close_engine() { engine_.reset(); }

double BenchModel::open_engine_ms() {
  close_engine();
  const Stopwatch watch;
  engine_ = Engine::open(options_);
  return watch.milliseconds();
}

VisionInput BenchModel::prepare(const Picture& picture) const {
  return model_->prepare_image(decode_image(picture.bytes, picture.source, Loader::qwen_vl_utils),
                               {}, {});
}

double BenchModel::encode_ms(const VisionInput& input) {
  const ModelInfo& info = model_->info();
  std::vector<std::byte> memory(static_cast<std::size_t>(input.n_tokens * info.feature_width) *
                                size_of(info.compute));
  const Tensor features(memory.data(), info.compute, {input.n_tokens, info.feature_width});
  const Stopwatch watch;
  model_->encode(*backend_, *workspace_, input, features);
  const double milliseconds = watch.milliseconds();
  workspace_->trim();
  return milliseconds;
}

double BenchModel::step_ms(std::int64_t n_context, std::int64_t n_rows) {
  if (!cache_ || cache_->n_tokens() != n_context) {
    cache_.emplace(pool_);
    ids_ =
        tokenizer_.encode("The quick brown fox jumps over the lazy dog. ", SpecialTokens::as_text);
    const std::vector<TokenId> sentence = ids_;
    while (static_cast<std::int64_t>(ids_.size()) < n_context + 64)
      ids_.insert(ids_.end(), sentence.begin(), sentence.end());
    for (std::int64_t done = 0; done < n_context;) {
      const std::int64_t n =
          std::min<std::int64_t>(options_.prefill_chunk_tokens, n_context - done);
      run_step(done, n, 1);
      cache_->advance(n);
      done += n;
    }
  }
  const Stopwatch watch;
  run_step(n_context, n_rows, n_rows);
  return watch.milliseconds();
}

void BenchModel::run_step(std::int64_t first, std::int64_t n_rows, std::int64_t n_logit_rows) {
  QWENVL_CHECK(first + n_rows <= static_cast<std::int64_t>(ids_.size()), "{} ids", ids_.size());
  cache_->prepare(n_rows);
  Batch batch;
  batch.kv.layout = pool_.layout();
  batch.kv.sequences.push_back({0, n_rows, first, cache_->pages()});
  batch.ids.assign(ids_.begin() + first, ids_.begin() + first + n_rows);
  for (int axis = 0; axis < 3; ++axis) {
    for (std::int64_t i = 0; i < n_rows; ++i)
      batch.positions.push_back(static_cast<std::int32_t>(first + i));
  }
  for (std::int64_t i = n_rows - n_logit_rows; i < n_rows; ++i) batch.logit_rows.push_back(i);
  logits_.resize(static_cast<std::size_t>(n_logit_rows * model_->info().vocabulary));
  model_->forward(*backend_, *workspace_, batch,
                  Tensor(logits_.data(), DType::f32, {n_logit_rows, model_->info().vocabulary}));
}

void BenchModel::add_ops(BenchPhase& phase, const Work& work, Arithmetic linear) const {
  double& products = linear == Arithmetic::int8   ? phase.int8_ops
                     : linear == Arithmetic::bf16 ? phase.bf16_ops
                                                  : phase.f32_ops;
  products += work.linear_ops;
  (model_->info().compute == DType::bf16 ? phase.bf16_ops : phase.f32_ops) += work.attention_ops;
}

BenchPhase BenchModel::encode_phase(const Grid& grid) const {
  BenchPhase phase;
  phase.bytes = vision_bytes_;
  add_ops(phase, model_->encode_work(grid), vision_arithmetic_);
  return phase;
}

BenchPhase BenchModel::forward_phase(std::int64_t n_rows, std::int64_t cache_start,
                                     std::int64_t n_logit_rows) const {
  BenchPhase phase;
  phase.bytes = decoder_bytes_ + (n_logit_rows > 0 ? head_bytes_ : 0) +
                static_cast<double>(kv_bytes(cache_start));
  add_ops(phase, model_->forward_work(n_rows, cache_start, n_logit_rows), decoder_arithmetic_);
  return phase;
}

std::int64_t BenchModel::kv_bytes(std::int64_t n_tokens) const {
  return pool_.layout().page_bytes() / kKvPageTokens * n_tokens;
}

void BenchModel::fill(BenchReport& report) const {
  report.model = checkpoint_.folder().string();
  report.kernels = backend_->name();
  report.vision_bytes = static_cast<std::int64_t>(vision_bytes_);
  report.decoder_bytes = static_cast<std::int64_t>(decoder_bytes_);
  report.head_bytes = static_cast<std::int64_t>(head_bytes_);
  report.vision_arithmetic = name_of(vision_arithmetic_);
  report.decoder_arithmetic = name_of(decoder_arithmetic_);
}

}  // namespace qwenvl
