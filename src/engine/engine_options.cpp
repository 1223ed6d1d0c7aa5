#include "engine/engine_options.h"

#include <algorithm>

#include "core/settings.h"
#include "core/thread_pool.h"

namespace qwenvl {
namespace {

template <class T>
T chosen(const char* option, const std::string& value,
         std::initializer_list<std::pair<const char*, T>> names) {
  std::string known;
  for (const auto& [name, meaning] : names) {
    if (value == name) return meaning;
    known += (known.empty() ? "" : ", ") + std::string(name);
  }
  fail(ErrorKind::bad_request, "{}: found {}, expected one of {}", option, quoted(value), known);
}

}  // namespace

int thread_count(int wish) {
  if (wish < 0 || wish > ThreadPool::kMaxThreads) {
    fail(ErrorKind::bad_request, "threads: found {}, expected 0 (all cores) to {}", wish,
         ThreadPool::kMaxThreads);
  }
  if (wish != 0) return wish;
  const auto set = setting("QWENVL_THREADS");
  return set ? std::stoi(*set) : std::min(available_cores(), ThreadPool::kMaxThreads);
}

std::optional<DType> compute_type(ComputeType compute) {
  if (compute == ComputeType::float32) return DType::f32;
  if (compute == ComputeType::bfloat16) return DType::bf16;
  return std::nullopt;
}

void check_step_sizes(const EngineOptions& o) {
  const auto positive = [](const char* name, std::int64_t value) {
    if (value < 1) fail(ErrorKind::bad_request, "{}: found {}, expected at least 1", name, value);
  };
  positive("max_batch_sequences", o.max_batch_sequences);
  positive("prefill_chunk_tokens", o.prefill_chunk_tokens);
}

KvLayout kv_layout(const KvLayout& model, KvCacheType type) {
  KvLayout layout = model;
  if (type == KvCacheType::bfloat16) layout.type = DType::bf16;
  if (type == KvCacheType::int8) layout.type = DType::i8;
  return layout;
}

PreprocessOptions preprocess_options(const EngineOptions& o) {
  PreprocessOptions p;
  p.rule = chosen<ResizeRule>("resize_rule", o.resize_rule,
                              {{"qwen_vl_utils", ResizeRule::qwen_vl_utils},
                               {"qwen_vl_utils11", ResizeRule::qwen_vl_utils11},
                               {"hf", ResizeRule::hf}});
  p.kernel = chosen<ResizeKernel>("resize_kernel", o.resize_kernel,
                                  {{"pillow", ResizeKernel::pillow},
                                   {"pillow12", ResizeKernel::pillow12},
                                   {"torch_int16", ResizeKernel::torch_int16}});
  p.normalisation =
      chosen<Normalisation>("normalisation", o.normalisation,
                            {{"slow", Normalisation::slow}, {"fast", Normalisation::fast}});
  p.temporal_ids =
      chosen<TemporalIds>("temporal_ids", o.temporal_ids,
                          {{"float", TemporalIds::true_time}, {"int", TemporalIds::whole_seconds}});
  p.frame_rule =
      chosen<FrameRule>("frame_rule", o.frame_rule,
                        {{"qwen_vl_utils", FrameRule::qwen_vl_utils}, {"hf", FrameRule::hf}});
  return p;
}

ReaderStyle reader_style(const EngineOptions& o) {
  return chosen<ReaderStyle>(
      "video_reader", o.video_reader,
      {{"torchcodec", ReaderStyle::torchcodec}, {"decord", ReaderStyle::decord}});
}

Loader loader_of(const EngineOptions& o) {
  return chosen<Loader>("loader", o.loader,
                        {{"qwen_vl_utils", Loader::qwen_vl_utils}, {"hf", Loader::hf}});
}

std::int64_t context_limit(const EngineOptions& o, const ModelInfo& info) {
  if (o.max_context_tokens == 0) return info.max_positions;
  if (o.max_context_tokens < 1 || o.max_context_tokens > info.max_positions) {
    fail(ErrorKind::bad_request, "max_context_tokens: found {}, expected 1 to the model's {}",
         o.max_context_tokens, info.max_positions);
  }
  return o.max_context_tokens;
}

}  // namespace qwenvl
