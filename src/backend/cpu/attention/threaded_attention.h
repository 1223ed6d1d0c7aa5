// Attention and its cache, split over threads.
// Before: cpu_backend.cpp.   After: attention.cpp attends with one block of queries.
#pragma once

#include <span>
#include <vector>

#include "backend/backend.h"
#include "backend/cpu/attention/attention.h"
#include "core/thread_pool.h"

namespace qwenvl::cpu {

// The verbs store_kv, attention_cached and attention_spans of backend.h.
class ThreadedAttention {
 public:
  // Both references must outlive this.
  ThreadedAttention(const KernelTable& kernels, ThreadPool& pool, int n_threads)
      : kernels_(kernels), pool_(pool), scratch_(static_cast<std::size_t>(n_threads)) {}

  void store_kv(Tensor k, Tensor v, const KvView& kv, int layer);
  void cached(Tensor q, int n_heads, const KvView& kv, int layer, float scale, Tensor out);
  void spans(Tensor q, Tensor k, Tensor v, int n_heads, std::span<const AttentionSpan> spans,
             float scale, Tensor out);
  void forget_scratch();
  // At most: for n_rows queries of `width` numbers.
  std::int64_t scratch_bytes(std::int64_t n_rows, std::int64_t width, int n_heads,
                             DType type) const;

 private:
  struct Scratch {
    AttentionScratch attention;
    FloatBuffer row;   // a row being converted
    FloatBuffer tile;  // keys and values of a tile that is kept in 8 bits
  };

  const RowKernels& rows(DType type) const {
    return type == DType::bf16 ? kernels_.bf16 : kernels_.f32;
  }
  std::int64_t span_rows(std::int64_t n_rows, int n_heads) const;
  void store_head(const KvLayout& layout, const std::byte* x, DType type, bool is_key,
                  std::int64_t token, std::byte* head, FloatBuffer& row);
  Tensor rotated(const Tensor& q, int head_dim);
  KeyTile read_int8(const KvLayout& layout, std::byte* keys, std::byte* values, std::int64_t n,
                    DType type, FloatBuffer& tile);

  const KernelTable& kernels_;
  ThreadPool& pool_;
  std::vector<Scratch> scratch_;  // one per thread
  FloatBuffer queries_;           // rotated ones
};

}  // namespace qwenvl::cpu
