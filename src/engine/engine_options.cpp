#include "engine/engine_options.h"

#include <algorithm>

#include "core/settings.h"
#include "core/thread_pool.h"

namespace qwenvl {

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

KvLayout kv_layout(const KvLayout& model, KvCacheType type) {
  KvLayout layout = model;
  if (type == KvCacheType::bfloat16) layout.type = DType::bf16;
  if (type == KvCacheType::int8) layout.type = DType::i8;
  return layout;
}

}  // namespace qwenvl
